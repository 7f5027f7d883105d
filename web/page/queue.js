// Requests that the page does not wait for: a few at a time.

export class Queue {
  #atOnce;
  /** By key, until they have ended. @type {Map<string, Promise<void>>} */
  #tasks = new Map();
  /** What has not begun. @type {Map<string, () => void>} */
  #waiting = new Map();

  /** @param {number} atOnce */
  constructor(atOnce) {
    this.#atOnce = atOnce;
  }

  /**
   * Runs a task when its turn comes, the newest first: it is about what is looked at now. It is not
   * added twice before it has ended.
   *
   * @param {string} key names the task
   * @param {() => Promise<void>} task
   * @returns {Promise<void>} settles as the task does
   */
  run(key, task) {
    const known = this.#tasks.get(key);
    if (known) return known;
    const turn = /** @type {Promise<void>} */ (
      new Promise((resolve) => this.#waiting.set(key, resolve))
    );
    const promise = turn.then(task).finally(() => {
      this.#tasks.delete(key);
      this.#next();
    });
    this.#tasks.set(key, promise);
    this.#next();
    return promise;
  }

  /** Forgets what has not begun. */
  clear() {
    for (const key of this.#waiting.keys()) this.#tasks.delete(key);
    this.#waiting.clear();
  }

  #next() {
    const newest = [...this.#waiting].at(-1);
    const running = this.#tasks.size - this.#waiting.size;
    if (!newest || running >= this.#atOnce) return;
    const [key, begin] = newest;
    this.#waiting.delete(key);
    begin();
  }
}
