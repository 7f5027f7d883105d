// Sessions: tokens that are renewed, that expire, and that two tabs share.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Proxy } from '../../tests/node/proxy.js';
import { createRoom, message, openRoom, reaches, room, say, sees, texts } from './room.js';
import { OUTAGE, PASSWORD, Stage, shoot } from './stage.js';

/** @typedef {import('playwright-core').Page} Page */

/** Short enough to see its end, long enough to be renewed in time. */
const LIFE_S = 15;
/** What the server adds to it. */
const LEEWAY_S = 5;

/** @type {Stage} */
let brief;
/** @type {Stage} */
let stage;

before(async () => {
  brief = await Stage.open({ env: { JWT_EXPIRES_IN: `${LIFE_S}s` } });
  stage = await Stage.open();
});
after(async () => {
  await brief.close();
  await stage.close();
});

/** @param {Page} page @returns {Promise<string>} */
const token = (page) =>
  page.evaluate(() => JSON.parse(localStorage.getItem('roomcast.session') ?? '{}').token);

/** @param {Page} page */
const online = (page) => page.locator('#state[data-connection=online]').waitFor();

describe('tokens', { concurrency: true }, () => {
  test('a token is renewed before its end, and nobody notices', async () => {
    const carla = await brief.server.user('Carla');
    const page = await brief.as(carla);
    await createRoom(page, 'Long talks');
    let lost = 0;
    await page.exposeFunction('noteLoss', () => (lost += 1));
    await page.evaluate(() => {
      const state = /** @type {HTMLElement} */ (document.querySelector('#state'));
      const note = () =>
        state.dataset.connection === 'online' || /** @type {any} */ (window).noteLoss();
      new MutationObserver(note).observe(state, { attributeFilter: ['data-connection'] });
    });
    const first = await token(page);
    // The first token's whole life and more: no event marks its end.
    await page.waitForTimeout((LIFE_S + LEEWAY_S + 2) * 1000);
    await say(room(page), 'Still here');
    await reaches(message(room(page), 'Still here'), 'stored');
    assert.notEqual(await token(page), first);
    assert.equal(lost, 0, 'times that the connection was lost');
    await page.context().close();
  });

  test('a session that expired is opened again over the page, and what was written is sent', async (t) => {
    const proxy = await Proxy.start(brief.server.url);
    t.after(() => proxy.stop());
    const dan = await brief.server.user('Dan');
    const page = await brief.as(dan, { at: proxy.url });
    await createRoom(page, 'Asleep');
    proxy.goDown();
    await page.locator('#trouble', { hasText: 'Offline' }).waitFor();
    await say(room(page), 'Written in my sleep');
    // Nothing renews it meanwhile.
    await page.waitForTimeout((LIFE_S + LEEWAY_S + 1) * 1000);
    proxy.goUp();
    await page.getByText('Your session has expired.').waitFor();
    await page.getByText('What you wrote and is not sent yet is kept.').waitFor();
    assert.equal(await page.getByLabel('Email').inputValue(), dan.email);
    assert.ok(await page.locator('#trouble').isHidden(), 'it is not the network');
    await shoot(page, 'expired');
    await page.getByLabel('Password').fill(PASSWORD);
    await page.keyboard.press('Enter');
    await online(page);
    await reaches(message(room(page), 'Written in my sleep'), 'stored');
    assert.deepEqual(await texts(room(page)), ['Written in my sleep']);
    await page.context().close();
    brief.noFaults([...OUTAGE, 'status of 401', 'HTTP Authentication failed']);
  });
});

test('two tabs of one user show the same, and end together', async () => {
  const carla = await stage.server.user('Carla');
  const dan = await stage.server.user('Dan');
  await stage.server.room(carla, dan);
  const one = await stage.as(carla);
  const two = await stage.tab(one);
  const other = await stage.as(dan);
  await online(two);
  for (const page of [one, other]) await openRoom(page, 'Test');
  await say(room(other), 'To both');
  // It counts as new in the second until the first has read it, which may be at once.
  await two.locator('.room-list a', { hasText: 'To both' }).waitFor();
  await one.bringToFront();
  await sees(room(one), 'To both');
  await two.locator('.badge').waitFor({ state: 'detached' });
  await openRoom(two, 'Test');
  await say(room(two), 'From the second');
  for (const page of [one, two, other]) {
    await sees(room(page), 'From the second');
    assert.deepEqual(await texts(room(page)), ['To both', 'From the second']);
  }
  await reaches(message(room(one), 'From the second'), 'stored');
  await createRoom(two, 'Made in the second');
  await one.locator('.room-list a', { hasText: 'Made in the second' }).waitFor();
  await two.getByRole('button', { name: 'Sign out' }).click();
  await one.getByText('You have signed out in another tab.').waitFor();
  assert.equal(await one.locator('.pane').count(), 0);
  // The other tab may ask why its socket was closed before it hears of the end.
  stage.noFaults(['status of 401']);
});
