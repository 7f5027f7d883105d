// A client under test, with all that it told.

import { WebSocket } from 'ws';

import { Roomcast } from '../../web/roomcast.js';
import { within } from './patience.js';

/** @typedef {import('../../web/roomcast.js').RoomcastEvents} RoomcastEvents */
/** @typedef {import('../../web/roomcast.js').RoomcastOptions} RoomcastOptions */

/** Comes back quickly. */
const TIMING = { firstBackoffMs: 10, maxBackoffMs: 100 };

/** @type {(keyof RoomcastEvents)[]} */
const NAMES = [
  'state',
  'waiting',
  'message',
  'send',
  'joined',
  'reset',
  'roomLost',
  'token',
  'memberJoined',
  'memberLeft',
  'presenceChanged',
  'typing',
  'readUpdated',
  'error',
];

export class Client extends Roomcast {
  /** Every event in its order, with its `detail`. @type {{name: string, detail: any}[]} */
  told = [];
  /** @type {Set<() => void>} */
  #waiters = new Set();

  /**
   * @param {import('node:test').TestContext} t ends it
   * @param {{url: string}} place a server, or a proxy before it
   * @param {{token: string}} user
   * @param {RoomcastOptions} [options]
   */
  constructor(t, { url }, { token }, { timing, ...options } = {}) {
    const given = /** @type {any} */ (WebSocket);
    super({ url, token, WebSocket: given, timing: { ...TIMING, ...timing }, ...options });
    for (const name of NAMES) {
      this.on(name, (detail) => {
        this.told.push({ name, detail });
        for (const look of this.#waiters) look();
      });
    }
    t.after(() => this.disconnect());
  }

  /**
   * The details of all events of a kind so far.
   *
   * @template {keyof RoomcastEvents} K
   * @param {K} name
   * @returns {RoomcastEvents[K][]}
   */
  all(name) {
    return this.told.filter((event) => event.name === name).map(({ detail }) => detail);
  }

  /** The contents of all messages so far. */
  get contents() {
    return this.all('message').map(({ content }) => content);
  }

  /** Resolves when `check` holds, which is looked at after every event. @param {() => boolean} check */
  async until(check) {
    /** @type {() => void} */
    let look = () => {};
    const holds = /** @type {Promise<void>} */ (
      new Promise((resolve) => {
        look = () => check() && resolve();
        this.#waiters.add(look);
        look();
      })
    );
    try {
      await within(holds, `\`${check}\``);
    } finally {
      this.#waiters.delete(look);
    }
  }
}
