// What the tests of the page play on: a server, a browser, and windows that note everything a page
// must not do.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

import { Server } from '../../tests/node/server.js';
import { open, SIZE } from './windows.js';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('playwright-core').BrowserContextOptions} Options */
/** @typedef {import('../../tests/node/server.js').User} User */

const ARTIFACTS =
  process.env.ARTIFACTS ?? fileURLToPath(new URL('../../artifacts/', import.meta.url));
export const PASSWORD = 'correct horse battery';

const FLAGS = [
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** What a browser says of a server that is not there; a test of that must expect it. */
export const OUTAGE = [
  'ERR_CONNECTION_REFUSED',
  'ERR_CONNECTION_RESET',
  'ERR_CONNECTION_CLOSED',
  'ERR_EMPTY_RESPONSE',
  'ERR_SOCKET_NOT_CONNECTED',
  'ERR_INTERNET_DISCONNECTED',
  'ERR_NETWORK_CHANGED',
  'status of 503',
  'Unexpected response code: 503',
  'WebSocket is closed before the connection is established',
  'Connection closed before receiving a handshake response',
];

export class Stage {
  /** @type {string[]} */
  #faults = [];

  /**
   * @param {Server} server
   * @param {import('playwright-core').Browser} browser
   */
  constructor(server, browser) {
    this.server = server;
    this.browser = browser;
  }

  /** @param {Parameters<typeof Server.start>[0]} [options] of the server */
  static async open(options) {
    const server = await Server.start(options);
    const browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: process.getuid?.() === 0 ? [...FLAGS, '--no-sandbox'] : FLAGS,
    });
    return new Stage(server, browser);
  }

  /**
   * Opens a window of its own: no cookie, storage or cache is shared with another.
   *
   * @param {string} [path]
   * @param {Options & {at?: string}} [options] `at`: another address of the server
   */
  async window(path = '', { at = this.server.url, ...options } = {}) {
    const context = await this.browser.newContext({ viewport: SIZE, ...options });
    return open(context, new URL(path, at), this.#faults);
  }

  /** Another window of the same person: storage is shared. @param {Page} page @param {string} [path] */
  async tab(page, path = '') {
    return open(page.context(), new URL(path, page.url()), this.#faults);
  }

  /**
   * Opens a window in which somebody is signed in.
   *
   * @param {User} user
   * @param {Parameters<Stage['window']>[1]} [options]
   */
  async as(user, options = {}) {
    const { origin } = new URL(options.at ?? this.server.url);
    const { token, id, email, displayName } = user;
    const session = { token, me: { id, email, displayName }, stays: true };
    const item = { name: 'roomcast.session', value: JSON.stringify(session) };
    const storageState = { cookies: [], origins: [{ origin, localStorage: [item] }] };
    const page = await this.window('', { storageState, ...options });
    await page.locator('#state[data-connection=online]').waitFor();
    return page;
  }

  /** Asserts that no window had anything to complain about, but for what is expected. @param {string[]} expected */
  noFaults(expected = []) {
    const isExpected = (/** @type {string} */ fault) =>
      expected.some((part) => fault.includes(part));
    const found = this.#faults.filter((fault) => !isExpected(fault));
    this.#faults.length = 0;
    assert.deepEqual(found, []);
  }

  async close() {
    let at = 0;
    for (const context of this.browser.contexts()) {
      for (const page of context.pages()) {
        const theme = process.argv[1].replace(/^.*\/|\.test\.js$/g, '');
        if (process.exitCode) await shoot(page, `failed-${theme}-${(at += 1)}`);
      }
    }
    await this.browser.close();
    await this.server.stop();
  }
}

/** @param {Page} page @param {string} name */
export async function shoot(page, name) {
  await page.screenshot({ path: join(ARTIFACTS, `${name}.png`) });
}
