// The types of `roomcast.js`, the client library of roomcast.

/** How a client is connected; `ended` is for good: the token was refused and there is no other. */
export type State = 'offline' | 'connecting' | 'online' | 'waiting' | 'ended';

/** How far a sent message has come. */
export type Stage = 'sending' | 'accepted' | 'stored' | 'failed';

/** A stored message. */
export interface Message {
  /** A ULID: ids of a room are in its order. */
  id: string;
  roomId: string;
  /** Its place in the room: 1, 2, 3, … without a gap. */
  seq: number;
  senderId: string;
  clientMsgId: string;
  type: 'TEXT' | 'IMAGE' | 'SYSTEM';
  content: string;
  createdAt: string;
}

/** A message that is sent and not known to be stored yet. */
export interface Outgoing {
  roomId: string;
  /** The same at every repeat: the server stores it once. */
  clientMsgId: string;
  type: 'TEXT' | 'IMAGE';
  content: string;
  stage: 'sending' | 'accepted';
  /** When `send` was called, in milliseconds since 1970. */
  createdAt: number;
}

/**
 * What `send` returns: a promise of the stored message, and what can be told before.
 * It need not be awaited: a failure that nobody looks at is told by the `send` event alone.
 */
export interface Sending extends Promise<Message> {
  readonly clientMsgId: string;
  /** Resolves when the message can no longer be lost; rejects if it never is accepted. */
  readonly accepted: Promise<void>;
}

/** A place in a room, to go on from. A `Message` with an `epoch` beside it is one. */
export interface Cursor {
  /** The last message that was seen; 0 and null for none. */
  seq: number;
  id: string | null;
  /** The history that `seq` belongs to; left out: not checked. */
  epoch?: string;
}

export interface User {
  id: string;
  email: string;
  displayName: string;
  createdAt?: string;
}

export interface Session {
  accessToken: string;
  tokenType: 'Bearer';
  /** In seconds. */
  expiresIn: number;
}

/** A room of the list of one's rooms. */
export interface RoomSummary {
  id: string;
  name: string;
  visibility: 'public' | 'private';
  createdAt: string;
  lastMessageId: string | null;
  lastMessageAt: string | null;
  lastSeq: number;
  lastReadMessageId: string | null;
  unreadCount: number;
  epoch: string;
}

export type Role = 'owner' | 'admin' | 'member';

export interface Membership {
  roomId: string;
  userId: string;
  role: Role;
  joinedAt: string;
}

export interface Member extends Membership {
  displayName: string;
  lastReadMessageId: string | null;
  /** Has a live socket; null when presence is unknown. */
  online: boolean | null;
}

export interface Invite {
  token: string;
  roomId: string;
  expiresAt: string;
}

export interface Page {
  /** Oldest first. */
  messages: Message[];
  /** Whether there are more in the direction that was asked for. */
  hasMore: boolean;
}

/** What the server says when a socket is signed in. */
export interface Ready {
  userId: string;
  sessionId: string;
  serverId: string;
  heartbeatIntervalMs: number;
  expiresAt: string;
  limits: {
    maxFrameBytes: number;
    maxContentChars: number;
    sendBurst: number;
    sendPerS: number;
    joinBurst: number;
    maxReplay: number;
  };
}

/**
 * A refusal, by the server or by this library. The server's codes are those of docs/PROTOCOL.md; the
 * library's own are `UNREACHABLE` (no answer), `ENDED`, `NOT_JOINED` and `OUTBOX_FULL`.
 */
export class RoomcastError extends Error {
  constructor(
    code: string,
    message: string,
    details?: {
      status?: number;
      retryable?: boolean;
      retryAfterMs?: number;
      fields?: FieldError[];
    },
  );
  /** Stable, for programs; `message` is for people. */
  readonly code: string;
  /** The status of a REST answer; 0 when there was none, or on the socket. */
  readonly status: number;
  /** True: unknown or not done, may be repeated. False: was not and will not be done. */
  readonly retryable: boolean | undefined;
  readonly retryAfterMs: number | undefined;
  /** What was wrong with the values that were sent; empty for other refusals. */
  readonly fields: FieldError[];
}

export interface FieldError {
  path: string;
  message: string;
}

export interface RestOptions {
  /** The server's address, such as `https://chat.example.com`; the page's own if left out. */
  url?: string | URL;
  token?: string | null;
  fetch?: typeof globalThis.fetch;
}

/** The REST side: all methods throw a `RoomcastError`. Works without a socket. */
export class Rest {
  constructor(options?: RestOptions);
  token: string | null;
  readonly url: URL;

  /** Sends any request. `body` of the answer is its JSON, or null. */
  request(
    method: string,
    path: string,
    body?: object,
  ): Promise<{ status: number; body: any; headers: Headers }>;

  register(account: { email: string; password: string; displayName?: string }): Promise<User>;
  /** Signs in, and keeps the token. */
  login(account: { email: string; password: string }): Promise<Session>;
  /** Gets a token that lasts longer, and keeps it; the old one lives on to its end. */
  refresh(): Promise<Session>;
  /** Ends this login: its tokens are refused, its sockets are closed. */
  logout(): Promise<void>;
  me(): Promise<User>;
  changePassword(passwords: { current: string; new: string }): Promise<void>;

  /** A page of one's rooms, latest activity first; `next` is the cursor of the next page. */
  rooms(page?: {
    limit?: number;
    cursor?: string;
  }): Promise<{ rooms: RoomSummary[]; next: string | null }>;
  /** All pages of one's rooms. */
  allRooms(): Promise<RoomSummary[]>;
  createRoom(room: { name: string; visibility?: 'public' | 'private' }): Promise<RoomSummary>;
  /** Becomes a member of a public room. */
  joinRoom(roomId: string): Promise<Membership>;
  /** Is a member no more. */
  leaveRoom(roomId: string): Promise<void>;
  createInvite(roomId: string, options?: { expiresInSeconds?: number }): Promise<Invite>;
  acceptInvite(token: string): Promise<Membership>;

  members(roomId: string): Promise<Member[]>;
  removeMember(roomId: string, userId: string): Promise<void>;
  setRole(roomId: string, userId: string, role: 'admin' | 'member'): Promise<Membership>;

  /** A page of a room's messages, oldest first; without a cursor the newest page. */
  messages(
    roomId: string,
    cursor?: { before?: string; after?: string; limit?: number },
  ): Promise<Page>;
  /** Moves the read cursor; it never moves back. */
  markRead(roomId: string, lastReadMessageId: string): Promise<void>;
}

/** What is told by events; `detail` of each. */
export interface RoomcastEvents {
  /** The connection changed. `retryInMs`: the next try comes after that time. */
  state: { state: State; retryInMs?: number; waiting: number; error?: RoomcastError };
  /** The number of messages that are not known to be stored changed. */
  waiting: { waiting: number };
  /** The next message of a joined room: in order, without a gap, once. */
  message: Message;
  /** One's own message came further. `stored` has the message, `failed` the reason. */
  send: {
    roomId: string;
    clientMsgId: string;
    type: 'TEXT' | 'IMAGE';
    content: string;
    createdAt: number;
    stage: Stage;
    message?: Message;
    code?: string;
    error?: string;
  };
  /** A room is caught up and live. `truncated`: too much for a replay, it was read by REST. */
  joined: { roomId: string; epoch: string; lastSeq: number; replayed: number; truncated: boolean };
  /** The room's history is another one (a restored backup): forget what was shown of it. */
  reset: { roomId: string; epoch: string };
  /** No longer a member, or never was. */
  roomLost: { roomId: string; code: string };
  memberJoined: { roomId: string; userId: string; displayName: string; role: Role };
  memberLeft: { roomId: string; userId: string; displayName: string; role: Role };
  presenceChanged: { roomId: string; userId: string; online: boolean };
  /** Somebody types, or has stopped: also told when nothing was heard of it for a while. */
  typing: { roomId: string; userId: string; isTyping: boolean };
  /** Somebody's read cursor moved; one's own too, also when another tab moved it. */
  readUpdated: { roomId: string; userId: string; lastReadMessageId: string };
  /** The token was renewed: keep this one. */
  token: Session;
  /** The server refused what nobody waits for an answer to, such as `typing`. */
  error: { code: string; message: string; retryable: boolean; retryAfterMs?: number };
}

/** The part of the standard's WebSocket that is used. */
export type WebSocketClass = new (
  url: string,
  protocols: string[],
) => {
  readonly readyState: number;
  send(data: string): void;
  close(code?: number): void;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
};

export interface RoomcastOptions extends RestOptions {
  /** For Node before 22, which has none of its own: that of the package `ws`. */
  WebSocket?: WebSocketClass;
  /**
   * Asked for another token when this one is refused, such as one that another tab has renewed.
   * Null: there is none, the client ends. When it throws, it is asked again after the next try.
   */
  getToken?: () => string | null | Promise<string | null>;
  /** Messages that may wait, over all rooms; 1,000 unless said. */
  maxWaiting?: number;
  /** For tests and odd networks. */
  timing?: Partial<Timing>;
}

/** All in milliseconds. */
export interface Timing {
  /** A random wait up to this before the first try to come back, doubled at each further one … */
  firstBackoffMs: number;
  /** … up to this. */
  maxBackoffMs: number;
  /** Between heartbeats; the server's wish unless said. */
  heartbeatMs: number;
  /** A socket that is silent this long after a heartbeat is dead. */
  heartbeatTimeoutMs: number;
  /** An unanswered request or send is repeated after this. */
  answerTimeoutMs: number;
}

export interface JoinOptions {
  /** How many of the newest messages to read first, 0 to 100; 50 unless said. */
  history?: number;
  /** Goes on from here instead: everything after it comes, however much it is. */
  after?: Cursor;
}

/**
 * A client of roomcast: one socket that comes back by itself, rooms without a gap or a double, and
 * sends that are repeated until their fate is known.
 */
export class Roomcast extends EventTarget {
  constructor(options?: RoomcastOptions);

  readonly state: State;
  /** Known once the socket was ready. */
  readonly userId: string | null;
  /** The server's limits, once the socket was ready. */
  readonly limits: Ready['limits'] | null;
  readonly rest: Rest;
  /** How many sent messages are not known to be stored. */
  readonly waiting: number;
  /** What was sent and is not known to be stored, oldest first. */
  readonly outbox: Outgoing[];

  /** Listens to an event by its `detail`; the returned function ends that. */
  on<K extends keyof RoomcastEvents>(
    name: K,
    listener: (detail: RoomcastEvents[K]) => void,
    options?: { signal?: AbortSignal },
  ): () => void;

  /**
   * Connects, and stays connected until `disconnect` or until the token is refused. Resolves when
   * first ready; rejects when that will not be. Also tries at once when a next try is waited for.
   */
  connect(): Promise<Ready>;
  /** Drops the connection; rooms and waiting messages are kept for the next `connect`. */
  disconnect(): void;

  /**
   * Follows a room one is a member of: first its newest messages, or those after a cursor, then the
   * live ones, all as `message` events. Resolves when the room is caught up and live; while offline
   * that may be long. Rejects when it cannot be read, such as by a non-member.
   */
  joinRoom(roomId: string, options?: JoinOptions): Promise<void>;
  /** Stops following a room; membership stays. What waits for it goes out when it is joined again. */
  leaveRoom(roomId: string): void;
  /** Where a joined room is, to go on from in another run; null before anything was read. */
  cursor(roomId: string): Cursor | null;

  /**
   * Sends a message to a joined room, now or as soon as there is a connection. The order of a room's
   * sends is kept. Repeat a failed one with its `clientMsgId` (a UUID), and it is never there twice.
   */
  send(
    roomId: string,
    content: string,
    options?: { type?: 'TEXT' | 'IMAGE'; clientMsgId?: string },
  ): Sending;

  /** Says that the user types (call it at each key: it is told now and then), or has stopped. */
  typing(roomId: string, isTyping?: boolean): void;
  /** Moves the read cursor forward: a few times a second at most, and after a reconnect if need be. */
  markRead(roomId: string, lastReadMessageId: string): void;
}
