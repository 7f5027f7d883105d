// A network that fails: a TCP proxy whose connections are cut, or go silent.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** Shortest and longest life of a connection that is cut at random, in bytes of both directions. */
const LIFE_BYTES = [1_200, 9_000];

export class Proxy {
  #server;
  #target;
  /** @type {Set<Pair>} */
  #pairs = new Set();
  #isDown = false;
  /** @type {(() => number)|null} */
  #random = null;
  /** How many connections were cut. */
  cuts = 0;

  /** @param {string} target the address of a server */
  constructor(target) {
    this.#target = new URL(target);
    this.#server = createServer((client) => this.#accept(client));
  }

  /** @param {string} target */
  static async start(target) {
    const proxy = new Proxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  /** What clients connect to instead. */
  get url() {
    const { port } = /** @type {import('node:net').AddressInfo} */ (this.#server.address());
    return `http://127.0.0.1:${port}/`;
  }

  /** Cuts every connection now; each end sees the other vanish. */
  cut() {
    for (const pair of this.#pairs) this.#cut(pair);
  }

  /** Passes nothing more on, and tells nobody: what a sleeping laptop or a dead router does. */
  silence() {
    for (const pair of this.#pairs) pair.isSilent = true;
  }

  /** Cuts every connection, and new ones at once until `goUp`. */
  goDown() {
    this.#isDown = true;
    this.cut();
  }

  goUp() {
    this.#isDown = false;
  }

  /** Gives each connection from now on a random life. @param {number} seed */
  cutAtRandom(seed) {
    this.#random = randomFrom(seed);
  }

  stopCutting() {
    this.#random = null;
    for (const pair of this.#pairs) pair.lifeBytes = Infinity;
  }

  async stop() {
    this.goDown();
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** @param {import('node:net').Socket} client */
  #accept(client) {
    client.on('error', () => {});
    if (this.#isDown) return void client.resetAndDestroy();
    const server = connect(Number(this.#target.port), this.#target.hostname);
    server.on('error', () => {});
    const [shortest, longest] = LIFE_BYTES;
    const lifeBytes = this.#random ? shortest + this.#random() * (longest - shortest) : Infinity;
    /** @type {Pair} */
    const pair = { client, server, lifeBytes, isSilent: false };
    this.#pairs.add(pair);
    this.#pass(pair, client, server);
    this.#pass(pair, server, client);
  }

  /** @param {Pair} pair @param {import('node:net').Socket} from @param {import('node:net').Socket} to */
  #pass(pair, from, to) {
    from.setNoDelay();
    from.on('data', (bytes) => {
      if (pair.isSilent) return;
      // The last bytes of a life still pass: a cut may fall into the middle of a frame.
      to.write(bytes.subarray(0, Math.min(bytes.length, pair.lifeBytes)));
      pair.lifeBytes -= bytes.length;
      if (pair.lifeBytes <= 0) this.#cut(pair);
    });
    from.on('close', () => {
      if (!pair.isSilent) to.end();
      this.#pairs.delete(pair);
    });
  }

  /** @param {Pair} pair */
  #cut({ client, server }) {
    this.cuts += 1;
    client.end(() => client.destroy());
    server.end(() => server.destroy());
  }
}

/**
 * @typedef {object} Pair
 * @property {import('node:net').Socket} client
 * @property {import('node:net').Socket} server
 * @property {number} lifeBytes what is left of it
 * @property {boolean} isSilent
 */

/** Random numbers from 0 to 1, the same for the same seed (mulberry32). @param {number} seed */
export function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
