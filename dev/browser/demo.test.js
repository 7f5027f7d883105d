// The demo: two users side by side, each with a connection that can be dropped.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import {
  HOSTILE,
  assertNoSideScroll,
  isFrom,
  message,
  noteStages,
  reaches,
  say,
  sees,
  stagesOf,
  texts,
} from './room.js';
import { Stage, shoot } from './stage.js';

/** @typedef {import('playwright-core').Page} Page */

/** @type {Stage} */
let stage;
/** One types as Alice, the other as Bob. @type {Page[]} */
let pages;

/** @param {Page} page @param {'alice'|'bob'} user */
const half = (page, user) => page.locator(`.user[data-user=${user}]`);

before(async () => {
  stage = await Stage.open();
  pages = [await stage.window('demo'), await stage.window('demo')];
});
after(() => stage.close());

test('both users chat, in both windows', async () => {
  const [alice, bob] = [half(pages[0], 'alice'), half(pages[1], 'bob')];
  // What is said before a half has opened the room comes to it by two ways.
  const halves = pages.flatMap((page) => [half(page, 'alice'), half(page, 'bob')]);
  for (const user of halves) {
    await user.locator('.state[data-state=online]').waitFor();
    await user.getByText('Nothing was said here yet.').waitFor();
  }
  await say(alice, 'Hello Bob');
  await sees(bob, 'Hello Bob');
  await say(bob, 'Hello Alice');
  for (const user of halves) {
    await sees(user, 'Hello Alice');
    assert.deepEqual(await texts(user), ['Hello Bob', 'Hello Alice']);
  }
  await isFrom(bob, 'Alice');
});

test('an own message is sending, then accepted, then stored', async () => {
  const alice = half(pages[0], 'alice');
  await noteStages(pages[0]);
  await say(alice, 'How far are you?');
  await reaches(message(alice, 'How far are you?'), 'stored');
  const seen = await stagesOf(pages[0], 'How far are you?');
  // Two steps within one frame are drawn as one.
  assert.equal(seen.at(-1), 'stored');
  assert.deepEqual(
    seen,
    ['sending', 'accepted', 'stored'].filter((one) => seen.includes(one)),
  );
});

test('whoever was dropped gets what was missed, in order, once', async () => {
  const [page] = pages;
  const [alice, bob] = [half(page, 'alice'), half(page, 'bob')];
  await sees(bob, 'How far are you?');
  const before = await texts(bob);
  await bob.getByRole('button', { name: 'Drop connection' }).click();
  await bob.locator('.state[data-state=offline]').waitFor();
  const missed = ['First missed', 'Second missed', 'Third missed'];
  for (const text of missed) {
    await say(alice, text);
    await reaches(message(alice, text), 'stored');
  }
  await say(bob, 'Written while away');
  await reaches(message(bob, 'Written while away'), 'sending');
  assert.deepEqual(await texts(bob), [...before, 'Written while away']);
  await shoot(page, 'demo-dropped');
  await bob.getByRole('button', { name: 'Connect again' }).click();
  await bob.getByText('Caught up: 3 messages were replayed.').waitFor();
  await reaches(message(bob, 'Written while away'), 'stored');
  await sees(alice, 'Written while away');
  const expected = [...before, ...missed, 'Written while away'];
  for (const user of [bob, alice]) assert.deepEqual(await texts(user), expected);
  await shoot(page, 'demo-caught-up');
});

test('what users write stays text', async () => {
  const [alice, bob] = [half(pages[0], 'alice'), half(pages[1], 'bob')];
  await say(alice, HOSTILE);
  await sees(bob, HOSTILE);
  assert.equal(await pages[1].locator('.user img').count(), 0);
});

test('a phone shows both', async () => {
  await pages[0].setViewportSize({ width: 360, height: 740 });
  await assertNoSideScroll(pages[0]);
  await shoot(pages[0], 'demo-phone');
});

test('the browser had nothing to complain about', () => stage.noFaults());
