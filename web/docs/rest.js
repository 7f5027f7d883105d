/** The operations of the REST API, by their groups. */

import { element } from '../element.js';
import { json, line, prose } from './prose.js';
import { kind, row, shape, table } from './shapes.js';

/**
 * @param {any} api
 * @param {Record<string, any>} schemas
 * @returns {Node[]}
 */
export function operations(api, schemas) {
  const all = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(/** @type {any} */ (methods)).map(([method, operation]) => ({ path, method, operation })),
  );
  return api.tags.map((/** @type {any} */ tag) => {
    const id = `rest-${tag.name}`;
    const heading = element('h2', {}, element('a', { class: 'anchor', href: `#${id}` }, tag.name));
    const own = all.filter(({ operation }) => operation.tags.includes(tag.name));
    return element('section', { id, 'data-title': tag.name }, heading, ...prose(tag.description), ...own.map((one) => entry(one, schemas)));
  });
}

/**
 * @param {{ path: string, method: string, operation: any }} one
 * @param {Record<string, any>} schemas
 */
function entry({ path, method, operation }, schemas) {
  const id = `rest-${operation.operationId}`;
  const title = element(
    'h3',
    {},
    element('span', { class: `method ${method}` }, method.toUpperCase()),
    element('a', { class: 'anchor path', href: `#${id}` }, path),
    element('span', { class: 'access' }, access(operation)),
  );
  return element(
    'article',
    { id, class: 'entry', 'data-title': `${method.toUpperCase()} ${path}` },
    title,
    element('p', { class: 'summary' }, operation.summary),
    ...prose(operation.description),
    ...parameters(operation.parameters ?? []),
    ...request(operation.requestBody, schemas),
    ...responses(operation.responses, schemas),
  );
}

/** @param {any} operation */
function access(operation) {
  const needed = operation.security ?? [];
  if (!needed.length) return 'open';
  return needed.every((/** @type {any} */ one) => Object.keys(one).length) ? 'token' : 'token, or open';
}

/** @param {any[]} given */
function parameters(given) {
  if (!given.length) return [];
  const rows = given.map(({ name, schema, required, description, in: place }) => row(name, { ...schema, description }, required, `In the ${place}.`));
  return [element('h4', {}, 'Parameters'), table(rows)];
}

/** @param {any} body @param {Record<string, any>} schemas */
function request(body, schemas) {
  if (!body) return [];
  const may = body.required ? 'Body' : 'Body, may be left out';
  return [element('h4', {}, may), ...content(body.content, schemas)];
}

/** @param {any} contents @param {Record<string, any>} schemas */
function content(contents, schemas) {
  return Object.entries(contents).flatMap(([type, body]) => {
    const of = /** @type {any} */ (body);
    const { schema } = of;
    const examples = Object.values(of.examples ?? {}).map((example) => /** @type {any} */ (example).value);
    const shown = examples.length ? examples : [of.example].filter((example) => example !== undefined);
    const named = schema?.$ref?.split('/').pop();
    const what = schema ? element('p', { class: 'type' }, ...kind(schema), ' as ', element('code', {}, type)) : '';
    return [what, named && schemas[named].properties ? shape(schemas[named]) : '', ...shown.map(json)];
  });
}

/** @param {Record<string, any>} given @param {Record<string, any>} schemas */
function responses(given, schemas) {
  const shown = Object.entries(given).map(([status, response]) => {
    const kindOf = status < '400' ? 'good' : 'bad';
    const headers = Object.entries(response.headers ?? {}).map(([name, header]) => row(name, { .../** @type {any} */ (header).schema, description: /** @type {any} */ (header).description }, true));
    const summary = element('summary', {}, element('span', { class: `status ${kindOf}` }, status), ' ', ...line(response.description));
    const inside = [headers.length ? table(headers) : '', ...content(response.content ?? {}, schemas)];
    return element('details', { class: 'response', open: kindOf === 'good' && Boolean(response.content) }, summary, ...inside);
  });
  return [element('h4', {}, 'Answers'), ...shown];
}
