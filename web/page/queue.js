// Requests that the page does not wait for: a few at a time.

export class Queue {
  #atOnce;
  #running = 0;
  /** What has not begun. @type {Map<string, {promise: Promise<void>, begin: () => void}>} */
  #waiting = new Map();

  /** @param {number} atOnce */
  constructor(atOnce) {
    this.#atOnce = atOnce;
  }

  /**
   * Runs a task when its turn comes, the newest first: it is about what is looked at now. It is not
   * added twice while it waits.
   *
   * @param {string} key names the task
   * @param {() => Promise<void>} task
   * @returns {Promise<void>} settles as the task does
   */
  run(key, task) {
    const known = this.#waiting.get(key);
    if (known) return known.promise;
    let begin = () => {};
    const turn = /** @type {Promise<void>} */ (new Promise((resolve) => (begin = resolve)));
    const promise = turn.then(task).finally(() => {
      this.#running -= 1;
      this.#next();
    });
    this.#waiting.set(key, { promise, begin });
    this.#next();
    return promise;
  }

  /** Forgets what has not begun. */
  clear() {
    this.#waiting.clear();
  }

  #next() {
    const newest = [...this.#waiting].at(-1);
    if (!newest || this.#running >= this.#atOnce) return;
    const [key, { begin }] = newest;
    this.#waiting.delete(key);
    this.#running += 1;
    begin();
  }
}
