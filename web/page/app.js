// Signed in: one client, one's rooms, and the one that is open, named by the address's fragment.

import { element, find } from '../element.js';
import { Roomcast } from '../roomcast.js';
import { Connection } from './connection.js';
import { askForLink, askForRoom, confirm, showLinks } from './dialogs.js';
import { Members } from './members.js';
import { avatar } from './person.js';
import { read, roomLink, inviteLink } from './place.js';
import { RoomList } from './room-list.js';
import { RoomPane } from './room-pane.js';
import { Rooms } from './rooms.js';

/** @typedef {import('./session.js').Session} Session */
/** @typedef {import('./rooms.js').Room} Room */
/** @typedef {import('../roomcast.js').RoomcastError} RoomcastError */

const TOAST_MS = 6_000;
/** What happens in other windows of one's own is noticed when one comes back to this one. */
const channel = new BroadcastChannel('roomcast.rooms');

/**
 * @typedef {object} Hooks
 * @property {() => Promise<string|null>} getToken asked when the token is refused
 * @property {(token: string) => void} keepToken
 * @property {(reason: string) => void} onEnd the session is over
 */

export class App {
  #aborter = new AbortController();
  /** @type {RoomPane|null} */
  #pane = null;
  /** @type {Members|null} */
  #members = null;
  /** @type {Map<string, string>} */
  #drafts = new Map();
  #toastTimer = 0;
  /** The room that one is about to leave: no news. @type {Room|null} */
  #leaving = null;

  /** @param {Session} session @param {Hooks} hooks */
  constructor({ token, me }, hooks) {
    this.me = me;
    this.hooks = hooks;
    this.client = new Roomcast({ token, getToken: hooks.getToken });
    this.rest = this.client.rest;
    this.rooms = new Rooms(this.client, me);
    this.connection = new Connection(this.client);
    this.list = new RoomList(this.rooms);
    find('#me').textContent = me.displayName;
    find('#me-avatar').replaceChildren(avatar(me.id, me.displayName));
    find('#chat').hidden = false;
    this.#listen();
  }

  async start() {
    this.client.connect().catch(() => {});
    await this.#load();
    await this.#openNamed();
    const isIdle = document.activeElement === document.body && !this.#pane && hasKeyboard();
    if (isIdle && this.rooms.list().length > 0) this.list.focus();
    else if (isIdle) find('#pick-new').focus();
  }

  /** Signed out elsewhere, or here: nothing of this user is left in the page. @param {string} reason */
  end(reason) {
    this.#close();
    this.#aborter.abort();
    this.list.close();
    this.rooms.end();
    this.connection.close();
    this.client.disconnect();
    document.querySelectorAll('dialog').forEach((dialog) => dialog.close());
    document.title = 'roomcast';
    for (const place of ['#announcer', '#toast', '#me', '#me-avatar'])
      find(place).replaceChildren();
    find('#toast').hidden = true;
    find('#chat').hidden = true;
    this.hooks.onEnd(reason);
  }

  #listen() {
    const { signal } = this.#aborter;
    const { client, rooms } = this;
    /** @param {string} selector @param {() => void} act */
    const onClick = (selector, act) => find(selector).addEventListener('click', act, { signal });
    onClick('#add-room', () => this.#create());
    onClick('#pick-new', () => this.#create());
    onClick('#pick-join', () => this.#join());
    onClick('#sign-out', () => this.#signOut());
    addEventListener('hashchange', () => this.#openNamed(), { signal });
    addEventListener('beforeunload', (event) => client.waiting > 0 && event.preventDefault(), {
      signal,
    });
    addEventListener('focus', () => this.#load(), { signal });
    channel.addEventListener('message', () => this.#load(), { signal });
    client.on('token', ({ accessToken }) => this.hooks.keepToken(accessToken), { signal });
    client.on('state', ({ state }) => this.#onState(state), { signal });
    rooms.addEventListener('list', () => this.#showTitle(), { signal });
    /** @param {string} name @param {(detail: any) => void} handle */
    const on = (name, handle) =>
      rooms.addEventListener(name, (event) => handle(/** @type {CustomEvent} */ (event).detail), {
        signal,
      });
    on('arrived', ({ room, msg }) => this.#announce(room, msg));
    on('lost', ({ room }) => this.#lost(room));
  }

  /** @param {string} state */
  #onState(state) {
    if (state === 'ended') this.end('Your session has ended. Sign in again.');
    if (state === 'online') void this.#load();
  }

  async #load() {
    // What cannot be read now is read when the connection is back.
    await this.rooms.load().catch(() => {});
    if (!this.#pane && location.hash.length > 1 && !this.#aborter.signal.aborted)
      await this.#openNamed();
  }

  // ---- the open room ----

  async #openNamed() {
    const place = read(location.hash);
    if (this.#pane && place.roomId === this.#pane.room.id) return;
    this.#close();
    if (place.invite) return this.#invited(place.invite);
    const room = this.rooms.get(place.roomId ?? '');
    if (room) this.#open(room);
    else if (place.roomId && this.client.state === 'online') await this.#offerToJoin(place.roomId);
  }

  /** @param {Room} room */
  #open(room) {
    const pane = new RoomPane(this.rooms, room, {
      invite: () => this.#try(() => this.#invite(room)),
      leave: () => this.#try(() => this.#leave(room)),
      members: () => this.#toggleMembers(room),
    });
    this.#pane = pane;
    find('#pick').hidden = true;
    find('#main').append(pane.root);
    find('#chat').classList.add('has-room');
    this.list.open(room.id);
    pane.draft = this.#drafts.get(room.id) ?? '';
    pane.open();
    pane.root.addEventListener('keydown', ({ key }) => key === 'Escape' && this.list.focus());
    // A phone's keyboard would cover what one came to read.
    if (hasKeyboard()) pane.focus();
  }

  #close() {
    this.#closeMembers();
    const pane = this.#pane;
    this.#pane = null;
    if (pane) {
      this.#drafts.set(pane.room.id, pane.draft);
      pane.close();
      pane.root.remove();
    }
    find('#pick').hidden = false;
    find('#chat').classList.remove('has-room');
    this.list.open(null);
  }

  /** @param {Room} room */
  #toggleMembers(room) {
    if (this.#members) return this.#closeMembers();
    const act = {
      close: () => this.#closeMembers(),
      tell: (/** @type {string} */ text) => this.#tell(text),
    };
    this.#members = new Members(this.rooms, room, act);
    find('#main').append(this.#members.root);
    this.#members.focus();
  }

  #closeMembers() {
    if (!this.#members) return;
    this.#members.close();
    this.#members = null;
    this.#pane?.focus();
  }

  /** @param {Room} room */
  #lost(room) {
    this.#drafts.delete(room.id);
    if (this.#pane?.room !== room) return;
    location.hash = '';
    this.#close();
    if (room !== this.#leaving) this.#tell(`You are no longer in ${room.name}.`);
  }

  // ---- deeds ----

  #create() {
    const create = async (/** @type {any} */ wanted) =>
      this.#enter((await this.rest.createRoom(wanted)).id);
    void askForRoom(create, () => this.#join());
  }

  #join() {
    void askForLink(async (link) => {
      const { roomId, invite } = read(link);
      if (invite) return this.#enter((await this.rest.acceptInvite(invite)).roomId);
      if (!roomId) throw new Error('This is not a link of a room, nor an id.');
      await this.#joinRoom(roomId);
    });
  }

  /** @param {string} roomId */
  async #joinRoom(roomId) {
    try {
      await this.rest.joinRoom(roomId);
    } catch (error) {
      if (/** @type {RoomcastError} */ (error).code !== 'ALREADY_MEMBER') throw error;
    }
    await this.#enter(roomId);
  }

  /** @param {string} roomId of a room that one has become a member of */
  async #enter(roomId) {
    await this.rooms.load();
    channel.postMessage('changed');
    location.hash = roomId;
  }

  /** @param {string} roomId */
  async #offerToJoin(roomId) {
    const text = 'You are not in this room. If it is public, you can join it.';
    history.replaceState(null, '', location.pathname);
    if (await confirm('Join this room?', text, 'Join', ''))
      await this.#try(() => this.#joinRoom(roomId));
  }

  /** Accepting spends the invitation, so it is asked for. @param {string} token */
  async #invited(token) {
    history.replaceState(null, '', location.pathname);
    const text = 'Somebody sent you an invitation to a room. It is good for one person.';
    if (!(await confirm('Join the room you are invited to?', text, 'Join', ''))) return;
    await this.#try(async () => this.#enter((await this.rest.acceptInvite(token)).roomId));
  }

  /** @param {Room} room */
  async #invite(room) {
    const links = [];
    if (room.visibility === 'public') {
      links.push({ text: 'Anyone can come in by this link', link: roomLink(room.id) });
    }
    if (this.rooms.roleOf(room) !== 'member') {
      const { token } = await this.rest.createInvite(room.id);
      links.push({ text: 'For one person, within 7 days', link: inviteLink(token) });
    }
    showLinks(room.name, links);
  }

  /** @param {Room} room */
  async #leave(room) {
    const text =
      room.visibility === 'private'
        ? 'You can come back only by another invitation.'
        : 'You can join again by its link.';
    if (!(await confirm(`Leave ${room.name}?`, text, 'Leave'))) return;
    this.#leaving = room;
    await this.rest.leaveRoom(room.id);
    location.hash = '';
    this.#close();
    this.rooms.forget(room.id);
    channel.postMessage('changed');
    this.list.focus();
  }

  async #signOut() {
    const { waiting } = this.client;
    const count = waiting === 1 ? '1 message is' : `${waiting} messages are`;
    const text = `${count} not sent yet, and will be lost.`;
    if (waiting > 0 && !(await confirm('Sign out?', text, 'Sign out'))) return;
    // First here and in the other tabs: what the server closes then is missed by nobody.
    this.end('');
    await this.rest.logout().catch(() => {});
  }

  /** Shows why something could not be done. @param {() => Promise<void>} act */
  async #try(act) {
    try {
      await act();
    } catch (error) {
      const { code, message } = /** @type {RoomcastError} */ (error);
      this.#tell(code === 'ALREADY_MEMBER' ? 'You are in this room already.' : message);
    }
  }

  // ---- telling ----

  #showTitle() {
    const { unread } = this.rooms;
    document.title = unread > 0 ? `(${unread}) roomcast` : 'roomcast';
  }

  /** For who listens instead of looking. @param {Room} room @param {import('../roomcast.js').Message} msg */
  #announce(room, msg) {
    const where = this.#pane?.room === room ? '' : ` in ${room.name}`;
    const text = `${this.rooms.nameOf(msg.senderId, room)}${where}: ${msg.content}`;
    find('#announcer').replaceChildren(element('span', {}, text));
  }

  /** @param {string} text */
  #tell(text) {
    const toast = find('#toast');
    toast.textContent = text;
    toast.hidden = false;
    clearTimeout(this.#toastTimer);
    this.#toastTimer = window.setTimeout(() => (toast.hidden = true), TOAST_MS);
  }
}

/** Whether the focus is of use; on a phone it would bring up a keyboard. */
const hasKeyboard = () => matchMedia('(pointer: fine)').matches;
