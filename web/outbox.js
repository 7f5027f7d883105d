// What was sent and is not known to be stored yet. Nothing here touches a socket.

/**
 * @typedef {object} Outgoing
 * @property {string} roomId
 * @property {string} clientMsgId the same at every repeat: the server stores it once
 * @property {'TEXT'|'IMAGE'} type
 * @property {string} content
 * @property {'sending'|'accepted'} stage
 * @property {number|null} sentAt when it was sent on this connection; null when it was not
 */

/** Unanswered for this long, a message is sent again. */
const ANSWER_TIMEOUT_MS = 15_000;

/** Keeps messages in the order they were sent until each is stored or refused for good. */
export class Outbox {
  /** @type {Map<string, Outgoing>} */
  #messages = new Map();

  /**
   * @param {string} roomId
   * @param {string} content
   * @param {'TEXT'|'IMAGE'} type
   * @returns {Outgoing}
   */
  add(roomId, content, type) {
    const clientMsgId = randomId();
    /** @type {Outgoing} */
    const msg = { roomId, clientMsgId, type, content, stage: 'sending', sentAt: null };
    this.#messages.set(clientMsgId, msg);
    return msg;
  }

  /**
   * Returns the messages to send now, in order.
   *
   * @param {(roomId: string) => boolean} isOpen whether the room can take messages
   */
  due(isOpen) {
    const oldest = Date.now() - ANSWER_TIMEOUT_MS;
    return [...this.#messages.values()].filter(
      ({ roomId, stage, sentAt }) =>
        isOpen(roomId) && (sentAt === null || (stage === 'sending' && sentAt < oldest)),
    );
  }

  /** @param {string} clientMsgId */
  find(clientMsgId) {
    return this.#messages.get(clientMsgId);
  }

  /** @param {string} clientMsgId */
  remove(clientMsgId) {
    return this.#messages.delete(clientMsgId);
  }

  /** Everything unstored goes out again on the next connection, accepted or not. */
  connectionLost() {
    for (const msg of this.#messages.values()) msg.sentAt = null;
  }
}

/** Keeps to the server's limit of sends, so that a long outbox is not a flood. */
export class Pace {
  #tokens = 1;
  #filledAt = 0;
  #burst = 1;
  #perS = 1;

  /**
   * @param {number} burst
   * @param {number} perS either 0: no limit
   */
  limit(burst, perS) {
    const isLimited = burst > 0 && perS > 0;
    this.#burst = isLimited ? burst : Infinity;
    this.#perS = perS;
    this.#tokens = this.#burst;
    this.#filledAt = Date.now();
  }

  /** Takes one send and returns 0, or returns how many milliseconds to wait for one. */
  take() {
    if (this.#burst === Infinity) return 0;
    const now = Date.now();
    const earned = ((now - this.#filledAt) / 1000) * this.#perS;
    this.#tokens = Math.min(this.#burst, this.#tokens + earned);
    this.#filledAt = now;
    if (this.#tokens < 1) return Math.ceil(((1 - this.#tokens) / this.#perS) * 1000);
    this.#tokens -= 1;
    return 0;
  }
}

/** A random UUID; `crypto.randomUUID` is missing where a page is served without TLS. */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
