// A room on the screen: who is there, what was said, and a line to say something.

import { element } from './element.js';
import { MessageList } from './message-list.js';

/** @typedef {import('./roomcast.js').Roomcast} Roomcast */
/** @typedef {import('./roomcast.js').Message} Message */
/** @typedef {import('./roomcast.js').Member} Member */

const MAX_CHARS = 5000;
const MARK_READ_AFTER_MS = 1000;
/** This close to the end is at the end. */
const END_PX = 48;

export class RoomView {
  #aborter = new AbortController();
  /** @type {Map<string, Member>} */
  #members = new Map();
  /** Who left keeps the name at what was said. @type {Map<string, string>} */
  #names = new Map();
  #people = element('p', { class: 'people' });
  #notice = element('p', { class: 'notice', role: 'status', hidden: true });
  #list;
  #older = element('button', { type: 'button', class: 'quiet older', hidden: true }, 'Show older');
  #log = element('div', { class: 'log', role: 'log', tabindex: '0', 'aria-label': 'Messages' });
  #isAtEnd = true;
  #nextFrame = 0;
  #resized = new ResizeObserver(() => this.#keepAtEnd(() => {}));
  #markTimer = 0;

  /**
   * @param {HTMLElement} root is filled
   * @param {Roomcast} client
   * @param {{userId: string, roomId: string}} who
   */
  constructor(root, client, { userId, roomId }) {
    this.client = client;
    this.userId = userId;
    this.roomId = roomId;
    this.#list = new MessageList(userId, (id) => this.#names.get(id));
    this.#log.append(this.#older, this.#list.root);
    this.#older.addEventListener('click', () => this.#showOlder());
    root.replaceChildren(this.#people, this.#notice, this.#log, this.#composer());
    this.#listen();
    this.#followEnd();
  }

  /** Shows the room's newest messages and follows it. */
  async open() {
    await Promise.all([this.#loadMembers(), this.client.joinRoom(this.roomId)]);
  }

  /** Stops following; what is shown stays. */
  close() {
    this.#aborter.abort();
    this.#resized.disconnect();
    clearTimeout(this.#markTimer);
    this.client.leaveRoom(this.roomId);
  }

  /** Says something about the room, above its messages. @param {string} text '' says nothing */
  notice(text) {
    this.#notice.textContent = text;
    this.#notice.hidden = !text;
  }

  #listen() {
    /** @param {string} name @param {(detail: any) => void} handle */
    const on = (name, handle) => {
      const listener = (/** @type {Event} */ event) => {
        const { detail } = /** @type {CustomEvent} */ (event);
        if (detail.roomId === this.roomId) handle(detail);
      };
      this.client.addEventListener(name, listener, { signal: this.#aborter.signal });
    };
    on('message', (msg) => this.#show(msg));
    on('send', (msg) => this.#keepAtEnd(() => this.#list.mark(msg)));
    on('reset', () => this.#list.clear());
    on('memberJoined', () => this.#loadMembers());
    on('memberLeft', () => this.#loadMembers());
    on('presenceChanged', ({ userId, online }) => this.#setOnline(userId, online));
    on('joined', () => this.#loadMembers());
    const { signal } = this.#aborter;
    this.client.addEventListener('state', () => this.#showPeople(), { signal });
    on('roomLost', () => this.notice('You are no longer a member of this room.'));
  }

  #composer() {
    const id = `say-${this.userId}`;
    const input = element('input', {
      id,
      name: 'content',
      maxlength: String(MAX_CHARS),
      autocomplete: 'off',
      placeholder: 'Write a message',
      required: true,
    });
    const form = element(
      'form',
      { class: 'composer' },
      element('label', { for: id, class: 'visually-hidden' }, 'Message'),
      input,
      element('button', { type: 'submit' }, 'Send'),
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      if (!input.value) return;
      this.client.send(this.roomId, input.value);
      input.value = '';
      this.#scrollToEnd();
    });
    return form;
  }

  /** @param {Message} msg */
  #show(msg) {
    this.#keepAtEnd(() => this.#list.append(msg));
    this.#older.hidden = this.#list.first?.seq === 1;
    if (!this.#names.has(msg.senderId) && this.#names.size) void this.#loadMembers();
    clearTimeout(this.#markTimer);
    this.#markTimer = setTimeout(
      () => this.client.markRead(this.roomId, msg.id),
      MARK_READ_AFTER_MS,
    );
  }

  /** Whoever reads the end goes on reading the end. @param {() => void} change */
  #keepAtEnd(change) {
    change();
    if (this.#isAtEnd) this.#scrollToEnd();
  }

  /** Once a frame: each look at a height makes the browser lay the page out. */
  #scrollToEnd() {
    this.#isAtEnd = true;
    this.#nextFrame ||= requestAnimationFrame(() => {
      this.#nextFrame = 0;
      this.#log.scrollTop = this.#log.scrollHeight;
    });
  }

  /** A keyboard that opens, or a window that shrinks, must not hide the end. */
  #followEnd() {
    const log = this.#log;
    let lastTop = 0;
    log.addEventListener('scroll', () => {
      // Only going up leaves the end: messages may have come since this view went down to it.
      const isUp = log.scrollTop < lastTop;
      lastTop = log.scrollTop;
      const isNear = log.scrollHeight - log.scrollTop - log.clientHeight < END_PX;
      this.#isAtEnd = isNear || (this.#isAtEnd && !isUp);
    });
    this.#resized.observe(log);
  }

  async #showOlder() {
    const before = this.#list.first?.id;
    if (!before) return;
    this.#older.disabled = true;
    try {
      const page = await this.client.rest.messages(this.roomId, { before });
      const fromEnd = this.#log.scrollHeight - this.#log.scrollTop;
      this.#list.prepend(page.messages);
      this.#older.hidden = !page.hasMore;
      this.#log.scrollTop = this.#log.scrollHeight - fromEnd;
    } catch (error) {
      this.notice(/** @type {Error} */ (error).message);
    } finally {
      this.#older.disabled = false;
    }
  }

  async #loadMembers() {
    try {
      const members = await this.client.rest.members(this.roomId);
      this.#members = new Map(members.map((member) => [member.userId, member]));
      for (const { userId, displayName } of members) this.#names.set(userId, displayName);
      this.#showPeople();
    } catch {
      // Names are a courtesy: the room works without, and the next event asks again.
    }
  }

  /** @param {string} userId @param {boolean} online */
  #setOnline(userId, online) {
    const member = this.#members.get(userId);
    if (member) this.#members.set(userId, { ...member, online });
    this.#showPeople();
  }

  #showPeople() {
    this.#list.rename();
    const people = [...this.#members.values()].map(({ userId, displayName, online }) => {
      const isHere = userId === this.userId ? this.client.state === 'online' : online === true;
      const status = isHere ? 'online' : 'offline';
      return element(
        'span',
        { class: 'person', 'data-status': status, title: `${displayName} is ${status}` },
        userId === this.userId ? `${displayName} (you)` : displayName,
      );
    });
    this.#people.replaceChildren(...people);
  }
}
