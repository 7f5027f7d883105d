// Who is in the open room: presence, roles, and what one may do about it.

import { element } from '../element.js';
import { confirm } from './dialogs.js';
import { iconButton } from './icon.js';
import { avatar } from './person.js';

/** @typedef {import('./rooms.js').Room} Room */
/** @typedef {import('./rooms.js').Rooms} Rooms */
/** @typedef {import('../roomcast.js').Member} Member */

const RANK = { owner: 0, admin: 1, member: 2 };

export class Members {
  #aborter = new AbortController();
  #title = element('h2', { id: 'members-title' });
  #list = element('ul', { class: 'member-list' });

  /**
   * @param {Rooms} rooms
   * @param {Room} room
   * @param {{close: () => void, tell: (text: string) => void}} act
   */
  constructor(rooms, room, act) {
    this.rooms = rooms;
    this.room = room;
    this.act = act;
    const close = iconButton('close', 'Close the members', () => act.close());
    this.root = element(
      'aside',
      { class: 'members', 'aria-labelledby': 'members-title' },
      element('header', { class: 'pane-head' }, this.#title, close),
      this.#list,
    );
    this.root.addEventListener('keydown', ({ key }) => key === 'Escape' && act.close());
    const onPeople = (/** @type {any} */ { detail }) => detail.room === room && this.#show();
    const { signal } = this.#aborter;
    rooms.addEventListener('people', onPeople, { signal });
    rooms.client.on('state', () => this.#show(), { signal });
    this.#show();
    rooms.loadMembers(room).catch(() => {});
  }

  close() {
    this.#aborter.abort();
    this.root.remove();
  }

  focus() {
    this.root.querySelector('button')?.focus();
  }

  #show() {
    const members = [...this.room.members.values()].sort(
      (a, b) => RANK[a.role] - RANK[b.role] || a.displayName.localeCompare(b.displayName),
    );
    this.#title.textContent = `Members (${members.length})`;
    const focused = document.activeElement?.getAttribute('data-act');
    this.#list.replaceChildren(...members.map((member) => this.#item(member)));
    if (focused) {
      const again = this.#list.querySelector(`[data-act="${focused}"]`);
      /** @type {HTMLElement|null} */ (again)?.focus();
    }
  }

  /** @param {Member} member */
  #item(member) {
    const { userId, displayName, role } = member;
    const isMe = userId === this.rooms.me.id;
    const presence = this.#presence(member);
    const under = [...(isMe ? ['you'] : []), ...(role === 'member' ? [] : [role]), presence];
    const who = element(
      'span',
      { class: 'who' },
      element('span', { class: 'name', dir: 'auto', title: displayName }, displayName),
      element('span', { class: 'role' }, under.join(' · ')),
    );
    const face = avatar(userId, displayName);
    face.dataset.presence = presence;
    return element(
      'li',
      { class: 'member', 'data-user-id': userId },
      face,
      who,
      ...this.#deeds(member),
    );
  }

  /** @param {Member} member */
  #presence({ userId, online }) {
    if (userId === this.rooms.me.id)
      return this.rooms.client.state === 'online' ? 'online' : 'offline';
    const isUnknown = online === null || this.rooms.client.state !== 'online';
    return isUnknown ? 'unknown' : online ? 'online' : 'offline';
  }

  /** @param {Member} member what the server would let one do */
  #deeds({ userId, displayName, role }) {
    const mine = this.rooms.roleOf(this.room);
    /** @type {HTMLElement[]} */
    const deeds = [];
    if (userId === this.rooms.me.id || role === 'owner') return deeds;
    if (mine === 'owner') {
      const next = role === 'admin' ? 'member' : 'admin';
      const change = () => this.rooms.rest.setRole(this.room.id, userId, next).then(() => {});
      const label =
        next === 'admin' ? `Make ${displayName} an admin` : `Make ${displayName} a member`;
      deeds.push(this.#deed('star', label, `role ${userId}`, change, role === 'admin'));
    }
    if (mine === 'owner' || mine === 'admin') {
      const remove = async () => {
        const text = `${displayName} will no longer see this room.`;
        if (!(await confirm(`Remove ${displayName}?`, text, 'Remove'))) return;
        await this.rooms.rest.removeMember(this.room.id, userId);
      };
      deeds.push(this.#deed('kick', `Remove ${displayName}`, `kick ${userId}`, remove));
    }
    return deeds;
  }

  /** @param {string} image @param {string} label @param {string} name @param {() => Promise<void>} act @param {boolean} [isOn] */
  #deed(image, label, name, act, isOn = false) {
    const button = iconButton(image, label, async () => {
      try {
        await act();
        await this.rooms.loadMembers(this.room);
      } catch (error) {
        this.act.tell(/** @type {Error} */ (error).message);
      }
    });
    button.classList.toggle('on', isOn);
    button.dataset.act = name;
    return button;
  }
}
