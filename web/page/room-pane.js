// The open room: its head, its messages, who is typing, the line to write in.

import { element } from '../element.js';
import { Composer } from './composer.js';
import { isStored } from './history.js';
import { icon } from './icon.js';
import { keyOf, looksOf, messageRow } from './message-row.js';
import { RoomHead } from './room-head.js';
import { Windowed } from './windowed.js';

/** @typedef {import('./rooms.js').Room} Room */
/** @typedef {import('./rooms.js').Rooms} Rooms */
/** @typedef {import('./history.js').Item} Item */
/** @typedef {import('./history.js').Pending} Pending */

const PAGE = 100;
/** What is new is shown from its beginning, unless it is more than this. */
const MAX_NEW = 300;
/** Reads of one failed page are not repeated faster. */
const AGAIN_MS = 3_000;

export class RoomPane {
  #aborter = new AbortController();
  #typing = element('p', { class: 'typing', role: 'status' });
  #log = element('div', {
    class: 'log',
    role: 'log',
    'aria-live': 'off',
    tabindex: '0',
    'aria-label': 'Messages',
  });
  #head = element('p', { class: 'beginning' });
  #jumpNew = element('button', { type: 'button', class: 'jump up', hidden: true });
  #jumpEnd = element('button', { type: 'button', class: 'jump down', hidden: true });
  #composer;
  #window;
  /** The reader's mark when the room was opened. @type {string|null} */
  #readBefore;
  /** @type {string|null} */
  #newFrom = null;
  #isNewSeen = false;
  /** Before it is where it begins, nothing is read. */
  #isPlaced = false;
  /** @type {Promise<boolean>|null} */
  #loading = null;
  #belowCount = 0;

  /**
   * @param {Rooms} rooms
   * @param {Room} room
   * @param {import('./room-head.js').Actions} [actions]
   */
  constructor(rooms, room, actions) {
    this.rooms = rooms;
    this.room = room;
    this.#readBefore = room.unread > 0 ? (room.lastReadId ?? '') : null;
    this.#composer = new Composer({
      send: (text) => this.#send(text),
      typing: (isTyping) => rooms.client.typing(room.id, isTyping),
    });
    const list = element('ol', { class: 'messages' });
    this.#log.append(this.#head, list);
    const context = this.#context();
    this.#window = new Windowed(this.#log, list, {
      keyOf: (item) => keyOf(item, rooms.me.id),
      looksOf: (item) => looksOf(item, { ...context, newFrom: this.#newFrom }),
      make: (item, before) => messageRow(item, before, { ...context, newFrom: this.#newFrom }),
      onScrolled: () => this.#onScrolled(),
    });
    const head = new RoomHead(rooms, room, this.#aborter.signal, actions);
    this.root = element('section', { class: 'pane', 'aria-label': room.name });
    const logBox = element('div', { class: 'log-box' }, this.#jumpNew, this.#log, this.#jumpEnd);
    this.root.append(head.root, logBox, this.#typing, this.#composer.root);
    this.#listen();
  }

  /** Call it once the pane is in the document. */
  open() {
    this.#showMessages();
    void this.#place();
  }

  close() {
    this.#aborter.abort();
    this.#window.close();
    this.rooms.client.typing(this.room.id, false);
  }

  focus() {
    this.#composer.focus();
  }

  get draft() {
    return this.#composer.text;
  }

  set draft(text) {
    this.#composer.text = text;
  }

  /** @returns {import('./message-row.js').Context} */
  #context() {
    return {
      userId: this.rooms.me.id,
      nameOf: (userId) => this.rooms.nameOf(userId),
      newFrom: null,
      retry: (item) => {
        const { clientMsgId, content } = /** @type {Pending} */ (item);
        this.#say(content, clientMsgId);
      },
      discard: (item) => {
        this.room.history.drop(item.clientMsgId);
        this.#showMessages();
      },
    };
  }

  #listen() {
    const { signal } = this.#aborter;
    /** @param {string} name @param {(detail: any) => void} handle */
    const on = (name, handle) => {
      const listener = (/** @type {any} */ { detail }) =>
        detail.room === this.room && handle(detail);
      this.rooms.addEventListener(name, listener, { signal });
    };
    on('messages', () => this.#showMessages());
    on('arrived', () => this.#arrived());
    on('reset', () => {
      this.#readBefore = this.#newFrom = null;
      this.#window.reset();
    });
    on('people', () => this.#showMessages());
    on('typing', () => this.#showTyping());
    const seen = () => this.#markRead();
    document.addEventListener('visibilitychange', seen, { signal });
    addEventListener('focus', seen, { signal });
    this.#jumpEnd.addEventListener('click', () => this.#window.scrollToEnd());
    this.#jumpNew.addEventListener('click', () => this.#toFirstNew());
    // Typing anywhere in the room goes to the line to write in.
    this.root.addEventListener('keydown', (event) => {
      const isText = event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey;
      if (event.target === this.#log && isText && event.key !== ' ') this.focus();
    });
  }

  // ---- messages ----

  #showMessages() {
    this.#findFirstNew();
    this.#window.show(this.room.history.items());
    const { history } = this.room;
    const isEmpty = !history.first && history.pending.length === 0;
    if (isEmpty && !this.room.isFollowed) this.#head.textContent = 'Loading…';
    else if (isEmpty) this.#head.textContent = 'Nothing was said here yet.';
    else if (history.hasOlder) this.#head.textContent = 'Loading older messages…';
    else this.#head.textContent = 'This is the beginning of the room.';
  }

  /** The line stays where it was drawn first. */
  #findFirstNew() {
    const mark = this.#readBefore;
    if (mark === null || this.#newFrom !== null) return;
    const { messages, hasOlder } = this.room.history;
    const reaches = !hasOlder || (messages[0] && messages[0].id <= mark);
    if (!reaches) return;
    const isNew = (/** @type {{id: string, senderId: string}} */ { id, senderId }) =>
      id > mark && senderId !== this.rooms.me.id;
    this.#newFrom = messages.find(isNew)?.id ?? null;
  }

  #arrived() {
    const { lastReadId } = this.room;
    const wasRead = this.#newFrom !== null && lastReadId !== null && lastReadId >= this.#newFrom;
    if (!isWatching() && (this.#readBefore === null || wasRead)) {
      this.#readBefore = lastReadId ?? '';
      this.#newFrom = null;
    }
    if (!this.#window.isAtEnd) this.#belowCount += 1;
  }

  /** @param {string} text */
  #send(text) {
    // Who answers has read.
    this.#readBefore = null;
    this.#newFrom = null;
    this.#say(text);
    this.#window.scrollToEnd();
  }

  /** @param {string} content @param {string} [clientMsgId] of the one to try again */
  #say(content, clientMsgId) {
    this.rooms.client.send(this.room.id, content, { clientMsgId });
  }

  #onScrolled() {
    if (this.#window.isAtEnd) this.#belowCount = 0;
    this.#jumpEnd.hidden = this.#window.isAtEnd;
    const below = this.#belowCount ? `${this.#belowCount} new` : 'Newest';
    this.#jumpEnd.replaceChildren(icon('down'), below);
    this.#showJumpNew();
    this.#markRead();
    if (this.#window.isNearTop()) void this.#loadOlder();
  }

  /** What is new may begin above what is loaded or in view. */
  #showJumpNew() {
    const first = this.#window.firstVisible();
    const isUnknown = this.#newFrom === null && this.room.history.hasOlder;
    const isAbove = this.#newFrom !== null && first && isStored(first) && first.id > this.#newFrom;
    // Once it was seen, it is found without a button.
    if (this.#newFrom !== null && !isAbove) this.#isNewSeen = true;
    const isOffered = this.#readBefore !== null && this.#isPlaced && !this.#isNewSeen;
    this.#jumpNew.hidden = !isOffered || !(isUnknown || isAbove);
    this.#jumpNew.replaceChildren(icon('up'), 'To the first new message');
  }

  /** What one has seen is read; who looks elsewhere has seen nothing. */
  #markRead() {
    if (!isWatching() || !this.#isPlaced || !this.root.isConnected) return;
    const seen = this.#window.lastVisible();
    const { last } = this.room.history;
    const item = this.#window.isAtEnd ? last : seen;
    if (item && isStored(item)) this.rooms.markRead(this.room, item.id);
  }

  /** One page at a time, whoever asks. @returns {Promise<boolean>} whether there was more */
  #loadOlder() {
    this.#loading ??= this.#readOlder().finally(() => (this.#loading = null));
    return this.#loading;
  }

  async #readOlder() {
    if (!this.room.history.hasOlder) return false;
    try {
      await this.rooms.loadOlder(this.room, PAGE);
      return true;
    } catch {
      const { signal } = this.#aborter;
      const again = () => !signal.aborted && this.#window.isNearTop() && this.#loadOlder();
      setTimeout(again, AGAIN_MS);
      return false;
    }
  }

  /** The list has read a few, a window needs more; then to what is new, if there is. */
  async #place() {
    await this.rooms.follow(this.room);
    if (this.#aborter.signal.aborted) return;
    const { history, unread } = this.room;
    if (history.messages.length < PAGE / 2) await this.#loadOlder();
    if (this.#readBefore !== null && unread <= MAX_NEW) {
      while (this.#newFrom === null && (await this.#loadOlder()));
      this.#scrollToNew();
    }
    this.#isPlaced = true;
    this.#onScrolled();
  }

  async #toFirstNew() {
    this.#jumpNew.disabled = true;
    while (this.#newFrom === null && (await this.#loadOlder()));
    this.#jumpNew.disabled = false;
    this.#log.focus();
    this.#scrollToNew();
  }

  #scrollToNew() {
    const first = this.room.history.messages.find(({ id }) => id === this.#newFrom);
    if (first) this.#window.scrollTo(keyOf(first, this.rooms.me.id));
  }

  // ---- people ----

  #showTyping() {
    const names = [...this.room.typing].map((userId) => this.rooms.nameOf(userId));
    if (names.length === 0) this.#typing.textContent = '';
    else if (names.length > 2) this.#typing.textContent = 'Several people are typing…';
    else
      this.#typing.textContent = `${names.join(' and ')} ${names.length > 1 ? 'are' : 'is'} typing…`;
  }
}

/** Whether the reader can see the page. */
const isWatching = () => document.visibilityState === 'visible' && document.hasFocus();
