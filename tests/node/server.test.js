import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Server } from './server.js';

test('a server of a test has users, and rooms with them in it', async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const [alice, bob] = [await server.user('Alice'), await server.user('Bob')];
  const roomId = await server.room(alice, bob);
  const members = await server.rest('GET', `/rooms/${roomId}/members`, { token: bob.token });
  const told = members.map((/** @type {any} */ { userId, role }) => [userId, role]);
  assert.deepEqual(told, [
    [alice.id, 'owner'],
    [bob.id, 'member'],
  ]);
});
