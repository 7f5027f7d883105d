// Two people on the page: they sign up, make rooms, invite, chat, and part.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import {
  HOSTILE,
  createRoom,
  hasReadAll,
  message,
  noteStages,
  openRoom,
  reaches,
  room,
  say,
  sees,
  stagesOf,
  texts,
} from './room.js';
import { PASSWORD, Stage, shoot } from './stage.js';

/** @typedef {import('playwright-core').Page} Page */

const CIRCLE = 'Reading <b>circle</b>';

/** @type {Stage} */
let stage;
/** @type {Page} */
let carla;
/** @type {Page} */
let dan;
let circleId = '';

before(async () => {
  stage = await Stage.open();
  carla = await stage.window();
  dan = await stage.window('', { colorScheme: 'dark' });
});
after(() => stage.close());

/** @param {Page} page @param {string} name */
async function signUp(page, name) {
  await page.getByRole('button', { name: 'Create an account' }).click();
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Email').fill(`${name.toLowerCase()}@example.com`);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.locator('#sign-in [type=submit]').click();
  await page.locator('#state[data-connection=online]').waitFor();
}

test('what the server refuses is said at the field', async () => {
  await carla.getByRole('link', { name: 'Two-person demo' }).waitFor();
  await shoot(carla, 'welcome');
  await carla.getByRole('button', { name: 'Create an account' }).click();
  await carla.getByLabel('Name').fill('Carla');
  await carla.getByLabel('Email').fill('nobody');
  await carla.getByLabel('Password').fill('short');
  await carla.keyboard.press('Enter');
  await carla.locator('#email-problem:not(:empty)').waitFor();
  await carla.locator('#password-problem:not(:empty)').waitFor();
  assert.equal(await carla.getByLabel('Email').getAttribute('aria-invalid'), 'true');
  await shoot(carla, 'welcome-refused');
  await carla.getByRole('button', { name: 'Have an account?' }).click();
  await signUp(carla, 'Carla');
  await dan.getByRole('button', { name: 'Create an account' }).click();
  await dan.getByLabel('Email').fill('Carla@example.com');
  await dan.getByLabel('Password').fill(PASSWORD);
  await dan.keyboard.press('Enter');
  await dan.locator('#email-problem', { hasText: 'There is an account' }).waitFor();
  await dan.getByRole('button', { name: 'Have an account?' }).click();
  await dan.getByLabel('Email').fill('carla@example.com');
  await dan.getByLabel('Password').fill('not the password');
  await dan.keyboard.press('Enter');
  await dan.locator('#password-problem', { hasText: 'do not match' }).waitFor();
  await signUp(dan, 'Dan');
  await shoot(carla, 'no-rooms');
});

test('one makes a public room, the other comes in by its link, they chat', async () => {
  circleId = await createRoom(carla, CIRCLE);
  await carla.getByRole('button', { name: 'Invite' }).click();
  await carla.getByRole('dialog').getByLabel('For one person').waitFor();
  await shoot(carla, 'invite');
  const link = await carla.getByLabel('Anyone can come in').inputValue();
  await carla.keyboard.press('Escape');
  await carla.getByRole('dialog').waitFor({ state: 'detached' });
  await dan.goto(link);
  await dan.getByRole('dialog').locator('button:focus', { hasText: 'Join' }).press('Enter');
  await dan.locator('.room-name', { hasText: CIRCLE }).waitFor();
  await carla.getByText('2 members, 2 online').waitFor();
  await noteStages(carla);
  await say(room(carla), 'Which chapter?');
  await sees(room(dan), 'Which chapter?');
  // The other may see it first.
  await reaches(message(room(carla), 'Which chapter?'), 'stored');
  assert.equal((await stagesOf(carla, 'Which chapter?')).at(-1), 'stored');
  // Whoever types no longer is not seen typing for long.
  await Promise.all([
    carla.locator('.typing', { hasText: 'Dan is typing…' }).waitFor(),
    dan.getByLabel('Message', { exact: true }).pressSequentially('The four'),
  ]);
  await say(room(dan), 'The fourth,\nand then the fifth');
  await sees(room(carla), 'The fourth,\nand then the fifth');
  await carla.locator('.typing:empty').waitFor({ state: 'attached' });
  assert.equal(
    await message(room(carla), 'The fourth,\nand then the fifth').locator('.sender').textContent(),
    'Dan',
  );
});

test('what users write stays text', async () => {
  await say(room(carla), HOSTILE);
  await sees(room(dan), HOSTILE);
  await dan.reload();
  await sees(room(dan), HOSTILE);
  assert.equal(await dan.locator('.pane img, .room-list img').count(), 0);
  assert.equal(await dan.locator('.room-name').textContent(), CIRCLE);
});

/** Runs in the page, and returns its token. */
function signedInWith() {
  const kept =
    sessionStorage.getItem('roomcast.session') ?? localStorage.getItem('roomcast.session');
  return JSON.parse(kept ?? '{}').token;
}

test('other rooms count what is new, until it is read', async () => {
  await createRoom(dan, 'Garden');
  const circle = dan.locator('.room-list a', { hasText: 'Reading' });
  await say(room(carla), 'Are you there?');
  await say(room(carla), 'Hello?');
  await circle.locator('.badge', { hasText: '2' }).waitFor();
  await circle.locator('.preview', { hasText: 'Carla: Hello?' }).waitFor();
  assert.equal(await dan.title(), '(2) roomcast');
  await shoot(dan, 'unread-dark');
  await openRoom(dan, 'Reading');
  await message(room(dan), 'Are you there?').locator('.new-line').waitFor();
  await dan.locator('.jump.down').waitFor({ state: 'hidden' });
  await circle.locator('.badge').waitFor({ state: 'detached' });
  assert.equal(await dan.title(), 'roomcast');
  await shoot(dan, 'new-line-dark');
  // What is read is told once a second.
  await hasReadAll(stage.server, await dan.evaluate(signedInWith));
  await dan.reload();
  await sees(room(dan), 'Hello?');
  assert.equal(await dan.locator('.badge, .new-line').count(), 0);
});

test('a press on a room opens it, whatever is said there meanwhile', async () => {
  await openRoom(dan, 'Garden');
  const link = dan.locator('.room-list a', { hasText: 'Reading' });
  const said = link.locator('.preview', { hasText: 'Hello?' });
  await said.waitFor();
  const preview = await said.boundingBox();
  assert.ok(preview);
  await dan.mouse.move(preview.x + 5, preview.y + preview.height / 2);
  await dan.mouse.down();
  await say(room(carla), 'Meanwhile');
  await link.locator('.preview', { hasText: 'Meanwhile' }).waitFor();
  await dan.mouse.up();
  await sees(room(dan), 'Meanwhile');
});

test('a private room is entered by an invitation, once', async () => {
  await createRoom(carla, 'Surprise', 'Private');
  await carla.getByRole('button', { name: 'Invite' }).click();
  const link = await carla.getByLabel('For one person').inputValue();
  await carla.getByRole('button', { name: 'Done' }).click();
  const eve = await stage.window(`/${new URL(link).hash}`);
  await eve.getByText('You are invited to a room').waitFor();
  await signUp(eve, 'Eve');
  await eve.getByRole('dialog').getByRole('button', { name: 'Join' }).click();
  await eve.locator('.room-name', { hasText: 'Surprise' }).waitFor();
  await say(room(eve), 'For whom is it?');
  await sees(room(carla), 'For whom is it?');
  await dan.goto(link);
  // It says why for a few seconds.
  await Promise.all([
    dan.locator('#toast:visible').waitFor(),
    dan.getByRole('dialog').getByRole('button', { name: 'Join' }).click(),
  ]);
  assert.equal(await dan.locator('.room-list a').count(), 2);
});

test('an owner makes somebody an admin, and removes them', async () => {
  const eve = stage.browser.contexts().at(-1)?.pages()[0];
  assert.ok(eve);
  await carla.getByRole('button', { name: 'Members' }).click();
  const entry = carla.locator('.member', { hasText: 'Eve' });
  await entry.locator('[data-presence=online]').waitFor();
  await entry.getByRole('button', { name: 'Make Eve an admin' }).click();
  await entry.getByText(/^admin · /).waitFor();
  await shoot(carla, 'members');
  await entry.getByRole('button', { name: 'Remove Eve' }).click();
  await Promise.all([
    eve.getByText('You are no longer in Surprise.').waitFor(),
    carla.getByRole('dialog').getByRole('button', { name: 'Remove' }).click(),
  ]);
  await entry.waitFor({ state: 'detached' });
  assert.equal(await eve.locator('.room-list a').count(), 0);
  assert.equal(await eve.locator('.pane').count(), 0);
  await message(room(carla), 'For whom is it?').locator('.sender', { hasText: 'Eve' }).waitFor();
  await eve.context().close();
});

test('who leaves a public room may come back', async () => {
  await openRoom(dan, 'Reading');
  await dan.getByRole('button', { name: 'Leave' }).click();
  await dan.getByRole('dialog').getByRole('button', { name: 'Leave' }).click();
  await dan.locator('.room-list a', { hasText: 'Reading' }).waitFor({ state: 'detached' });
  await openRoom(carla, 'Reading');
  await carla.getByText('1 member, 1 online').waitFor();
  await dan.locator('#add-room').click();
  await dan.getByRole('button', { name: 'Join a room by its link' }).click();
  await dan.getByRole('dialog').getByRole('textbox').fill('no link at all');
  await dan.keyboard.press('Enter');
  await dan.getByText('This is not a link of a room').waitFor();
  await dan.getByRole('dialog').getByRole('textbox').fill(` ${circleId.toUpperCase()} `);
  await dan.keyboard.press('Enter');
  await dan.locator('.room-name', { hasText: CIRCLE }).waitFor();
  await sees(room(dan), 'Hello?');
  assert.equal((await texts(room(dan)))[0], 'Which chapter?');
});

test('signing out leaves nothing of a user in the page', async () => {
  await dan.getByRole('button', { name: 'Sign out' }).click();
  await dan.getByLabel('Email').waitFor();
  const left = await dan.evaluate(() => [
    document.body.textContent,
    JSON.stringify({ ...localStorage, ...sessionStorage }),
  ]);
  for (const text of left)
    assert.ok(!/Dan\b|Reading|chapter/.test(text ?? ''), `nothing of Dan in ${text}`);
  await dan.reload();
  await dan.getByLabel('Email').waitFor();
});

test('the browser had nothing to complain about but what was refused', () => {
  // A browser logs each answer that is a refusal; each of these is one of the above.
  stage.noFaults(['auth/register', 'auth/login', 'invites/', 'rooms/']);
});
