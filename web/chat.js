// Signed in: the list of one's rooms, and the one that is open (named by the address's fragment).

import { element, find } from './element.js';
import { RoomView } from './room-view.js';
import { Roomcast, RoomcastError } from './roomcast.js';
import { showState } from './state-text.js';

/** @typedef {{id: string, name: string, unreadCount: number}} RoomSummary */

export class Chat {
  /** @type {RoomSummary[]} */
  #rooms = [];
  /** @type {RoomView|null} */
  #view = null;
  #aborter = new AbortController();

  /**
   * @param {string} token
   * @param {{id: string, displayName: string}} me
   * @param {(reason: string) => void} onEnd called when the session has ended
   */
  constructor(token, me, onEnd) {
    this.client = new Roomcast({ token });
    this.rest = this.client.rest;
    this.me = me;
    this.onEnd = onEnd;
  }

  async start() {
    find('#me').textContent = this.me.displayName;
    showState(find('#state'), this.client);
    this.#listen();
    find('#account').hidden = false;
    find('#chat').hidden = false;
    void this.client.connect();
    await this.#try(() => this.#loadRooms());
    await this.#openNamed();
  }

  #listen() {
    const { signal } = this.#aborter;
    /** @param {string} selector @param {(fields: FormData) => Promise<void>} act */
    const onSubmit = (selector, act) => {
      const form = /** @type {HTMLFormElement} */ (find(selector));
      const submit = async (/** @type {Event} */ event) => {
        event.preventDefault();
        const isDone = await this.#try(() => act(new FormData(form)));
        if (isDone) form.reset();
      };
      form.addEventListener('submit', submit, { signal });
    };
    onSubmit('#create-room', (fields) => this.#create(String(fields.get('name'))));
    onSubmit('#join-room', (fields) => this.#join(String(fields.get('roomId')).trim()));
    const leave = () => this.#try(() => this.#leave());
    find('#leave-room').addEventListener('click', leave, { signal });
    find('#sign-out').addEventListener('click', () => this.#signOut(), { signal });
    window.addEventListener('hashchange', () => this.#openNamed(), { signal });
    const watch = () => {
      if (this.client.state === 'ended') this.#end('Your session has ended. Sign in again.');
    };
    this.client.addEventListener('state', watch, { signal });
  }

  /** @param {string} name */
  async #create(name) {
    const { body: room } = await this.rest.request('POST', '/rooms', { name });
    await this.#loadRooms();
    location.hash = room.id;
  }

  /** @param {string} roomId */
  async #join(roomId) {
    const path = `/rooms/${encodeURIComponent(roomId)}/join`;
    try {
      await this.rest.request('POST', path);
    } catch (error) {
      const isMember = error instanceof RoomcastError && error.code === 'ALREADY_MEMBER';
      if (!isMember) throw error;
    }
    await this.#loadRooms();
    location.hash = roomId.toLowerCase();
  }

  async #leave() {
    const roomId = this.#view?.roomId;
    if (!roomId) return;
    this.#close();
    await this.rest.request('POST', `/rooms/${roomId}/leave`);
    location.hash = '';
    await this.#loadRooms();
  }

  async #signOut() {
    await this.#try(() => this.rest.request('POST', '/auth/logout').then(() => {}));
    this.#end('');
  }

  /** @param {string} reason */
  #end(reason) {
    this.#aborter.abort();
    this.#close();
    this.client.disconnect();
    // Nothing of this user is left in the page for the next one.
    find('#open-room .room').replaceChildren();
    find('#room-list').replaceChildren();
    find('#chat').hidden = true;
    find('#account').hidden = true;
    this.onEnd(reason);
  }

  async #loadRooms() {
    const { body } = await this.rest.request('GET', '/rooms?limit=100');
    this.#rooms = body;
    this.#showRooms();
  }

  #showRooms() {
    const items = this.#rooms.map(({ id, name, unreadCount }) => {
      const isOpen = id === this.#view?.roomId;
      const link = element('a', { href: `#${id}`, 'aria-current': isOpen && 'page' }, name);
      if (unreadCount && !isOpen) {
        const count = String(unreadCount);
        link.append(element('span', { class: 'badge', title: `${count} unread` }, count));
      }
      return element('li', {}, link);
    });
    find('#room-list').replaceChildren(...items);
    find('#no-rooms').hidden = items.length > 0;
  }

  /** Opens the room that the address names, if one is a member; else offers to join it. */
  async #openNamed() {
    const roomId = location.hash.slice(1);
    if (this.#view?.roomId === roomId) return;
    this.#close();
    const room = this.#rooms.find(({ id }) => id === roomId);
    if (roomId && !room) {
      /** @type {HTMLInputElement} */ (find('[name=roomId]')).value = roomId;
    }
    if (!room) return;
    room.unreadCount = 0;
    const pane = find('#open-room');
    const view = new RoomView(find('.room', pane), this.client, { userId: this.me.id, roomId });
    this.#view = view;
    find('#room-name').textContent = room.name;
    find('#room-id').textContent = room.id;
    pane.hidden = false;
    find('#pick').hidden = true;
    find('#chat').classList.add('has-room');
    this.#showRooms();
    await view.open().catch((error) => view.notice(error.message));
  }

  #close() {
    this.#view?.close();
    this.#view = null;
    find('#open-room').hidden = true;
    find('#pick').hidden = false;
    find('#chat').classList.remove('has-room');
    this.#showRooms();
  }

  /** Shows why an action failed; returns whether it worked. @param {() => Promise<void>} act */
  async #try(act) {
    const place = find('.rooms .problem');
    place.hidden = true;
    try {
      await act();
      return true;
    } catch (error) {
      place.textContent = /** @type {Error} */ (error).message;
      place.hidden = false;
      return false;
    }
  }
}
