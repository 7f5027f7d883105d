// All of it without a mouse, and on a phone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { assertNoSideScroll, message, reaches, room, say, texts } from './room.js';
import { PASSWORD, Stage, shoot } from './stage.js';

/** @typedef {import('playwright-core').Page} Page */

const PHONE = { width: 360, height: 740 };

/** @type {Stage} */
let stage;
/** @type {Page} */
let page;

before(async () => {
  stage = await Stage.open();
  page = await stage.window();
});
after(() => stage.close());

/** What has the focus, by the name a screen reader says; it must be visible that it has it. */
async function focused() {
  const { name, isShown } = await page.evaluate(() => {
    const at = /** @type {HTMLElement} */ (document.activeElement);
    const label = /** @type {HTMLInputElement} */ (at).labels?.[0]?.textContent;
    const style = getComputedStyle(at);
    const isShown = at.matches(':focus-visible') && style.outlineStyle !== 'none';
    const named = at.getAttribute('aria-label') ?? label ?? at.textContent ?? '';
    return { name: named.trim().replace(/\s+/g, ' '), isShown };
  });
  assert.ok(isShown, `the focus is seen at \`${name}\``);
  return name;
}

/** Presses Tab until something is reached. @param {RegExp} name */
async function tabTo(name) {
  const passed = [];
  while (passed.length < 20) {
    const now = await focused();
    if (name.test(now)) return;
    passed.push(now);
    await page.keyboard.press('Tab');
  }
  assert.fail(`${name} is not reached: ${passed.join(' | ')}`);
}

const { press, type } = {
  press: (/** @type {string} */ key) => page.keyboard.press(key),
  type: (/** @type {string} */ text) => page.keyboard.type(text),
};

test('one signs up, makes rooms and chats by keyboard alone', async () => {
  await page.getByLabel('Email').waitFor();
  assert.match(await focused(), /^Email/);
  await tabTo(/Create an account/);
  await press('Enter');
  assert.match(await focused(), /^Name/);
  await type('Carla');
  await press('Tab');
  await type('carla@example.com');
  await press('Tab');
  await type(PASSWORD);
  await press('Enter');
  await page.locator('#pick-new:focus').waitFor();
  await press('Enter');
  assert.match(await focused(), /^Name/);
  await type('Tower');
  await press('Tab');
  await press('ArrowDown');
  await press('Enter');
  await page.locator('.room-name', { hasText: 'Tower' }).waitFor();
  await page.locator('.room-list a[aria-current=page]', { hasText: 'private' }).waitFor();
  assert.equal(await focused(), 'Message');
  await type('First line');
  await press('Shift+Enter');
  await type('second line');
  await press('Enter');
  await reaches(message(room(page), 'First line\nsecond line'), 'stored');
  assert.equal(await focused(), 'Message');
});

test('Escape closes a dialog and goes back to where one was', async () => {
  await press('Escape');
  assert.match(await focused(), /Tower/);
  await press('Shift+Tab');
  assert.equal(await focused(), 'New room');
  await press('Enter');
  await page.getByRole('dialog').waitFor();
  await press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.equal(await focused(), 'New room');
});

test('arrows move in the list of rooms, Enter opens one', async () => {
  await press('Enter');
  await type('Bridge');
  await press('Enter');
  await page.locator('.room-name', { hasText: 'Bridge' }).waitFor();
  await type('A draft');
  await press('Escape');
  assert.match(await focused(), /Bridge/);
  await press('ArrowDown');
  assert.match(await focused(), /Tower/);
  await press('ArrowDown');
  assert.match(await focused(), /Tower/);
  await press('Home');
  assert.match(await focused(), /Bridge/);
  await press('End');
  await press('Enter');
  await page.locator('.room-name', { hasText: 'Tower' }).waitFor();
  assert.equal(await page.getByLabel('Message', { exact: true }).inputValue(), '');
  await press('Escape');
  await press('ArrowUp');
  await press('Enter');
  await page.locator('.room-name', { hasText: 'Bridge' }).waitFor();
  assert.equal(await page.getByLabel('Message', { exact: true }).inputValue(), 'A draft');
});

test('members are seen, and left, by keyboard', async () => {
  await press('Shift+Tab');
  await tabBackTo('Members');
  await press('Enter');
  assert.equal(await focused(), 'Close the members');
  await press('Escape');
  await page.locator('.members').waitFor({ state: 'detached' });
  assert.equal(await focused(), 'Message');
});

/** @param {string} name */
async function tabBackTo(name) {
  for (let tries = 0; (await focused()) !== name; tries += 1) {
    assert.ok(tries < 10, `${name} is reached`);
    await press('Shift+Tab');
  }
}

test('a phone shows one thing at a time, and nothing sticks out', async () => {
  await page.setViewportSize(PHONE);
  await assertNoSideScroll(page);
  await say(room(page), 'Oneverylongwordthatdoesnotend'.repeat(8));
  await say(room(page), 'And a short one');
  // What is not stored yet would be asked about when one signs out.
  await reaches(message(room(page), 'And a short one'), 'stored');
  assert.equal((await texts(room(page))).length, 2);
  await assertNoSideScroll(page);
  await shoot(page, 'phone-room');
  await page.getByRole('button', { name: 'Members' }).click();
  await assertNoSideScroll(page);
  await shoot(page, 'phone-members');
  await page.getByRole('button', { name: 'Close the members' }).click();
  await page.getByRole('button', { name: 'Invite' }).click();
  await page.getByRole('dialog').waitFor();
  await assertNoSideScroll(page);
  await shoot(page, 'phone-invite');
  await page.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('link', { name: 'Back to the rooms' }).click();
  await page.getByRole('link', { name: /Tower/ }).click();
  // Where the list is not in view, the room says how one is connected.
  await room(page).locator('.state').getByText('online', { exact: true }).waitFor();
  await page.getByRole('link', { name: 'Back to the rooms' }).click();
  await page.getByRole('link', { name: /Tower/ }).waitFor();
  assert.equal(await page.locator('.pane').count(), 0);
  await page.getByText('online').waitFor();
  await assertNoSideScroll(page);
  await shoot(page, 'phone-rooms');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Email').waitFor();
  await assertNoSideScroll(page);
  await shoot(page, 'phone-welcome');
});

test('the browser had nothing to complain about', () => stage.noFaults());
