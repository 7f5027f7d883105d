// A room of ten thousand messages, and how little it takes to begin.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { within } from '../../tests/node/patience.js';
import { hasReadAll, message, reaches, room, say, sees } from './room.js';
import { Stage, shoot } from './stage.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('../../tests/node/server.js').User} User */

const MESSAGES = 10_000;
/** Sent at once, and in turn by the two. */
const CHUNK = 250;
/** What may be in the document: the window, and about as much above and below. */
const MAX_ROWS = 100;
/** After so many, what still moves will not stop. */
const MAX_FRAMES = 2_000;
/** A window's worth, and as much again above. */
const MAX_PAGES = 3;
const FIRST_PAINT_BYTES = 100 * 1024;

/** @type {Stage} */
let stage;
/** @type {User} */
let carla;
/** @type {User} */
let dan;
let roomId = '';
/** @type {Page} */
let page;
/** Shows no page: what is sent by it is sent by nobody's page. @type {Page} */
let blank;

before(async () => {
  stage = await Stage.open();
  [carla, dan] = [await stage.server.user('Carla'), await stage.server.user('Dan')];
  roomId = await stage.server.room(carla, dan);
  blank = await stage.window('favicon.svg');
  const begun = performance.now();
  for (let sent = 0; sent < MESSAGES; sent += CHUNK) {
    const texts = Array.from({ length: CHUNK }, (_, at) => textOf(sent + at + 1));
    await fill((sent / CHUNK) % 2 ? carla : dan, roomId, texts);
  }
  console.log(`${MESSAGES} messages after ${Math.round(performance.now() - begun)} ms`);
  page = await stage.as(carla);
});
after(() => stage.close());

/** Resolves when all are accepted. @param {User} sender @param {string} roomId @param {string[]} contents */
async function fill({ token }, roomId, contents) {
  const ids = contents.map(() => randomUUID());
  const sent = blank.evaluate(async ([bearer, room, texts, clientMsgIds]) => {
    const socket = new WebSocket('/ws', ['roomcast.v1', `bearer.${bearer}`]);
    await new Promise((resolve) => (socket.onopen = resolve));
    let left = texts.length;
    const accepted = new Promise((resolve, reject) => {
      socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
      socket.onmessage = ({ data: frame }) => {
        const { event, data } = JSON.parse(frame);
        if (event === 'messageFailed') reject(new Error(data.error));
        if (event === 'messageAccepted' && --left === 0) resolve(null);
      };
    });
    texts.forEach((content, at) => {
      const data = { roomId: room, clientMsgId: clientMsgIds[at], type: 'TEXT', content };
      socket.send(JSON.stringify({ event: 'sendMessage', data }));
    });
    await accepted;
    socket.close();
  }, /** @type {const} */ ([token, roomId, contents, ids]));
  await within(sent, `${contents.length} accepted messages`);
}

/** One line, or a few: heights differ. @param {number} seq */
const textOf = (seq) => `Message ${seq}${' and so on'.repeat(seq % 7 === 0 ? 30 : seq % 3)}`;

const rows = () => page.locator('.row').count();

/** Where each row of the window is, by its seq. @returns {Promise<Record<string, number>>} */
const places = () =>
  page.evaluate(() => {
    const { top, bottom } = /** @type {Element} */ (
      document.querySelector('.log')
    ).getBoundingClientRect();
    const seen = [...document.querySelectorAll('.row')].map((row) => {
      const { dataset } = /** @type {HTMLElement} */ (row);
      const text = /** @type {Element} */ (row.querySelector('.content')).getBoundingClientRect();
      return /** @type {const} */ ([dataset.seq, text.top, text.top > top && text.bottom < bottom]);
    });
    return Object.fromEntries(seen.filter(([, , isInView]) => isInView));
  });

/** Resolves when what is drawn no longer moves. */
async function settled() {
  for (let same = 0, last = '', frames = 0; same < 5; frames += 1) {
    assert.ok(frames < MAX_FRAMES, `it still moves after ${frames} frames: ${last}`);
    await within(
      page.evaluate(() => new Promise(requestAnimationFrame)),
      'a frame',
    );
    const now = JSON.stringify(await places());
    same = now === last ? same + 1 : 0;
    last = now;
  }
}

test('the first page takes less than 100 KB', async () => {
  const session = await blank.context().newCDPSession(blank);
  await session.send('Network.enable');
  let bytes = 0;
  let files = 0;
  session.on('Network.loadingFinished', ({ encodedDataLength }) => {
    bytes += encodedDataLength;
    files += 1;
  });
  await blank.goto(stage.server.url);
  await blank.getByLabel('Email').waitFor();
  await blank.waitForLoadState('networkidle');
  console.log(`first paint: ${bytes} bytes in ${files} answers`);
  assert.ok(files > 5, 'its files were counted');
  assert.ok(bytes <= FIRST_PAINT_BYTES, `${bytes} bytes`);
  await blank.context().close();
});

test('only what is in view, and a margin, is in the document', async () => {
  const opened = performance.now();
  await page.locator('.room-list a', { hasText: 'Test' }).click();
  await sees(room(page), textOf(MESSAGES));
  console.log(`opened after ${Math.round(performance.now() - opened)} ms`);
  await settled();
  assert.ok((await rows()) < MAX_ROWS, `${await rows()} rows`);
  assert.ok(String(MESSAGES) in (await places()), 'the newest is in view');
});

test('older messages come in above without a jump', async () => {
  // To where the next page is asked for, and there nothing may move.
  const log = page.locator('.log');
  for (let turn = 0; turn < 4; turn += 1) {
    await settled();
    const { first, before } = await log.evaluate(async (element) => {
      const height = element.scrollHeight;
      element.scrollTop = element.clientHeight;
      await new Promise(requestAnimationFrame);
      await new Promise(requestAnimationFrame);
      const [row] = [...element.querySelectorAll('.row')].filter(
        (one) => one.getBoundingClientRect().top > element.getBoundingClientRect().top,
      );
      const { dataset } = /** @type {HTMLElement} */ (row);
      const content = /** @type {Element} */ (row.querySelector('.content'));
      return { first: dataset.seq ?? '', before: content.getBoundingClientRect().top, height };
    });
    await settled();
    const now = (await places())[first];
    assert.ok(Math.abs(now - before) <= 1.5, `message ${first} stayed: ${before}, then ${now}`);
  }
});

test('the wheel moves what is read by what it turns, wherever heights were guessed', async () => {
  await page.locator('.log').hover();
  for (let turn = 0; turn < 12; turn += 1) {
    await settled();
    const before = await places();
    await page.mouse.wheel(0, -250);
    await settled();
    const now = await places();
    const shared = Object.keys(before).filter((seq) => seq in now);
    assert.ok(shared.length > 0, 'something is still in view');
    for (const seq of shared) {
      const moved = now[seq] - before[seq];
      assert.ok(Math.abs(moved - 250) <= 2, `message ${seq} moved by ${moved}`);
    }
  }
});

test('one gets to the first new message, and to the beginning, and the document stays small', async () => {
  const log = page.locator('.log');
  const begun = performance.now();
  await page.getByRole('button', { name: /To the first of \d+ new messages/ }).click();
  await page.getByText('This is the beginning of the room.').waitFor({ timeout: 300_000 });
  await page.locator('.new-line').waitFor();
  console.log(`all ${MESSAGES} after ${Math.round(performance.now() - begun)} ms`);
  await log.press('Home');
  await message(room(page), textOf(1)).waitFor();
  await settled();
  assert.ok('1' in (await places()), 'the first is in view');
  assert.ok((await rows()) < MAX_ROWS, `${await rows()} rows`);
  await shoot(page, 'long-beginning');
});

test('who is new in it and has read nothing opens it with a few requests, at what is new', async () => {
  const eve = await stage.server.user('Eve');
  await stage.server.rest('POST', `/rooms/${roomId}/join`, { token: eve.token });
  await stage.server.flood(dan, roomId, ['Welcome', 'Eve', 'to a long talk']);
  const hers = await stage.as(eve);
  let pages = 0;
  hers.on('request', (request) => {
    if (/\/messages\?/.test(request.url())) pages += 1;
  });
  await hers.locator('.room-list a', { hasText: 'Test' }).click();
  await message(room(hers), 'Welcome').locator('.new-line').waitFor();
  await sees(room(hers), 'to a long talk');
  await hers.waitForLoadState('networkidle');
  assert.ok(pages <= MAX_PAGES, `${pages} pages were read`);
  await hers.context().close();
});

test('with all of it loaded one still chats', async () => {
  const other = await stage.as(dan);
  await other.locator('.room-list a', { hasText: 'Test' }).click();
  await say(room(other), 'From below');
  const jump = page.locator('.jump.down');
  await jump.getByText('4 new').waitFor();
  assert.ok('1' in (await places()), 'the reader was not moved');
  const height = () => page.locator('.log').evaluate(({ scrollHeight }) => scrollHeight);
  const all = await height();
  await jump.click();
  await sees(room(page), 'From below');
  await settled();
  // Of ten thousand a thousand are kept, for who is at the end.
  assert.ok((await height()) < all / 5, 'what is far above is forgotten');
  await say(room(page), 'Quick answer');
  await reaches(message(room(page), 'Quick answer'), 'stored');
  await sees(room(other), 'Quick answer');
  // Anywhere in the middle, by the scroll bar.
  await page.locator('.log').evaluate((log) => (log.scrollTop = log.scrollHeight / 2));
  await settled();
  const middle = Object.keys(await places()).map(Number);
  assert.ok(middle.length > 3, 'the middle is drawn');
  assert.ok(
    middle.every((seq, at) => at === 0 || seq === middle[at - 1] + 1),
    `in order: ${middle}`,
  );
  assert.ok((await rows()) < MAX_ROWS, `${await rows()} rows`);
});

// What the blank window shows is no page, and has no icon of its own.
test('the browser had nothing to complain about', () => stage.noFaults(['favicon.ico']));

test('from the end one gets to the first of more new messages than are kept', async () => {
  const finn = await stage.server.user('Finn');
  await stage.server.rest('POST', `/rooms/${roomId}/join`, { token: finn.token });
  await stage.server.flood(dan, roomId, ['Finn, read this']);
  const before = await stage.as(finn);
  await before.locator('.room-list a', { hasText: 'Test' }).click();
  await sees(room(before), 'Finn, read this');
  await hasReadAll(stage.server, finn.token);
  await before.context().close();

  const texts = Array.from({ length: CHUNK }, (_, at) => `New to Finn ${at}`);
  for (let chunk = 0; chunk < 6; chunk += 1) await stage.server.flood(dan, roomId, texts);
  const his = await stage.as(finn);
  await his.locator('.room-list a', { hasText: 'Test' }).click();
  await his.getByRole('button', { name: /To the first of \d+ new messages/ }).click();
  await message(room(his), 'New to Finn 0').first().locator('.new-line').waitFor();
  await his.context().close();
});
