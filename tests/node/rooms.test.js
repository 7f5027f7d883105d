// What the page knows of its rooms, without a page: counts, marks, and how much of it is kept.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { History } from '../../web/page/history.js';
import { Queue } from '../../web/page/queue.js';
import { Rooms } from '../../web/page/rooms.js';
import { Unread } from '../../web/page/unread.js';
import { Client } from './client.js';
import { within } from './patience.js';
import { Proxy } from './proxy.js';
import { Server } from './server.js';

/** @typedef {import('./server.js').User} User */

const ME = 'me';

/** @param {number} seq */
const idOf = (seq) => String(seq).padStart(26, '0');

/** A message of a room of two; every fifth is one's own. @param {number} seq */
function message(seq) {
  const senderId = seq % 5 === 0 ? ME : 'another';
  const rest = { roomId: 'r', type: /** @type {const} */ ('TEXT'), content: '', createdAt: '' };
  return { id: idOf(seq), seq, senderId, clientMsgId: idOf(seq), ...rest };
}

/** The messages of a stretch. @param {number} from @param {number} to */
function stretch(from, to) {
  const history = new History(ME);
  for (let seq = from; seq <= to; seq += 1) history.append(message(seq));
  return history;
}

/** What the list of rooms says. @param {number} lastSeq @param {number} unreadCount @param {number|null} readSeq */
const told = (lastSeq, unreadCount, readSeq) => ({
  lastSeq,
  lastMessageId: idOf(lastSeq),
  unreadCount,
  lastReadMessageId: readSeq === null ? null : idOf(readSeq),
});

test('the server’s count holds, and what came after its answer is added', () => {
  const unread = new Unread();
  const history = stretch(1, 9);
  for (const msg of history.messages) unread.arrive(msg, msg.senderId !== ME);
  assert.equal(unread.count, 0, 'nothing counts before the server has said how much there is');
  unread.take(told(7, 2, 4), history);
  assert.deepEqual([unread.count, unread.mark], [4, idOf(4)]);
  // Read elsewhere, as is known after a reconnect.
  unread.take(told(9, 0, 9), history);
  assert.deepEqual([unread.count, unread.mark], [0, idOf(9)]);
});

test('a message that was read elsewhere before it came is not counted', () => {
  const unread = new Unread();
  const history = stretch(1, 1);
  unread.take(told(1, 0, 1), history);
  unread.take(told(4, 0, 4), history);
  for (const seq of [2, 3, 4, 6]) {
    history.append(message(seq));
    unread.arrive(message(seq), true);
  }
  assert.equal(unread.count, 1);
});

test('an answer that is older than one’s own mark does not move it back', () => {
  const unread = new Unread();
  const history = stretch(1, 9);
  unread.take(told(9, 8, null), history);
  assert.equal(unread.moveTo(idOf(8), history), 'counted');
  assert.equal(unread.count, 1);
  unread.take(told(9, 8, null), history);
  assert.deepEqual([unread.count, unread.mark], [1, idOf(8)]);
  assert.equal(unread.moveTo(idOf(3), history), 'same');
});

test('a mark before what is known asks for the count', () => {
  const unread = new Unread();
  const history = stretch(50, 60);
  unread.take(told(60, 48, null), history);
  assert.equal(unread.moveTo(idOf(30), history), 'unknown');
  assert.equal(unread.moveTo(idOf(60), history), 'counted');
  assert.equal(unread.count, 0);
  const unseen = new Unread();
  unseen.take(told(60, 48, null), new History(ME));
  assert.equal(unseen.moveTo(idOf(60), new History(ME)), 'counted', 'all of it is read');
  assert.equal(unseen.count, 0);
});

test('another history begins anew', () => {
  const unread = new Unread();
  unread.take(told(60, 1, 59), new History(ME));
  unread.reset();
  const history = stretch(1, 4);
  for (const msg of history.messages) unread.arrive(msg, true);
  assert.deepEqual([unread.count, unread.mark], [0, null]);
  unread.take(told(3, 1, 2), history);
  assert.deepEqual([unread.count, unread.mark], [2, idOf(2)]);
  assert.equal(unread.arrive(message(6), true), true);
  assert.equal(unread.count, 3);
});

test('the first new message is found by the mark, else by how many there are', () => {
  const seqOf = (/** @type {import('../../web/roomcast.js').Message|null|undefined} */ msg) =>
    msg && msg.seq;
  const history = stretch(101, 120);
  const by = (/** @type {string|null} */ mark, /** @type {number} */ count) =>
    seqOf(history.firstNew({ mark, count, upToSeq: 118 }));
  assert.equal(by(idOf(104), 9), 106, 'the next is one’s own');
  assert.equal(by(idOf(90), 99), undefined);
  assert.equal(by(idOf(120), 0), null);
  assert.equal(by(null, 3), 116);
  assert.equal(by(null, 99), undefined);
  assert.equal(seqOf(stretch(1, 9).firstNew({ mark: null, count: 99, upToSeq: 9 })), 1);
});

test('a queue runs a few at a time, the newest first, and each once', async () => {
  const queue = new Queue(2);
  /** @type {string[]} */
  const begun = [];
  /** @type {(() => void)[]} */
  const ends = [];
  const task = (/** @type {string} */ name) => () => {
    begun.push(name);
    return /** @type {Promise<void>} */ (new Promise((resolve) => ends.push(resolve)));
  };
  const runs = ['a', 'b', 'c', 'd', 'c'].map((name) => queue.run(name, task(name)));
  const failed = queue.run('e', () => Promise.reject(new Error('no')));
  assert.equal(runs[2], runs[4]);
  await Promise.resolve();
  assert.deepEqual(begun, ['a', 'b']);
  ends[0]();
  await assert.rejects(failed, { message: 'no' });
  await runs[0];
  while (begun.length < 3) await Promise.resolve();
  assert.deepEqual(begun, ['a', 'b', 'd']);
  ends[1]();
  ends[2]();
  while (begun.length < 4) await new Promise(setImmediate);
  ends[3]();
  await Promise.all(runs);
  assert.deepEqual(begun, ['a', 'b', 'd', 'c']);
});

/**
 * The rooms of a user, at some address of the server.
 *
 * @param {import('node:test').TestContext} t
 * @param {{url: string}} place
 * @param {User} user
 */
async function roomsOf(t, place, user) {
  const client = new Client(t, place, user);
  const rooms = new Rooms(client, { id: user.id, displayName: user.displayName });
  t.after(() => rooms.end());
  client.on('state', ({ state }) => {
    if (state === 'online') rooms.load().catch(() => {});
  });
  await client.connect();
  await rooms.load();
  return rooms;
}

/** @param {Rooms} rooms @param {string} what @param {() => boolean} check */
async function until(rooms, what, check) {
  const come = () =>
    new Promise((resolve) => rooms.addEventListener('list', resolve, { once: true }));
  while (!check()) await within(come(), what);
}

test('what was read on another device meanwhile is read here too', async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const proxy = await Proxy.start(server.url);
  t.after(() => proxy.stop());
  const [alice, bob] = [await server.user('Alice'), await server.user('Bob')];
  const roomId = await server.room(bob, alice);
  await server.flood(bob, roomId, ['1', '2', '3']);
  const rooms = await roomsOf(t, proxy, alice);
  const room = /** @type {import('../../web/page/rooms.js').Room} */ (rooms.get(roomId));
  assert.equal(room.unread.count, 3);

  proxy.goDown();
  await server.flood(bob, roomId, ['4', '5']);
  const { token } = alice;
  const [, , , fourth] = await server.rest('GET', `/rooms/${roomId}/messages`, { token });
  const body = { lastReadMessageId: fourth.id };
  await server.rest('POST', `/rooms/${roomId}/read`, { token, body });
  proxy.goUp();
  await until(rooms, 'the server’s count', () => room.unread.count === 1);
  assert.equal(room.unread.mark, fourth.id);
  await until(rooms, 'what was missed', () => room.history.last?.seq === 5);
  assert.equal(room.unread.count, 1);
});

test('a room that is not open keeps a page, and reads the rest again', async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const [alice, bob] = [await server.user('Alice'), await server.user('Bob')];
  const roomId = await server.room(bob, alice);
  const rooms = await roomsOf(t, server, alice);
  const room = /** @type {import('../../web/page/rooms.js').Room} */ (rooms.get(roomId));
  await server.flood(
    bob,
    roomId,
    Array.from({ length: 450 }, (_, at) => `${at + 1}`),
  );
  await until(rooms, 'all of it', () => room.history.last?.seq === 450);
  assert.ok(room.history.messages.length <= 200, `${room.history.messages.length} are kept`);
  assert.equal(room.unread.count, 450);
  rooms.open(room);
  while (room.history.hasOlder) await rooms.loadOlder(room, 100);
  assert.deepEqual(room.history.messages.map(({ seq }) => seq).at(0), 1);
  assert.equal(room.history.messages.length, 450);
  rooms.close(room);
  assert.equal(room.history.messages.length, 100);
  assert.equal(room.history.last?.seq, 450);
});
