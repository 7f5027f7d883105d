// Where a reader is: a room opens at what is new, and what was seen is read. And what is refused.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { message, openRoom, reaches, room, say, sees } from './room.js';
import { Stage, shoot } from './stage.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('../../tests/node/server.js').User} User */

const NEW = 80;

/** @type {Stage} */
let stage;
/** @type {User} */
let carla;
/** @type {User} */
let dan;
/** @type {Page} */
let page;
let roomId = '';

before(async () => {
  stage = await Stage.open();
  [carla, dan] = [await stage.server.user('Carla'), await stage.server.user('Dan')];
  roomId = await stage.server.room(carla, dan);
  await write(carla, 'Read long ago');
  for (let at = 1; at <= NEW; at += 1) await write(dan, `New ${at}`);
  page = await stage.as(carla, { colorScheme: 'dark' });
});
after(() => stage.close());

/** @param {User} user @param {string} content */
async function write({ token }, content) {
  const body = { clientMsgId: randomUUID(), type: 'TEXT', content };
  await stage.server.rest('POST', `/rooms/${roomId}/messages`, { token, body });
}

const badge = () => page.locator('.room-list .badge');
/** @param {string} text */
const isInView = (text) =>
  message(room(page), text).evaluate((row) => {
    const log = /** @type {Element} */ (row.closest('.log')).getBoundingClientRect();
    const { top, bottom } = row.getBoundingClientRect();
    return top >= log.top && bottom <= log.bottom;
  });

test('a room opens at the first new message, and only what was seen is read', async () => {
  await badge()
    .filter({ hasText: String(NEW) })
    .waitFor();
  await openRoom(page, 'Test');
  await message(room(page), 'New 1').locator('.new-line').waitFor();
  assert.ok(await isInView('New 1'));
  await badge()
    .filter({ hasNotText: String(NEW) })
    .waitFor();
  const left = Number.parseInt((await badge().textContent()) ?? '');
  assert.ok(left > NEW / 2 && left < NEW, `${left} are not read`);
  await page.locator('.jump.down').getByText('Newest').waitFor();
  await shoot(page, 'reading-dark');
  await page.locator('.jump.down').click();
  await sees(room(page), `New ${NEW}`);
  await badge().waitFor({ state: 'detached' });
});

test('who looks elsewhere has not read', async () => {
  const other = await stage.as(dan);
  await openRoom(other, 'Test');
  await page.evaluate(() => (document.hasFocus = () => false));
  await say(room(other), 'Are you looking?');
  await message(room(page), 'Are you looking?').locator('.new-line').waitFor();
  await badge().filter({ hasText: '1' }).waitFor();
  assert.equal(await page.title(), '(1) roomcast');
  await page.evaluate(() => {
    document.hasFocus = () => true;
    dispatchEvent(new Event('focus'));
  });
  await badge().waitFor({ state: 'detached' });
});

test('what the server refuses stays, with the reason, to be tried again or discarded', async () => {
  await say(room(page), 'Not \u0000 text');
  const row = page.locator('.row[data-stage=failed]');
  await row.getByText('Not sent:').waitFor();
  await page.locator('.room-list .preview', { hasText: 'Not sent: Not' }).waitFor();
  await shoot(page, 'refused-dark');
  const tried = page.locator('.row .content', { hasText: /^Not .* text$/s });
  await row.getByRole('button', { name: 'Try again' }).click();
  await row.getByText('Not sent:').waitFor();
  assert.equal(await tried.count(), 1);
  await row.getByRole('button', { name: 'Discard' }).click();
  await row.waitFor({ state: 'detached' });
  await say(room(page), 'Text');
  await reaches(message(room(page), 'Text'), 'stored');
  assert.equal(await tried.count(), 0);
});

test('what is too long is not sent, and says by how much', async () => {
  const line = page.getByLabel('Message', { exact: true });
  await line.fill('😀'.repeat(5003));
  await page.getByText('-3 left').waitFor();
  assert.ok(await page.getByRole('button', { name: 'Send' }).isDisabled());
  await line.press('Enter');
  await line.fill('😀'.repeat(5000));
  await page.getByText('0 left', { exact: true }).waitFor();
  await line.press('Enter');
  await reaches(page.locator('.row').last(), 'stored');
});

test('the browser had nothing to complain about', () => stage.noFaults());
