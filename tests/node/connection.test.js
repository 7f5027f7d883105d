import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { Client } from './client.js';
import { fake } from './fake.js';
import { within } from './patience.js';
import { Proxy } from './proxy.js';
import { Server } from './server.js';

/** @typedef {import('node:test').TestContext} TestContext */

/** Never comes back by itself within a test. */
const FAR_MS = 1e9;

/** @param {TestContext} t @param {Record<string, string>} [env] */
async function server(t, env) {
  const started = await Server.start({ env });
  t.after(() => started.stop());
  return started;
}

/** @param {Client} client */
const states = (client) => client.all('state').map(({ state }) => state);

test('the token is renewed on the live socket, for as long as it takes', async (t) => {
  const place = await server(t, { JWT_EXPIRES_IN: '2s' });
  const alice = await place.user();
  const client = new Client(t, place, alice);
  await client.connect();
  const roomId = await place.room({ ...alice, token: client.rest.token ?? '' });
  await client.joinRoom(roomId);
  // The first token is refused long before the fifth: it is taken for 5 s after its end.
  await client.until(() => client.all('token').length === 5);
  assert.deepEqual(states(client), ['connecting', 'online']);
  await client.send(roomId, 'Still here');
  assert.notEqual(client.rest.token, alice.token);
});

test('renewals that fail are repeated after waits that grow', async (t) => {
  const place = await server(t, { JWT_EXPIRES_IN: '60s' });
  t.mock.method(Math, 'random', () => 0.5);
  /** @type {number[]} */
  const waits = [];
  const { setTimeout: later } = globalThis;
  let failures = 0;
  let enough = () => {};
  const seven = /** @type {Promise<void>} */ (new Promise((resolve) => (enough = resolve)));
  const fetching = async (/** @type {any} */ to, /** @type {any} */ how) => {
    if (!String(to).endsWith('/auth/refresh')) return fetch(to, how);
    failures += 1;
    if (failures === 7) enough();
    return new Response('{}', { status: 503 });
  };
  // It is time to renew at once: half a minute is gone, and no wait is longer than a moment.
  t.mock.method(
    globalThis,
    'setTimeout',
    (/** @type {() => void} */ act, /** @type {number} */ ms) => {
      if (failures > 0 && ms < 1000) waits.push(ms);
      return later(act, ms > 30_000 && ms < 60_000 ? 0 : ms);
    },
  );
  const timing = { firstBackoffMs: 2, maxBackoffMs: 64, heartbeatMs: FAR_MS };
  const client = new Client(t, place, await place.user(), { timing, fetch: fetching });
  await client.connect();
  await within(seven, 'the seventh failure');
  assert.deepEqual(waits.slice(0, 6), [1, 2, 4, 8, 16, 32]);
  assert.deepEqual(states(client), ['connecting', 'online']);
});

test('a refused token ends the client, and another one brings it back with what waited', async (t) => {
  const place = await server(t);
  const alice = await place.user();
  const roomId = await place.room(alice);
  const client = new Client(t, place, alice);
  await client.connect();
  await client.joinRoom(roomId);
  await client.rest.logout();
  await client.until(() => client.state === 'ended');
  const sending = client.send(roomId, 'Written while signed out');
  await assert.rejects(client.connect(), { code: 'UNAUTHENTICATED' });
  client.rest.token = await place.login(alice.email);
  await client.connect();
  assert.equal((await sending).content, 'Written while signed out');
});

test('no token, and one that is none, are refused tokens', async (t) => {
  const place = await server(t);
  for (const token of [null, 'no token', 'no\ntoken']) {
    const client = new Client(t, place, { token: /** @type {any} */ (token) });
    await assert.rejects(client.connect(), { code: 'UNAUTHENTICATED' });
    assert.equal(client.state, 'ended');
  }
});

test('another token is asked for when one is refused', async (t) => {
  const place = await server(t);
  const alice = await place.user();
  let asked = 0;
  const getToken = async () => {
    asked += 1;
    if (asked === 1) throw new Error('not now');
    return place.login(alice.email);
  };
  const client = new Client(t, place, { token: 'expired' }, { getToken });
  assert.equal((await client.connect()).userId, alice.id);
});

for (const signal of /** @type {const} */ (['SIGKILL', 'SIGTERM'])) {
  test(`a server that ends by ${signal} and comes back loses and doubles nothing`, async (t) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'roomcast-node-'));
    let place = await Server.start({ dataDir });
    t.after(async () => {
      await place.stop();
      await rm(dataDir, { recursive: true });
    });
    const [alice, bob] = [await place.user('Alice'), await place.user('Bob')];
    const roomId = await place.room(alice, bob);
    const clients = [new Client(t, place, alice), new Client(t, place, bob)];
    for (const client of clients) {
      await client.connect();
      await client.joinRoom(roomId);
    }
    const [sender] = clients;
    const texts = Array.from({ length: 60 }, (_, at) => `Number ${at + 1}`);
    for (const text of texts.slice(0, 40)) sender.send(roomId, text);
    // In the middle: some are stored, one is under way, the others wait.
    await sender.until(() => sender.contents.length >= 10);
    await place.stop(signal);
    for (const client of clients) await client.until(() => client.state === 'waiting');
    for (const text of texts.slice(40)) sender.send(roomId, text);
    const waited = sender.waiting;
    place = await Server.start({ dataDir, port: place.port });
    for (const client of clients) {
      await client.until(() => client.contents.length === texts.length);
      assert.deepEqual(client.contents, texts);
    }
    await sender.until(() => sender.waiting === 0);
    assert.ok(waited >= 20, `${waited} waited`);
  });
}

test('a socket that died without a word is found dead by its heartbeat', async (t) => {
  const place = await server(t);
  const proxy = await Proxy.start(place.url);
  t.after(() => proxy.stop());
  const alice = await place.user();
  const roomId = await place.room(alice);
  const timing = { heartbeatMs: 50, heartbeatTimeoutMs: 300 };
  const client = new Client(t, proxy, alice, { timing });
  await client.connect();
  await client.joinRoom(roomId);
  proxy.silence();
  const stored = await client.send(roomId, 'Into the void');
  assert.equal(stored.seq, 1);
  await client.until(() => client.contents.length === 1);
  assert.ok(states(client).includes('waiting'));
  // The server would wait for the silent one to hang up.
  proxy.cut();
});

test('after a sleep a dead socket is found at once', async (t) => {
  const place = await server(t);
  const proxy = await Proxy.start(place.url);
  t.after(() => proxy.stop());
  // The clock stands still: no heartbeat is due until it jumps.
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  const timing = { heartbeatMs: 50, heartbeatTimeoutMs: 300 };
  const client = new Client(t, proxy, await place.user(), { timing });
  await client.connect();
  proxy.silence();
  t.mock.timers.setTime(Date.now() + 3_600_000);
  await client.until(() => client.state === 'waiting');
  await client.until(() => client.state === 'online');
  proxy.cut();
});

test('a browser that is offline says so, and online it comes back at once', async (t) => {
  const place = await server(t);
  const window = new EventTarget();
  Object.assign(globalThis, { window });
  t.after(() => Object.assign(globalThis, { window: undefined }));
  const timing = { firstBackoffMs: FAR_MS, maxBackoffMs: FAR_MS };
  const alice = await place.user();
  const roomId = await place.room(alice);
  const client = new Client(t, place, alice, { timing });
  await client.connect();
  await client.joinRoom(roomId);
  window.dispatchEvent(new Event('offline'));
  await client.until(() => client.all('state').at(-1)?.retryInMs !== undefined);
  const sending = client.send(roomId, 'Written offline');
  assert.deepEqual(client.all('waiting').at(-1), { waiting: 1 });
  assert.equal(client.outbox[0].content, 'Written offline');
  window.dispatchEvent(new Event('online'));
  await sending;
  assert.deepEqual(client.all('waiting').at(-1), { waiting: 0 });
});

test('more handshakes and sockets than are allowed wait for their turn', async (t) => {
  const place = await server(t, { LIMIT_HANDSHAKES_PER_S: '2', LIMIT_SOCKETS_PER_USER: '3' });
  const alice = await place.user();
  const clients = Array.from({ length: 4 }, () => new Client(t, place, alice));
  const ready = clients.map((client) => client.connect().then(() => client));
  const first = await Promise.any(ready);
  const isOnline = () => clients.filter(({ state }) => state === 'online').length === 3;
  await Promise.any(clients.map((client) => client.until(isOnline)));
  first.disconnect();
  await Promise.all(ready);
});

/** @type {[string, (socket: import('ws').WebSocket) => void, number][]} */
const ENDS = [
  ['a socket that is lost is tried again after a little', (socket) => socket.terminate(), 5],
  ['one that was too slow, too', (socket) => socket.close(4490), 5],
  ['one that was too much waits longer', (socket) => socket.close(4429), 80],
  [
    'one that is told when to come back comes a little after that',
    (socket) => {
      socket.send(JSON.stringify({ event: 'reconnect', data: { afterMs: FAR_MS } }));
      socket.close(1012);
    },
    FAR_MS,
  ],
];

for (const [name, act, expectedMs] of ENDS) {
  test(name, async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
    t.mock.method(Math, 'random', () => 0.5);
    const timing = { firstBackoffMs: 10, maxBackoffMs: FAR_MS };
    const place = await fake(t, (socket, { event }) => event === 'ready' && act(socket));
    const client = new Client(t, place, { token: 'any' }, { timing });
    await client.connect();
    const retries = () => client.all('state').flatMap(({ retryInMs }) => retryInMs ?? []);
    await client.until(() => retries().length > 0);
    client.disconnect();
    const expected = expectedMs === FAR_MS ? FAR_MS + 5 : expectedMs;
    assert.deepEqual(retries(), [expected]);
  });
}
