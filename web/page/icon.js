// The icons, drawn from lines: nothing is loaded for them, so that they are there without a network.

import { element } from '../element.js';

const SVG = 'http://www.w3.org/2000/svg';

/** In a square of 24. @type {Record<string, string>} */
const LINES = {
  alert: 'M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM12 8v5M12 16v.1',
  back: 'M15 5l-7 7 7 7',
  check: 'M6 12.5l4 4 8-9',
  checks: 'M2 12.5l4 4 8-9M11.5 15.5l1 1 8-9',
  clock: 'M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM12 8v4.5l3 1.5',
  close: 'M6 6l12 12M18 6L6 18',
  down: 'M12 5v14M6 13l6 6 6-6',
  hash: 'M9.5 4 7.5 20M16.5 4l-2 16M4.5 9H20M4 15h15.5',
  kick: 'M10 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3.5 19.5c.6-3.3 3.2-5 6.5-5 1.2 0 2.3.2 3.2.7M16 17.5h5',
  leave: 'M10 4H6a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h4M15.5 8l4 4-4 4M19.5 12H10',
  link: 'M10 14a4.5 4.5 0 0 0 6.5.3l3-3a4.5 4.5 0 0 0-6.4-6.4l-1.3 1.3M14 10a4.5 4.5 0 0 0-6.5-.3l-3 3a4.5 4.5 0 0 0 6.4 6.4l1.3-1.3',
  lock: 'M6.5 11h11a1.5 1.5 0 0 1 1.5 1.5V18a2 2 0 0 1-2 2H7a2 2 0 0 1-2-2v-5.5A1.5 1.5 0 0 1 6.5 11zM8 11V8a4 4 0 0 1 8 0v3',
  out: 'M12 4v8M7 6.8a7 7 0 1 0 10 0',
  people:
    'M9 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 19.5c.6-3.3 3.2-5 6.5-5s5.9 1.7 6.5 5M16 5a3.3 3.3 0 0 1 0 6.3M18 15c2 .7 3.2 2.2 3.6 4.5',
  plus: 'M12 5v14M5 12h14',
  send: 'M3.4 20.4 21 12.9c.8-.3.8-1.5 0-1.8L3.4 3.6c-.7-.3-1.4.4-1.2 1.1L4.3 11l8.2 1-8.2 1-2.1 6.3c-.2.7.5 1.4 1.2 1.1z',
  star: 'M12 4l2.4 5 5.6.8-4 3.9.9 5.5-4.9-2.6-4.9 2.6.9-5.5-4-3.9 5.6-.8z',
  up: 'M12 19V5M6 11l6-6 6 6',
};

/**
 * Makes an icon; it says nothing to a screen reader.
 *
 * @param {string} name
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', LINES[name] ?? '');
  svg.append(path);
  return svg;
}

/** Draws the icons that the page's text names. */
export function drawIcons() {
  for (const place of document.querySelectorAll('[data-icon]')) {
    place.prepend(icon(place.getAttribute('data-icon') ?? ''));
  }
}

/** @param {string} image @param {string} name @param {() => void} act */
export function iconButton(image, name, act) {
  const button = element('button', {
    type: 'button',
    class: 'icon-button',
    'aria-label': name,
    title: name,
  });
  button.append(icon(image));
  button.addEventListener('click', act);
  return button;
}
