// How much of a room its reader has not read: what the server says, carried on by what has come since.

/** @typedef {import('./history.js').History} History */

/**
 * What is new at some time.
 *
 * @typedef {object} New
 * @property {string|null} mark
 * @property {number} count
 * @property {number} upToSeq
 */

export class Unread {
  /** How many messages of others are not read. */
  count = 0;
  /** The reader's mark: the last message that is read. @type {string|null} */
  mark = null;
  /** What `count` has counted; nothing counts before the server has said how much there is. */
  #countedSeq = Infinity;
  /** What the reader was told of; it comes again after a loss. */
  #newsSeq = Infinity;
  /** The newest message that the server told of. */
  #headId = '';

  /**
   * Takes the server's word. It may be older than what was heard since.
   *
   * @param {{lastSeq: number, lastMessageId: string|null, unreadCount: number, lastReadMessageId: string|null}} told
   * @param {History} history
   */
  take({ lastSeq, lastMessageId, unreadCount, lastReadMessageId }, history) {
    this.#headId = lastMessageId ?? '';
    const seenSeq = Math.max(lastSeq, history.last?.seq ?? 0);
    if (this.#newsSeq === Infinity) this.#newsSeq = seenSeq;
    // The mark has moved since, here or elsewhere, and it never moves back.
    const isOld = this.mark !== null && (lastReadMessageId ?? '') < this.mark;
    if (isOld) return void this.#recount(history);
    this.mark = lastReadMessageId;
    this.count = unreadCount + history.othersAfterSeq(lastSeq);
    this.#countedSeq = seenSeq;
  }

  /**
   * Counts the next message of the room.
   *
   * @param {{id: string, seq: number}} msg
   * @param {boolean} isOther
   * @returns {boolean} whether it is news to the reader
   */
  arrive({ id, seq }, isOther) {
    const isRead = this.mark !== null && id <= this.mark;
    if (isOther && !isRead && seq > this.#countedSeq) this.count += 1;
    if (seq > this.#countedSeq) this.#countedSeq = seq;
    const isNews = isOther && seq > this.#newsSeq;
    if (seq > this.#newsSeq) this.#newsSeq = seq;
    return isNews;
  }

  /**
   * Moves the mark, never back.
   *
   * @param {string} id
   * @param {History} history
   * @returns {'same'|'counted'|'unknown'} `unknown`: the server has to be asked for the count
   */
  moveTo(id, history) {
    if (this.mark !== null && this.mark >= id) return 'same';
    this.mark = id;
    return this.#recount(history) ? 'counted' : 'unknown';
  }

  /** What is new now. @returns {New|null} null: nothing */
  news() {
    const { mark, count } = this;
    return count > 0 ? { mark, count, upToSeq: this.#countedSeq } : null;
  }

  /** The room's history is another one: all that was known is about the former. */
  reset() {
    this.count = 0;
    this.mark = null;
    this.#countedSeq = this.#newsSeq = Infinity;
    this.#headId = '';
  }

  /** Counts what is after the mark, if that is known. @param {History} history */
  #recount(history) {
    const { first, last } = history;
    const mark = this.mark ?? '';
    if (last && first && first.id <= mark) {
      this.count = history.othersAfter(mark);
      this.#countedSeq = last.seq;
      return true;
    }
    const isAllRead = this.#headId !== '' && mark >= (last?.id ?? '') && mark >= this.#headId;
    if (isAllRead) this.count = 0;
    return isAllRead;
  }
}
