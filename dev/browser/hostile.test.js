// What others write is text wherever the page shows it: names of rooms and of people, messages.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { HOSTILE, isFrom, openRoom, room, sees } from './room.js';
import { PASSWORD, Stage } from './stage.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('../../tests/node/server.js').User} User */

/** What has run scripts on other pages, at most as long as a name may be. */
const WRITTEN = [
  HOSTILE,
  '<script>alert(1)</script>',
  '"><svg onload=alert(1)>',
  "javascript:alert('1')",
  '</title><script>alert(1)</script>',
  '{{constructor.constructor("alert(1)")()}}',
  '\u202e<b onmouseover=alert(1)>\u202c&lt;i&gt;',
];

/** @type {Stage} */
let stage;
/** @type {User} */
let eve;

before(async () => {
  stage = await Stage.open();
  const account = { email: 'eve@example.com', password: PASSWORD, displayName: WRITTEN[1] };
  const { id } = await stage.server.rest('POST', '/auth/register', { body: account });
  eve = { ...account, id, token: await stage.server.login(account.email) };
});
after(() => stage.close());

/** Makes a room of this name with one message in it, and somebody to read it. @param {string} name */
async function reader(name) {
  const { token } = eve;
  const { id } = await stage.server.rest('POST', '/rooms', { token, body: { name } });
  const message = { clientMsgId: randomUUID(), type: 'TEXT', content: name };
  await stage.server.rest('POST', `/rooms/${id}/messages`, { token, body: message });
  const bob = await stage.server.user('Bob');
  await stage.server.rest('POST', `/rooms/${id}/join`, { token: bob.token });
  return stage.as(bob);
}

// A name that nobody said is what the address begins with, and an address may have much in it.
test('a name out of an address is shown as it is', async () => {
  const name = "'onload=alert`1`&{{constructor.constructor}}";
  const account = { email: `${name}@example.com`, password: PASSWORD };
  await stage.server.rest('POST', '/auth/register', { body: account });
  const token = await stage.server.login(account.email);
  const { id } = await stage.server.rest('POST', '/rooms', { token, body: { name: 'by mail' } });
  const message = { clientMsgId: randomUUID(), type: 'TEXT', content: account.email };
  await stage.server.rest('POST', `/rooms/${id}/messages`, { token, body: message });
  const bob = await stage.server.user('Bob');
  await stage.server.rest('POST', `/rooms/${id}/join`, { token: bob.token });
  const page = await stage.as(bob);
  await openRoom(page, 'by mail');
  await sees(room(page), account.email);
  await isFrom(room(page), name);
  stage.noFaults();
  await page.close();
});

for (const text of WRITTEN) {
  test(`\`${text}\` is shown as it is`, async () => {
    const page = await reader(text);
    await openRoom(page, text);
    await sees(room(page), text);
    assert.equal(await page.locator('.room-name').textContent(), text);
    await isFrom(room(page), eve.displayName);
    const made = page.locator(
      '.pane :is(img, script, svg[onload], b, i), .room-list :is(img, script)',
    );
    assert.equal(await made.count(), 0);
    const scripts = await page.locator('script:not([src])').count();
    assert.equal(scripts, 0, 'a script that the page did not bring');
    // An alert, and whatever the policy of the page has refused.
    stage.noFaults();
    await page.close();
  });
}
