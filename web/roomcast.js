// The client of roomcast: one socket that comes back by itself, rooms without a gap or a double,
// and sends that are repeated until their fate is known.

import { Outbox, Pace } from './outbox.js';
import { Rest, RestError } from './rest.js';

/** @typedef {import('./rest.js').Message} Message */
/** @typedef {'offline'|'connecting'|'online'|'waiting'|'ended'} State */

/**
 * @typedef {object} Room
 * @property {string} id
 * @property {string|undefined} epoch
 * @property {number|null} lastSeq null until the history was read
 * @property {string|null} lastId
 * @property {boolean} isAttached this connection gets the room's live messages
 * @property {Message[]|null} held live messages that wait while the history is paged
 */

/** Full jitter: a random wait up to this, doubled at each try. */
const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 15_000;
/** A connection that lasted this long was a good one: the next backoff starts anew. */
const STABLE_MS = 5_000;
const REQUEST_TIMEOUT_MS = 15_000;
const PAGE = 100;

const NOT_AUTHENTICATED = 4401;
const LOST = new RestError(0, 'UNREACHABLE', 'The connection was lost.');

/**
 * Events (`detail` in brackets):
 * - `state` `{state, retryInMs?}`
 * - `message` `Message`: each message of a joined room, in order, once
 * - `send` `{roomId, clientMsgId, content, stage: 'sending'|'accepted'|'stored'|'failed', error?}`
 * - `joined` `{roomId, replayed, truncated}`: the room is caught up and live
 * - `reset` `{roomId}`: the room's history is another one; forget what was shown
 * - `roomLost` `{roomId, code}`: no longer a member
 * - `memberJoined`, `memberLeft`, `presenceChanged`, `typing`, `readUpdated`: as the server sends
 */
export class Roomcast extends EventTarget {
  /** @type {State} */
  state = 'offline';
  /** @type {string|null} */
  userId = null;

  /** @type {WebSocket|null} */
  #socket = null;
  /** @type {Map<string, Room>} */
  #rooms = new Map();
  /** @type {Map<number, {resolve: (data: any) => void, reject: (error: Error) => void}>} */
  #requests = new Map();
  #lastRequest = 0;
  #outbox = new Outbox();
  #pace = new Pace();
  #attempt = 0;
  #readyAt = 0;
  #notBefore = 0;
  #reconnectTimer = /** @type {number|undefined} */ (undefined);
  #heartbeatTimer = /** @type {number|undefined} */ (undefined);
  #flushTimer = /** @type {number|undefined} */ (undefined);

  /** @param {string} token */
  constructor(token) {
    super();
    this.rest = new Rest(token);
  }

  /** Connects, and stays connected until `disconnect` or until the token ends. */
  connect() {
    if (this.#socket || this.state === 'ended') return;
    clearTimeout(this.#reconnectTimer);
    this.#become('connecting');
    const url = new URL('/ws', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    const socket = new WebSocket(url, ['roomcast.v1', `bearer.${this.rest.token}`]);
    socket.onmessage = ({ data }) => this.#handle(JSON.parse(data));
    socket.onclose = ({ code }) => this.#closed(code);
    this.#socket = socket;
  }

  /** Drops the connection; rooms and unsent messages are kept for the next `connect`. */
  disconnect() {
    this.#release();
    clearTimeout(this.#reconnectTimer);
    if (this.state !== 'ended') this.#become('offline');
  }

  /**
   * Reads the newest page of a room, then follows it. Its messages come as `message` events.
   *
   * @param {string} roomId
   * @throws {RestError} when the history cannot be read, such as by a non-member
   */
  async joinRoom(roomId) {
    /** @type {Room} */
    const room = {
      id: roomId,
      epoch: undefined,
      lastSeq: null,
      lastId: null,
      isAttached: false,
      held: null,
    };
    this.#rooms.set(roomId, room);
    let page;
    try {
      page = await this.rest.messages(roomId);
    } catch (error) {
      if (this.#rooms.get(roomId) === room) this.#rooms.delete(roomId);
      throw error;
    }
    if (this.#rooms.get(roomId) !== room) return;
    page.messages.forEach((msg) => this.#receive(msg));
    room.lastSeq ??= 0;
    if (this.state === 'online') await this.#attach(room);
  }

  /** Stops following a room; membership stays. @param {string} roomId */
  leaveRoom(roomId) {
    const isJoined = this.#rooms.delete(roomId);
    if (isJoined && this.state === 'online') this.#write('leaveRoom', { roomId });
  }

  /**
   * Sends a message now, or as soon as there is a connection; `send` events tell its fate.
   *
   * @param {string} roomId
   * @param {string} content
   * @param {'TEXT'|'IMAGE'} [type]
   * @returns {string} the message's `clientMsgId`
   */
  send(roomId, content, type = 'TEXT') {
    const msg = this.#outbox.add(roomId, content, type);
    this.#emit('send', { ...msg });
    this.#flush();
    return msg.clientMsgId;
  }

  /**
   * Moves the reader's mark; while offline it is left to the next call.
   *
   * @param {string} roomId
   * @param {string} lastReadMessageId
   */
  markRead(roomId, lastReadMessageId) {
    if (this.#rooms.get(roomId)?.isAttached) this.#write('markRead', { roomId, lastReadMessageId });
  }

  // ---- the connection ----

  /** @param {any} ready */
  #ready(ready) {
    this.userId = ready.userId;
    this.#readyAt = Date.now();
    this.#notBefore = 0;
    this.#pace.limit(ready.limits.sendBurst, ready.limits.sendPerS);
    this.#heartbeatTimer = setInterval(() => this.#beat(), ready.heartbeatIntervalMs);
    this.#become('online');
    for (const room of this.#rooms.values()) if (room.lastSeq !== null) void this.#attach(room);
  }

  /** A server that does not answer is as good as gone. */
  async #beat() {
    const socket = this.#socket;
    this.#flush();
    try {
      await this.#request('heartbeat', {});
    } catch (error) {
      const isGone = error === LOST && socket === this.#socket;
      if (isGone) await this.#closed(1006);
    }
  }

  /** Takes the socket away without waiting for its close. */
  #release() {
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close(1000);
    }
    clearInterval(this.#heartbeatTimer);
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    for (const room of this.#rooms.values()) room.isAttached = false;
    for (const { reject } of this.#requests.values()) reject(LOST);
    this.#requests.clear();
    this.#outbox.connectionLost();
  }

  /** @param {number} code */
  async #closed(code) {
    const wasOnline = this.state === 'online';
    this.#release();
    this.#become('waiting');
    // A browser does not say why a handshake failed: a refused token shows on REST.
    const isRefused = code === NOT_AUTHENTICATED || (!wasOnline && (await this.#isTokenRefused()));
    if (isRefused) return this.#become('ended');
    if (this.state !== 'waiting') return;
    if (wasOnline && Date.now() - this.#readyAt > STABLE_MS) this.#attempt = 0;
    const ceiling = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#attempt);
    this.#attempt += 1;
    const retryInMs = Math.max(0, this.#notBefore - Date.now()) + Math.random() * ceiling;
    this.#reconnectTimer = setTimeout(() => this.connect(), retryInMs);
    this.#emit('state', { state: this.state, retryInMs });
  }

  async #isTokenRefused() {
    try {
      await this.rest.request('GET', '/me');
      return false;
    } catch (error) {
      return error instanceof RestError && error.status === 401;
    }
  }

  // ---- frames ----

  /** @param {{event: string, data: any, id?: number}} frame */
  #handle({ event, data, id }) {
    const request = id === undefined ? undefined : this.#requests.get(id);
    if (id !== undefined) this.#requests.delete(id);
    switch (event) {
      case 'ready':
        return this.#ready(data);
      case 'newMessage':
        return this.#receive(data);
      case 'messageAccepted':
        return this.#accepted(data.clientMsgId);
      case 'messageFailed':
        return this.#failed(data);
      case 'reconnect':
        this.#notBefore = Date.now() + data.afterMs;
        return;
      case 'error':
        return request?.reject(Object.assign(new RestError(0, data.code, data.message), data));
      case 'memberLeft':
        if (data.userId === this.userId) this.#lose(data.roomId, 'NOT_MEMBER');
    }
    if (request) request.resolve(data);
    else this.#emit(event, data);
  }

  /** @param {string} event @param {object} data @param {number} [id] */
  #write(event, data, id) {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return false;
    socket.send(JSON.stringify({ event, data, id }));
    return true;
  }

  /**
   * @param {string} event
   * @param {object} data
   * @returns {Promise<any>} the reply's data
   */
  #request(event, data) {
    const id = ++this.#lastRequest;
    return new Promise((resolve, reject) => {
      if (!this.#write(event, data, id)) return reject(LOST);
      this.#requests.set(id, { resolve, reject });
      setTimeout(() => this.#requests.delete(id) && reject(LOST), REQUEST_TIMEOUT_MS);
    });
  }

  // ---- rooms ----

  /** Follows a room on this connection, from where it is. @param {Room} room */
  async #attach(room) {
    const socket = this.#socket;
    const isCurrent = () => socket === this.#socket && this.#rooms.get(room.id) === room;
    room.isAttached = false;
    room.held = null;
    try {
      const place = { roomId: room.id, after: room.lastSeq ?? 0, epoch: room.epoch };
      const joined = await this.#request('joinRoom', place);
      if (!isCurrent()) return;
      if (joined.truncated) await this.#page(room, joined, isCurrent);
      if (!isCurrent()) return;
      room.epoch = joined.epoch;
      room.isAttached = true;
      const { replayed, truncated } = joined;
      this.#emit('joined', { roomId: room.id, replayed, truncated });
      this.#flush();
    } catch (error) {
      if (isCurrent()) this.#attachFailed(room, /** @type {any} */ (error));
    }
  }

  /** @param {Room} room @param {{code: string, retryable?: boolean, retryAfterMs?: number}} error */
  #attachFailed(room, { code, retryable, retryAfterMs }) {
    // A failure without a verdict (`retryable`) is of the connection, not of the room.
    if (retryable === false) return this.#lose(room.id, code);
    const again = () => this.state === 'online' && this.#rooms.has(room.id) && this.#attach(room);
    setTimeout(again, retryAfterMs ?? FIRST_BACKOFF_MS * (1 + Math.random()));
  }

  /**
   * Too much was missed for a replay: reads the history instead, while live messages wait.
   *
   * @param {Room} room
   * @param {{epoch: string, lastSeq: number}} joined
   * @param {() => boolean} isCurrent
   */
  async #page(room, joined, isCurrent) {
    /** @type {Message[]} */
    const held = (room.held = []);
    /** @type {Message[]} */
    const missed = [];
    const isOther = room.epoch !== undefined && room.epoch !== joined.epoch;
    const isReset = isOther || (room.lastSeq ?? 0) > joined.lastSeq;
    let after = isReset ? null : room.lastId;
    let hasMore = true;
    while (hasMore && isCurrent()) {
      const page = await this.rest.messages(room.id, after ? { after, limit: PAGE } : {});
      missed.push(...page.messages);
      hasMore = page.hasMore && after !== null;
      after &&= page.messages.at(-1)?.id ?? after;
    }
    if (!isCurrent()) return;
    if (isReset || !room.lastId) {
      room.lastSeq = missed.length ? null : joined.lastSeq;
      this.#emit('reset', { roomId: room.id });
    }
    room.held = null;
    for (const msg of missed.concat(held)) this.#receive(msg);
  }

  /** @param {Message} msg */
  #receive(msg) {
    this.#stored(msg);
    const room = this.#rooms.get(msg.roomId);
    if (!room) return;
    if (room.held) return void room.held.push(msg);
    const next = (room.lastSeq ?? msg.seq - 1) + 1;
    if (msg.seq < next) return;
    if (msg.seq > next) {
      // Cannot happen while the server keeps its promise; asking again costs little.
      if (room.isAttached) void this.#attach(room);
      return;
    }
    room.lastSeq = msg.seq;
    room.lastId = msg.id;
    this.#emit('message', msg);
  }

  /** @param {string} roomId @param {string} code */
  #lose(roomId, code) {
    if (this.#rooms.delete(roomId)) this.#emit('roomLost', { roomId, code });
  }

  // ---- sends ----

  #flush() {
    if (this.#flushTimer || this.state !== 'online') return;
    for (const msg of this.#outbox.due((roomId) => !!this.#rooms.get(roomId)?.isAttached)) {
      const waitMs = this.#pace.take();
      if (waitMs > 0) return this.#flushIn(waitMs);
      const { roomId, clientMsgId, type, content } = msg;
      if (!this.#write('sendMessage', { roomId, clientMsgId, type, content })) return;
      msg.sentAt = Date.now();
    }
  }

  /** @param {number} waitMs */
  #flushIn(waitMs) {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = setTimeout(() => {
      this.#flushTimer = undefined;
      this.#flush();
    }, waitMs);
  }

  /** @param {string} clientMsgId */
  #accepted(clientMsgId) {
    const msg = this.#outbox.find(clientMsgId);
    if (!msg || msg.stage === 'accepted') return;
    msg.stage = 'accepted';
    this.#emit('send', { ...msg });
  }

  /** @param {Message} stored */
  #stored({ senderId, clientMsgId }) {
    const msg = senderId === this.userId ? this.#outbox.find(clientMsgId) : undefined;
    if (!msg) return;
    this.#outbox.remove(clientMsgId);
    this.#emit('send', { ...msg, stage: 'stored' });
  }

  /** @param {{clientMsgId: string|null, error: string, retryable: boolean, retryAfterMs?: number}} failure */
  #failed({ clientMsgId, error, retryable, retryAfterMs }) {
    const msg = clientMsgId === null ? undefined : this.#outbox.find(clientMsgId);
    if (!msg) return;
    if (retryable) {
      msg.sentAt = null;
      return this.#flushIn(retryAfterMs ?? FIRST_BACKOFF_MS * (1 + Math.random()));
    }
    this.#outbox.remove(msg.clientMsgId);
    this.#emit('send', { ...msg, stage: 'failed', error });
  }

  // ---- events ----

  /** @param {State} state */
  #become(state) {
    this.state = state;
    this.#emit('state', { state });
  }

  /** @param {string} name @param {object} detail */
  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
