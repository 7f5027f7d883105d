// Waits that end: what does not come fails its test, and says what was waited for.

/** Longer than anything takes that comes at all. */
export const PATIENCE_MS = 60_000;

/**
 * Resolves as the promise does, or rejects when that takes too long.
 *
 * @template T
 * @param {Promise<T>} promise
 * @param {string} what is waited for
 * @param {number} [ms]
 * @returns {Promise<T>}
 */
export async function within(promise, what, ms = PATIENCE_MS) {
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: did not come within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, /** @type {Promise<never>} */ (late)]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Asks until there is an answer.
 *
 * @template T
 * @param {string} what is waited for
 * @param {() => Promise<T|undefined|null|false>} ask
 * @param {number} [ms]
 * @returns {Promise<T>}
 */
export async function asked(what, ask, ms = PATIENCE_MS) {
  const end = Date.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`${what}: was not so within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
