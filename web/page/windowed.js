// A long list of which only what is visible, plus a margin, is in the document.
//
// Every item has a height: measured once it was shown, guessed before. What is not shown is padding
// of the list, so the place of each row is the sum of the heights before it, and a change above the
// reader (older messages, a height that was guessed wrong) is made up for by the same amount of
// scrolling: what is read stays where it is.

/** Shown above and below the visible part, as a share of it. */
const MARGIN = 0.8;
const GUESSED_PX = 44;
/** This close to the end is at the end. */
const END_PX = 40;
/** Heights of what is no longer in the list are forgotten when there are so many. */
const MAX_FORGOTTEN = 500;

/**
 * @template T
 * @typedef {object} Rows
 * @property {(item: T) => string} keyOf names an item for ever
 * @property {(item: T, before: T|undefined) => string} looksOf changes when the row must be made anew
 * @property {(item: T, before: T|undefined) => HTMLElement} make
 * @property {() => void} onScrolled after each change of what is visible
 */

/** @template T */
export class Windowed {
  /** @type {T[]} */
  #items = [];
  /** @type {Map<string, number>} */
  #heights = new Map();
  /** What is in the document. @type {Map<string, {row: HTMLElement, looks: string}>} */
  #shown = new Map();
  /** As of the last drawing: where each item began; one more for the end. */
  #tops = [0];
  /** As of the last drawing. @type {string[]} */
  #keys = [];
  #frame = 0;
  #isAtEnd = true;
  #lastTop = 0;
  #width = 0;
  #resized = new ResizeObserver(() => this.#onResize());

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} list inside of the scroller
   * @param {Rows<T>} rows
   */
  constructor(scroller, list, rows) {
    this.scroller = scroller;
    this.list = list;
    this.rows = rows;
    scroller.addEventListener('scroll', () => this.#onScroll(), { passive: true });
    this.#resized.observe(scroller);
  }

  /** Whether the reader follows the newest. */
  get isAtEnd() {
    return this.#isAtEnd;
  }

  close() {
    this.#resized.disconnect();
    cancelAnimationFrame(this.#frame);
  }

  /** Shows these items, in the next frame. The reader stays where they are. @param {T[]} items */
  show(items) {
    this.#items = items;
    this.#draw();
  }

  /** Forgets what was shown and goes to the end. */
  reset() {
    this.#heights.clear();
    for (const { row } of this.#shown.values()) row.remove();
    this.#shown.clear();
    this.#tops = [0];
    this.#keys = [];
    this.scrollToEnd();
  }

  scrollToEnd() {
    this.#isAtEnd = true;
    this.#draw();
  }

  /** Puts an item a third of the way down. @param {string} key @returns whether there is one */
  scrollTo(key) {
    const at = this.#items.findIndex((item) => this.rows.keyOf(item) === key);
    if (at < 0) return false;
    this.#isAtEnd = false;
    this.#render({ key, fromTop: this.scroller.clientHeight / 3, edge: 'top' });
    return true;
  }

  /** Whether the reader is within this many heights of the window from the beginning. */
  isNearTop(windows = 1.5) {
    return this.scroller.scrollTop < this.scroller.clientHeight * windows;
  }

  /** Returns the first item of which something is in view. */
  firstVisible() {
    return this.#items[this.#at(this.scroller.scrollTop - this.list.offsetTop)];
  }

  /** Returns the last item that is wholly in view. */
  lastVisible() {
    const { scrollTop, clientHeight } = this.scroller;
    const end = scrollTop + clientHeight - this.list.offsetTop + 1;
    let at = this.#at(end);
    if (at < this.#keys.length && (this.#tops[at + 1] ?? 0) > end) at -= 1;
    return this.#items[Math.min(at, this.#items.length - 1)];
  }

  #draw() {
    this.#frame ||= requestAnimationFrame(() => this.#render());
  }

  get #isNearEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < END_PX;
  }

  #onScroll() {
    const { scrollTop } = this.scroller;
    // Only going up leaves the end: messages may have come since this went down to it.
    const isUp = scrollTop < this.#lastTop;
    this.#lastTop = scrollTop;
    this.#isAtEnd = this.#isNearEnd || (this.#isAtEnd && !isUp);
    this.#draw();
  }

  /** Another width, other heights; a keyboard that opens must not hide the end. */
  #onResize() {
    const { clientWidth } = this.scroller;
    if (clientWidth !== this.#width) this.#heights.clear();
    this.#width = clientWidth;
    this.#draw();
  }

  #forget() {
    const keys = new Set(this.#keys);
    for (const key of this.#heights.keys()) if (!keys.has(key)) this.#heights.delete(key);
  }

  /** The index of the row at a place in the list, as of the last drawing. @param {number} px */
  #at(px) {
    let [low, high] = [0, Math.max(0, this.#keys.length - 1)];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#tops[middle] <= px) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /**
   * What must stay where it is: the lower edge of the first visible row, because a day's heading
   * may come or go above its text.
   */
  #anchor() {
    const top = this.scroller.scrollTop - this.list.offsetTop;
    const at = this.#at(top);
    const key = this.#keys[at];
    return key === undefined
      ? null
      : { key, fromTop: this.#tops[at + 1] - top, edge: /** @type {const} */ ('bottom') };
  }

  /** @param {{key: string, fromTop: number, edge: 'top'|'bottom'}|null} [wanted] */
  #render(wanted) {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const { scroller, list } = this;
    if (!scroller.isConnected || scroller.clientHeight === 0) return;
    const anchor = wanted ?? (this.#isAtEnd ? null : this.#anchor());
    this.#keys = this.#items.map(this.rows.keyOf);
    if (this.#heights.size > this.#keys.length + MAX_FORGOTTEN) this.#forget();
    const at = anchor ? this.#keys.indexOf(anchor.key) : -1;
    if (at < 0) this.#isAtEnd = true;
    // Heights that were guessed wrong move the window: a second round settles it.
    for (let round = 0; round < 2; round += 1) {
      this.#measureOut();
      const top = this.#topFor(anchor, at);
      const [start, end] = this.#range(top);
      const isKnown = this.#sync(start, end);
      this.#measureOut();
      list.style.paddingTop = `${this.#tops[start]}px`;
      list.style.paddingBottom = `${(this.#tops.at(-1) ?? 0) - this.#tops[end]}px`;
      if (isKnown) break;
    }
    const target = Math.round(list.offsetTop + this.#topFor(anchor, at));
    if (at < 0) scroller.scrollTop = scroller.scrollHeight;
    else if (Math.abs(scroller.scrollTop - target) >= 1) scroller.scrollTop = target;
    this.#lastTop = scroller.scrollTop;
    // What fits in the window never scrolls, and is at its end.
    this.#isAtEnd ||= this.#isNearEnd;
    this.rows.onScrolled();
  }

  /** Where the window begins in the list, so that the anchor is where it was. */
  #topFor(/** @type {{fromTop: number, edge: string}|null} */ anchor, /** @type {number} */ at) {
    if (!anchor || at < 0) return (this.#tops.at(-1) ?? 0) - this.scroller.clientHeight;
    return this.#tops[anchor.edge === 'top' ? at : at + 1] - anchor.fromTop;
  }

  #measureOut() {
    const tops = new Array(this.#keys.length + 1);
    tops[0] = 0;
    this.#keys.forEach((key, at) => {
      tops[at + 1] = tops[at] + (this.#heights.get(key) ?? GUESSED_PX);
    });
    this.#tops = tops;
  }

  /** @param {number} top @returns {[number, number]} the first item to show, and the one after the last */
  #range(top) {
    if (this.#items.length === 0) return [0, 0];
    const height = this.scroller.clientHeight;
    return [this.#at(top - height * MARGIN), this.#at(top + height * (1 + MARGIN)) + 1];
  }

  /** Brings the document to these items; returns whether all heights had been known. */
  #sync(/** @type {number} */ start, /** @type {number} */ end) {
    const { keyOf, looksOf, make } = this.rows;
    /** @type {Map<string, {row: HTMLElement, looks: string}>} */
    const next = new Map();
    /** @type {string[]} */
    const made = [];
    for (let at = start; at < end; at += 1) {
      const [item, before] = [this.#items[at], this.#items[at - 1]];
      const key = keyOf(item);
      const looks = `${before ? keyOf(before) : ''} ${looksOf(item, before)}`;
      const known = this.#shown.get(key);
      const isSame = known?.looks === looks;
      next.set(key, isSame ? known : { row: make(item, before), looks });
      if (!isSame || !this.#heights.has(key)) made.push(key);
    }
    for (const [key, { row }] of this.#shown) if (next.get(key)?.row !== row) row.remove();
    let place = this.list.firstElementChild;
    for (const { row } of next.values()) {
      if (row === place) place = place.nextElementSibling;
      else this.list.insertBefore(row, place);
    }
    this.#shown = next;
    let isKnown = true;
    for (const key of made) {
      const height = next.get(key)?.row.getBoundingClientRect().height ?? GUESSED_PX;
      if (this.#heights.get(key) !== height) isKnown = false;
      this.#heights.set(key, height);
    }
    return isKnown;
  }
}
