// The unmodified socket.io-client, as the users of the original have it: what its documents say of
// connecting, joining, sending, acknowledgements and heartbeats.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { randomUUID } from 'node:crypto';

import { io } from 'socket.io-client';
import WebSocket from 'ws';

import { PATIENCE_MS, asked, within } from './patience.js';
import { Server } from './server.js';

/** @typedef {import('socket.io-client').Socket} Socket */
/** @typedef {import('./server.js').User} User */

/**
 * Makes a client that is closed with its test.
 *
 * @param {import('node:test').TestContext} t
 * @param {Server} server
 * @param {object} options
 */
function client(t, server, options, namespace = '') {
  const url = new URL(namespace, server.url).href;
  const socket = io(url, {
    transports: ['websocket'],
    forceNew: true,
    reconnection: false,
    ...options,
  });
  t.after(() => socket.disconnect());
  return socket;
}

/** @param {Socket} socket @param {string} event @returns {Promise<any[]>} */
function next(socket, event) {
  return once(/** @type {any} */ (socket), event, { signal: AbortSignal.timeout(PATIENCE_MS) });
}

/**
 * Makes a client of a user and waits until it is connected.
 *
 * @param {import('node:test').TestContext} t
 * @param {Server} server
 * @param {User} user
 */
async function connected(t, server, { token }, options = {}) {
  const socket = client(t, server, { auth: { token }, ...options });
  await next(socket, 'connect');
  return socket;
}

/** @param {Socket} socket @param {string} event @param {...any} args @returns {Promise<any>} */
function ask(socket, event, ...args) {
  return socket.timeout(PATIENCE_MS).emitWithAck(event, ...args);
}

/** @param {string} roomId */
function message(roomId, content = 'hello') {
  return { roomId, clientMsgId: randomUUID(), type: 'TEXT', content };
}

/** Collects the messages that come; `until(n)` waits until so many are there. @param {Socket} socket */
function inbox(socket) {
  /** @type {any[]} */
  const messages = [];
  socket.on('newMessage', (msg) => messages.push(msg));
  const until = async (/** @type {number} */ count) => {
    while (messages.length < count) await next(socket, 'newMessage');
    return messages;
  };
  return { messages, until };
}

describe('socket.io-client', () => {
  /** @type {Server} */
  let server;
  /** @type {User} */
  let alice;
  /** @type {User} */
  let bob;

  before(async () => {
    server = await Server.start();
    [alice, bob] = [await server.user('Alice'), await server.user('Bob')];
  });
  after(() => server?.stop());

  test('connects with auth.token', async (t) => {
    const socket = client(t, server, { auth: { token: alice.token } });
    const ready = next(socket, 'ready');
    await next(socket, 'connect');
    const [{ userId, sessionId }] = await ready;
    assert.equal(userId, alice.id);
    assert.equal(socket.id, sessionId);
    assert.equal(socket.io.engine.transport.name, 'websocket');
  });

  test('connects with a token in the headers', async (t) => {
    const Authorization = `Bearer ${alice.token}`;
    const socket = client(t, server, { extraHeaders: { Authorization } });
    const [{ userId }] = await next(socket, 'ready');
    assert.equal(userId, alice.id);
  });

  test('connects with a token from a function', async (t) => {
    const auth = (/** @type {(data: object) => void} */ give) => give({ token: bob.token });
    const socket = client(t, server, { auth });
    const [{ userId }] = await next(socket, 'ready');
    assert.equal(userId, bob.id);
  });

  for (const [name, auth] of Object.entries({ bad: { token: 'bad' }, missing: {} })) {
    test(`is connected and disconnected with a ${name} token`, async (t) => {
      const socket = client(t, server, { auth, reconnection: true });
      const ended = next(socket, 'disconnect');
      await next(socket, 'connect');
      assert.deepEqual((await ended)[0], 'io server disconnect');
      assert.equal(socket.active, false, 'it does not come back by itself');
    });
  }

  test('joins, sends, and hears itself', async (t) => {
    const roomId = await server.room(alice);
    const socket = await connected(t, server, alice);
    assert.equal((await ask(socket, 'joinRoom', { roomId })).success, true);
    const [accepted, heard] = [next(socket, 'messageAccepted'), next(socket, 'newMessage')];
    const sent = message(roomId);
    const told = { clientMsgId: sent.clientMsgId, status: 'ACCEPTED' };
    assert.deepEqual(await ask(socket, 'sendMessage', sent), told);
    assert.deepEqual((await accepted)[0], told);
    const [msg] = await heard;
    assert.match(msg.id, /^[0-9A-HJKMNP-TV-Z]{26}$/);
    assert.ok(!Number.isNaN(Date.parse(msg.createdAt)));
    const { id, createdAt, ...rest } = msg;
    assert.deepEqual(rest, { ...sent, seq: 1, senderId: alice.id });
  });

  test('calls back with what is wrong', async (t) => {
    const socket = await connected(t, server, alice);
    const roomId = randomUUID();
    const refused = await ask(socket, 'joinRoom', { roomId });
    assert.equal(refused.success, false);
    assert.equal(typeof refused.error, 'string');
    const told = next(socket, 'messageFailed');
    const failed = await ask(socket, 'sendMessage', message(roomId));
    assert.equal(failed.status, 'FAILED');
    assert.equal(typeof failed.error, 'string');
    assert.deepEqual((await told)[0], failed);
  });

  test('is called back without a payload too', async (t) => {
    const socket = await connected(t, server, alice);
    for (const payload of [[], [null], [undefined]]) {
      assert.equal((await ask(socket, 'heartbeat', ...payload)).success, true);
      assert.equal((await ask(socket, 'joinRoom', ...payload)).success, false);
      const failed = await ask(socket, 'sendMessage', ...payload);
      assert.deepEqual([failed.clientMsgId, failed.status], [null, 'FAILED']);
      assert.equal((await ask(socket, 'fly', ...payload)).success, false);
    }
  });

  test('keeps alive with heartbeats', async (t) => {
    const socket = await connected(t, server, alice);
    const beat = await ask(socket, 'heartbeat', {});
    assert.equal(beat.success, true);
  });

  test('hears others, whatever they speak', async (t) => {
    const roomId = await server.room(alice, bob);
    const [first, second] = [await connected(t, server, alice), await connected(t, server, bob)];
    const inboxes = [inbox(first), inbox(second)];
    for (const socket of [first, second]) await ask(socket, 'joinRoom', { roomId });
    const bare = new WebSocket(new URL('/ws', server.url), ['roomcast.v1', `bearer.${bob.token}`]);
    t.after(() => bare.close());
    /** @type {any[]} */
    const heard = [];
    const joined = new Promise((resolve) => {
      bare.on('message', (text) => {
        const { event, data } = JSON.parse(text.toString());
        if (event === 'roomJoined') resolve(data);
        if (event === 'newMessage') heard.push(data);
      });
    });
    const say = (/** @type {string} */ event, /** @type {object} */ data) =>
      bare.send(JSON.stringify({ event, data }));
    await once(bare, 'open');
    say('joinRoom', { roomId });
    await within(joined, 'roomJoined');

    await ask(first, 'sendMessage', message(roomId, 'from the first'));
    await ask(second, 'sendMessage', message(roomId, 'from the second'));
    const alone = inboxes.map(({ until }) => until(3));
    say('sendMessage', message(roomId, 'from bare JSON'));
    const [atFirst, atSecond] = await Promise.all(alone);
    while (heard.length < 3) await within(once(bare, 'message'), 'newMessage');
    assert.deepEqual(
      atFirst.map(({ seq }) => seq),
      [1, 2, 3],
    );
    assert.deepEqual(atSecond, atFirst);
    assert.deepEqual(heard, atFirst);
  });

  test('is told what it missed before the callback', async (t) => {
    const roomId = await server.room(alice);
    const speaker = await connected(t, server, alice);
    for (const content of ['1', '2', '3']) {
      await ask(speaker, 'sendMessage', message(roomId, content));
    }
    const [seen] = await stored(roomId, 3);
    const listener = await connected(t, server, alice);
    const { messages } = inbox(listener);
    const told = await ask(listener, 'joinRoom', { roomId, after: seen.id });
    assert.deepEqual(
      messages.map(({ content }) => content),
      ['2', '3'],
    );
    assert.deepEqual([told.success, told.replayed, told.lastSeq], [true, 2, 3]);
  });

  /** Waits until so many messages are stored. @param {string} roomId @param {number} count */
  async function stored(roomId, count) {
    const path = `/rooms/${roomId}/messages`;
    return asked(`${count} stored messages`, async () => {
      const messages = await server.rest('GET', path, { token: alice.token });
      return messages.length === count && messages;
    });
  }

  test('is refused another namespace', async (t) => {
    const socket = client(t, server, { auth: { token: alice.token } }, '/admin');
    const [error] = await next(socket, 'connect_error');
    assert.equal(error.message, 'Invalid namespace');
  });

  test('is refused polling in the words of engine.io', async (t) => {
    const url = new URL('/socket.io/?EIO=4&transport=polling', server.url);
    const answer = await fetch(url);
    assert.equal(answer.status, 400);
    assert.deepEqual(await answer.json(), { code: 0, message: 'Transport unknown' });
    const socket = client(t, server, { transports: ['polling'], auth: { token: alice.token } });
    const [error] = await next(socket, 'connect_error');
    assert.match(error.message, /poll/);
  });

  /** What no client sends by itself, as the packet of a message. @type {Record<string, string|Uint8Array>} */
  const BAD_PACKETS = {
    'binary data': new Uint8Array([1, 2, 3]),
    'binary attachments': '51-["heartbeat",{"_placeholder":true,"num":0}]',
    'what is no JSON': '2["heartbeat",{]',
    'what is no event': '2{}',
    'an unknown type': '7["heartbeat"]',
    'an event of its own': '2["disconnect"]',
    'an acknowledgement id that overflows': '29223372036854775808["heartbeat",{}]',
    'too much': `2["heartbeat",${JSON.stringify('x'.repeat(70_000))}]`,
  };
  for (const [name, packet] of Object.entries(BAD_PACKETS)) {
    test(`is cut for ${name}, comes back, and harms no other`, async (t) => {
      const back = { reconnection: true, reconnectionDelay: 50 };
      const [socket, other] = [
        await connected(t, server, alice, back),
        await connected(t, server, bob, back),
      ];
      let cuts = 0;
      other.on('disconnect', () => (cuts += 1));
      const ended = next(socket, 'disconnect');
      socket.io.engine.write(packet);
      assert.equal((await ended)[0], 'transport close');
      await next(socket, 'connect');
      assert.equal((await ask(socket, 'heartbeat')).success, true);
      assert.equal((await ask(other, 'heartbeat')).success, true);
      assert.equal(cuts, 0);
    });
  }

  test('leaves', async (t) => {
    const socket = await connected(t, server, alice);
    const ended = next(socket, 'disconnect');
    socket.disconnect();
    assert.equal((await ended)[0], 'io client disconnect');
  });
});

test('socket.io-client comes back to a server that restarts, and misses nothing', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'roomcast-'));
  let server = await Server.start({ dataDir });
  t.after(async () => {
    await server.stop();
    await rm(dataDir, { recursive: true });
  });
  const [alice, bob] = [await server.user('Alice'), await server.user('Bob')];
  const roomId = await server.room(alice, bob);
  const patient = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200 };
  const speaker = await connected(t, server, alice, patient);
  const listener = await connected(t, server, bob, patient);
  const { messages, until } = inbox(listener);
  await ask(listener, 'joinRoom', { roomId });
  await ask(speaker, 'sendMessage', message(roomId, 'before'));
  const [seen] = await until(1);

  const told = next(listener, 'reconnect');
  const ended = [next(listener, 'disconnect'), next(speaker, 'disconnect')];
  const back = [next(listener, 'ready'), next(speaker, 'ready')];
  const { port } = server;
  await server.stop();
  assert.ok((await told)[0].afterMs > 0);
  for (const [reason] of await Promise.all(ended)) assert.equal(reason, 'transport close');
  server = await Server.start({ dataDir, port });
  await Promise.all(back);

  await ask(speaker, 'sendMessage', message(roomId, 'meanwhile'));
  const { success } = await ask(listener, 'joinRoom', { roomId, after: seen.seq });
  assert.equal(success, true);
  await ask(speaker, 'sendMessage', message(roomId, 'after'));
  await until(3);
  assert.deepEqual(
    messages.map(({ seq }) => seq),
    [1, 2, 3],
  );
  assert.deepEqual(
    messages.map(({ content }) => content),
    ['before', 'meanwhile', 'after'],
  );
});

test('socket.io-client answers pings, and lives', { timeout: 90_000 }, async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const socket = await connected(t, server, await server.user());
  await once(/** @type {any} */ (socket.io), 'ping', { signal: AbortSignal.timeout(40_000) });
  assert.equal((await ask(socket, 'heartbeat')).success, true);
});
