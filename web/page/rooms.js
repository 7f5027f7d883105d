// One's rooms: what is in them, who, and what is new, kept live by the client.

import { History } from './history.js';

/** @typedef {import('../roomcast.js').Message} Message */
/** @typedef {import('../roomcast.js').Member} Member */

/** Rooms whose history is read at the same time. */
const AT_ONCE = 4;
/** Read of each room at first, for the list; more when it is opened. */
const PREVIEW = 10;

/**
 * @typedef {object} Room
 * @property {string} id
 * @property {string} name
 * @property {'public'|'private'} visibility
 * @property {string} createdAt
 * @property {string|null} lastMessageAt
 * @property {number} unread
 * @property {string|null} lastReadId the reader's mark
 * @property {number} countedSeq what `unread` has counted
 * @property {Promise<void>|null} following
 * @property {boolean} isFollowed its newest messages are known
 * @property {History} history
 * @property {Map<string, Member>} members empty until they are asked for
 * @property {Set<string>} typing the users who type
 */

/**
 * Events: `list` (order, names, counts, previews), and with `{room}` as detail: `messages`, `arrived`
 * (also with `msg`: a live one of another), `people`, `typing`, `reset`, `lost`.
 */
export class Rooms extends EventTarget {
  /** @type {Map<string, Room>} */
  #rooms = new Map();
  /** @type {Map<string, string>} */
  #names = new Map();
  #aborter = new AbortController();
  #loads = 0;

  /**
   * @param {import('../roomcast.js').Roomcast} client
   * @param {{id: string, displayName: string}} me
   */
  constructor(client, me) {
    super();
    this.client = client;
    this.rest = client.rest;
    this.me = me;
    this.#names.set(me.id, me.displayName);
    this.#listen();
  }

  /** @param {string} id */
  get(id) {
    return this.#rooms.get(id);
  }

  /** Latest activity first. */
  list() {
    return [...this.#rooms.values()].sort((a, b) => activityOf(b).localeCompare(activityOf(a)));
  }

  get unread() {
    let sum = 0;
    for (const { unread } of this.#rooms.values()) sum += unread;
    return sum;
  }

  /** @param {string} userId */
  nameOf(userId) {
    return this.#names.get(userId) ?? 'Former member';
  }

  /** @param {Room} room */
  roleOf(room) {
    return room.members.get(this.me.id)?.role;
  }

  /** Reads the list of one's rooms, and begins to follow each; what is known stays. */
  async load() {
    const turn = (this.#loads += 1);
    const listed = await this.rest.allRooms();
    for (const summary of listed) this.#take(summary);
    const ids = new Set(listed.map(({ id }) => id));
    // An answer that was overtaken may not know yet of a room that one has just made.
    const isNewest = turn === this.#loads;
    for (const room of this.#rooms.values()) {
      // One that moved up between two pages is in neither, and is followed all the same.
      const isListed = ids.has(room.id) || this.client.cursor(room.id);
      if (isNewest && !isListed) this.#lose(room);
    }
    this.#emit('list');
    void this.#followAll();
  }

  /** Resolves when a room is live, or cannot be for now. @param {Room} room */
  follow(room) {
    room.following ??= this.#tryToFollow(room);
    return room.following;
  }

  /** Reads the page before what is known. @param {Room} room @param {number} limit */
  async loadOlder(room, limit) {
    const { first } = room.history;
    if (!first || !room.history.hasOlder) return;
    const { messages } = await this.rest.messages(room.id, { before: first.id, limit });
    if (room.history.first !== first) return;
    room.history.prepend(messages);
    this.#emit('messages', { room });
  }

  /** @param {Room} room */
  async loadMembers(room) {
    const members = await this.rest.members(room.id);
    room.members = new Map(members.map((member) => [member.userId, member]));
    for (const { userId, displayName } of members) this.#names.set(userId, displayName);
    this.#emit('people', { room });
    this.#emit('list');
  }

  /** Moves one's mark, never back. @param {Room} room @param {string} id */
  markRead(room, id) {
    if (this.#moveMark(room, id)) this.client.markRead(room.id, id);
  }

  /** Forgets a room that one has left. @param {string} roomId */
  forget(roomId) {
    const room = this.#rooms.get(roomId);
    this.client.leaveRoom(roomId);
    if (room) this.#lose(room);
  }

  close() {
    this.#aborter.abort();
    this.#rooms.clear();
  }

  // ---- following ----

  /** @param {any} summary */
  #take({
    id,
    name,
    visibility,
    createdAt,
    lastMessageAt,
    lastSeq,
    unreadCount,
    lastReadMessageId,
  }) {
    const known = this.#rooms.get(id);
    if (known) return void Object.assign(known, { name, visibility });
    this.#rooms.set(id, {
      id,
      name,
      visibility,
      createdAt,
      lastMessageAt,
      unread: unreadCount,
      lastReadId: lastReadMessageId,
      countedSeq: lastSeq,
      following: null,
      isFollowed: false,
      history: new History(this.me.id),
      members: new Map(),
      typing: new Set(),
    });
  }

  /** A few at a time, so that what one opens meanwhile need not wait for all. */
  async #followAll() {
    const waiting = this.list();
    const next = async () => {
      for (let room = waiting.shift(); room; room = waiting.shift()) await this.follow(room);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
  }

  /** @param {Room} room */
  async #tryToFollow(room) {
    try {
      const joined = this.client.joinRoom(room.id, { history: PREVIEW });
      await Promise.all([joined, this.loadMembers(room)]);
      room.isFollowed = true;
      this.#emit('messages', { room });
    } catch (error) {
      // Not reached: the next load tries again.
      room.following = null;
      const { code } = /** @type {import('../roomcast.js').RoomcastError} */ (error);
      if (code === 'NOT_MEMBER' || code === 'ROOM_NOT_FOUND') this.#lose(room);
    }
  }

  #listen() {
    const { signal } = this.#aborter;
    /**
     * @template {keyof import('../roomcast.js').RoomcastEvents} K
     * @param {K} name
     * @param {(room: Room, detail: any) => void} handle
     */
    const on = (name, handle) => {
      const listener = (/** @type {any} */ detail) => {
        const room = this.#rooms.get(detail.roomId);
        if (room) handle(room, detail);
      };
      this.client.on(name, listener, { signal });
    };
    on('message', (room, msg) => this.#arrive(room, msg));
    on('send', (room, sent) => {
      room.history.mark(sent);
      this.#emit('messages', { room });
      this.#emit('list');
    });
    on('reset', (room) => {
      room.history.clear();
      this.#emit('reset', { room });
    });
    on('joined', (room) => {
      // Who came and went meanwhile is not told again.
      if (room.isFollowed) this.loadMembers(room).catch(() => {});
    });
    on('roomLost', (room) => this.#lose(room));
    on('memberJoined', (room, member) => this.#entered(room, member));
    on('memberLeft', (room, { userId }) => {
      room.members.delete(userId);
      this.#stopTyping(room, userId);
      this.#emit('people', { room });
    });
    on('presenceChanged', (room, { userId, online }) => {
      const member = room.members.get(userId);
      if (member) room.members.set(userId, { ...member, online });
      if (!online) this.#stopTyping(room, userId);
      this.#emit('people', { room });
    });
    on('typing', (room, { userId, isTyping }) => {
      if (!isTyping) return this.#stopTyping(room, userId);
      room.typing.add(userId);
      this.#emit('typing', { room });
    });
    on('readUpdated', (room, { userId, lastReadMessageId }) => {
      if (userId === this.me.id) this.#moveMark(room, lastReadMessageId);
    });
  }

  /** @param {Room} room @param {Message} msg */
  #arrive(room, msg) {
    room.history.append(msg);
    const isOther = msg.senderId !== this.me.id;
    const isNews = msg.seq > room.countedSeq;
    room.countedSeq = Math.max(room.countedSeq, msg.seq);
    if (isNews && isOther) {
      room.unread += 1;
      this.#stopTyping(room, msg.senderId);
      this.#emit('arrived', { room, msg });
    }
    this.#emit('messages', { room });
    this.#emit('list');
  }

  /** @param {Room} room @param {{userId: string, displayName: string, role: import('../roomcast.js').Role}} member */
  #entered(room, { userId, displayName, role }) {
    this.#names.set(userId, displayName);
    const unknown = { roomId: room.id, joinedAt: '', lastReadMessageId: null, online: null };
    const known = room.members.get(userId) ?? unknown;
    room.members.set(userId, { ...known, userId, displayName, role });
    this.#emit('people', { room });
  }

  /** @param {Room} room @param {string} userId */
  #stopTyping(room, userId) {
    if (room.typing.delete(userId)) this.#emit('typing', { room });
  }

  /** @param {Room} room @param {string} id @returns whether it moved */
  #moveMark(room, id) {
    if (room.lastReadId !== null && room.lastReadId >= id) return false;
    room.lastReadId = id;
    const { first, last } = room.history;
    // Without the messages between, the count is the server's.
    if (last && (id >= last.id || (first && first.id <= id))) {
      room.unread = room.history.othersAfter(id);
    }
    this.#emit('list');
    return true;
  }

  /** @param {Room} room */
  #lose(room) {
    if (!this.#rooms.delete(room.id)) return;
    this.#emit('lost', { room });
    this.#emit('list');
  }

  /** @param {string} name @param {object} [detail] */
  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** @param {Room} room */
const activityOf = ({ history, lastMessageAt, createdAt }) =>
  history.last?.createdAt ?? lastMessageAt ?? createdAt;
