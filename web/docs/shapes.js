/** JSON schemas in words: what type a value has, what bounds it, and a table for an object. */

import { element } from '../element.js';
import { json, line, prose } from './prose.js';

/** @param {any} schema */
function name(schema) {
  return schema.$ref?.split('/').pop();
}

/**
 * Says what type a value has; named shapes are links.
 *
 * @param {any} schema
 * @returns {(Node|string)[]}
 */
export function kind(schema) {
  const named = name(schema);
  if (named) return [element('a', { href: `#shape-${named}` }, named)];
  const options = schema.oneOf ?? schema.anyOf;
  if (options) return options.flatMap((/** @type {any} */ option, /** @type {number} */ at) => (at ? [' or ', ...kind(option)] : kind(option)));
  if (schema.allOf) return schema.allOf.filter(name).flatMap(kind);
  if (schema.const !== undefined) return [element('code', {}, JSON.stringify(schema.const))];
  if (schema.enum) return schema.enum.flatMap((/** @type {any} */ value, /** @type {number} */ at) => [at ? ', ' : '', element('code', {}, JSON.stringify(value))]);
  if (schema.type === 'array') return ['list of ', ...kind(schema.items)];
  if (schema.additionalProperties) return ['object of ', ...kind(schema.additionalProperties)];
  return [[schema.type ?? 'anything'].flat().join(' or ')];
}

/**
 * What bounds a value, in a few words.
 *
 * @param {any} schema
 * @returns {string[]}
 */
function bounds(schema) {
  const said = [];
  const { minLength: shortest, maxLength: longest, minimum: least, maximum: most } = schema;
  if (shortest !== undefined || longest !== undefined) said.push(`${shortest ?? 0} to ${longest ?? '…'} characters`);
  if (least !== undefined || most !== undefined) said.push(most === undefined ? `from ${least}` : `${least ?? '…'} to ${most}`);
  if (schema.format) said.push(schema.format);
  if (schema.default !== undefined) said.push(`default ${JSON.stringify(schema.default)}`);
  return said;
}

/**
 * A table of an object's members, or a sentence for anything else.
 *
 * @param {any} schema
 * @returns {Node}
 */
export function shape(schema) {
  if (!schema.properties) {
    const limits = bounds(schema);
    const pattern = schema.pattern ? [element('br'), element('code', { class: 'pattern' }, schema.pattern)] : [];
    return element('p', { class: 'type' }, ...kind(schema), limits.length ? `, ${limits.join(', ')}` : '', ...pattern);
  }
  const rows = Object.entries(schema.properties).map(([member, of]) => row(member, of, (schema.required ?? []).includes(member)));
  return table(rows);
}

/** @param {Node[]} rows */
export function table(rows) {
  return element('div', { class: 'table' }, element('table', {}, element('tbody', {}, ...rows)));
}

/**
 * @param {string} member
 * @param {any} schema
 * @param {boolean} isRequired
 * @param {string} [more]
 */
export function row(member, schema, isRequired, more) {
  const options = schema.oneOf ?? schema.anyOf ?? [];
  const said = [schema, ...options].map((/** @type {any} */ one) => one.description).find(Boolean);
  const description = said ?? more;
  const limits = bounds(schema);
  return element(
    'tr',
    {},
    element('th', { scope: 'row' }, element('code', {}, member), isRequired ? '' : element('span', { class: 'optional' }, ' optional')),
    element('td', { class: 'type' }, ...kind(schema), ...limits.map((limit) => element('span', { class: 'limit' }, limit))),
    element('td', {}, ...(description ? line(description) : [])),
  );
}

/**
 * Every named shape.
 *
 * @param {Record<string, any>} schemas
 * @returns {Node[]}
 */
export function shapes(schemas) {
  const names = Object.keys(schemas).sort();
  return names.map((named) => {
    const schema = schemas[named];
    const id = `shape-${named}`;
    const heading = element('h3', {}, element('a', { class: 'anchor', href: `#${id}` }, named));
    const example = schema.examples?.[0];
    const shown = example === undefined ? [] : [json(example)];
    return element('article', { id, class: 'entry', 'data-title': named }, heading, ...prose(schema.description), shape(schema), ...shown);
  });
}
