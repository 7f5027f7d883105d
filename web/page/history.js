// What is known of one room's messages: a stretch without a hole up to the newest, then one's own
// that have no place yet.

/** @typedef {import('../roomcast.js').Message} Message */

/**
 * One's own message that is not stored (yet).
 *
 * @typedef {object} Pending
 * @property {string} clientMsgId
 * @property {string} content
 * @property {string} createdAt
 * @property {'sending'|'accepted'|'failed'} stage
 * @property {string} [error]
 */

/** @typedef {Message|Pending} Item */

/** @param {Item} item @returns {item is Message} */
export const isStored = (item) => 'seq' in item;

export class History {
  /** @type {Message[]} */
  messages = [];
  /** @type {Pending[]} */
  pending = [];
  /** Counts the times that it became another history. */
  turn = 0;
  /** Whether what was there before the first message was asked for. */
  #isRead = false;

  /** @param {string} userId whose messages are one's own */
  constructor(userId) {
    this.userId = userId;
  }

  get first() {
    return this.messages[0];
  }

  get last() {
    return this.messages.at(-1);
  }

  /** Whether anything before what is known may be read. */
  get hasOlder() {
    return this.first ? this.first.seq > 1 : !this.#isRead;
  }

  /** All there is to show, in order. @returns {Item[]} */
  items() {
    return this.pending.length ? [...this.messages, ...this.pending] : this.messages;
  }

  /** @param {Message} msg the next one of the room */
  append(msg) {
    if (this.last && msg.seq <= this.last.seq) return;
    if (msg.senderId === this.userId) this.drop(msg.clientMsgId);
    this.messages.push(msg);
  }

  /** @param {Message[]} page the page before the first message; the newest if there is none */
  prepend(page) {
    const first = this.first?.seq ?? Infinity;
    const older = page.filter(({ seq }) => seq < first);
    for (const { clientMsgId, senderId } of older) {
      if (senderId === this.userId) this.drop(clientMsgId);
    }
    this.messages = [...older, ...this.messages];
    this.#isRead = true;
  }

  /** Forgets all but the newest; the rest can be read again. @param {number} count to keep */
  trim(count) {
    if (this.messages.length > count) this.messages = this.messages.slice(-count);
  }

  /**
   * Notes how far one's own message has come.
   *
   * @param {import('../roomcast.js').RoomcastEvents['send']} sent
   */
  mark({ clientMsgId, content, createdAt, stage, error }) {
    if (stage === 'stored') return;
    const known = this.pending.find((msg) => msg.clientMsgId === clientMsgId);
    if (known) Object.assign(known, { stage, error });
    else if (!this.#isStored(clientMsgId)) {
      const at = new Date(createdAt).toISOString();
      this.pending.push({ clientMsgId, content, createdAt: at, stage, error });
    }
  }

  /** Forgets one that is not stored. @param {string} clientMsgId */
  drop(clientMsgId) {
    this.pending = this.pending.filter((msg) => msg.clientMsgId !== clientMsgId);
  }

  /** Forgets what is stored: the room's history is another one. */
  clear() {
    this.messages = [];
    this.turn += 1;
    this.#isRead = false;
  }

  /**
   * Finds the first message that is new to the reader, by their mark, else by how many there are:
   * what was said before somebody came is not new to them.
   *
   * @param {import('./unread.js').New|null} sought
   * @returns {Message|null|undefined} null: there is none; undefined: it is before what is known
   */
  firstNew(sought) {
    if (!sought) return null;
    const { mark, count, upToSeq } = sought;
    const isOther = (/** @type {Message} */ { senderId }) => senderId !== this.userId;
    if (mark !== null) {
      const reaches = !this.hasOlder || (this.first && this.first.id <= mark);
      const isNew = (/** @type {Message} */ msg) => msg.id > mark && isOther(msg);
      return reaches ? (this.messages.find(isNew) ?? null) : undefined;
    }
    const others = this.messages.filter((msg) => isOther(msg) && msg.seq <= upToSeq);
    const first = others.at(-count) ?? (this.hasOlder ? undefined : others[0]);
    return first ?? (this.hasOlder ? undefined : null);
  }

  /** Counts what others wrote after a message. @param {string} id */
  othersAfter(id) {
    return this.#othersWhile((msg) => msg.id > id);
  }

  /** Counts what others wrote after a place in the room. @param {number} seq */
  othersAfterSeq(seq) {
    return this.#othersWhile((msg) => msg.seq > seq);
  }

  /** From the newest back. @param {(msg: Message) => boolean} isAfter */
  #othersWhile(isAfter) {
    let count = 0;
    for (let at = this.messages.length - 1; at >= 0 && isAfter(this.messages[at]); at -= 1) {
      if (this.messages[at].senderId !== this.userId) count += 1;
    }
    return count;
  }

  /** @param {string} clientMsgId */
  #isStored(clientMsgId) {
    const isIt = (/** @type {Message} */ msg) =>
      msg.clientMsgId === clientMsgId && msg.senderId === this.userId;
    return this.messages.slice(-200).some(isIt);
  }
}
