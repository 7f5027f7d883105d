// One's rooms: what is in them, who, and what is new, kept live by the client.

import { History } from './history.js';
import { Queue } from './queue.js';
import { Unread } from './unread.js';

/** @typedef {import('../roomcast.js').Message} Message */
/** @typedef {import('../roomcast.js').Member} Member */
/** @typedef {import('../roomcast.js').RoomSummary} RoomSummary */

/** Requests for the list that run at the same time. */
const AT_ONCE = 4;
/** Read of a room for the list; more when it is opened. */
const PREVIEW = 10;
/** Kept of a room that is not open. */
const KEPT = 100;
/** Counts that the server has to be asked for are asked for together. */
const RECOUNT_MS = 300;

/**
 * @typedef {object} Room
 * @property {string} id
 * @property {string} name
 * @property {'public'|'private'} visibility
 * @property {string} createdAt
 * @property {string|null} lastMessageAt
 * @property {Unread} unread
 * @property {History} history
 * @property {Map<string, Member>} members empty until they are asked for
 * @property {boolean} hasMembers whether all are known
 * @property {Set<string>} typing the users who type
 * @property {boolean} isOpen
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
  #queue = new Queue(AT_ONCE);
  /** Counts how often the list was asked for … */
  #asked = 0;
  /** … and to which of these it was taken. */
  #taken = 0;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #recounting;

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
    for (const { unread } of this.#rooms.values()) sum += unread.count;
    return sum;
  }

  /** @param {string} userId @param {Room} room in which they speak */
  nameOf(userId, room) {
    return this.#names.get(userId) ?? (room.hasMembers ? 'Former member' : '…');
  }

  /** @param {Room} room */
  roleOf(room) {
    return room.members.get(this.me.id)?.role;
  }

  /** Reads the list of one's rooms, follows the new ones, and takes the server's counts. */
  async load() {
    this.#asked += 1;
    const turn = this.#asked;
    const listed = await this.rest.allRooms();
    // Of answers that overtake each other, that to the later question holds.
    if (turn < this.#taken || this.#aborter.signal.aborted) return;
    this.#taken = turn;
    for (const summary of listed) this.#take(summary);
    this.#emit('list');
  }

  /** What was said last, for the list. @param {Room} room @param {() => boolean} isWanted at its turn */
  preview(room, isWanted) {
    const { history, lastMessageAt } = room;
    if (history.last) return void this.#learnName(room, history.last.senderId);
    if (!lastMessageAt || !history.hasOlder) return;
    const read = async () => {
      if (isWanted() && !history.last) await this.loadOlder(room, PREVIEW);
    };
    // What cannot be read now is asked for again when the list is.
    this.#queue.run(`messages ${room.id}`, read).catch(() => {});
  }

  /** All about a room is wanted from now on. @param {Room} room */
  open(room) {
    room.isOpen = true;
    // Else they come with the connection.
    this.loadMembers(room).catch(() => {});
  }

  /** @param {Room} room */
  close(room) {
    room.isOpen = false;
    this.trim(room, KEPT);
  }

  /** Forgets the older messages of a room; they are read again when they are wanted. @param {Room} room @param {number} count to keep */
  trim(room, count) {
    if (room.history.messages.length <= count) return;
    room.history.trim(count);
    this.#emit('messages', { room });
  }

  /** Reads the page before what is known; the newest, if nothing is. @param {Room} room @param {number} limit */
  async loadOlder(room, limit) {
    const { history } = room;
    const { first, turn } = history;
    if (!history.hasOlder) return;
    const page = first ? { before: first.id, limit } : { limit };
    const { messages } = await this.rest.messages(room.id, page);
    // What came meanwhile follows the newest page, and nothing else has been the first before.
    if (history.turn !== turn || (first && history.first !== first)) return;
    // Another newest page was faster, and what is between the two is in neither.
    const hasHole = !first && history.first && (messages.at(-1)?.seq ?? 0) < history.first.seq - 1;
    if (hasHole) return;
    history.prepend(messages);
    this.#emit('messages', { room });
    this.#emit('list');
    if (history.last) void this.#learnName(room, history.last.senderId);
  }

  /** @param {Room} room */
  async loadMembers(room) {
    const members = await this.rest.members(room.id);
    room.members = new Map(members.map((member) => [member.userId, member]));
    room.hasMembers = true;
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

  end() {
    this.#aborter.abort();
    clearTimeout(this.#recounting);
    this.#queue.clear();
    this.#rooms.clear();
  }

  // ---- following ----

  /** @param {RoomSummary} summary */
  #take(summary) {
    const { id, name, visibility, lastMessageAt } = summary;
    const room = this.#rooms.get(id) ?? this.#follow(summary);
    Object.assign(room, { name, visibility, lastMessageAt });
    room.unread.take(summary, room.history);
  }

  /** From its newest message on; what was before is read when it is looked at. @param {RoomSummary} summary */
  #follow({ id, name, visibility, createdAt, lastMessageAt, lastSeq, lastMessageId, epoch }) {
    /** @type {Room} */
    const room = {
      id,
      name,
      visibility,
      createdAt,
      lastMessageAt,
      unread: new Unread(),
      history: new History(this.me.id),
      members: new Map(),
      hasMembers: false,
      typing: new Set(),
      isOpen: false,
    };
    this.#rooms.set(id, room);
    const after = { seq: lastSeq, id: lastMessageId, epoch };
    // Why it cannot be is told by `roomLost`.
    this.client.joinRoom(id, { history: PREVIEW, after }).catch(() => {});
    return room;
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
      room.unread.reset();
      this.#emit('reset', { room });
      // What was asked before may be about the former history.
      this.#taken = this.#asked + 1;
      this.#recount();
    });
    on('joined', (room) => {
      // Who came and went meanwhile is not told again.
      room.hasMembers = false;
      if (room.isOpen) this.loadMembers(room).catch(() => {});
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
      void this.#learnName(room, userId);
    });
    on('readUpdated', (room, { userId, lastReadMessageId }) => {
      if (userId === this.me.id) this.#moveMark(room, lastReadMessageId);
    });
  }

  /** @param {Room} room @param {Message} msg */
  #arrive(room, msg) {
    const { history, unread, isOpen } = room;
    history.append(msg);
    const isNews = unread.arrive(msg, msg.senderId !== this.me.id);
    // A page at a time, not one at each message.
    if (!isOpen && history.messages.length > 2 * KEPT) history.trim(KEPT);
    if (isNews) {
      this.#stopTyping(room, msg.senderId);
      void this.#tellNews(room, msg);
    }
    this.#emit('messages', { room });
    this.#emit('list');
  }

  /** @param {Room} room @param {Message} msg */
  async #tellNews(room, msg) {
    if (!this.#isNamed(room, msg.senderId)) await this.#learnName(room, msg.senderId);
    this.#emit('arrived', { room, msg });
  }

  /** @param {Room} room @param {string} userId */
  #isNamed(room, userId) {
    return room.hasMembers || this.#names.has(userId);
  }

  /** Asks who is in a room, if somebody speaks who is not known. @param {Room} room @param {string} userId */
  async #learnName(room, userId) {
    const learn = async () => {
      if (!this.#isNamed(room, userId)) await this.loadMembers(room);
    };
    if (!this.#isNamed(room, userId))
      await this.#queue.run(`members ${room.id}`, learn).catch(() => {});
  }

  /** @param {Room} room @param {{userId: string, displayName: string, role: import('../roomcast.js').Role}} member */
  #entered(room, { userId, displayName, role }) {
    this.#names.set(userId, displayName);
    if (!room.hasMembers) return;
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
    const moved = room.unread.moveTo(id, room.history);
    if (moved === 'same') return false;
    if (moved === 'unknown') this.#recount();
    this.#emit('list');
    return true;
  }

  /** Asks the server how much is unread. */
  #recount() {
    this.#recounting ??= setTimeout(() => {
      this.#recounting = undefined;
      this.load().catch(() => {});
    }, RECOUNT_MS);
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
