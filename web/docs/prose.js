/** Descriptions: paragraphs, `code` and **strong**, which is all that they use. */

import { element } from '../element.js';

/**
 * @param {string} text
 * @returns {(Node|string)[]}
 */
export function line(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((piece) => {
    if (piece.startsWith('`')) return element('code', {}, piece.slice(1, -1));
    if (piece.startsWith('**')) return element('strong', {}, piece.slice(2, -2));
    return piece;
  });
}

/**
 * @param {string} [text]
 * @returns {Node[]}
 */
export function prose(text) {
  const paragraphs = (text ?? '').split(/\n\s*\n/).filter((paragraph) => paragraph.trim());
  return paragraphs.map((paragraph) => element('p', {}, ...line(paragraph.replaceAll('\n', ' '))));
}

/**
 * @param {unknown} value
 * @returns {Node}
 */
export function json(value) {
  return element('pre', { tabindex: '0' }, element('code', {}, JSON.stringify(value, null, 2)));
}
