// Networks and servers that fail: the page says so, keeps what is written, and comes back by itself.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Proxy } from '../../tests/node/proxy.js';
import { Server } from '../../tests/node/server.js';
import { message, openRoom, reaches, room, say, sees, texts } from './room.js';
import { OUTAGE, Stage, shoot } from './stage.js';

/** @typedef {import('playwright-core').Page} Page */
const OUTAGE_MS = 30_000;

/** @type {Stage} */
let stage;
let dataDir = '';

before(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'roomcast-browser-'));
  stage = await Stage.open({ dataDir });
});
after(async () => {
  await stage.close();
  await rm(dataDir, { recursive: true });
});

/**
 * Two people in a room; one of them behind a network that can fail.
 *
 * @param {string} [at] the address that Carla uses
 */
async function twoInARoom(at) {
  const [carla, dan] = [await stage.server.user('Carla'), await stage.server.user('Dan')];
  await stage.server.room(carla, dan);
  const pages = [await stage.as(carla, { at }), await stage.as(dan)];
  for (const page of pages) await openRoom(page, 'Test');
  await say(room(pages[1]), 'Before');
  for (const page of pages) await sees(room(page), 'Before');
  return pages;
}

/** @param {Page[]} pages @param {string[]} expected */
async function agree(pages, expected) {
  for (const page of pages) {
    await sees(room(page), /** @type {string} */ (expected.at(-1)));
    assert.deepEqual(await texts(room(page)), expected);
    await page.context().close();
  }
}

/** @param {Page} page @param {string} text */
const trouble = (page, text) => page.locator('#trouble', { hasText: text }).waitFor();

/** @param {Page} page */
const online = (page) => page.locator('#state[data-connection=online]').waitFor();

test('who is offline is told so, writes on, and gets what was missed', async () => {
  const [here, there] = await twoInARoom();
  await here.context().setOffline(true);
  await trouble(here, 'Offline');
  for (const text of ['One', 'Two', 'Three']) await say(room(here), text);
  await trouble(here, 'Offline, 3 messages waiting');
  await reaches(message(room(here), 'Three'), 'sending');
  await shoot(here, 'offline');
  for (const text of ['Un', 'Deux']) {
    await say(room(there), text);
    await reaches(message(room(there), text), 'stored');
  }
  await here.context().setOffline(false);
  await online(here);
  await here.locator('#trouble').waitFor({ state: 'hidden' });
  await reaches(message(room(here), 'Three'), 'stored');
  await agree([here, there], ['Before', 'Un', 'Deux', 'One', 'Two', 'Three']);
  stage.noFaults(OUTAGE);
});

describe('what takes long', { concurrency: true }, () => {
  test('half a minute without a network loses and doubles nothing', async (t) => {
    const proxy = await Proxy.start(stage.server.url);
    t.after(() => proxy.stop());
    const [here, there] = await twoInARoom(proxy.url);
    proxy.goDown();
    await trouble(here, 'Offline');
    const since = Date.now();
    await say(room(here), 'Mine');
    await trouble(here, '1 message waiting');
    await say(room(there), 'Theirs');
    // The outage itself, not a wait for something.
    await here.waitForTimeout(OUTAGE_MS - (Date.now() - since));
    proxy.goUp();
    await online(here);
    await reaches(message(room(here), 'Mine'), 'stored');
    await agree([here, there], ['Before', 'Theirs', 'Mine']);
  });

  test('a socket that died without a word is noticed, and replaced', async (t) => {
    const proxy = await Proxy.start(stage.server.url);
    t.after(() => proxy.stop());
    const [here, there] = await twoInARoom(proxy.url);
    proxy.silence();
    await say(room(here), 'Into the void');
    await reaches(message(room(here), 'Into the void'), 'sending');
    await say(room(there), 'Not heard');
    // A heartbeat finds out, within half a minute and the time it waits for an answer.
    await message(room(here), 'Not heard').waitFor({ timeout: 60_000 });
    await reaches(message(room(here), 'Into the void'), 'stored');
    await agree([here, there], ['Before', 'Not heard', 'Into the void']);
  });
});

test('a server that is killed, and one that drains, find their people again', async () => {
  const [here, there] = await twoInARoom();
  const { port } = stage.server;
  await stage.server.stop('SIGKILL');
  await trouble(here, 'Offline');
  await say(room(here), 'During');
  await trouble(here, '1 message waiting');
  stage.server = await Server.start({ dataDir, port });
  await reaches(message(room(here), 'During'), 'stored');
  await sees(room(there), 'During');
  await stage.server.stop('SIGTERM');
  stage.server = await Server.start({ dataDir, port });
  await say(room(there), 'After');
  await reaches(message(room(there), 'After'), 'stored');
  await agree([here, there], ['Before', 'During', 'After']);
  stage.noFaults(OUTAGE);
});
