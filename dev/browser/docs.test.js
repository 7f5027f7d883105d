// The page of the specifications: everything that they hold is shown, and every link leads somewhere.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { assertNoSideScroll } from './room.js';
import { Stage, shoot } from './stage.js';

const PHONE = { width: 390, height: 780 };

/** @type {Stage} */
let stage;
/** @type {import('playwright-core').Page} */
let page;

before(async () => {
  stage = await Stage.open();
  page = await stage.window('docs#rest-sendMessage');
});
after(() => stage.close());

/** How many operations and messages a document holds. @param {string} path */
async function described(path) {
  const document = await (await fetch(new URL(path, stage.server.url))).json();
  const operations = Object.values(document.paths ?? {}).flatMap((methods) => Object.keys(methods));
  return operations.length + Object.keys(document.components.messages ?? {}).length;
}

test('everything is shown, and every link leads somewhere', async () => {
  await page.locator('#rest-sendMessage').waitFor();
  assert.match((await page.locator('#rest-sendMessage').textContent()) ?? '', /clientMsgId/);
  const expected = (await described('/openapi.json')) + (await described('/asyncapi.json'));
  assert.equal(await page.locator('#rest .entry, #socket .entry').count(), expected);
  const missing = await page.evaluate(() => {
    const links = [...document.querySelectorAll('a[href^="#"]')];
    const targets = new Set(links.map((link) => String(link.getAttribute('href'))));
    return [...targets].filter((href) => !document.getElementById(decodeURIComponent(href.slice(1))));
  });
  assert.deepEqual(missing, []);
});

test('the contents can be filtered', async () => {
  const filter = page.getByPlaceholder('Filter');
  const shown = page.locator('nav li.one:visible');
  const all = await shown.count();
  await filter.fill('invite');
  const found = await shown.allTextContents();
  assert.ok(found.length > 0 && found.length < all, `${found.length} of ${all}`);
  for (const name of found) assert.match(name, /invite/i);
  await filter.fill('');
  await shoot(page, 'docs');
});

test('it fits a phone, and the browser has nothing to complain about', async () => {
  await page.setViewportSize(PHONE);
  await assertNoSideScroll(page);
  await shoot(page, 'docs-phone');
  stage.noFaults();
});
