// One message as a row of the list, with what stands above it: a day, the line of what is new.

import { element } from '../element.js';
import { isStored } from './history.js';
import { icon } from './icon.js';
import { avatar } from './person.js';

/** @typedef {import('./history.js').Item} Item */

const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const DAY_OF_YEAR = new Intl.DateTimeFormat(undefined, { dateStyle: 'full' });
const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
/** Messages of one sender that follow each other within this time are one block. */
const BLOCK_MS = 5 * 60_000;

/** How a stage looks, and what it is called. @type {Record<string, [string, string]>} */
const MARKS = {
  sending: ['clock', 'sending'],
  accepted: ['check', 'accepted'],
  stored: ['checks', 'stored'],
  failed: ['alert', 'not sent'],
};

/**
 * @typedef {object} Context
 * @property {string} userId whose messages are one's own
 * @property {(userId: string) => string} nameOf
 * @property {string|null} newFrom the id of the first message that is new to the reader
 * @property {(item: Item) => void} retry
 * @property {(item: Item) => void} discard
 */

/** @param {Item} item */
const senderOf = (item) => (isStored(item) ? item.senderId : null);

/** @param {Item} item */
const stageOf = (item) => (isStored(item) ? 'stored' : item.stage);

/** The same for an own message before and after it is stored. @param {Item} item @param {string} userId */
export function keyOf(item, userId) {
  if (isStored(item) && item.senderId !== userId) return item.id;
  return `own ${item.clientMsgId}`;
}

/**
 * Changes when the row must be made anew.
 *
 * @param {Item} item
 * @param {Item|undefined} before
 * @param {Context} context
 */
export function looksOf(item, before, context) {
  const name = isStored(item) ? context.nameOf(item.senderId) : '';
  const error = isStored(item) ? '' : item.error;
  const isNew = isStored(item) && item.id === context.newFrom;
  const day = isNewDay(item, before) ? dayText(new Date(item.createdAt)) : '';
  return `${stageOf(item)} ${name} ${isNew} ${error} ${item.createdAt} ${day}`;
}

/**
 * @param {Item} item
 * @param {Item|undefined} before
 * @param {Context} context
 */
export function messageRow(item, before, context) {
  const isOwn = (senderOf(item) ?? context.userId) === context.userId;
  const isNew = isStored(item) && item.id === context.newFrom;
  const hasDay = isNewDay(item, before);
  const isBlock = !hasDay && !isNew && isSameBlock(item, before, context.userId);
  const row = element('li', { class: 'row' });
  row.classList.add(isOwn ? 'own' : 'other');
  row.classList.toggle('follows', isBlock);
  row.dataset.stage = stageOf(item);
  if (isStored(item)) row.dataset.seq = String(item.seq);
  if (hasDay) row.append(divider('day', dayText(new Date(item.createdAt))));
  if (isNew) row.append(divider('new-line', 'New messages'));
  row.append(
    isStored(item) && item.type === 'SYSTEM' ? notice(item) : body(item, context, isOwn, isBlock),
  );
  return row;
}

/** @param {Item} item @param {Context} context @param {boolean} isOwn @param {boolean} isBlock */
function body(item, context, isOwn, isBlock) {
  const name = isStored(item) ? context.nameOf(item.senderId) : context.nameOf(context.userId);
  const shown = isOwn ? 'You' : name;
  const bubble = element(
    'div',
    { class: 'bubble' },
    element('span', { class: isOwn || isBlock ? 'sender visually-hidden' : 'sender' }, shown),
    element('p', { class: 'content', dir: 'auto' }, item.content),
    meta(item, isOwn),
  );
  const message = element('article', { class: 'message' });
  if (!isOwn) message.append(avatar(senderOf(item) ?? '', name));
  message.append(bubble);
  if (!isStored(item) && item.stage === 'failed') message.append(failure(item, context));
  return message;
}

/** @param {Item} item @param {boolean} isOwn */
function meta(item, isOwn) {
  const at = new Date(item.createdAt);
  const time = element('time', { datetime: item.createdAt, title: at.toLocaleString() });
  time.textContent = TIME.format(at);
  const line = element('span', { class: 'meta' }, time);
  if (!isOwn) return line;
  const [image, text] = MARKS[stageOf(item)];
  const label = element('span', { class: 'visually-hidden' }, text);
  line.append(element('span', { class: 'mark', title: text }, icon(image), label));
  return line;
}

/** @param {import('./history.js').Pending} item @param {Context} context */
function failure(item, context) {
  const retry = element('button', { type: 'button', class: 'link retry' }, 'Try again');
  retry.addEventListener('click', () => context.retry(item));
  const discard = element('button', { type: 'button', class: 'link discard' }, 'Discard');
  discard.addEventListener('click', () => context.discard(item));
  const why = element('span', {}, `Not sent: ${item.error ?? 'the server refused it'} `);
  return element('div', { class: 'failure' }, why, retry, ' ', discard);
}

/** @param {import('../roomcast.js').Message} item */
const notice = (item) => element('p', { class: 'system' }, item.content);

/** @param {string} name @param {string} text */
const divider = (name, text) =>
  element('div', { class: `divider ${name}` }, element('span', {}, text));

/** @param {Item} item @param {Item|undefined} before @param {string} userId */
function isSameBlock(item, before, userId) {
  if (!before || (isStored(before) && before.type === 'SYSTEM')) return false;
  const isSameSender = (senderOf(item) ?? userId) === (senderOf(before) ?? userId);
  return isSameSender && Date.parse(item.createdAt) - Date.parse(before.createdAt) < BLOCK_MS;
}

/** The local day, comparable. @param {Item} item */
const dayOf = ({ createdAt }) => new Date(createdAt).toDateString();

/** @param {Item} item @param {Item|undefined} before */
const isNewDay = (item, before) => !before || dayOf(before) !== dayOf(item);

/** @param {Date} day */
function dayText(day) {
  const now = new Date();
  if (day.toDateString() === now.toDateString()) return 'Today';
  const yesterday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1);
  if (day.toDateString() === yesterday.toDateString()) return 'Yesterday';
  return (day.getFullYear() === now.getFullYear() ? DAY : DAY_OF_YEAR).format(day);
}
