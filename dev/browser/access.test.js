// What axe, a checker of accessibility, says of the page: names, roles, contrasts.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import axe from 'axe-core';

import { message, openRoom, reaches, room, say } from './room.js';
import { OUTAGE, Stage } from './stage.js';

/** @typedef {import('playwright-core').Page} Page */

/** Evaluated by the tools of the browser: the page's policy lets no script in. */
const AXE = axe.source;

/** @type {Stage} */
let stage;

before(async () => {
  stage = await Stage.open();
});
after(() => stage.close());

test('axe finds nothing that keeps anyone out, light and dark', async () => {
  const [eve, fay] = [await stage.server.user('Eve'), await stage.server.user('Fay')];
  await stage.server.room(eve, fay);
  for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
    const welcome = await stage.window('', { colorScheme });
    await welcome.getByLabel('Email').waitFor();
    await assertAccessible(welcome);
    const here = await stage.as(eve, { colorScheme });
    const there = await stage.as(fay, { colorScheme });
    for (const one of [here, there]) await openRoom(one, 'Test');
    await say(room(there), `Hello in ${colorScheme}`);
    await say(room(here), `And back in ${colorScheme}`);
    await reaches(message(room(here), `And back in ${colorScheme}`), 'stored');
    await here.getByRole('button', { name: 'Members' }).click();
    await here.locator('.member', { hasText: 'Fay' }).waitFor();
    await assertAccessible(here);
    await here.context().setOffline(true);
    await here.locator('#trouble').waitFor();
    await assertAccessible(here);
    await here.context().setOffline(false);
    await here.locator('#add-room').click();
    await assertAccessible(here);
    for (const one of [welcome, here, there]) await one.context().close();
  }
});

/** @param {Page} one */
async function assertAccessible(one) {
  await one.evaluate(AXE);
  const { violations } = await one.evaluate(() => /** @type {any} */ (window).axe.run());
  /** @type {{id: string, nodes: {html: string, failureSummary: string}[]}[]} */
  const found = violations;
  const told = found.map(({ id, nodes }) => `${id}: ${nodes[0].html} ${nodes[0].failureSummary}`);
  assert.deepEqual(told, []);
}

test('the browser had nothing to complain about', () => stage.noFaults(OUTAGE));
