// Two people in two windows, on the demo and on the first page.
// Usage: node test.js BINARY ARTIFACTS

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

import { start } from './server.js';
import { faults, open } from './windows.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('playwright-core').Locator} Locator */

const [binary, artifacts] = process.argv.slice(2);
const HOSTILE = '<img src=x onerror=alert(1)>';
const PASSWORD = 'correct horse battery';
const PHONE = { width: 390, height: 780 };

const FLAGS = [
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** @param {Page} page @param {'alice'|'bob'} user */
const pane = (page, user) => page.locator(`.pane[data-user=${user}]`);

/** @param {Locator} room @param {string} text */
const message = (room, text) =>
  room.locator('.message').filter({ has: room.page().getByText(text, { exact: true }) });

/** @param {Locator} room @param {string} text */
async function say(room, text) {
  await room.getByLabel('Message', { exact: true }).fill(text);
  await room.getByRole('button', { name: 'Send' }).click();
}

/** Resolves once `text` is in the room exactly once. @param {Locator} room @param {string} text */
async function sees(room, text) {
  await message(room, text).first().waitFor();
  assert.equal(await message(room, text).count(), 1, `\`${text}\` is shown once`);
}

/** @param {Locator} room */
const texts = (room) => room.locator('.message .content').allTextContents();

/** @param {Locator} row @param {string} stage */
async function reaches(row, stage) {
  await row.and(row.page().locator(`[data-stage=${stage}]`)).waitFor();
}

/** @param {Page} page @param {string} name */
async function shoot(page, name) {
  await page.screenshot({ path: join(artifacts, `${name}.png`) });
}

/** Notes each stage that an own message goes through. @param {Page} page */
async function noteStages(page) {
  await page.evaluate(() => {
    const stages = /** @type {Record<string, string[]>} */ ({});
    /** @type {any} */ (window).stages = stages;
    const note = (/** @type {Node} */ row) => {
      if (!(row instanceof HTMLElement) || !row.dataset.stage) return;
      const seen = (stages[row.querySelector('.content')?.textContent ?? ''] ??= []);
      if (seen.at(-1) !== row.dataset.stage) seen.push(row.dataset.stage);
    };
    // Attributes are read late, so what each one was before is what tells the stages apart.
    new MutationObserver((records) => {
      for (const { type, target, oldValue, addedNodes } of records) {
        if (type === 'childList') addedNodes.forEach(note);
        else if (target instanceof HTMLElement) {
          const seen = (stages[target.querySelector('.content')?.textContent ?? ''] ??= []);
          if (oldValue && !seen.includes(oldValue)) seen.splice(-1, 0, oldValue);
          note(target);
        }
      }
    }).observe(document.body, {
      subtree: true,
      childList: true,
      attributeFilter: ['data-stage'],
      attributeOldValue: true,
    });
  });
}

/** The demo in two windows: one types as Alice, the other as Bob. @type {Page[]} */
let demos = [];
/** The first page in two windows. @type {Page[]} */
let pages = [];

/** @type {[string, (browser: import('playwright-core').Browser, url: string) => Promise<void>][]} */
const tests = [
  [
    'both demo users chat, in both windows',
    async (browser, url) => {
      demos = [await open(browser, `${url}demo`), await open(browser, `${url}demo`)];
      const [alice, bob] = [pane(demos[0], 'alice'), pane(demos[1], 'bob')];
      for (const room of [alice, bob]) await room.locator('.state[data-state=online]').waitFor();
      await say(alice, 'Hello Bob');
      await sees(bob, 'Hello Bob');
      await say(bob, 'Hello Alice');
      await sees(alice, 'Hello Alice');
      for (const page of demos) {
        for (const user of /** @type {const} */ (['alice', 'bob'])) {
          await sees(pane(page, user), 'Hello Alice');
          assert.deepEqual(await texts(pane(page, user)), ['Hello Bob', 'Hello Alice']);
        }
      }
      assert.equal(await message(bob, 'Hello Bob').locator('.sender').textContent(), 'Alice');
    },
  ],
  [
    'an own message is sending, then accepted, then stored',
    async () => {
      const alice = pane(demos[0], 'alice');
      await noteStages(demos[0]);
      await say(alice, 'How far are you?');
      await reaches(message(alice, 'How far are you?'), 'stored');
      const seen = await demos[0].evaluate(() => /** @type {any} */ (window).stages);
      assert.deepEqual(seen['How far are you?'], ['sending', 'accepted', 'stored']);
    },
  ],
  [
    'whoever was dropped gets what was missed, in order, once',
    async () => {
      const page = demos[0];
      const [alice, bob] = [pane(page, 'alice'), pane(page, 'bob')];
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
      for (const room of [bob, alice, pane(demos[1], 'bob')]) {
        assert.deepEqual(await texts(room), expected);
      }
      await shoot(page, 'demo-caught-up');
    },
  ],
  [
    'what users write stays text',
    async () => {
      const [alice, bob] = [pane(demos[0], 'alice'), pane(demos[1], 'bob')];
      await say(alice, HOSTILE);
      await sees(bob, HOSTILE);
      assert.equal(await demos[1].locator('.room img').count(), 0);
    },
  ],
  [
    'many messages at once keep their order and the end in view; older ones are a click away',
    async () => {
      const [page] = demos;
      const [alice, bob] = [pane(page, 'alice'), pane(page, 'bob')];
      const many = Array.from({ length: 60 }, (_, at) => `Number ${at + 1}`);
      for (const text of many) await say(alice, text);
      await reaches(message(alice, 'Number 60'), 'stored');
      await sees(bob, 'Number 60');
      for (const room of [alice, bob]) {
        assert.deepEqual((await texts(room)).slice(-60), many);
        await inView(message(room, 'Number 60'));
      }
      const all = await texts(bob);
      await demos[1].reload();
      const again = pane(demos[1], 'bob');
      await sees(again, 'Number 60');
      assert.deepEqual(await texts(again), all.slice(-50));
      await inView(message(again, 'Number 60'));
      await again.getByRole('button', { name: 'Show older' }).click();
      await sees(again, 'Hello Bob');
      assert.deepEqual(await texts(again), all);
    },
  ],
  [
    'two people sign up, make and join a room, and chat',
    async (browser, url) => {
      const dark = /** @type {const} */ ({ colorScheme: 'dark' });
      pages = [await open(browser, url), await open(browser, url, dark)];
      await pages[0].getByRole('link', { name: 'Two-person demo' }).waitFor();
      await shoot(pages[0], 'welcome');
      await signUp(pages[0], 'Carla');
      await signUp(pages[1], 'Dan');
      await pages[0].getByLabel('New room').fill('Reading <b>circle</b>');
      await pages[0].getByRole('button', { name: 'Create' }).click();
      const [carla, dan] = pages.map((page) => page.locator('#open-room'));
      await carla.getByRole('heading', { name: 'Reading <b>circle</b>' }).waitFor();
      const roomId = await carla.locator('#room-id').textContent();
      await pages[1].getByLabel('Join a room').fill(roomId ?? '');
      await pages[1].getByRole('button', { name: 'Join' }).click();
      await dan.getByRole('heading', { name: 'Reading <b>circle</b>' }).waitFor();
      await say(carla, 'Which chapter?');
      await sees(dan, 'Which chapter?');
      await say(dan, 'The fourth');
      await sees(carla, 'The fourth');
      await reaches(message(dan, 'The fourth'), 'stored');
      await say(carla, HOSTILE);
      await sees(dan, HOSTILE);
      await carla.locator('.person[data-status=online]', { hasText: 'Dan' }).waitFor();
      await shoot(pages[0], 'chat');
      await shoot(pages[1], 'chat-dark');
    },
  ],
  [
    'a reload comes back to the room; a phone shows one thing at a time',
    async () => {
      const [page] = pages;
      await page.reload();
      await sees(page.locator('#open-room'), 'The fourth');
      await page.setViewportSize(PHONE);
      await shoot(page, 'chat-phone');
      await assertNoSideScroll(page);
      await page.getByRole('link', { name: 'Back to the rooms' }).click();
      await page.getByRole('link', { name: 'Reading <b>circle</b>' }).waitFor();
      await shoot(page, 'rooms-phone');
      await demos[0].setViewportSize(PHONE);
      await assertNoSideScroll(demos[0]);
      await shoot(demos[0], 'demo-phone');
    },
  ],
  [
    'signing out ends the session, and the keyboard signs in again',
    async () => {
      const [page] = pages;
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByLabel('Email').fill('carla@example.com');
      await page.keyboard.press('Tab');
      await page.keyboard.type(PASSWORD);
      await shoot(page, 'welcome-phone');
      await page.keyboard.press('Enter');
      await page.getByRole('link', { name: 'Reading <b>circle</b>' }).waitFor();
    },
  ],
  ['the browser had nothing to complain about', async () => assert.deepEqual(faults, [])],
  [
    'a server that dies and comes back finds its clients again, and loses nothing',
    async (browser) => {
      const dataDir = await mkdtemp(join(tmpdir(), 'roomcast-browser-'));
      try {
        await outage(browser, dataDir);
      } finally {
        await rm(dataDir, { recursive: true });
      }
      // The tries against the dead server, against the one that drains (which answers handshakes
      // with 503), and one that was under way at its end, are all that there is to complain about.
      const expected = [
        'ERR_CONNECTION_REFUSED',
        'ERR_CONNECTION_RESET',
        'ERR_CONNECTION_CLOSED',
        'ERR_EMPTY_RESPONSE',
        'Unexpected response code: 503',
      ];
      const isExpected = (/** @type {string} */ fault) =>
        expected.some((part) => fault.includes(part));
      const others = faults.filter((fault) => !isExpected(fault));
      assert.deepEqual(others, []);
    },
  ],
];

/** @param {import('playwright-core').Browser} browser @param {string} dataDir */
async function outage(browser, dataDir) {
  let server = await start(binary, { dataDir });
  const { url } = server;
  try {
    const page = await open(browser, `${url}demo`);
    const [alice, bob] = [pane(page, 'alice'), pane(page, 'bob')];
    await say(alice, 'Before');
    for (const room of [alice, bob]) await sees(room, 'Before');
    await server.stop('SIGKILL');
    await bob.locator('.state[data-state=waiting]').waitFor();
    await say(bob, 'During');
    await reaches(message(bob, 'During'), 'sending');
    server = await start(binary, { dataDir, port: new URL(url).port });
    await reaches(message(bob, 'During'), 'stored');
    await say(alice, 'After');
    await sees(bob, 'After');
    await sees(alice, 'After');
    // Drained this time: the clients are told when to come back.
    await server.stop('SIGTERM');
    server = await start(binary, { dataDir, port: new URL(url).port });
    await say(alice, 'After the drain');
    await reaches(message(alice, 'After the drain'), 'stored');
    for (const room of [alice, bob]) {
      await sees(room, 'After the drain');
      assert.deepEqual(await texts(room), ['Before', 'During', 'After', 'After the drain']);
    }
    await page.context().close();
  } finally {
    await server.stop();
  }
}

/** @param {Page} page @param {string} name */
async function signUp(page, name) {
  await page.getByRole('button', { name: 'Create an account' }).click();
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Email').fill(`${name.toLowerCase()}@example.com`);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.locator('#sign-in [type=submit]').click();
  await page.locator('#state[data-state=online]').waitFor();
}

/** @param {Locator} row */
async function inView(row) {
  const isInView = (/** @type {Element} */ shown) => {
    const log = shown.closest('.log')?.getBoundingClientRect();
    return !!log && shown.getBoundingClientRect().bottom <= log.bottom;
  };
  for (let tries = 0; !(await row.evaluate(isInView)); tries += 1) {
    assert.ok(tries < 50, 'the newest message is in view');
    await row.page().evaluate(() => new Promise(requestAnimationFrame));
  }
}

/** @param {Page} page */
async function assertNoSideScroll(page) {
  const extra = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  assert.equal(extra, 0, 'the page is as wide as the window');
}

async function main() {
  const server = await start(binary);
  let browser;
  let passed = 0;
  let failed = 0;
  try {
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: process.getuid?.() === 0 ? [...FLAGS, '--no-sandbox'] : FLAGS,
    });
    for (const [name, test] of tests) {
      const startedAt = performance.now();
      try {
        await test(browser, server.url);
        passed += 1;
        const tookS = ((performance.now() - startedAt) / 1000).toFixed(1);
        console.log(`ok  ${tookS.padStart(5)} s  ${name}`);
      } catch (error) {
        failed += 1;
        console.log(`FAILED  ${name}\n${/** @type {Error} */ (error).stack}`);
        for (const [at, page] of [...demos, ...pages].entries()) {
          await shoot(page, `failed-${failed}-${at}`);
        }
      }
    }
  } finally {
    await browser?.close();
    await server.stop();
  }
  console.log(`\n${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && passed === tests.length ? 0 : 1;
}

await main();
