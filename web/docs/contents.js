/** The list of contents: one link for each entry, filtered by what is typed. */

import { element } from '../element.js';

/**
 * @param {HTMLElement} list
 * @param {HTMLElement} main
 * @param {HTMLElement} filter
 */
export function contents(list, main, filter) {
  const groups = [...main.querySelectorAll('.part')].map((part) => {
    const title = part.querySelector('h1')?.textContent ?? '';
    const entries = [...part.querySelectorAll('[data-title]')].map((entry) => {
      const isGroup = entry.localName === 'section';
      const link = element('a', { href: `#${entry.id}` }, entry.getAttribute('data-title') ?? '');
      return element('li', { class: isGroup ? 'group' : 'one' }, link);
    });
    return element('section', {}, element('h2', {}, element('a', { href: `#${part.id}` }, title)), element('ul', {}, ...entries));
  });
  list.replaceChildren(...groups);
  filter.addEventListener('input', () => {
    const wanted = /** @type {HTMLInputElement} */ (filter).value.trim().toLowerCase();
    for (const item of list.querySelectorAll('li')) {
      const fits = item.textContent?.toLowerCase().includes(wanted);
      item.hidden = Boolean(wanted) && (item.classList.contains('group') || !fits);
    }
  });
}
