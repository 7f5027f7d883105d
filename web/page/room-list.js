// The list of one's rooms: what was said last, how much is unread; arrows move in it.

import { element, find } from '../element.js';
import { icon } from './icon.js';
import { onNewDay } from './new-day.js';

/** @typedef {import('./rooms.js').Room} Room */
/** @typedef {import('./rooms.js').Rooms} Rooms */

const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const DATE = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
/** From this many rooms on, there is a field to find one. */
const FILTER_FROM = 8;

export class RoomList {
  #list = find('#room-list');
  #filter = /** @type {HTMLInputElement} */ (find('#filter'));
  #aborter = new AbortController();
  #frame = 0;
  /** @type {string|null} */
  #open = null;
  /** @type {Map<string, {item: HTMLElement, looks: string}>} */
  #shown = new Map();
  /** The rooms that can be seen, as far as they are drawn. @type {Set<string>} */
  #visible = new Set();
  #watcher = new IntersectionObserver((changes) => this.#onVisible(changes), {
    root: find('.rooms'),
  });

  /** @param {Rooms} rooms */
  constructor(rooms) {
    this.rooms = rooms;
    const { signal } = this.#aborter;
    rooms.addEventListener('list', () => this.#draw(), { signal });
    rooms.addEventListener('typing', () => this.#draw(), { signal });
    onNewDay(() => this.#draw(), signal);
    this.#filter.addEventListener('input', () => this.#draw(), { signal });
    find('.rooms').addEventListener('keydown', (event) => this.#onKey(event), { signal });
    this.#show();
  }

  close() {
    this.#aborter.abort();
    cancelAnimationFrame(this.#frame);
    this.#watcher.disconnect();
    this.#list.replaceChildren();
    this.#filter.value = '';
  }

  /** @param {string|null} roomId the room that is open */
  open(roomId) {
    this.#open = roomId;
    this.#show();
  }

  /** Moves the keyboard here. */
  focus() {
    /** @type {HTMLElement|null} */ (this.#list.querySelector('a[tabindex="0"]'))?.focus();
  }

  #draw() {
    this.#frame ||= requestAnimationFrame(() => this.#show());
  }

  #show() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const all = this.rooms.list();
    const sought = this.#filter.value.trim().toLocaleLowerCase();
    const shown = all.filter(({ name }) => name.toLocaleLowerCase().includes(sought));
    this.#filter.hidden = all.length < FILTER_FROM;
    find('#no-rooms').hidden = all.length > 0;
    find('#no-match').hidden = all.length === 0 || shown.length > 0;
    const focused = document.activeElement?.closest('.room-list a')?.getAttribute('href')?.slice(1);
    const entry =
      [focused, this.#open].find((id) => shown.some((room) => room.id === id)) ?? shown[0]?.id;
    this.#sync(shown, entry);
  }

  /** Touches what has changed only: focus and a screen reader's place stay. @param {Room[]} rooms @param {string|undefined} entry */
  #sync(rooms, entry) {
    const next = new Map();
    for (const room of rooms) {
      const looks = this.#looksOf(room);
      const known = this.#shown.get(room.id);
      const item = known?.item ?? this.#item(room);
      if (known?.looks !== looks) this.#fill(item, room);
      item.querySelector('a')?.setAttribute('tabindex', room.id === entry ? '0' : '-1');
      next.set(room.id, { item, looks });
    }
    for (const [id, { item }] of this.#shown) {
      if (next.has(id)) continue;
      item.remove();
      this.#watcher.unobserve(item);
      this.#visible.delete(id);
    }
    let place = this.#list.firstElementChild;
    const focused = document.activeElement;
    for (const { item } of next.values()) {
      if (item === place) place = item.nextElementSibling;
      else this.#list.insertBefore(item, place);
    }
    // An element that moves loses the focus.
    if (focused instanceof HTMLElement && focused !== document.activeElement) focused.focus();
    this.#shown = next;
    for (const id of this.#visible) this.#wantPreview(id);
  }

  /** @param {Room} room */
  #item({ id }) {
    const item = element('li', { 'data-room-id': id });
    this.#watcher.observe(item);
    return item;
  }

  /** @param {IntersectionObserverEntry[]} changes */
  #onVisible(changes) {
    for (const { target, isIntersecting } of changes) {
      const id = /** @type {HTMLElement} */ (target).dataset.roomId ?? '';
      if (isIntersecting) this.#visible.add(id);
      else this.#visible.delete(id);
      if (isIntersecting) this.#wantPreview(id);
    }
  }

  /** What was said last is asked for where it is looked at, not for each of many rooms. @param {string} id */
  #wantPreview(id) {
    const room = this.rooms.get(id);
    if (room) this.rooms.preview(room, () => this.#visible.has(id));
  }

  /** @param {Room} room */
  #looksOf(room) {
    const { id, name, visibility } = room;
    return JSON.stringify([
      id === this.#open,
      name,
      visibility,
      room.unread.count,
      this.#preview(room),
      whenOf(room),
    ]);
  }

  /** @param {HTMLElement} item @param {Room} room */
  #fill(item, room) {
    const { id, name, visibility } = room;
    const unread = room.unread.count;
    const link = item.querySelector('a') ?? item.appendChild(element('a', { href: `#${id}` }));
    const isOpen = id === this.#open;
    link.toggleAttribute('aria-current', isOpen);
    if (isOpen) link.setAttribute('aria-current', 'page');
    link.classList.toggle('unread', unread > 0);
    link.title = name;
    const kind = element(
      'span',
      { class: 'visually-hidden' },
      visibility === 'private' ? ', private' : '',
    );
    const badge = element('span', { class: 'badge' }, unread > 99 ? '99+' : String(unread));
    badge.append(element('span', { class: 'visually-hidden' }, ' unread'));
    link.replaceChildren(
      element('span', { class: 'kind' }, icon(visibility === 'private' ? 'lock' : 'hash')),
      element('span', { class: 'name', dir: 'auto' }, name, kind),
      element('span', { class: 'when' }, whenOf(room)),
      element('span', { class: 'preview' }, this.#preview(room)),
      ...(unread > 0 ? [badge] : []),
    );
  }

  /** @param {Room} room */
  #preview(room) {
    const { history, typing, lastMessageAt } = room;
    const [typist] = typing;
    if (typist) return `${this.rooms.nameOf(typist, room)} is typing…`;
    const mine = history.pending.at(-1);
    if (mine) return `${mine.stage === 'failed' ? 'Not sent' : 'You'}: ${mine.content}`;
    const { last } = history;
    if (!last) return lastMessageAt ? '…' : 'Nothing yet';
    if (last.type === 'SYSTEM') return last.content;
    const isOwn = last.senderId === this.rooms.me.id;
    return `${isOwn ? 'You' : this.rooms.nameOf(last.senderId, room)}: ${last.content}`;
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const links = /** @type {HTMLElement[]} */ ([...this.#list.querySelectorAll('a')]);
    const at = links.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const isInFilter = document.activeElement === this.#filter;
    if (at < 0 && !isInFilter) return;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key];
    if (isInFilter && event.key !== 'ArrowDown') return;
    if (to === undefined) return;
    event.preventDefault();
    const link = links[Math.max(0, Math.min(to, links.length - 1))];
    for (const other of links) other.tabIndex = other === link ? 0 : -1;
    link?.focus();
  }
}

/** @param {Room} room */
function whenOf({ history, lastMessageAt }) {
  const last = history.pending.at(-1)?.createdAt ?? history.last?.createdAt ?? lastMessageAt;
  if (!last) return '';
  const at = new Date(last);
  return at.toDateString() === new Date().toDateString() ? TIME.format(at) : DATE.format(at);
}
