import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client } from './client.js';
import { fake } from './fake.js';
import { Proxy } from './proxy.js';
import { Server } from './server.js';

const EACH = 150;
/** As many as the server replays, and a page more. */
const TOO_MANY = 500 + 120;

/** @param {number} count @param {string} [name] */
const texts = (count, name = 'Number') =>
  Array.from({ length: count }, (_, at) => `${name} ${at + 1}`);

/** @param {import('node:test').TestContext} t */
async function twoUsers(t, { seed = 0 } = {}) {
  const server = await Server.start();
  t.after(() => server.stop());
  const proxy = await Proxy.start(server.url);
  t.after(() => proxy.stop());
  if (seed) proxy.cutAtRandom(seed);
  const [alice, bob] = [await server.user('Alice'), await server.user('Bob')];
  return { server, proxy, alice, bob, roomId: await server.room(alice, bob) };
}

for (const seed of [1, 2, 3]) {
  test(`what two send while they are cut at random arrives once and in order (seed ${seed})`, async (t) => {
    const { server, proxy, alice, bob, roomId } = await twoUsers(t, { seed });
    const clients = [new Client(t, proxy, alice), new Client(t, proxy, bob)];
    const observer = new Client(t, server, bob);
    const everyone = [...clients, observer];
    for (const client of everyone) {
      void client.connect();
      await client.joinRoom(roomId, { history: 100 });
    }
    const sent = clients.map((client, at) => {
      return texts(EACH, ['Alice', 'Bob'][at]).map((text) => client.send(roomId, text));
    });
    const stored = await Promise.all(sent.flat());
    assert.equal(new Set(stored.map(({ seq }) => seq)).size, 2 * EACH);
    assert.ok(proxy.cuts >= 10, `${proxy.cuts} cuts`);
    // Who was not cut may be behind whoever was.
    await Promise.all(
      everyone.map((client) => client.until(() => client.all('message').length >= 2 * EACH)),
    );
    for (const client of everyone) {
      assert.deepEqual(client.all('reset'), []);
      const seqs = client.all('message').map(({ seq }) => seq);
      assert.deepEqual(
        seqs,
        Array.from({ length: 2 * EACH }, (_, at) => at + 1),
      );
      for (const name of ['Alice', 'Bob']) {
        const own = client.contents.filter((content) => content.startsWith(name));
        assert.deepEqual(own, texts(EACH, name));
      }
      assert.deepEqual(client.contents, observer.contents);
      assert.equal(client.waiting, 0);
    }
    t.diagnostic(`${proxy.cuts} connections were cut`);
  });
}

test('a message that is answered a second time is not shown a second time', async (t) => {
  const { server, alice, roomId } = await twoUsers(t);
  const client = new Client(t, server, alice);
  await client.connect();
  await client.joinRoom(roomId);
  const { clientMsgId } = client.send(roomId, 'Once');
  await client.until(() => client.contents.length === 1);
  // The server answers a repeat by a fresh `newMessage`, with the same place.
  const repeated = await client.send(roomId, 'Once', { clientMsgId });
  assert.equal(repeated.seq, 1);
  await client.send(roomId, 'Then');
  assert.deepEqual(client.contents, ['Once', 'Then']);
});

test('who missed too much for a replay reads it, in order and once, while more comes', async (t) => {
  const { server, proxy, alice, bob, roomId } = await twoUsers(t);
  const [sender, reader] = [new Client(t, server, alice), new Client(t, proxy, bob)];
  await Promise.all([sender.connect(), reader.connect()]);
  await Promise.all([sender.joinRoom(roomId), reader.joinRoom(roomId)]);
  await sender.send(roomId, 'Before');
  await reader.until(() => reader.contents.length === 1);
  proxy.goDown();
  await reader.until(() => reader.state === 'waiting');
  const missed = texts(TOO_MANY);
  await server.flood(alice, roomId, missed);
  proxy.goUp();
  const live = texts(50, 'Live');
  for (const text of live) sender.send(roomId, text);
  const all = ['Before', ...missed, ...live];
  await reader.until(() => reader.contents.length === all.length);
  assert.deepEqual(reader.contents, all);
  // What was read on the way may hold the last message: it is told before the end of the reading.
  await reader.until(() => reader.all('joined').length === 2);
  const caughtUp = reader.all('joined').at(-1);
  assert.equal(caughtUp?.truncated, true);
  assert.deepEqual(reader.all('reset'), []);
});

test('a room is read from its newest messages, from now on, or from a cursor', async (t) => {
  const { server, alice, bob, roomId } = await twoUsers(t);
  const writer = new Client(t, server, alice);
  await writer.connect();
  await writer.joinRoom(roomId);
  for (const text of texts(5)) await writer.send(roomId, text);
  const cursor = writer.cursor(roomId);
  await server.flood(alice, roomId, texts(TOO_MANY, 'Later'));
  /** @type {[import('../../web/roomcast.js').JoinOptions, string[]][]} */
  const cases = [
    [{ history: 3 }, texts(TOO_MANY, 'Later').slice(-3)],
    [{ history: 0 }, []],
    [{ after: cursor ?? undefined }, texts(TOO_MANY, 'Later')],
    [{ after: { seq: 0, id: null } }, [...texts(5), ...texts(TOO_MANY, 'Later')]],
  ];
  for (const [options, expected] of cases) {
    const reader = new Client(t, server, bob);
    await reader.connect();
    await reader.joinRoom(roomId, options);
    const told = `Now ${JSON.stringify(options)}`;
    await writer.send(roomId, told);
    await reader.until(() => reader.contents.at(-1) === told);
    const old = reader.contents.filter((content) => !content.startsWith('Now'));
    assert.deepEqual(old, expected, JSON.stringify(options));
    reader.disconnect();
  }
});

/** @type {[string, {seq: number, epoch?: string}][]} */
const STRANGE = [
  ['another epoch', { seq: 2, epoch: 'of another database' }],
  ['a place that the room has not reached', { seq: 100 }],
];

for (const [what, place] of STRANGE) {
  test(`${what} resets the room, and its newest messages are read anew`, async (t) => {
    const { server, alice, roomId } = await twoUsers(t);
    await server.flood(alice, roomId, texts(3));
    const client = new Client(t, server, alice);
    await client.connect();
    await client.joinRoom(roomId, { after: { id: null, ...place } });
    const epoch = client.cursor(roomId)?.epoch;
    assert.deepEqual(client.all('reset'), [{ roomId, epoch }]);
    assert.deepEqual(client.contents, texts(3));
    await client.send(roomId, 'Live');
    assert.deepEqual(client.contents, [...texts(3), 'Live']);
  });
}

test('a hole is filled before anything after it is shown', async (t) => {
  const message = (/** @type {number} */ seq) => ({
    event: 'newMessage',
    data: { id: `${seq}`.padStart(26, '0'), roomId: 'room', seq, content: `Number ${seq}` },
  });
  const joined = (/** @type {number} */ lastSeq, /** @type {number} */ id) => ({
    event: 'roomJoined',
    data: { roomId: 'room', epoch: 'e', lastSeq, replayed: 0, truncated: false },
    id,
  });
  const place = await fake(t, (socket, { event, data, id }) => {
    if (event !== 'joinRoom') return;
    const isFirst = data.after === 0;
    // All at once, so that the client reads on from a reply that it has not acted on yet.
    const frames = isFirst
      ? [message(1), joined(1, id), message(2), message(4), message(5)]
      : [message(6), message(3), message(4), message(5), message(6), joined(6, id), message(7)];
    for (const frame of frames) socket.send(JSON.stringify(frame));
  });
  const client = new Client(t, place, { token: 'any' });
  await client.connect();
  await client.joinRoom('room', { after: { seq: 0, id: null } });
  await client.until(() => client.contents.length === 7);
  assert.deepEqual(client.contents, texts(7));
});
