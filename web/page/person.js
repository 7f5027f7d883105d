import { element } from '../element.js';

const HUES = 8;

/** A circle with the first letter of a name, in a colour of its own. @param {string} id @param {string} name */
export function avatar(id, name) {
  let hash = 0;
  for (const char of id) hash = (hash * 31 + char.charCodeAt(0)) | 0;
  const letter = [...name.trim()][0]?.toLocaleUpperCase() ?? '?';
  return element(
    'span',
    { class: `avatar hue-${Math.abs(hash) % HUES}`, 'aria-hidden': 'true' },
    letter,
  );
}
