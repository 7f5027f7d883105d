// How one is connected, always in view: a word beside one's name, a bar when there is trouble.

import { find } from '../element.js';

/** @typedef {import('../roomcast.js').Roomcast} Roomcast */

/** Trouble shorter than this is nobody's business. */
const PATIENCE_MS = 800;

export class Connection {
  #retryAt = 0;
  #timer = 0;
  #patience = 0;
  #aborter = new AbortController();

  /** @param {Roomcast} client */
  constructor(client) {
    this.client = client;
    const { signal } = this.#aborter;
    client.on('state', ({ retryInMs }) => this.#changed(retryInMs), { signal });
    client.on('waiting', () => this.#show(), { signal });
    const again = () => this.client.connect().catch(() => {});
    find('#try-now').addEventListener('click', again, { signal });
    // The network is back, or the lid is open: no need to wait for the next try.
    addEventListener('online', again, { signal });
    addEventListener('offline', () => this.#show(), { signal });
    this.#changed();
  }

  close() {
    this.#aborter.abort();
    clearInterval(this.#timer);
    clearTimeout(this.#patience);
    find('#trouble').hidden = true;
  }

  /** @param {number} [retryInMs] */
  #changed(retryInMs) {
    this.#retryAt = retryInMs === undefined ? 0 : Date.now() + retryInMs;
    clearInterval(this.#timer);
    if (retryInMs !== undefined) this.#timer = window.setInterval(() => this.#show(), 1000);
    this.#show();
  }

  #show() {
    const { state, waiting } = this.client;
    for (const place of document.querySelectorAll('[data-connection]')) showState(place, state);
    this.#warn(state === 'online' ? '' : troubleText(state, waiting, this.#retryAt - Date.now()));
  }

  /** @param {string} text '' when all is well */
  #warn(text) {
    const bar = find('#trouble');
    const place = find('#trouble-text');
    if (place.textContent !== text) place.textContent = text;
    if (!text) {
      clearTimeout(this.#patience);
      this.#patience = 0;
      bar.hidden = true;
    } else if (bar.hidden) {
      this.#patience ||= window.setTimeout(() => (bar.hidden = false), PATIENCE_MS);
    }
    find('#try-now').hidden = this.client.state !== 'waiting';
  }
}

/** @param {Element} place @param {import('../roomcast.js').State} state */
export function showState(place, state) {
  // A server on the same machine answers without a network, too.
  const isOnline = state === 'online';
  const word = isOnline ? 'online' : state === 'connecting' ? 'connecting…' : 'offline';
  place.setAttribute('data-connection', isOnline ? 'online' : 'trouble');
  if (place.textContent !== word) place.textContent = word;
}

/**
 * @param {string} state
 * @param {number} waiting
 * @param {number} retryInMs
 */
function troubleText(state, waiting, retryInMs) {
  const what = state === 'connecting' ? 'Connecting' : 'Offline';
  const held =
    waiting === 1 ? ', 1 message waiting' : waiting ? `, ${waiting} messages waiting` : '';
  const next =
    state === 'waiting' && retryInMs > 1500 ? ` Next try in ${Math.ceil(retryInMs / 1000)} s.` : '';
  return `${what}${held}.${next}`;
}
