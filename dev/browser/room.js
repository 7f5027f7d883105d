// What people do in a room, and what they see there.

import assert from 'node:assert/strict';

import { asked } from '../../tests/node/patience.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('playwright-core').Locator} Locator */

export const HOSTILE = '<img src=x onerror=alert(1)>';

/** @param {Page} page */
export const room = (page) => page.locator('.pane');

/** @param {Locator} pane @param {string} text */
export const message = (pane, text) =>
  pane
    .locator('.row')
    .filter({ has: pane.page().locator('.content').getByText(text, { exact: true }) });

/** @param {Locator} pane @param {string} text */
export async function say(pane, text) {
  const line = pane.getByLabel('Message', { exact: true });
  await line.fill(text);
  await line.press('Enter');
}

/** Resolves once `text` is in the room exactly once. @param {Locator} pane @param {string} text */
export async function sees(pane, text) {
  await message(pane, text).first().waitFor();
  assert.equal(await message(pane, text).count(), 1, `\`${text}\` is shown once`);
}

/**
 * Resolves once the first message is of somebody who is called so: names come after the messages.
 *
 * @param {Locator} pane
 * @param {string} name
 */
export async function isFrom(pane, name) {
  const sender = pane.locator('.row .sender').first();
  await asked(`\`${name}\` as the sender`, async () => (await sender.textContent()) === name);
}

/**
 * Resolves once the server has it that a user has read everything.
 *
 * @param {import('../../tests/node/server.js').Server} server
 * @param {string} token
 */
export async function hasReadAll(server, token) {
  await asked('that all is read', async () => {
    const rooms = await server.rest('GET', '/rooms', { token });
    return rooms.every((/** @type {{unreadCount: number}} */ { unreadCount }) => unreadCount === 0);
  });
}

/** Of the messages that are in the document. @param {Locator} pane */
export const texts = (pane) => pane.locator('.row .content').allTextContents();

/** @param {Locator} row @param {string} stage */
export async function reaches(row, stage) {
  await row.and(row.page().locator(`[data-stage=${stage}]`)).waitFor();
}

/** @param {Page} page @param {string} name */
export async function openRoom(page, name) {
  await page.locator('.room-list a').filter({ hasText: name }).click();
  await page.locator('.room-name', { hasText: name }).waitFor();
}

/** @param {Page} page @param {string} name @param {'Public'|'Private'} [visibility] */
export async function createRoom(page, name, visibility = 'Public') {
  await page.locator('#add-room').click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill(name);
  await dialog.getByLabel(visibility).check();
  await dialog.getByRole('button', { name: 'Create' }).click();
  await page.locator('.room-name', { hasText: name }).waitFor();
  return new URL(page.url()).hash.slice(1);
}

/** Notes each stage that an own row of the page goes through, by its text. @param {Page} page */
export async function noteStages(page) {
  await page.evaluate(() => {
    const stages = /** @type {Record<string, string[]>} */ ({});
    /** @type {any} */ (window).stages = stages;
    const note = (/** @type {Node} */ row) => {
      if (!(row instanceof HTMLElement) || !row.matches('.row.own')) return;
      const { stage = '' } = row.dataset;
      const seen = (stages[row.querySelector('.content')?.textContent ?? ''] ??= []);
      if (seen.at(-1) !== stage) seen.push(stage);
    };
    const look = (/** @type {MutationRecord[]} */ records) => {
      for (const { addedNodes } of records) addedNodes.forEach(note);
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true });
  });
}

/** @param {Page} page @param {string} text */
export const stagesOf = (page, text) =>
  page.evaluate((of) => /** @type {any} */ (window).stages[of], text);

/** @param {Page} page */
export async function assertNoSideScroll(page) {
  const extra = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return scrollWidth - clientWidth;
  });
  assert.equal(extra, 0, 'the page is as wide as the window');
}
