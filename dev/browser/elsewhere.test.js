// One person on two devices: what is read on one is read on the other, also if that was away.

import { after, before, test } from 'node:test';
import { randomUUID } from 'node:crypto';

import { Proxy } from '../../tests/node/proxy.js';
import { hasReadAll, openRoom, room, sees } from './room.js';
import { OUTAGE, Stage } from './stage.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('../../tests/node/server.js').User} User */

/** @type {Stage} */
let stage;
/** @type {User} */
let carla;
/** @type {User} */
let dan;
let roomId = '';

before(async () => {
  stage = await Stage.open();
  [carla, dan] = [await stage.server.user('Carla'), await stage.server.user('Dan')];
  roomId = await stage.server.room(carla, dan);
});
after(() => stage.close());

/** @param {string} content */
async function write(content) {
  const body = { clientMsgId: randomUUID(), type: 'TEXT', content };
  await stage.server.rest('POST', `/rooms/${roomId}/messages`, { token: dan.token, body });
}

/** @param {Page} page @param {number} count */
async function unread(page, count) {
  const title = count ? `(${count}) roomcast` : 'roomcast';
  const isSo = (/** @type {string} */ wanted) => document.title === wanted;
  await page.waitForFunction(isSo, title).catch(() => {
    throw new Error(`${count} unread: not so within the time`);
  });
}

/** @param {Page} page @param {string} text */
const inList = (page, text) => page.locator('.room-list .preview', { hasText: text }).waitFor();

test('what was read on another device while this one was away is not new here', async (t) => {
  const proxy = await Proxy.start(stage.server.url);
  t.after(() => proxy.stop());
  const here = await stage.as(carla, { at: proxy.url });
  for (const text of ['One', 'Two', 'Three']) await write(text);
  await unread(here, 3);

  proxy.goDown();
  await here.locator('#trouble', { hasText: 'Offline' }).waitFor();
  await write('Four');
  const there = await stage.as(carla);
  await unread(there, 4);
  await openRoom(there, 'Test');
  await sees(room(there), 'Four');
  await unread(there, 0);
  await there.locator('#sign-out').waitFor();
  // The mark is told once a second; a page that goes tells it at once.
  await there.goto('about:blank');
  await hasReadAll(stage.server, carla.token);
  await write('Five');

  proxy.goUp();
  await inList(here, 'Dan: Five');
  await unread(here, 1);
  await here.locator('#trouble').waitFor({ state: 'hidden' });
  stage.noFaults(OUTAGE);
});

test('what is read on another device is read here, also what this one has not kept', async () => {
  const here = await stage.as(carla);
  await unread(here, 1);
  const contents = Array.from({ length: 250 }, (_, at) => `Number ${at + 1}`);
  await stage.server.flood(dan, roomId, contents);
  await unread(here, 251);
  const { token } = carla;
  const from = '0'.repeat(26);
  const path = `/rooms/${roomId}/messages?after=${from}&limit=20`;
  const body = { lastReadMessageId: (await stage.server.rest('GET', path, { token }))[19].id };
  await stage.server.rest('POST', `/rooms/${roomId}/read`, { token, body });
  await unread(here, 255 - 20);
  // The windows of the test before have lost their way to the server.
  stage.noFaults(OUTAGE);
});
