/**
 * The client library of roomcast: one socket that comes back by itself, rooms without a gap or a
 * double, and sends that are repeated until their fate is known.
 *
 * One file without dependencies, for browsers and Node from 20 on. See docs/CLIENTS.md for its use,
 * docs/PROTOCOL.md for what it speaks, and roomcast.d.ts for all types.
 *
 *   const client = new Roomcast({ url: 'https://chat.example.com', token });
 *   client.on('message', ({ content }) => console.log(content));
 *   await client.connect();
 *   await client.joinRoom(roomId);
 *   await client.send(roomId, 'Hello');
 *
 * In this file: errors · REST · the outbox · waits · the client (connection, token, frames, rooms,
 * sends, typing and reading, events) · small things.
 */

/** @typedef {import('./roomcast.js').State} State */
/** @typedef {import('./roomcast.js').Message} Message */
/** @typedef {import('./roomcast.js').Outgoing} Outgoing */
/** @typedef {import('./roomcast.js').Sending} Sending */
/** @typedef {import('./roomcast.js').Cursor} Cursor */
/** @typedef {import('./roomcast.js').Ready} Ready */
/** @typedef {import('./roomcast.js').Session} Session */
/** @typedef {import('./roomcast.js').Timing} Timing */
/** @typedef {import('./roomcast.js').RoomcastEvents} RoomcastEvents */
/** @typedef {import('./roomcast.js').RoomcastOptions} RoomcastOptions */
/** @typedef {import('./roomcast.js').RestOptions} RestOptions */
/** @typedef {import('./roomcast.js').JoinOptions} JoinOptions */

/** @type {Timing} */
const TIMING = {
  firstBackoffMs: 500,
  maxBackoffMs: 15_000,
  heartbeatMs: 25_000,
  heartbeatTimeoutMs: 10_000,
  answerTimeoutMs: 15_000,
};

/** A connection that lasted this long was a good one: the next backoff starts anew. */
const STABLE_MS = 5_000;
/** Whoever was too much for the server waits as if it had failed this often. */
const TOO_MANY_ATTEMPTS = 4;
/** Clocks are looked at this often; one that has jumped was asleep. */
const TICK_MS = 5_000;
/** The part of a token's life after which it is renewed, less a tenth at random. */
const RENEW_AT = 0.8;
/** The longest that timers can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** Longer than the server lets any answer take. */
const REST_TIMEOUT_MS = 15_000;
const MAX_WAITING = 1_000;
const HISTORY = 50;
const MAX_PAGE = 100;
/** Before every message. */
const FIRST_ID = '0'.repeat(26);
/** The server's limit of joins, beside the burst that it tells. */
const JOINS_PER_S = 10;
/** That one types is said again this often … */
const TYPING_REPEAT_MS = 3_000;
/** … until no key came for this long … */
const TYPING_PAUSE_MS = 5_000;
/** … and of others it is believed for this long. */
const TYPING_BELIEVED_MS = 8_000;
/** A room's read cursor is told at most this often. */
const READ_PAUSE_MS = 1_000;

/** `readyState` of an open WebSocket. */
const OPEN = 1;

/** Why a socket was closed, where it makes a difference. */
const Close = {
  NORMAL: 1000,
  LOST: 1006,
  NOT_AUTHENTICATED: 4401,
  FORBIDDEN: 4403,
  TOO_MANY: 4429,
};

// ------------------------------------------------------------------------------------- errors

/** A refusal: `code` is stable, the message is for people. */
export class RoomcastError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{status?: number, retryable?: boolean, retryAfterMs?: number,
   *   fields?: {path: string, message: string}[]}} [details]
   */
  constructor(code, message, { status = 0, retryable, retryAfterMs, fields = [] } = {}) {
    super(message);
    this.name = 'RoomcastError';
    this.code = code;
    this.status = status;
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
    this.fields = fields;
  }
}

const lost = () => new RoomcastError('UNREACHABLE', 'The connection was lost.');

// --------------------------------------------------------------------------------------- REST

/** The REST side of roomcast; every method throws a `RoomcastError`. */
export class Rest {
  #fetch;

  /** @param {RestOptions} [options] */
  constructor({ url = globalThis.location?.origin, token = null, fetch } = {}) {
    if (!url) throw new TypeError('outside a browser the server’s `url` must be given');
    this.url = new URL(url);
    if (!this.url.pathname.endsWith('/')) this.url.pathname += '/';
    this.token = token;
    this.#fetch =
      fetch ??
      ((/** @type {URL} */ to, /** @type {RequestInit} */ how) => globalThis.fetch(to, how));
  }

  /**
   * Sends a request and returns the answer's status, body and headers.
   *
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<{status: number, body: any, headers: Headers}>}
   */
  async request(method, path, body) {
    const headers = new Headers(body && { 'Content-Type': 'application/json' });
    if (this.token) authorize(headers, this.token);
    const signal = AbortSignal.timeout(REST_TIMEOUT_MS);
    const url = new URL(path.replace(/^\//, ''), this.url);
    let answer;
    let text;
    try {
      answer = await this.#fetch(url, {
        method,
        headers,
        signal,
        body: body && JSON.stringify(body),
      });
      text = await answer.text();
    } catch {
      const details = { retryable: true };
      throw new RoomcastError('UNREACHABLE', 'The server cannot be reached.', details);
    }
    const json = parse(text);
    if (!answer.ok) throw refusal(answer, json);
    return { status: answer.status, body: json, headers: answer.headers };
  }

  /** @param {{email: string, password: string, displayName?: string}} account */
  async register({ email, password, displayName }) {
    return (await this.request('POST', '/auth/register', { email, password, displayName })).body;
  }

  /** Signs in, and keeps the token. @param {{email: string, password: string}} account */
  async login({ email, password }) {
    return this.#keep(await this.request('POST', '/auth/login', { email, password }));
  }

  /** Gets a token that lasts longer, and keeps it. */
  async refresh() {
    return this.#keep(await this.request('POST', '/auth/refresh'));
  }

  /** Ends this login: its tokens are refused, its sockets are closed. */
  async logout() {
    await this.request('POST', '/auth/logout');
  }

  async me() {
    return (await this.request('GET', '/me')).body;
  }

  /** @param {{current: string, new: string}} passwords */
  async changePassword(passwords) {
    await this.request('POST', '/me/password', passwords);
  }

  /**
   * Returns a page of one's rooms, latest activity first, and the cursor of the next page.
   *
   * @param {{limit?: number, cursor?: string}} [page]
   */
  async rooms(page = {}) {
    const { body, headers } = await this.request('GET', `/rooms?${query(page)}`);
    const link = /<([^>]*)>\s*;\s*rel="?next"?/.exec(headers.get('Link') ?? '')?.[1];
    const next = link ? new URL(link, this.url).searchParams.get('cursor') : null;
    return { rooms: body, next };
  }

  /** Returns all of one's rooms, latest activity first. */
  async allRooms() {
    // Rooms may move between pages meanwhile: by id, so that none is there twice.
    const all = new Map();
    /** @type {string|null|undefined} */
    let cursor;
    do {
      const page = await this.rooms({ limit: MAX_PAGE, ...(cursor && { cursor }) });
      for (const room of page.rooms) if (!all.has(room.id)) all.set(room.id, room);
      cursor = page.next;
    } while (cursor);
    return [...all.values()];
  }

  /** @param {{name: string, visibility?: 'public'|'private'}} room */
  async createRoom({ name, visibility }) {
    return (await this.request('POST', '/rooms', { name, visibility })).body;
  }

  /** Becomes a member of a public room. @param {string} roomId */
  async joinRoom(roomId) {
    return (await this.request('POST', `/rooms/${segment(roomId)}/join`)).body;
  }

  /** Is a member no more. @param {string} roomId */
  async leaveRoom(roomId) {
    await this.request('POST', `/rooms/${segment(roomId)}/leave`);
  }

  /** @param {string} roomId @param {{expiresInSeconds?: number}} [options] */
  async createInvite(roomId, options = {}) {
    return (await this.request('POST', `/rooms/${segment(roomId)}/invites`, options)).body;
  }

  /** @param {string} token of an invite */
  async acceptInvite(token) {
    return (await this.request('POST', `/invites/${segment(token)}/accept`)).body;
  }

  /** @param {string} roomId */
  async members(roomId) {
    return (await this.request('GET', `/rooms/${segment(roomId)}/members`)).body;
  }

  /** @param {string} roomId @param {string} userId */
  async removeMember(roomId, userId) {
    await this.request('DELETE', `/rooms/${segment(roomId)}/members/${segment(userId)}`);
  }

  /** @param {string} roomId @param {string} userId @param {'admin'|'member'} role */
  async setRole(roomId, userId, role) {
    const path = `/rooms/${segment(roomId)}/members/${segment(userId)}`;
    return (await this.request('PATCH', path, { role })).body;
  }

  /**
   * Returns a page of a room's messages, oldest first; without a cursor the newest page.
   *
   * @param {string} roomId
   * @param {{before?: string, after?: string, limit?: number}} [cursor]
   * @returns {Promise<{messages: Message[], hasMore: boolean}>}
   */
  async messages(roomId, cursor = {}) {
    const path = `/rooms/${segment(roomId)}/messages?${query(cursor)}`;
    const { body, headers } = await this.request('GET', path);
    return { messages: body, hasMore: headers.get('X-Has-More') === 'true' };
  }

  /** Moves the read cursor; it never moves back. @param {string} roomId @param {string} lastReadMessageId */
  async markRead(roomId, lastReadMessageId) {
    await this.request('POST', `/rooms/${segment(roomId)}/read`, { lastReadMessageId });
  }

  /** @param {{body: Session}} answer */
  #keep({ body }) {
    this.token = body.accessToken;
    return body;
  }
}

/** @param {Headers} headers @param {string} token */
function authorize(headers, token) {
  try {
    headers.set('Authorization', `Bearer ${token}`);
  } catch {
    const details = { status: 401, retryable: false };
    throw new RoomcastError('UNAUTHENTICATED', 'The token cannot be one.', details);
  }
}

/** @param {Response} answer @param {any} json */
function refusal({ status, headers }, json) {
  /** @type {{path: string, message: string}[]} */
  const fields = json?.errors ?? [];
  const told = fields.map(({ path, message }) => (path ? `${path}: ${message}` : message));
  const message = told.join('; ') || json?.detail || `The server answered ${status}.`;
  const waitS = Number.parseFloat(headers.get('Retry-After') ?? '');
  return new RoomcastError(json?.code ?? 'INTERNAL', message, {
    status,
    retryable: status >= 500 || status === 408 || status === 429,
    retryAfterMs: Number.isFinite(waitS) ? waitS * 1000 : undefined,
    fields,
  });
}

// --------------------------------------------------------------------------------- the outbox

/**
 * @typedef {Outgoing & {
 *   sentAt: number|null,
 *   requestId: number,
 *   isAcknowledged: boolean,
 *   attempts: number,
 *   sending: Sending,
 *   accepted: Deferred<void>,
 *   stored: Deferred<Message>,
 * }} Entry `sentAt` and `isAcknowledged` are about this connection
 */

/** What was sent and is not known to be stored yet. Nothing here touches a socket. */
class Outbox {
  /** @type {Map<string, Entry>} */
  #entries = new Map();

  get size() {
    return this.#entries.size;
  }

  /** @param {string} roomId @param {string} clientMsgId @param {'TEXT'|'IMAGE'} type @param {string} content */
  add(roomId, clientMsgId, type, content) {
    const [accepted, stored] = [/** @type {Deferred<void>} */ (deferred()), deferred()];
    const sending = Object.assign(stored.promise, { clientMsgId, accepted: accepted.promise });
    /** @type {Entry} */
    const entry = {
      roomId,
      clientMsgId,
      type,
      content,
      stage: 'sending',
      createdAt: Date.now(),
      sentAt: null,
      requestId: 0,
      isAcknowledged: false,
      attempts: 0,
      sending,
      accepted,
      stored,
    };
    this.#entries.set(clientMsgId, entry);
    return entry;
  }

  /**
   * Returns the messages to send now. Of each room only the first that has no answer: were it refused
   * for the moment and the next one taken, their order would be lost.
   *
   * @param {(roomId: string) => boolean} isOpen whether the room can take messages
   * @param {number} answerTimeoutMs
   */
  due(isOpen, answerTimeoutMs) {
    const late = Date.now() - answerTimeoutMs;
    const seen = new Set();
    return this.all().filter(({ roomId, isAcknowledged, sentAt }) => {
      if (isAcknowledged || seen.has(roomId)) return false;
      seen.add(roomId);
      return isOpen(roomId) && (sentAt === null || sentAt < late);
    });
  }

  all() {
    return [...this.#entries.values()];
  }

  /** @param {string} clientMsgId */
  find(clientMsgId) {
    return this.#entries.get(clientMsgId);
  }

  /** What a failure is about that names no `clientMsgId`, such as one that is none. @param {number} [requestId] */
  sentAs(requestId) {
    return this.all().find((entry) => entry.requestId === requestId);
  }

  /** @param {string} clientMsgId */
  remove(clientMsgId) {
    return this.#entries.delete(clientMsgId);
  }

  /** Everything unstored goes out again on the next connection, accepted or not. */
  connectionLost() {
    for (const entry of this.#entries.values()) {
      entry.sentAt = null;
      entry.isAcknowledged = false;
    }
  }
}

// -------------------------------------------------------------------------------------- waits

/** Keeps to a limit of the server, so that a long queue is not a flood. */
class Pace {
  #tokens = 1;
  #filledAt = 0;
  #burst = 1;
  #perS = 1;

  /** @param {number} burst @param {number} perS either 0: no limit */
  limit(burst, perS) {
    const isLimited = burst > 0 && perS > 0;
    this.#burst = isLimited ? burst : Infinity;
    this.#perS = perS;
    this.#tokens = this.#burst;
    this.#filledAt = Date.now();
  }

  /** Takes one and returns 0, or returns how many milliseconds to wait for one. */
  take() {
    if (this.#burst === Infinity) return 0;
    const now = Date.now();
    const earned = (Math.max(0, now - this.#filledAt) / 1000) * this.#perS;
    this.#tokens = Math.min(this.#burst, this.#tokens + earned);
    this.#filledAt = now;
    if (this.#tokens < 1) return Math.ceil(((1 - this.#tokens) / this.#perS) * 1000);
    this.#tokens -= 1;
    return 0;
  }
}

/**
 * Full jitter: clients that lost the server together do not come back together.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 *
 * @param {number} attempt from 0
 * @param {Timing} timing
 */
function backoff(attempt, { firstBackoffMs, maxBackoffMs }) {
  return Math.random() * Math.min(maxBackoffMs, firstBackoffMs * 2 ** attempt);
}

// --------------------------------------------------------------------------------- the client

/**
 * @typedef {object} Room
 * @property {string} id
 * @property {string|undefined} epoch
 * @property {number|null} lastSeq null until anything was read
 * @property {string} lastId of the message with `lastSeq`
 * @property {number} heardSeq the highest that this connection brought, dropped or not
 * @property {number} history how many messages to begin with
 * @property {'away'|'reading'|'joining'|'live'} phase what this connection does for the room;
 *   messages of the socket count while it is joining (the replay) and live
 * @property {number} attempts failed ones to attach, in a row
 * @property {Deferred<void>} opened
 * @property {string} readId how far the user has read
 * @property {string} toldReadId how far the server knows it
 * @property {ReturnType<typeof setTimeout>|undefined} readTimer
 * @property {number} typedAt when it was last said that the user types; 0: it is not
 * @property {ReturnType<typeof setTimeout>|undefined} typingTimer
 */

/** @typedef {import('./roomcast.js').WebSocketClass} WebSocketClass */

export class Roomcast extends EventTarget {
  /** @type {State} */
  #state = 'offline';
  /** @type {Ready|null} */
  #hello = null;
  #WebSocket;
  #getToken;
  #maxWaiting;
  /** @type {Timing} */
  #timing;
  #isHeartbeatGiven;

  /** @type {InstanceType<WebSocketClass>|null} */
  #socket = null;
  /** Counts connections and their ends: whoever waited finds out that the world is another one. */
  #turn = 0;
  #isReady = false;
  /** @type {string|null} */
  #socketToken = null;
  /** @type {Deferred<Ready>|null} */
  #connected = null;
  /** @type {AbortController|null} */
  #pageEvents = null;
  /** How a handshake was refused, where that can be seen. */
  #handshakeStatus = 0;
  #attempt = 0;
  #readyAt = 0;
  #notBefore = 0;
  /** The server's clock less one's own. */
  #clockAheadMs = 0;
  #expiresAt = 0;
  #renewAt = Infinity;
  /** Renewals that failed, in a row. */
  #renewals = 0;
  #tickedAt = 0;
  #beatAt = 0;

  /** @type {Map<number, {resolve: (data: any) => void, reject: (error: Error) => void}>} */
  #requests = new Map();
  #lastRequest = 0;
  /** @type {Map<string, Room>} */
  #rooms = new Map();
  #outbox = new Outbox();
  #sendPace = new Pace();
  #joinPace = new Pace();
  /** Others who type: when to stop believing it. @type {Map<string, {roomId: string, userId: string, timer: ReturnType<typeof setTimeout>}>} */
  #typists = new Map();

  /** Of this connection; they end with it. @type {Set<ReturnType<typeof setTimeout>>} */
  #timers = new Set();
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #retryTimer;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #deadTimer;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #flushTimer;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #renewTimer;
  /** @type {ReturnType<typeof setInterval>|undefined} */
  #ticker;

  /** @param {RoomcastOptions} [options] */
  constructor({ WebSocket, getToken, maxWaiting = MAX_WAITING, timing = {}, ...rest } = {}) {
    super();
    this.rest = new Rest(rest);
    const given = WebSocket ?? /** @type {WebSocketClass|undefined} */ (globalThis.WebSocket);
    if (!given)
      throw new TypeError('this platform needs a `WebSocket` class, such as that of `ws`');
    this.#WebSocket = given;
    this.#getToken = getToken ?? (() => null);
    this.#maxWaiting = maxWaiting;
    this.#timing = { ...TIMING, ...timing };
    this.#isHeartbeatGiven = timing.heartbeatMs !== undefined;
  }

  get state() {
    return this.#state;
  }

  get userId() {
    return this.#hello?.userId ?? null;
  }

  get limits() {
    return this.#hello?.limits ?? null;
  }

  get waiting() {
    return this.#outbox.size;
  }

  get outbox() {
    return this.#outbox.all().map(outgoing);
  }

  // ---- the connection ----

  /**
   * Connects, and stays connected until `disconnect` or until the token is refused.
   *
   * @returns {Promise<Ready>} resolves when ready; rejects when that will not be
   */
  connect() {
    if (this.#isReady && this.#hello) return Promise.resolve(this.#hello);
    this.#connected ??= deferred();
    const { promise } = this.#connected;
    this.#watchPage();
    if (!this.#socket) this.#open();
    return promise;
  }

  /** Drops the connection; rooms and waiting messages are kept for the next `connect`. */
  disconnect() {
    this.#release();
    this.#unwatchPage();
    if (this.#state !== 'ended') this.#become('offline');
    this.#connected?.reject(new RoomcastError('UNREACHABLE', 'The client was disconnected.'));
    this.#connected = null;
  }

  #open() {
    clearTimeout(this.#retryTimer);
    this.#turn += 1;
    this.#become('connecting');
    const url = new URL('ws', this.rest.url);
    url.protocol = url.protocol.replace('http', 'ws');
    const { token } = this.rest;
    this.#socketToken = token;
    this.#handshakeStatus = 0;
    let socket;
    try {
      if (!token) throw new Error('no token');
      socket = new this.#WebSocket(String(url), ['roomcast.v1', `bearer.${token}`]);
    } catch {
      // No token, or one that no header can carry.
      return void this.#closed(Close.NOT_AUTHENTICATED);
    }
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#handle(JSON.parse(data));
    socket.onclose = ({ code }) => void this.#closed(code);
    // `ws` tells the status of a refused handshake, browsers do not.
    socket.onerror = ({ message }) => {
      this.#handshakeStatus = Number(/response: (\d{3})/.exec(message ?? '')?.[1] ?? 0);
    };
    this.#later(this.#timing.answerTimeoutMs, () => {
      if (!this.#isReady) void this.#closed(Close.LOST);
    });
  }

  /** @param {Ready} ready */
  #ready(ready) {
    if (this.#hello && this.#hello.userId !== ready.userId) this.#forgetUser();
    this.#hello = ready;
    this.#isReady = true;
    this.#readyAt = Date.now();
    this.#notBefore = 0;
    if (!this.#isHeartbeatGiven) this.#timing.heartbeatMs = ready.heartbeatIntervalMs;
    this.#sendPace.limit(ready.limits.sendBurst, ready.limits.sendPerS);
    this.#joinPace.limit(ready.limits.joinBurst, JOINS_PER_S);
    this.#expiresAt = Date.parse(ready.expiresAt);
    this.#become('online');
    this.#startTicking();
    // Its answer tells the server's time, by which the end of the token is counted.
    this.#beat();
    for (const room of this.#rooms.values()) void this.#attach(room);
    this.#connected?.resolve(ready);
    this.#connected = null;
  }

  /** Takes the socket away without waiting for its close. */
  #release() {
    this.#turn += 1;
    const socket = this.#socket;
    this.#socket = null;
    this.#isReady = false;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.onerror = () => {};
      try {
        socket.close(Close.NORMAL);
      } catch {
        // It was closed while it was opening: as good.
      }
    }
    clearTimeout(this.#retryTimer);
    clearInterval(this.#ticker);
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#deadTimer = this.#flushTimer = this.#renewTimer = undefined;
    for (const room of this.#rooms.values()) {
      room.phase = 'away';
      room.readTimer = room.typingTimer = undefined;
      room.typedAt = 0;
    }
    for (const { reject } of [...this.#requests.values()]) reject(lost());
    this.#requests.clear();
    this.#outbox.connectionLost();
    for (const { roomId, userId } of [...this.#typists.values()])
      this.#typed(roomId, userId, false);
  }

  /** @param {number} code */
  async #closed(code) {
    const [wasReady, token, status] = [this.#isReady, this.#socketToken, this.#handshakeStatus];
    if (wasReady && Date.now() - this.#readyAt > STABLE_MS) this.#attempt = 0;
    this.#release();
    const turn = this.#turn;
    this.#become('waiting');
    if (code === Close.FORBIDDEN) return this.#end('FORBIDDEN', 'The server refuses this client.');
    const isQuestion = code === Close.NOT_AUTHENTICATED || !wasReady;
    const why = isQuestion ? await this.#askWhy() : null;
    if (turn !== this.#turn) return;
    if (why?.status === 401 || !this.rest.token) {
      const isThere = await this.#findToken(token);
      if (turn !== this.#turn) return;
      if (!isThere) return this.#end('UNAUTHENTICATED', 'The session has ended. Sign in again.');
    }
    if (code === Close.TOO_MANY || status === 429) {
      this.#attempt = Math.max(this.#attempt, TOO_MANY_ATTEMPTS);
    }
    const told = Math.max(this.#notBefore - Date.now(), why?.retryAfterMs ?? 0, 0);
    const retryInMs = told + backoff(this.#attempt, this.#timing);
    this.#attempt += 1;
    this.#retryTimer = setTimeout(() => this.#open(), Math.min(retryInMs, MAX_TIMER_MS));
    this.#become('waiting', { retryInMs });
  }

  /** A browser does not say why a handshake failed; REST does. @returns {Promise<RoomcastError|null>} */
  async #askWhy() {
    if (!this.rest.token) return null;
    try {
      await this.rest.me();
      return null;
    } catch (error) {
      return /** @type {RoomcastError} */ (error);
    }
  }

  /** Whether there is another token than the one that was refused. @param {string|null} refused */
  async #findToken(refused) {
    // Somebody may have set one since.
    if (this.rest.token && this.rest.token !== refused) return true;
    try {
      const token = await this.#getToken();
      if (!token || token === refused) return false;
      this.rest.token = token;
    } catch {
      // It could not be asked for now: the refused one will be refused again, and this asked again.
    }
    return true;
  }

  /** @param {string} code @param {string} message */
  #end(code, message) {
    this.#release();
    this.#unwatchPage();
    const error = new RoomcastError(code, message, { retryable: false });
    this.#become('ended', { error });
    this.#connected?.reject(error);
    this.#connected = null;
  }

  /** Somebody else signed in on this client: nothing of the former user may go out as theirs. */
  #forgetUser() {
    for (const entry of this.#outbox.all()) this.#fail(entry, 'ENDED', 'Another user signed in.');
  }

  // ---- whether it lives ----

  #startTicking() {
    this.#tickedAt = this.#beatAt = Date.now();
    const everyMs = Math.min(TICK_MS, this.#timing.heartbeatMs);
    this.#ticker = setInterval(() => this.#tick(everyMs), everyMs);
  }

  /** @param {number} everyMs */
  #tick(everyMs) {
    const now = Date.now();
    // Timers stand still while a machine sleeps, its clock does not.
    const wasAsleep = now - this.#tickedAt > everyMs + TICK_MS;
    this.#tickedAt = now;
    if (wasAsleep) this.#wake();
    else if (now - this.#beatAt >= this.#timing.heartbeatMs) this.#beat();
    this.#flush();
  }

  /** Looks after what may have happened unseen. */
  #wake() {
    if (this.#state === 'waiting') {
      this.#attempt = 0;
      if (Date.now() >= this.#notBefore) this.#open();
    } else if (this.#isReady) {
      this.#beat();
      if (this.#serverNow() >= this.#renewAt) void this.#renew();
    }
  }

  /** Any frame is an answer; a server that gives none is as good as gone. */
  #beat() {
    if (this.#deadTimer !== undefined) return;
    this.#beatAt = Date.now();
    const gone = () => void this.#closed(Close.LOST);
    this.#deadTimer = this.#later(this.#timing.heartbeatTimeoutMs, gone);
    this.#request('heartbeat', {}).then(
      ({ serverTime }) => this.#setClock(new Date(serverTime).getTime() - Date.now()),
      () => {},
    );
  }

  #heard() {
    this.#cancel(this.#deadTimer);
    this.#deadTimer = undefined;
  }

  /** A browser knows of its network, and of being looked at again. */
  #watchPage() {
    const { window, document } = globalThis;
    if (this.#pageEvents || !window) return;
    this.#pageEvents = new AbortController();
    const { signal } = this.#pageEvents;
    window.addEventListener('online', () => this.#wake(), { signal });
    window.addEventListener('pageshow', () => this.#wake(), { signal });
    const drop = () => this.#socket && void this.#closed(Close.LOST);
    window.addEventListener('offline', drop, { signal });
    // What was read last would else be forgotten with the page.
    const tell = () => {
      for (const room of this.#rooms.values()) {
        this.#cancel(room.readTimer);
        room.readTimer = undefined;
        this.#tellRead(room);
      }
    };
    window.addEventListener('pagehide', tell, { signal });
    const look = () => document.visibilityState === 'visible' && this.#wake();
    document?.addEventListener('visibilitychange', look, { signal });
  }

  #unwatchPage() {
    this.#pageEvents?.abort();
    this.#pageEvents = null;
  }

  // ---- the token ----

  /** @param {number} aheadMs */
  #setClock(aheadMs) {
    this.#clockAheadMs = aheadMs;
    if (this.#renewTimer === undefined) this.#planRenewal();
  }

  #serverNow() {
    return Date.now() + this.#clockAheadMs;
  }

  #planRenewal() {
    const leftMs = Math.max(0, this.#expiresAt - this.#serverNow());
    this.#renewIn(leftMs * RENEW_AT * (1 - Math.random() / 10));
  }

  /** @param {number} ms */
  #renewIn(ms) {
    this.#renewAt = this.#serverNow() + ms;
    this.#cancel(this.#renewTimer);
    const isFar = ms > MAX_TIMER_MS;
    const act = () => (isFar ? this.#planRenewal() : void this.#renew());
    this.#renewTimer = this.#later(Math.min(ms, MAX_TIMER_MS), act);
  }

  /** Gets another token in time, and tells the live socket. */
  async #renew() {
    const turn = this.#turn;
    this.#renewAt = Infinity;
    try {
      const session = await this.rest.refresh();
      this.#emit('token', session);
      if (turn !== this.#turn) return;
      const ready = await this.#request('authenticate', { token: session.accessToken });
      this.#socketToken = session.accessToken;
      this.#expiresAt = Date.parse(ready.expiresAt);
      this.#renewals = 0;
      this.#planRenewal();
    } catch (error) {
      // A token that is refused now will be so by the socket, which is where that is dealt with.
      if (turn !== this.#turn || /** @type {RoomcastError} */ (error).status === 401) return;
      const toldMs = /** @type {RoomcastError} */ (error).retryAfterMs ?? 0;
      this.#renewIn(toldMs + backoff(this.#renewals, this.#timing));
      this.#renewals += 1;
    }
  }

  // ---- frames ----

  /** @param {{event: string, data: any, id?: number}} frame */
  #handle({ event, data, id }) {
    this.#heard();
    const request = id === undefined ? undefined : this.#requests.get(id);
    switch (event) {
      case 'ready':
        return request ? request.resolve(data) : this.#ready(data);
      case 'newMessage':
        return this.#receive(data);
      case 'messageAccepted':
        return this.#accepted(data.clientMsgId);
      case 'messageFailed':
        return this.#failed(this.#outbox.find(data.clientMsgId) ?? this.#outbox.sentAs(id), data);
      case 'reconnect':
        this.#notBefore = Date.now() + data.afterMs;
        return;
      case 'error':
        return this.#refused(data, id);
      case 'typing':
        return this.#typed(data.roomId, data.userId, data.isTyping);
    }
    if (request) return request.resolve(data);
    this.#emit(/** @type {any} */ (event), data);
    const isOwn = event === 'memberLeft' && data.userId === this.userId;
    if (isOwn) this.#lose(data.roomId, 'NOT_MEMBER');
  }

  /**
   * Tells whoever waits for an answer, else all who listen.
   *
   * @param {RoomcastEvents['error']} refusal
   * @param {number} [id] of the frame that is refused
   */
  #refused(refusal, id) {
    const { code, message } = refusal;
    const entry = this.#outbox.sentAs(id);
    const request = id === undefined ? undefined : this.#requests.get(id);
    if (entry) this.#failed(entry, { ...refusal, error: message });
    else if (request) request.reject(new RoomcastError(code, message, refusal));
    else this.#emit('error', refusal);
  }

  /** @param {string} event @param {object} data @param {number} [id] */
  #write(event, data, id) {
    const socket = this.#socket;
    if (!this.#isReady || socket?.readyState !== OPEN) return false;
    socket.send(JSON.stringify({ event, data, id }));
    return true;
  }

  /**
   * @param {string} event
   * @param {object} data
   * @param {(reply: any) => any} [read] makes the result, before any later frame is looked at
   * @returns {Promise<any>} the reply's data, or what `read` makes of it
   */
  #request(event, data, read = (reply) => reply) {
    this.#lastRequest += 1;
    const id = this.#lastRequest;
    return new Promise((resolve, reject) => {
      if (!this.#write(event, data, id)) return reject(lost());
      const timer = this.#later(this.#timing.answerTimeoutMs, () => settle(reject)(lost()));
      /** @type {<T>(settled: (value: T) => void) => (value: T) => void} */
      const settle = (settled) => (value) => {
        this.#cancel(timer);
        this.#requests.delete(id);
        settled(value);
      };
      const done = settle(resolve);
      this.#requests.set(id, { resolve: (reply) => done(read(reply)), reject: settle(reject) });
    });
  }

  // ---- rooms ----

  /**
   * Follows a room: its newest messages or those after a cursor, then the live ones, as events.
   *
   * @param {string} roomId
   * @param {JoinOptions} [options]
   * @returns {Promise<void>} resolves when the room is caught up and live
   */
  joinRoom(roomId, { history = HISTORY, after } = {}) {
    const id = roomId.toLowerCase();
    const known = this.#rooms.get(id);
    if (known) return known.opened.promise;
    /** @type {Room} */
    const room = {
      id,
      epoch: after?.epoch,
      lastSeq: after?.seq ?? null,
      lastId: after?.id ?? FIRST_ID,
      heardSeq: 0,
      history,
      phase: 'away',
      attempts: 0,
      opened: deferred(),
      readId: '',
      toldReadId: '',
      readTimer: undefined,
      typedAt: 0,
      typingTimer: undefined,
    };
    this.#rooms.set(id, room);
    if (this.#isReady) void this.#attach(room);
    return room.opened.promise;
  }

  /** Stops following a room; membership stays. @param {string} roomId */
  leaveRoom(roomId) {
    const id = roomId.toLowerCase();
    const room = this.#rooms.get(id);
    if (!room) return;
    const left = new RoomcastError('NOT_JOINED', 'The room was left.');
    this.#forget(room, left);
    this.#abandon(id, left.code, left.message);
    this.#write('leaveRoom', { roomId: id });
  }

  /** @param {string} roomId @returns {Cursor|null} where a joined room is */
  cursor(roomId) {
    const room = this.#rooms.get(roomId.toLowerCase());
    if (!room || room.lastSeq === null) return null;
    const { lastSeq: seq, lastId, epoch } = room;
    return { seq, id: lastId === FIRST_ID ? null : lastId, epoch };
  }

  /** Follows a room on this connection, from where it is. @param {Room} room */
  async #attach(room) {
    if (room.phase === 'reading' || room.phase === 'joining') return;
    const turn = this.#turn;
    const isCurrent = () => turn === this.#turn && this.#rooms.get(room.id) === room;
    room.heardSeq = 0;
    const waitMs = this.#joinPace.take();
    if (waitMs > 0) return void this.#later(waitMs, () => isCurrent() && this.#attach(room));
    try {
      const joined = await this.#catchUp(room, isCurrent);
      if (joined) this.#live(room, joined);
    } catch (error) {
      if (isCurrent()) this.#attachFailed(room, /** @type {RoomcastError} */ (error), isCurrent);
    }
  }

  /**
   * Reads what a replay does not bring, until one has brought the room to its head. What the socket
   * pushes while history is read is left: the next replay has it, and nothing has to be kept.
   *
   * @param {Room} room
   * @param {() => boolean} isCurrent
   */
  async #catchUp(room, isCurrent) {
    let truncated = false;
    let replayed = 0;
    for (;;) {
      if (room.lastSeq === null) await this.#readNewest(room, isCurrent);
      if (!isCurrent()) return null;
      room.phase = 'joining';
      const place = { roomId: room.id, after: room.lastSeq, epoch: room.epoch };
      // Frames that came together are handled together: live messages may come before this goes on.
      const reached = (/** @type {any} */ joined) => ({ joined, lastSeq: room.lastSeq ?? 0 });
      const { joined, lastSeq } = await this.#request('joinRoom', place, reached);
      if (!isCurrent()) return null;
      replayed += joined.replayed;
      const isOther = room.epoch !== undefined && room.epoch !== joined.epoch;
      room.epoch = joined.epoch;
      if (!isOther && lastSeq === joined.lastSeq) return { ...joined, replayed, truncated };
      truncated = true;
      if (isOther || lastSeq > joined.lastSeq) this.#reset(room);
      else await this.#readMissed(room, joined.lastSeq, isCurrent);
    }
  }

  /** @param {Room} room @param {() => boolean} isCurrent */
  async #readNewest(room, isCurrent) {
    room.phase = 'reading';
    // At least one, to know where the room is.
    const limit = Math.min(Math.max(room.history, 1), MAX_PAGE);
    const { messages } = await this.rest.messages(room.id, { limit });
    if (!isCurrent()) return;
    const last = messages.at(-1);
    if (room.history === 0 && last) {
      room.lastSeq = last.seq;
      room.lastId = last.id;
      return;
    }
    room.lastSeq = (messages[0]?.seq ?? 1) - 1;
    for (const msg of messages) this.#deliver(room, msg);
  }

  /** @param {Room} room @param {number} upTo @param {() => boolean} isCurrent */
  async #readMissed(room, upTo, isCurrent) {
    room.phase = 'reading';
    // Of its own: who knows a seq alone begins with what is known already.
    let after = room.lastId;
    while ((room.lastSeq ?? 0) < upTo) {
      const { messages } = await this.rest.messages(room.id, { after, limit: MAX_PAGE });
      if (!isCurrent()) return;
      // Stored and yet not to be read: asked again later, as after any other failure.
      const last = messages.at(-1);
      if (!last) throw lost();
      after = last.id;
      for (const msg of messages) this.#deliver(room, msg);
    }
  }

  /** @param {Room} room */
  #reset(room) {
    room.lastSeq = null;
    room.lastId = FIRST_ID;
    room.readId = room.toldReadId = '';
    this.#emit('reset', { roomId: room.id, epoch: /** @type {string} */ (room.epoch) });
  }

  /** @param {Room} room @param {{epoch: string, lastSeq: number, replayed: number, truncated: boolean}} joined */
  #live(room, { epoch, lastSeq, replayed, truncated }) {
    room.phase = 'live';
    room.attempts = 0;
    this.#emit('joined', { roomId: room.id, epoch, lastSeq, replayed, truncated });
    room.opened.resolve();
    this.#tellRead(room);
    this.#flush();
    // A hole cannot be while the server keeps its promise; asking again costs little.
    if (room.heardSeq > (room.lastSeq ?? 0)) void this.#attach(room);
  }

  /** @param {Room} room @param {RoomcastError} error @param {() => boolean} isCurrent */
  #attachFailed(room, error, isCurrent) {
    room.phase = 'away';
    // An expired token is the connection's affair; all else that is final is the room's.
    if (error.retryable === false && error.status !== 401)
      return this.#lose(room.id, error.code, error);
    const waitMs = (error.retryAfterMs ?? 0) + backoff(room.attempts, this.#timing);
    room.attempts += 1;
    this.#later(waitMs, () => isCurrent() && this.#attach(room));
  }

  /** A message from the socket. @param {Message} msg */
  #receive(msg) {
    const room = this.#rooms.get(msg.roomId);
    if (room) room.heardSeq = Math.max(room.heardSeq, msg.seq);
    const isNext = msg.seq === (room?.lastSeq ?? NaN) + 1;
    if (room?.phase === 'live' || (room?.phase === 'joining' && isNext)) this.#deliver(room, msg);
    else this.#stored(msg);
  }

  /** Passes a message on if it is the room's next one. @param {Room} room @param {Message} msg */
  #deliver(room, msg) {
    this.#stored(msg);
    const lastSeq = room.lastSeq ?? 0;
    if (msg.seq <= lastSeq) return;
    if (msg.seq > lastSeq + 1 && room.phase === 'live') return void this.#attach(room);
    room.lastSeq = msg.seq;
    room.lastId = msg.id;
    this.#typed(msg.roomId, msg.senderId, false);
    this.#emit('message', msg);
  }

  /** @param {string} roomId @param {string} code @param {RoomcastError} [error] */
  #lose(roomId, code, error = new RoomcastError(code, 'No longer a member of the room.')) {
    const room = this.#rooms.get(roomId);
    if (!room) return;
    this.#forget(room, error);
    this.#abandon(roomId, code, error.message);
    this.#emit('roomLost', { roomId, code });
  }

  /** Settles the sends of a room that is heard no more. @param {string} roomId @param {string} code @param {string} why */
  #abandon(roomId, code, why) {
    for (const entry of this.#outbox.all()) {
      const told = entry.stage === 'accepted' ? 'It was accepted, but not seen stored.' : why;
      if (entry.roomId === roomId) this.#fail(entry, code, told);
    }
  }

  /** @param {Room} room @param {RoomcastError} error */
  #forget(room, error) {
    this.#rooms.delete(room.id);
    this.#cancel(room.typingTimer);
    this.#cancel(room.readTimer);
    room.opened.reject(error);
    for (const { roomId, userId } of [...this.#typists.values()]) {
      if (roomId === room.id) this.#typed(roomId, userId, false);
    }
  }

  // ---- sends ----

  /**
   * Sends a message now, or as soon as there is a connection.
   *
   * @param {string} roomId
   * @param {string} content
   * @param {{type?: 'TEXT'|'IMAGE', clientMsgId?: string}} [options]
   * @returns {Sending} resolves when it is stored
   */
  send(roomId, content, options = {}) {
    const { type = 'TEXT' } = options;
    // As the server writes it.
    const clientMsgId = (options.clientMsgId ?? randomId()).toLowerCase();
    const known = this.#outbox.find(clientMsgId);
    if (known) return known.sending;
    const id = roomId.toLowerCase();
    const room = this.#rooms.get(id);
    const isFull = this.#outbox.size >= this.#maxWaiting;
    const entry = this.#outbox.add(id, clientMsgId, type, wellFormed(content));
    this.#tellSend(entry, 'sending');
    if (!room) this.#fail(entry, 'NOT_JOINED', 'The room is not joined.');
    else if (isFull) this.#fail(entry, 'OUTBOX_FULL', 'Too many messages wait to be sent.');
    else {
      this.#emit('waiting', { waiting: this.waiting });
      this.#stopTyping(room);
      this.#flush();
    }
    return entry.sending;
  }

  #flush() {
    if (this.#flushTimer !== undefined || !this.#isReady) return;
    const isOpen = (/** @type {string} */ roomId) => this.#rooms.get(roomId)?.phase === 'live';
    const due = this.#outbox.due(isOpen, this.#timing.answerTimeoutMs);
    for (const entry of due) {
      const waitMs = this.#sendPace.take();
      if (waitMs > 0) return this.#flushIn(waitMs);
      if (!this.#writeSend(entry)) return;
    }
    // What cannot be sent has made way for the next one of its room.
    if (due.some(({ clientMsgId }) => !this.#outbox.find(clientMsgId))) this.#flush();
  }

  /** @param {Entry} entry @returns {boolean} whether there is a connection still */
  #writeSend(entry) {
    const { roomId, clientMsgId, type, content } = entry;
    this.#lastRequest += 1;
    entry.requestId = this.#lastRequest;
    entry.sentAt = Date.now();
    const data = { roomId, clientMsgId, type, content };
    // Were it sent, the server would close the socket, and so at each repeat.
    const maxBytes = this.#hello?.limits.maxFrameBytes ?? Infinity;
    const frame = { event: 'sendMessage', data, id: entry.requestId };
    if (ENCODER.encode(JSON.stringify(frame)).length > maxBytes) {
      this.#fail(entry, 'PAYLOAD_TOO_LARGE', 'The message is too long.');
      return true;
    }
    return this.#write(frame.event, data, entry.requestId);
  }

  /** @param {number} waitMs */
  #flushIn(waitMs) {
    this.#cancel(this.#flushTimer);
    this.#flushTimer = this.#later(waitMs, () => {
      this.#flushTimer = undefined;
      this.#flush();
    });
  }

  /** @param {string} clientMsgId */
  #accepted(clientMsgId) {
    const entry = this.#outbox.find(clientMsgId);
    if (!entry) return;
    entry.isAcknowledged = true;
    if (entry.stage !== 'accepted') {
      entry.stage = 'accepted';
      entry.accepted.resolve();
      this.#tellSend(entry, 'accepted');
    }
    this.#flush();
  }

  /** @param {Message} message */
  #stored(message) {
    const isOwn = message.senderId === this.userId;
    const entry = isOwn ? this.#outbox.find(message.clientMsgId) : undefined;
    if (!entry || entry.roomId !== message.roomId) return;
    this.#outbox.remove(entry.clientMsgId);
    entry.accepted.resolve();
    entry.stored.resolve(message);
    this.#tellSend(entry, 'stored', { message });
    this.#emit('waiting', { waiting: this.waiting });
    this.#flush();
  }

  /**
   * @param {Entry|undefined} entry
   * @param {{code: string, error: string, retryable: boolean, retryAfterMs?: number}} failure
   */
  #failed(entry, { code, error, retryable, retryAfterMs }) {
    if (!entry) return;
    if (!retryable) {
      this.#fail(entry, code, error);
      this.#flush();
      return;
    }
    entry.sentAt = null;
    entry.attempts += 1;
    this.#flushIn((retryAfterMs ?? 0) + backoff(entry.attempts - 1, this.#timing));
  }

  /** @param {Entry} entry @param {string} code @param {string} error */
  #fail(entry, code, error) {
    this.#outbox.remove(entry.clientMsgId);
    const reason = new RoomcastError(code, error, { retryable: false });
    entry.accepted.reject(reason);
    entry.stored.reject(reason);
    this.#tellSend(entry, 'failed', { code, error });
    this.#emit('waiting', { waiting: this.waiting });
  }

  /** @param {Entry} entry @param {import('./roomcast.js').Stage} stage @param {object} [more] */
  #tellSend({ roomId, clientMsgId, type, content, createdAt }, stage, more = {}) {
    this.#emit('send', { roomId, clientMsgId, type, content, createdAt, stage, ...more });
  }

  // ---- typing and reading ----

  /**
   * Says that the user types, or has stopped. Call it at each key: it is told now and then.
   *
   * @param {string} roomId
   * @param {boolean} [isTyping]
   */
  typing(roomId, isTyping = true) {
    const room = this.#rooms.get(roomId.toLowerCase());
    if (room?.phase !== 'live') return;
    if (!isTyping) {
      const wasTyping = room.typedAt > 0;
      this.#stopTyping(room);
      if (wasTyping) this.#write('typing', { roomId: room.id, isTyping: false });
      return;
    }
    const now = Date.now();
    if (now - room.typedAt >= TYPING_REPEAT_MS) {
      room.typedAt = now;
      this.#write('typing', { roomId: room.id, isTyping: true });
    }
    this.#cancel(room.typingTimer);
    room.typingTimer = this.#later(TYPING_PAUSE_MS, () => this.typing(room.id, false));
  }

  /** @param {Room} room */
  #stopTyping(room) {
    this.#cancel(room.typingTimer);
    room.typingTimer = undefined;
    room.typedAt = 0;
  }

  /** Tells of another who types, until it is said or likely to be over. @param {string} roomId @param {string} userId @param {boolean} isTyping */
  #typed(roomId, userId, isTyping) {
    const key = `${roomId} ${userId}`;
    const known = this.#typists.get(key);
    this.#cancel(known?.timer);
    this.#typists.delete(key);
    if (isTyping) {
      const stop = () => this.#typed(roomId, userId, false);
      this.#typists.set(key, { roomId, userId, timer: this.#later(TYPING_BELIEVED_MS, stop) });
    }
    if (!known !== !isTyping) this.#emit('typing', { roomId, userId, isTyping });
  }

  /**
   * Moves the read cursor forward, also when there is no connection now.
   *
   * @param {string} roomId
   * @param {string} lastReadMessageId
   */
  markRead(roomId, lastReadMessageId) {
    const room = this.#rooms.get(roomId.toLowerCase());
    if (!room || room.readId >= lastReadMessageId) return;
    room.readId = lastReadMessageId;
    this.#tellRead(room);
  }

  /** @param {Room} room */
  #tellRead(room) {
    const isTold = room.readId === room.toldReadId;
    if (isTold || room.phase !== 'live' || room.readTimer !== undefined) return;
    const lastReadMessageId = room.readId;
    room.readTimer = this.#later(READ_PAUSE_MS, () => {
      room.readTimer = undefined;
      this.#tellRead(room);
    });
    this.#request('markRead', { roomId: room.id, lastReadMessageId }).then(
      (updated) => {
        room.toldReadId = lastReadMessageId;
        this.#emit('readUpdated', updated);
      },
      ({ retryable }) => {
        if (retryable === false) room.toldReadId = lastReadMessageId;
      },
    );
  }

  // ---- events and timers ----

  /**
   * Listens to an event by its `detail`; the returned function ends that.
   *
   * @template {keyof RoomcastEvents} K
   * @param {K} name
   * @param {(detail: RoomcastEvents[K]) => void} listener
   * @param {{signal?: AbortSignal}} [options]
   */
  on(name, listener, options) {
    const unwrap = (/** @type {Event} */ event) => {
      listener(/** @type {CustomEvent} */ (event).detail);
    };
    this.addEventListener(name, unwrap, options);
    return () => this.removeEventListener(name, unwrap);
  }

  /** @param {State} state @param {{retryInMs?: number, error?: RoomcastError}} [more] */
  #become(state, more = {}) {
    this.#state = state;
    this.#emit('state', { state, waiting: this.waiting, ...more });
  }

  /**
   * @template {keyof RoomcastEvents} K
   * @param {K} name
   * @param {RoomcastEvents[K]} detail
   */
  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** A timer that ends with the connection. @param {number} ms @param {() => void} act */
  #later(ms, act) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
    return timer;
  }

  /** @param {ReturnType<typeof setTimeout>|undefined} timer */
  #cancel(timer) {
    if (timer === undefined) return;
    clearTimeout(timer);
    this.#timers.delete(timer);
  }
}

// ------------------------------------------------------------------------------- small things

/**
 * @template T
 * @typedef {{promise: Promise<T>, resolve: (value: T) => void, reject: (error: Error) => void}} Deferred
 */

/**
 * A promise that is settled from outside. Nobody has to look at it: all that is told by it is told
 * by events too.
 *
 * @template T
 * @returns {Deferred<T>}
 */
function deferred() {
  let resolve = /** @type {(value: T) => void} */ (() => {});
  let reject = /** @type {(error: Error) => void} */ (() => {});
  /** @type {Promise<T>} */
  const promise = new Promise((onDone, onError) => {
    resolve = onDone;
    reject = onError;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder('utf-8', { ignoreBOM: true });

/** Replaces halves of characters, which no JSON parser takes. @param {string} text */
function wellFormed(text) {
  return DECODER.decode(ENCODER.encode(text));
}

/** @param {Entry} entry @returns {Outgoing} */
function outgoing({ roomId, clientMsgId, type, content, stage, createdAt }) {
  return { roomId, clientMsgId, type, content, stage, createdAt };
}

/** A random UUID; `crypto.randomUUID` is missing where a page is served without TLS. */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** @param {Record<string, string|number|undefined>} values */
function query(values) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined) given.set(name, String(value));
  }
  return given;
}

/** @param {string} id */
const segment = (id) => encodeURIComponent(id);

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
