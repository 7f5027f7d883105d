/** The events of the WebSocket, by who says them; its limits and close codes. */

import { element } from '../element.js';
import { json, prose } from './prose.js';
import { kind, shape } from './shapes.js';

/**
 * @param {any} api
 * @param {Record<string, any>} schemas
 * @returns {Node[]}
 */
export function events(api, schemas) {
  const messages = Object.entries(api.components.messages);
  const by = (/** @type {string} */ who) => messages.filter(([key]) => key.startsWith(`${who}.`)).map(([key, message]) => entry(key, /** @type {any} */ (message), api, schemas));
  const channel = api.channels.socket;
  return [
    group('Client to server', by('client')),
    group('Server to client', by('server')),
    group('Limits', [figures(channel['x-limits'])]),
    group('Close codes', [figures(channel['x-close-codes'])]),
  ];
}

/** @param {string} title @param {Node[]} children */
function group(title, children) {
  const id = `socket-${title.toLowerCase().replaceAll(' ', '-')}`;
  return element('section', { id, 'data-title': title }, element('h2', {}, element('a', { class: 'anchor', href: `#${id}` }, title)), ...children);
}

/**
 * @param {string} key
 * @param {any} message
 * @param {any} api
 * @param {Record<string, any>} schemas
 */
function entry(key, message, api, schemas) {
  const id = `socket-${key}`;
  const { data, id: named } = message.payload.properties;
  const { event: said, id: asked, data: given } = message.examples[0].payload;
  const isClient = key.startsWith('client.');
  const schema = schemas[data.$ref.split('/').pop()];
  const way = isClient ? 'send' : 'receive';
  const pushed = api.operations[`push.${message.name}`];
  const note = isClient ? '' : [named ? 'a reply' : '', pushed ? 'unasked' : ''].filter(Boolean).join(', or ');
  return element(
    'article',
    { id, class: 'entry', 'data-title': message.name },
    element('h3', {}, element('span', { class: `method ${way}` }, way), element('a', { class: 'anchor path', href: `#${id}` }, message.name), element('span', { class: 'access' }, note)),
    ...prose(message.summary),
    element('p', { class: 'type' }, element('code', {}, 'data'), ': ', ...kind(data)),
    schema.properties ? shape(schema) : '',
    json({ event: said, id: asked, data: given }),
    ...(isClient ? replies(api.operations[message.name]) : []),
  );
}

/** @param {any} operation */
function replies(operation) {
  const answers = operation.reply?.messages ?? [];
  const links = answers.map((/** @type {any} */ { $ref }) => {
    const key = $ref.split('/').pop();
    return element('li', {}, element('a', { href: `#socket-${key}` }, key.split('.').pop()));
  });
  return [element('h4', {}, 'Answers'), element('ul', { class: 'replies' }, ...links)];
}

/** @param {Record<string, any>} named */
function figures(named) {
  const rows = Object.entries(named).map(([name, value]) => element('tr', {}, element('th', { scope: 'row' }, element('code', {}, name)), element('td', {}, typeof value === 'number' ? value.toLocaleString('en') : value)));
  return element('div', { class: 'table' }, element('table', {}, element('tbody', {}, ...rows)));
}
