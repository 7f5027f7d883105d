// Two hundred rooms: all are followed, and only those that can be seen are asked about.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { asked } from '../../tests/node/patience.js';
import { Stage, shoot } from './stage.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('../../tests/node/server.js').User} User */

const ROOMS = 200;
/** Of the list, at the same time. */
const AT_ONCE = 4;

/** @type {Stage} */
let stage;
/** @type {User} */
let carla;
/** @type {User} */
let dan;
/** @type {Page} */
let page;
/** @type {string[]} */
const roomIds = [];
/** What the page has asked about rooms. @type {string[]} */
const requests = [];
/** Of those, what is not answered. @type {Set<import('playwright-core').Request>} */
const running = new Set();
let most = 0;

before(async () => {
  stage = await Stage.open();
  [carla, dan] = [await stage.server.user('Carla'), await stage.server.user('Dan')];
  for (let at = 1; at <= ROOMS; at += 1) {
    const body = { name: `Room ${at}` };
    const { id } = await stage.server.rest('POST', '/rooms', { token: carla.token, body });
    await stage.server.rest('POST', `/rooms/${id}/join`, { token: dan.token });
    await write(id, `Hello in ${at}`);
    roomIds.push(id);
  }
});
after(() => stage.close());

/** @param {string} roomId @param {string} content */
async function write(roomId, content) {
  const body = { clientMsgId: randomUUID(), type: 'TEXT', content };
  await stage.server.rest('POST', `/rooms/${roomId}/messages`, { token: dan.token, body });
}

/** Notes what is asked about rooms. */
function watchRequests() {
  const isCounted = (/** @type {string} */ url) => /\/rooms\/[^/]+\/(messages|members)/.test(url);
  page.on('request', (request) => {
    if (!isCounted(request.url())) return;
    requests.push(request.url());
    running.add(request);
    most = Math.max(most, running.size);
  });
  page.on('requestfinished', (request) => running.delete(request));
  page.on('requestfailed', (request) => running.delete(request));
}

/** @param {string} name */
const entry = (name) =>
  page.locator('.room-list a').filter({ has: page.getByText(name, { exact: true }) });

test('what can be seen is shown, a few at a time, and the rest is not asked for', async () => {
  page = await stage.as(carla, { colorScheme: 'dark' });
  await page.waitForLoadState('networkidle');
  watchRequests();
  await page.reload();
  await entry(`Room ${ROOMS}`).getByText(`Dan: Hello in ${ROOMS}`).waitFor();
  const count = () => page.locator('.room-list a').filter({ hasText: 'Dan: Hello' }).count();
  // What is asked for is shown; nothing says when that is all.
  await asked('that what can be seen is shown', async () => {
    const sent = requests.length;
    const seen = await count();
    return running.size === 0 && seen >= 5 && sent <= seen + AT_ONCE;
  });
  await shoot(page, 'many-rooms-dark');
  const seen = await count();
  assert.ok(seen < 40, `${seen} are shown with what was said last`);
  assert.ok(most <= AT_ONCE, `${most} at the same time`);
});

test('a room out of sight comes up when somebody speaks in it', async () => {
  await write(roomIds[0], 'From far below');
  await entry('Room 1').getByText('Dan: From far below').waitFor();
  await entry('Room 1').locator('.badge').getByText('2').waitFor();
  const first = page.locator('.room-list a').first();
  await first.getByText('Room 1', { exact: true }).waitFor();
});

test('a room is found by its name, and what was said last with it', async () => {
  await page.locator('#filter').fill('Room 20');
  await entry('Room 20').getByText('Dan: Hello in 20').waitFor();
  await page.locator('#filter').fill('No such room');
  await page.getByText('No room has such a name.').waitFor();
  await page.locator('#filter').fill('');
  await page.getByText('No room has such a name.').waitFor({ state: 'hidden' });
});

test('a connection that comes back asks about no room again', async () => {
  requests.length = 0;
  await page.context().setOffline(true);
  await page.locator('#trouble').waitFor();
  await write(roomIds[1], 'Meanwhile');
  await page.context().setOffline(false);
  await entry('Room 2').getByText('Dan: Meanwhile').waitFor();
  await page.waitForLoadState('networkidle');
  assert.ok(requests.length <= AT_ONCE, `${requests.length} requests`);
});
