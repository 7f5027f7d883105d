/** The page that shows the two specifications: it loads them and puts its parts together. */

import { contents } from './docs/contents.js';
import { element, find } from './element.js';
import { operations } from './docs/rest.js';
import { events } from './docs/socket.js';
import { shapes } from './docs/shapes.js';
import { prose } from './docs/prose.js';

/**
 * @param {string} path
 * @returns {Promise<any>}
 */
async function load(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path} answers ${answer.status}`);
  return answer.json();
}

/** @param {string} id */
function part(id, /** @type {string} */ title, /** @type {any} */ document, /** @type {Node[]} */ children) {
  const about = prose(document?.info.description ?? '');
  const heading = element('h1', {}, element('a', { class: 'anchor', href: `#${id}` }, title));
  return element('section', { id, class: 'part' }, heading, ...about, ...children);
}

async function show() {
  const main = find('#main');
  const [rest, socket] = await Promise.all([load('/openapi.json'), load('/asyncapi.json')]);
  const schemas = { ...rest.components.schemas, ...socket.components.schemas };
  find('#version').textContent = rest.info.version;
  main.replaceChildren(
    part('rest', 'REST', rest, operations(rest, schemas)),
    part('socket', 'WebSocket', socket, events(socket, schemas)),
    part('shapes', 'Shapes', null, shapes(schemas)),
  );
  contents(find('#contents'), main, find('#filter'));
  // What a link names was not there when the browser looked for it.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

show().catch((error) => {
  find('#main').replaceChildren(element('p', { class: 'notice', role: 'alert' }, `The documents cannot be shown: ${error.message}`));
});
