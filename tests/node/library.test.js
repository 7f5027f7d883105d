import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { WebSocket } from 'ws';

import { Rest } from '../../web/roomcast.js';
import { Client } from './client.js';
import { fake } from './fake.js';
import { Proxy } from './proxy.js';
import { Server } from './server.js';

/** Two users in a room, connected and joined. @param {import('node:test').TestContext} t */
async function chat(t) {
  const server = await Server.start();
  t.after(() => server.stop());
  const [alice, bob] = [await server.user('Alice'), await server.user('Bob')];
  const roomId = await server.room(alice, bob);
  const clients = [new Client(t, server, alice), new Client(t, server, bob)];
  for (const client of clients) {
    await client.connect();
    await client.joinRoom(roomId);
  }
  return { server, alice, bob, roomId, clients };
}

test('a send is accepted, then stored, and told to all', async (t) => {
  const { clients, roomId, alice } = await chat(t);
  const [sender, receiver] = clients;
  const sending = sender.send(roomId, 'Hello');
  const [, stored] = await Promise.all([sending.accepted, sending]);
  assert.deepEqual([stored.seq, stored.content, stored.senderId], [1, 'Hello', alice.id]);
  const stages = sender.all('send').map(({ stage, clientMsgId }) => [stage, clientMsgId]);
  const { clientMsgId } = sending;
  assert.deepEqual(stages, [
    ['sending', clientMsgId],
    ['accepted', clientMsgId],
    ['stored', clientMsgId],
  ]);
  await receiver.until(() => receiver.contents.length === 1);
  assert.deepEqual(receiver.all('message'), [stored]);
  assert.deepEqual(receiver.cursor(roomId)?.id, stored.id);
});

test('a send that cannot be is refused, and holds nothing up', async (t) => {
  const { clients, roomId } = await chat(t);
  const [client] = clients;
  const tooLong = client.send(roomId, 'x'.repeat(5001));
  const next = client.send(roomId, 'Next');
  await assert.rejects(tooLong, { name: 'RoomcastError', code: 'VALIDATION_FAILED' });
  await assert.rejects(tooLong.accepted, { code: 'VALIDATION_FAILED' });
  assert.equal((await next).seq, 1);
  const elsewhere = client.send('00000000-0000-4000-8000-000000000000', 'Anybody?');
  await assert.rejects(elsewhere, { code: 'NOT_JOINED' });
  const failed = client.all('send').filter(({ stage }) => stage === 'failed');
  const codes = failed.map(({ code }) => code);
  assert.deepEqual(codes.sort(), ['NOT_JOINED', 'VALIDATION_FAILED']);
});

test('what would break the connection holds nothing up either', async (t) => {
  const { clients, roomId } = await chat(t);
  const [client] = clients;
  const huge = client.send(roomId, 'x'.repeat(70_000));
  const unnamed = client.send(roomId, 'Mine', { clientMsgId: 'not a UUID' });
  const halved = client.send(roomId, 'half \ud83d of a face');
  await assert.rejects(huge, { code: 'PAYLOAD_TOO_LARGE' });
  await assert.rejects(unnamed, { code: 'VALIDATION_FAILED' });
  assert.equal((await halved).content, 'half \ufffd of a face');
  assert.deepEqual(client.all('state').length, 2, 'it never went offline');
});

test('what cannot be sent does not hold up what waits behind it', async (t) => {
  const { server, roomId, alice } = await chat(t);
  /** @type {string[]} */
  const written = [];
  class Written extends WebSocket {
    /** @param {string} frame */
    send(frame) {
      written.push(frame);
      super.send(frame);
    }
  }
  const client = new Client(t, server, alice, { WebSocket: /** @type {any} */ (Written) });
  const joining = client.joinRoom(roomId);
  const huge = client.send(roomId, 'x'.repeat(70_000));
  const next = client.send(roomId, 'Next');
  await client.connect();
  await joining;
  await assert.rejects(huge, { code: 'PAYLOAD_TOO_LARGE' });
  // In the same turn: a repeat of what is overdue would come a second later.
  const contents = written.map((frame) => JSON.parse(frame).data?.content);
  assert.ok(contents.includes('Next'), 'it was written when the way was free');
  assert.equal((await next).seq, 1);
});

test('what nobody waits for is refused by an event', async (t) => {
  const place = await fake(t, (socket, { event }) => {
    if (event !== 'ready') return;
    const data = { code: 'RATE_LIMITED', message: 'Too fast.', retryable: true, retryAfterMs: 5 };
    socket.send(JSON.stringify({ event: 'error', data }));
  });
  const client = new Client(t, place, { token: 'any' });
  await client.connect();
  await client.until(() => client.all('error').length === 1);
  assert.equal(client.all('error')[0].code, 'RATE_LIMITED');
});

test('an id in capitals is the id that comes back', async (t) => {
  const { clients, roomId } = await chat(t);
  const clientMsgId = 'A1B2C3D4-0000-4000-8000-00000000ABCD';
  const stored = await clients[0].send(roomId, 'Capitals', { clientMsgId });
  assert.equal(stored.clientMsgId, clientMsgId.toLowerCase());
  assert.equal((await clients[0].send(roomId, 'Next')).seq, 2);
});

test('who leaves a room waits for none of its sends', async (t) => {
  const { server, alice, roomId } = await chat(t);
  const client = new Client(t, server, alice);
  const joining = client.joinRoom(roomId);
  const sending = client.send(roomId, 'Never');
  client.leaveRoom(roomId);
  await assert.rejects(joining, { code: 'NOT_JOINED' });
  await assert.rejects(sending, { code: 'NOT_JOINED' });
  assert.equal(client.waiting, 0);
});

test('the outbox has an end', async (t) => {
  const { server, alice, roomId } = await chat(t);
  const client = new Client(t, server, alice, { maxWaiting: 2 });
  void client.joinRoom(roomId);
  const sendings = ['One', 'Two', 'Three'].map((text) => client.send(roomId, text));
  await assert.rejects(sendings[2], { code: 'OUTBOX_FULL' });
  assert.equal(client.waiting, 2);
  await client.connect();
  const stored = await Promise.all(sendings.slice(0, 2));
  assert.deepEqual(
    stored.map(({ content, seq }) => [content, seq]),
    [
      ['One', 1],
      ['Two', 2],
    ],
  );
});

test('sends keep to the limit of the server, and to their order', async (t) => {
  const env = { LIMIT_SEND_BURST: '5', LIMIT_SEND_PER_S: '40' };
  const server = await Server.start({ env });
  t.after(() => server.stop());
  const alice = await server.user('Alice');
  const roomId = await server.room(alice);
  // Two tabs of one user share a limit that each thinks its own.
  const tabs = [new Client(t, server, alice), new Client(t, server, alice)];
  const texts = Array.from({ length: 30 }, (_, at) => `Number ${at}`);
  for (const tab of tabs) {
    await tab.connect();
    await tab.joinRoom(roomId);
  }
  await Promise.all(
    tabs.flatMap((tab, at) => texts.map((text) => tab.send(roomId, `${at} ${text}`))),
  );
  await tabs[0].until(() => tabs[0].contents.length === 2 * texts.length);
  for (const at of [0, 1]) {
    const own = tabs[0].contents.filter((content) => content.startsWith(`${at} `));
    assert.deepEqual(
      own,
      texts.map((text) => `${at} ${text}`),
    );
  }
});

test('who types, reads, comes and goes is told', async (t) => {
  const { server, clients, roomId, alice, bob } = await chat(t);
  const [a, b] = clients;
  a.typing(roomId);
  a.typing(roomId);
  await b.until(() => b.all('typing').length > 0);
  const { id } = await a.send(roomId, 'Typed');
  await b.until(() => b.all('typing').length > 1);
  assert.deepEqual(b.all('typing'), [
    { roomId, userId: alice.id, isTyping: true },
    { roomId, userId: alice.id, isTyping: false },
  ]);
  b.markRead(roomId, id);
  await Promise.all(clients.map((c) => c.until(() => c.all('readUpdated').length === 1)));
  const read = { roomId, userId: bob.id, lastReadMessageId: id };
  assert.deepEqual([a.all('readUpdated')[0], b.all('readUpdated')[0]], [read, read]);
  const carol = await server.user('Carol');
  await server.rest('POST', `/rooms/${roomId}/join`, { token: carol.token });
  const c = new Client(t, server, carol);
  await c.connect();
  await c.joinRoom(roomId);
  c.disconnect();
  const isCarol = (/** @type {{userId: string}} */ { userId }) => userId === carol.id;
  await a.until(() => a.all('presenceChanged').filter(isCarol).length === 2);
  const presence = a.all('presenceChanged').filter(isCarol);
  assert.deepEqual(
    presence.map(({ online }) => online),
    [true, false],
  );
  const joined = a.all('memberJoined').map(({ displayName }) => displayName);
  assert.deepEqual(joined, ['Carol']);
});

test('a read cursor that moved while there was no connection is told after it', async (t) => {
  const { server, clients, roomId, bob } = await chat(t);
  const proxy = await Proxy.start(server.url);
  t.after(() => proxy.stop());
  const reader = new Client(t, proxy, bob);
  await reader.connect();
  await reader.joinRoom(roomId);
  const { id } = await clients[0].send(roomId, 'Read me');
  await reader.until(() => reader.contents.length === 1);
  proxy.goDown();
  await reader.until(() => reader.state === 'waiting');
  reader.markRead(roomId, id);
  proxy.goUp();
  await reader.until(() => reader.all('readUpdated').length === 1);
  const members = await clients[0].rest.members(roomId);
  const cursor = members.find(({ userId }) => userId === bob.id)?.lastReadMessageId;
  assert.equal(cursor, id);
});

test('who is kicked loses the room, and may not join it unseen', async (t) => {
  const { clients, roomId, bob, server } = await chat(t);
  const [a, b] = clients;
  await a.rest.removeMember(roomId, bob.id);
  await b.until(() => b.all('roomLost').length === 1);
  assert.deepEqual(b.all('roomLost'), [{ roomId, code: 'NOT_MEMBER' }]);
  await assert.rejects(b.joinRoom(roomId), { code: 'NOT_MEMBER' });
  await assert.rejects(b.send(roomId, 'Let me in'), { code: 'NOT_JOINED' });
  // What waits for a room goes with it.
  await server.rest('POST', `/rooms/${roomId}/join`, { token: bob.token });
  const proxy = await Proxy.start(server.url);
  t.after(() => proxy.stop());
  const c = new Client(t, proxy, bob);
  await c.connect();
  await c.joinRoom(roomId);
  proxy.goDown();
  await c.until(() => c.state === 'waiting');
  const sending = c.send(roomId, 'Too late');
  await a.rest.removeMember(roomId, bob.id);
  proxy.goUp();
  await assert.rejects(sending, { code: 'NOT_MEMBER' });
  assert.equal(c.waiting, 0);
});

test('REST has a method for each call', async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const [owner, guest] = [new Rest({ url: server.url }), new Rest({ url: server.url })];
  const password = 'correct horse battery';
  const account = { email: 'owner@example.com', password, displayName: 'Owner' };
  const { id: ownerId } = await owner.register(account);
  await guest.register({ email: 'guest@example.com', password });
  const session = await owner.login(account);
  assert.equal(owner.token, session.accessToken);
  await guest.login({ email: 'guest@example.com', password });
  await guest.refresh();
  const { id: guestId, displayName } = await guest.me();
  assert.equal(displayName, 'guest');

  const room = await owner.createRoom({ name: 'Private', visibility: 'private' });
  await assert.rejects(guest.joinRoom(room.id), { code: 'ROOM_NOT_FOUND', status: 404 });
  const invite = await owner.createInvite(room.id, { expiresInSeconds: 60 });
  assert.equal((await guest.acceptInvite(invite.token)).role, 'member');
  assert.equal((await owner.setRole(room.id, guestId, 'admin')).role, 'admin');
  const members = await guest.members(room.id);
  assert.deepEqual(
    members.map(({ userId, role }) => [userId, role]),
    [
      [ownerId, 'owner'],
      [guestId, 'admin'],
    ],
  );
  await owner.removeMember(room.id, guestId);

  for (let made = 0; made < 4; made += 1) await owner.createRoom({ name: `Room ${made}` });
  const page = await owner.rooms({ limit: 2 });
  assert.equal(page.rooms.length, 2);
  const next = await owner.rooms({ limit: 2, cursor: page.next ?? '' });
  assert.equal(new Set([...page.rooms, ...next.rooms].map(({ id }) => id)).size, 4);
  assert.equal((await owner.allRooms()).length, 5);
  await guest.joinRoom(next.rooms[0].id);
  await guest.leaveRoom(next.rooms[0].id);

  const [{ id: roomId }] = page.rooms;
  for (const content of ['first', 'second']) {
    const body = { clientMsgId: randomUUID(), type: 'TEXT', content };
    await owner.request('POST', `/rooms/${roomId}/messages`, body);
  }
  const client = new Client(t, server, { token: session.accessToken });
  await client.connect();
  await client.joinRoom(roomId, { after: { seq: 0, id: null } });
  await client.until(() => client.contents.length === 2);
  const newest = await owner.messages(roomId, { limit: 1 });
  assert.deepEqual([newest.messages[0].content, newest.hasMore], ['second', true]);
  await owner.markRead(roomId, newest.messages[0].id);

  const bad = owner.createRoom({ name: '' });
  await assert.rejects(bad, { code: 'VALIDATION_FAILED', status: 400, retryable: false });
  await bad.catch(({ fields }) => assert.equal(fields[0].path, 'name'));
  await guest.changePassword({ current: password, new: 'another horse' });
  await owner.logout();
  await assert.rejects(owner.me(), { code: 'UNAUTHENTICATED', status: 401 });
  const nowhere = new Rest({ url: 'http://127.0.0.1:1' });
  await assert.rejects(nowhere.me(), { code: 'UNREACHABLE', retryable: true });
});
