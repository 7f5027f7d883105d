// A roomcast for a test, and its users.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';

import { start } from '../../dev/browser/server.js';
import { within } from './patience.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** The roomcast under test. */
export const BINARY = resolve(process.env.ROOMCAST_BIN ?? `${ROOT}target/debug/roomcast`);
const PASSWORD = 'correct horse battery';

/** Cheap passwords, and no limit that many clients behind one address would meet. */
const ENV = { BCRYPT_COST: '4', LIMIT_SEND_BURST: '0', LIMIT_HANDSHAKES_PER_S: '0' };

let users = 0;

/**
 * @typedef {object} User
 * @property {string} id
 * @property {string} email
 * @property {string} displayName
 * @property {string} token
 */

/** One `roomcast dev`, on a port and a folder of its own. */
export class Server {
  /** @param {Awaited<ReturnType<typeof start>>} running */
  constructor(running) {
    /** Of its page, with a slash at the end. */
    this.url = running.url;
    this.stop = running.stop;
  }

  /** @param {{dataDir?: string, port?: string, env?: Record<string, string>}} [options] */
  static async start({ env = {}, ...place } = {}) {
    return new Server(await start(BINARY, { ...place, env: { ...ENV, ...env } }));
  }

  get port() {
    return new URL(this.url).port;
  }

  /**
   * Sends a request and returns the answer's JSON; any refusal throws.
   *
   * @param {string} method
   * @param {string} path
   * @param {{token?: string, body?: object}} [options]
   * @returns {Promise<any>}
   */
  async rest(method, path, { token, body } = {}) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body) headers['Content-Type'] = 'application/json';
    const url = new URL(path, this.url);
    const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text && JSON.parse(text);
  }

  /**
   * Registers somebody new and logs in.
   *
   * @param {string} [displayName]
   * @returns {Promise<User>}
   */
  async user(displayName = 'somebody') {
    users += 1;
    const email = `${displayName.toLowerCase()}-${process.pid}-${users}@example.com`;
    const body = { email, password: PASSWORD, displayName };
    const { id } = await this.rest('POST', '/auth/register', { body });
    return { id, email, displayName, token: await this.login(email) };
  }

  /** Returns a token of a new login. @param {string} email of one made by `user` */
  async login(email) {
    const body = { email, password: PASSWORD };
    return (await this.rest('POST', '/auth/login', { body })).accessToken;
  }

  /**
   * Makes a public room of the first, with all the others in it, and returns its id.
   *
   * @param {User} owner
   * @param {...User} others
   * @returns {Promise<string>}
   */
  async room({ token }, ...others) {
    const { id } = await this.rest('POST', '/rooms', { token, body: { name: 'Test' } });
    for (const other of others) {
      await this.rest('POST', `/rooms/${id}/join`, { token: other.token });
    }
    return id;
  }

  /**
   * Stores many messages in their order, all sent at once.
   *
   * @param {User} sender
   * @param {string} roomId
   * @param {string[]} contents
   */
  async flood({ token }, roomId, contents) {
    const socket = new WebSocket(new URL('ws', this.url), ['roomcast.v1', `bearer.${token}`]);
    await once(socket, 'open');
    const write = (/** @type {string} */ event, /** @type {object} */ data) => {
      socket.send(JSON.stringify({ event, data: { roomId, ...data } }));
    };
    let left = contents.length;
    const joined = new Promise((done) => {
      socket.on('message', (frame) => {
        if (JSON.parse(String(frame)).event === 'roomJoined') done(null);
      });
    });
    const stored = new Promise((done) => {
      socket.on('message', (frame) => {
        if (JSON.parse(String(frame)).event === 'newMessage' && --left === 0) done(null);
      });
    });
    write('joinRoom', {});
    // What is stored before is not told.
    await within(joined, 'roomJoined');
    for (const content of contents) {
      write('sendMessage', { clientMsgId: randomUUID(), type: 'TEXT', content });
    }
    await within(stored, `${contents.length} stored messages`);
    socket.close();
  }
}
