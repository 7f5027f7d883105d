// The open room: its head, its messages, who is typing, the line to write in.

import { element } from '../element.js';
import { Composer } from './composer.js';
import { isStored } from './history.js';
import { icon } from './icon.js';
import { keyOf, looksOf, messageRow } from './message-row.js';
import { onNewDay } from './new-day.js';
import { RoomHead } from './room-head.js';
import { Windowed } from './windowed.js';

/** @typedef {import('./rooms.js').Room} Room */
/** @typedef {import('./rooms.js').Rooms} Rooms */
/** @typedef {import('./history.js').Item} Item */
/** @typedef {import('./history.js').Pending} Pending */

const PAGE = 100;
/** What is new is shown from its beginning, unless it is more than this … */
const MAX_NEW = 300;
/** … or further up, because of one's own between: a room opens after so many pages. */
const MAX_PAGES = 5;
/** Kept of what is above, for who reads the newest. */
const KEPT = 1_000;
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
  /** What was new when the room was opened; null: nothing. @type {import('./unread.js').New|null} */
  #new;
  /** The first message of it, once it is known. @type {string|null} */
  #newFrom = null;
  #isNewSeen = false;
  /** Whether the first new message is being looked for. */
  #isSeeking = false;
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
    this.#new = room.unread.news();
    this.#composer = new Composer({
      send: (text) => this.#send(text),
      typing: (isTyping) => rooms.client.typing(room.id, isTyping),
    });
    const list = element('ol', { class: 'messages' });
    this.#log.append(this.#head, list);
    const context = this.#context();
    this.#window = new Windowed(this.#log, list, {
      keyOf: (item) => keyOf(item, rooms.me.id),
      looksOf: (item, before) => looksOf(item, before, { ...context, newFrom: this.#newFrom }),
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
    this.rooms.open(this.room);
    this.#showMessages();
    void this.#place();
  }

  close() {
    this.#aborter.abort();
    this.#window.close();
    this.rooms.close(this.room);
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
      nameOf: (userId) => this.rooms.nameOf(userId, this.room),
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
      this.#new = this.#newFrom = null;
      this.#window.reset();
    });
    on('people', () => this.#showMessages());
    on('typing', () => this.#showTyping());
    onNewDay(() => this.#showMessages(), signal);
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
    if (isEmpty && history.hasOlder) this.#head.textContent = 'Loading…';
    else if (isEmpty) this.#head.textContent = 'Nothing was said here yet.';
    else if (history.hasOlder) this.#head.textContent = 'Loading older messages…';
    else this.#head.textContent = 'This is the beginning of the room.';
  }

  /** The line stays where it was drawn first. */
  #findFirstNew() {
    if (this.#new && this.#newFrom === null) {
      this.#newFrom = this.room.history.firstNew(this.#new)?.id ?? null;
    }
  }

  #arrived() {
    const { mark } = this.room.unread;
    const wasRead = this.#newFrom !== null && mark !== null && mark >= this.#newFrom;
    if (!isWatching() && (!this.#new || wasRead)) {
      this.#new = this.room.unread.news();
      this.#newFrom = null;
    }
    if (!this.#window.isAtEnd) this.#belowCount += 1;
  }

  /** @param {string} text */
  #send(text) {
    // Who answers has read.
    this.#new = null;
    this.#newFrom = null;
    this.#say(text);
    this.#window.scrollToEnd();
  }

  /** @param {string} content @param {string} [clientMsgId] of the one to try again */
  #say(content, clientMsgId) {
    this.rooms.client.send(this.room.id, content, { clientMsgId });
  }

  #onScrolled() {
    if (this.#window.isAtEnd) {
      this.#belowCount = 0;
      const { messages } = this.room.history;
      // What is read on the way to the first new message is kept until it is found.
      if (messages.length > KEPT + PAGE && !this.#isSeeking) this.rooms.trim(this.room, KEPT);
    }
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
    const isOffered = this.#new !== null && this.#isPlaced && !this.#isNewSeen;
    this.#jumpNew.hidden = !isOffered || !(isUnknown || isAbove);
    const count = this.#new?.count ?? 0;
    const text = count > 1 ? `To the first of ${count} new messages` : 'To the new message';
    this.#jumpNew.replaceChildren(icon('up'), text);
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
      const again = () => {
        if (signal.aborted) return;
        if (!this.#isPlaced) void this.#place();
        else if (this.#window.isNearTop()) void this.#loadOlder();
      };
      setTimeout(again, AGAIN_MS);
      return false;
    }
  }

  /** The list has read a few, a window needs more; then to what is new, if that is near. */
  async #place() {
    const { history } = this.room;
    const { signal } = this.#aborter;
    const isShort = () => history.messages.length < PAGE / 2 && history.hasOlder;
    if (isShort() && !(await this.#loadOlder())) return;
    if (signal.aborted) return;
    if (this.#new && this.#new.count <= MAX_NEW) await this.#findNew(MAX_PAGES);
    if (signal.aborted) return;
    this.#scrollToNew();
    this.#isPlaced = true;
    this.#onScrolled();
  }

  async #toFirstNew() {
    this.#jumpNew.disabled = true;
    this.#isSeeking = true;
    await this.#findNew(Infinity);
    this.#isSeeking = false;
    this.#jumpNew.disabled = false;
    if (this.#aborter.signal.aborted) return;
    this.#log.focus();
    this.#scrollToNew();
  }

  /** Reads up to the first new message. @param {number} maxPages */
  async #findNew(maxPages) {
    const { history } = this.room;
    const isThere = () => history.firstNew(this.#new) !== undefined;
    for (let page = 0; page < maxPages && !isThere(); page += 1) {
      if (!(await this.#loadOlder()) || this.#aborter.signal.aborted) return;
    }
  }

  #scrollToNew() {
    const first = this.room.history.messages.find(({ id }) => id === this.#newFrom);
    if (first) this.#window.scrollTo(keyOf(first, this.rooms.me.id));
  }

  // ---- people ----

  #showTyping() {
    const names = [...this.room.typing].map((userId) => this.rooms.nameOf(userId, this.room));
    if (names.length === 0) this.#typing.textContent = '';
    else if (names.length > 2) this.#typing.textContent = 'Several people are typing…';
    else
      this.#typing.textContent = `${names.join(' and ')} ${names.length > 1 ? 'are' : 'is'} typing…`;
  }
}

/** Whether the reader can see the page. */
const isWatching = () => document.visibilityState === 'visible' && document.hasFocus();
