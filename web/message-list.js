// The messages of a room in order, by day, with the marks of one's own.

import { element } from './element.js';

/** @typedef {import('./roomcast.js').Message} Message */

const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

/** @type {Record<string, string>} */
const MARKS = { sending: '…', accepted: '✓', stored: '✓✓', failed: '✗' };

export class MessageList {
  root = element('ol', { class: 'messages' });
  /** The oldest that is shown. @type {Message|undefined} */
  first;
  /** What is sent and not yet in its place, at the end. @type {Map<string, HTMLElement>} */
  #pending = new Map();
  #lastDay = '';

  /**
   * @param {string} userId whose messages are one's own
   * @param {(userId: string) => string|undefined} nameOf
   */
  constructor(userId, nameOf) {
    this.userId = userId;
    this.nameOf = nameOf;
  }

  /** Adds the room's next message. @param {Message} msg */
  append(msg) {
    this.first ??= msg;
    const isOwn = msg.senderId === this.userId;
    const row = (isOwn && this.#pending.get(msg.clientMsgId)) || this.#row(msg);
    if (isOwn) this.#pending.delete(msg.clientMsgId);
    date(row, new Date(msg.createdAt));
    row.dataset.seq = String(msg.seq);
    const [waiting = null] = this.#pending.values();
    const day = new Date(msg.createdAt);
    if (day.toDateString() !== this.#lastDay) this.root.insertBefore(heading(day), waiting);
    this.#lastDay = day.toDateString();
    this.root.insertBefore(row, waiting);
  }

  /** Adds the page before the first message. @param {Message[]} messages */
  prepend(messages) {
    if (messages.length === 0) return;
    const older = document.createDocumentFragment();
    let shown = '';
    for (const msg of messages) {
      const day = new Date(msg.createdAt);
      if (day.toDateString() !== shown) older.append(heading(day));
      shown = day.toDateString();
      older.append(this.#row(msg));
    }
    const top = this.root.firstElementChild;
    if (top instanceof HTMLElement && top.dataset.day === shown) top.remove();
    this.root.prepend(older);
    this.first = messages[0];
  }

  /**
   * Shows how far one's own message has come.
   *
   * @param {{clientMsgId: string, content: string, stage: string, error?: string}} msg
   */
  mark({ clientMsgId, content, stage, error }) {
    let row = this.#pending.get(clientMsgId);
    if (!row) {
      if (stage !== 'sending') return;
      const now = new Date().toISOString();
      row = this.#row({ senderId: this.userId, clientMsgId, content, createdAt: now });
      this.#pending.set(clientMsgId, row);
      this.root.append(row);
    }
    stamp(row, stage, error);
    if (stage === 'failed') this.#pending.delete(clientMsgId);
  }

  /** Forgets everything but what is being sent. */
  clear() {
    this.first = undefined;
    this.#lastDay = '';
    this.root.replaceChildren(...this.#pending.values());
  }

  /** Shows the names anew, when they are known better. */
  rename() {
    for (const name of this.root.querySelectorAll('.sender')) {
      const { userId } = /** @type {HTMLElement} */ (name).dataset;
      name.textContent = this.nameOf(userId ?? '') ?? name.textContent;
    }
  }

  /**
   * @param {{senderId: string, clientMsgId: string, content: string, createdAt: string, seq?: number}} msg
   */
  #row({ senderId, clientMsgId, content, createdAt, seq }) {
    const isOwn = senderId === this.userId;
    const name = this.nameOf(senderId) ?? '…';
    const row = element(
      'li',
      { class: isOwn ? 'message own' : 'message', 'data-client-msg-id': clientMsgId },
      element('span', { class: 'sender', 'data-user-id': senderId }, name),
      element('p', { class: 'content', dir: 'auto' }, content),
      element('span', { class: 'meta' }, element('time')),
    );
    date(row, new Date(createdAt));
    if (isOwn) stamp(row, seq ? 'stored' : 'sending');
    if (seq) row.dataset.seq = String(seq);
    return row;
  }
}

/** @param {HTMLElement} row @param {Date} at */
function date(row, at) {
  const time = row.querySelector('time');
  if (!time) return;
  time.dateTime = at.toISOString();
  time.title = at.toLocaleString();
  time.textContent = TIME.format(at);
}

/** @param {HTMLElement} row @param {string} stage @param {string} [error] */
function stamp(row, stage, error) {
  row.dataset.stage = stage;
  row.querySelector('.mark')?.remove();
  const text = stage === 'failed' && error ? `failed: ${error}` : stage;
  const tick = element('span', { 'aria-hidden': 'true', class: 'tick' }, MARKS[stage] ?? '');
  row.querySelector('.meta')?.append(element('span', { class: 'mark' }, tick, ` ${text}`));
}

/** @param {Date} day */
function heading(day) {
  const text = day.toDateString() === new Date().toDateString() ? 'Today' : DAY.format(day);
  return element('li', { class: 'day', 'data-day': day.toDateString() }, text);
}
