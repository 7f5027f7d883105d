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

  get hasOlder() {
    return !!this.first && this.first.seq > 1;
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

  /** @param {Message[]} page the page before the first message */
  prepend(page) {
    const first = this.first?.seq ?? Infinity;
    this.messages = [...page.filter(({ seq }) => seq < first), ...this.messages];
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
  }

  /** Counts what others wrote after a message. @param {string|null} id */
  othersAfter(id) {
    let count = 0;
    for (let at = this.messages.length - 1; at >= 0; at -= 1) {
      const msg = this.messages[at];
      if (id !== null && msg.id <= id) break;
      if (msg.senderId !== this.userId) count += 1;
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
