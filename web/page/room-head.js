// The head of the open room: its name, how many are there, and what one can do.

import { element } from '../element.js';
import { showState } from './connection.js';
import { icon, iconButton } from './icon.js';

/** @typedef {import('./rooms.js').Room} Room */
/** @typedef {import('./rooms.js').Rooms} Rooms */

/**
 * What the buttons do; without, there are none.
 *
 * @typedef {object} Actions
 * @property {() => void} invite
 * @property {() => void} leave
 * @property {() => void} members
 */

export class RoomHead {
  #title = element('h1', { class: 'room-name', dir: 'auto' });
  #state = element('span', { class: 'state' });
  #people = element('span', { class: 'people' });
  #invite;

  /**
   * @param {Rooms} rooms
   * @param {Room} room
   * @param {AbortSignal} signal ends it
   * @param {Actions} [actions]
   */
  constructor(rooms, room, signal, actions) {
    this.rooms = rooms;
    this.room = room;
    this.#invite = iconButton('link', 'Invite', () => actions?.invite());
    const under = element('p', { class: 'under' }, this.#state, this.#people);
    const title = element('div', { class: 'title' }, this.#title, under);
    this.root = element('header', { class: 'pane-head' }, title);
    if (actions) this.#addButtons(actions);
    rooms.addEventListener('people', () => this.#show(), { signal });
    rooms.client.on('state', () => this.#show(), { signal });
    this.#show();
  }

  /** @param {Actions} actions */
  #addButtons(actions) {
    const name = 'Back to the rooms';
    const back = element('a', { class: 'icon-button back', href: '#', 'aria-label': name });
    back.append(icon('back'));
    this.root.prepend(back);
    this.root.append(
      this.#invite,
      iconButton('people', 'Members', () => actions.members()),
      iconButton('leave', 'Leave', () => actions.leave()),
    );
  }

  #show() {
    const { name, visibility, members } = this.room;
    // All of it, where it is cut.
    this.#title.title = name;
    this.#title.replaceChildren(icon(visibility === 'private' ? 'lock' : 'hash'), name);
    const here = [...members.values()].filter(
      ({ online, userId }) => online === true || userId === this.rooms.me.id,
    ).length;
    const count = members.size === 1 ? '1 member' : `${members.size} members`;
    const { state } = this.rooms.client;
    showState(this.#state, state);
    // Who is there is not known without a connection.
    const present =
      state === 'online' ? element('span', { class: 'present' }, `, ${here} online`) : '';
    if (members.size > 0) this.#people.replaceChildren(count, present);
    const role = this.rooms.roleOf(this.room);
    this.#invite.hidden = visibility === 'private' && role === 'member';
  }
}
