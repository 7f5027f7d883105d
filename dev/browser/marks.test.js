// What a message of one's own looks like on its way, and what changes with time alone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { message, openRoom, reaches, room, say, texts } from './room.js';
import { Stage, shoot } from './stage.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('../../tests/node/server.js').User} User */

/** @type {Stage} */
let stage;
/** @type {User} */
let carla;

before(async () => {
  stage = await Stage.open();
  carla = await stage.server.user('Carla');
  await stage.server.room(carla);
});
after(() => stage.close());

/**
 * Holds frames of the server back, as a store that takes its time does.
 *
 * @param {Page} page
 * @param {string[]} events the first is held until `release` is called once, and so on
 */
async function holdBack(page, events) {
  const gates = events.map((event) => {
    let release = () => {};
    const opened = /** @type {Promise<void>} */ (new Promise((resolve) => (release = resolve)));
    return { event, opened, release };
  });
  await page.routeWebSocket(/\/ws$/, (socket) => {
    const server = socket.connectToServer();
    let before = Promise.resolve();
    server.onMessage((frame) => {
      const { event } = JSON.parse(String(frame));
      const gate = gates.find((one) => one.event === event);
      before = before.then(() => gate?.opened).then(() => socket.send(frame));
    });
  });
  return gates.map(({ release }) => release);
}

test('a message is marked as sending, as accepted, and as stored', async () => {
  const page = await stage.as(carla);
  const [accept, store] = await holdBack(page, ['messageAccepted', 'newMessage']);
  await page.reload();
  await openRoom(page, 'Test');
  await say(room(page), 'How far are you?');
  const row = message(room(page), 'How far are you?');
  const mark = (/** @type {string} */ name) =>
    row.locator('.mark').getByText(name, { exact: true });
  await reaches(row, 'sending');
  await mark('sending').waitFor({ state: 'attached' });
  accept();
  await reaches(row, 'accepted');
  await mark('accepted').waitFor({ state: 'attached' });
  await shoot(page, 'accepted');
  store();
  await reaches(row, 'stored');
  await mark('stored').waitFor({ state: 'attached' });
  assert.deepEqual(await texts(room(page)), ['How far are you?']);
  await page.context().close();
});

test('Enter that ends a word of an input method sends nothing', async () => {
  const page = await stage.as(carla);
  await openRoom(page, 'Test');
  const line = page.getByLabel('Message', { exact: true });
  await line.fill('にほん');
  for (const how of [{ isComposing: true }, { keyCode: 229 }]) {
    await line.dispatchEvent('keydown', { key: 'Enter', ...how });
    assert.equal(await line.inputValue(), 'にほん');
  }
  await line.press('Enter');
  await reaches(message(room(page), 'にほん'), 'stored');
  await page.context().close();
});

test('what is of today is of yesterday after midnight', async () => {
  const page = await stage.as(carla);
  const now = new Date();
  const evening = new Date(now.getFullYear(), now.getMonth(), now.getDate(), 23, 58, 0);
  await page.clock.install({ time: evening });
  await page.reload();
  await openRoom(page, 'Test');
  const divider = page.locator('.divider.day');
  await divider.getByText('Today').waitFor();
  await page.clock.fastForward('02:10');
  await divider.getByText('Yesterday').waitFor();
  await say(room(page), 'Good morning');
  await page.context().close();
});

test('the browser had nothing to complain about', () => stage.noFaults());
