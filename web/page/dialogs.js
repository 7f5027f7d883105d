// The questions that are asked over the page. Each is the browser's own dialog: it keeps the focus,
// Escape closes it, and the focus goes back to where it was.

import { element } from '../element.js';

/**
 * @param {string} title
 * @param {(Node|string)[]} content
 * @returns {HTMLDialogElement} open
 */
function open(title, content) {
  const heading = element('h2', { id: 'dialog-title' }, title);
  const dialog = element('dialog', { 'aria-labelledby': 'dialog-title' }, heading, ...content);
  document.body.append(dialog);
  dialog.addEventListener('close', () => dialog.remove());
  // A click beside it closes it too.
  dialog.addEventListener('mousedown', (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.showModal();
  return dialog;
}

/** @param {string} text @param {string} [kind] */
const closer = (text, kind = 'quiet') =>
  element('button', { type: 'button', class: `${kind} close` }, text);

/**
 * Asks by a form; its `act` may refuse by throwing, which is shown and leaves the dialog open.
 *
 * @param {string} title
 * @param {(Node|string)[]} fields
 * @param {string} verb
 * @param {(values: FormData) => Promise<void>} act
 * @returns {Promise<boolean>} whether it was done
 */
function ask(title, fields, verb, act, kind = '') {
  const problem = element('p', { class: 'problem', role: 'alert', hidden: true });
  const submit = element('button', { type: 'submit', class: kind }, verb);
  const cancel = closer('Cancel');
  const row = element('p', { class: 'actions' }, cancel, submit);
  const form = element('form', { novalidate: true }, ...fields, problem, row);
  const dialog = open(title, [form]);
  // What harms nothing is what one came for.
  if (fields.every((field) => !isAsked(field)) && kind !== 'danger') submit.focus();
  cancel.addEventListener('click', () => dialog.close());
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    submit.disabled = true;
    problem.hidden = true;
    try {
      await act(new FormData(form));
      dialog.close('done');
    } catch (error) {
      const { message, fields: wrong = [] } =
        /** @type {import('../roomcast.js').RoomcastError} */ (error);
      problem.textContent =
        wrong.map((field) => `${field.path}: ${field.message}`).join('; ') || message;
      problem.hidden = false;
      form.querySelector('input')?.focus();
    } finally {
      submit.disabled = false;
    }
  });
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'done'));
  });
}

/** @param {Node|string} field */
const isAsked = (field) => field instanceof Element && !!field.querySelector('input');

/** @param {string} title @param {string} text @param {string} verb @param {string} [kind] */
export function confirm(title, text, verb, kind = 'danger') {
  return ask(title, [element('p', {}, text)], verb, async () => {}, kind);
}

/** @param {(room: {name: string, visibility: 'public'|'private'}) => Promise<void>} create @param {() => void} join */
export function askForRoom(create, join) {
  const other = element(
    'button',
    { type: 'button', class: 'link' },
    'Join a room by its link instead',
  );
  other.addEventListener('click', () => {
    other.closest('dialog')?.close();
    join();
  });
  const fields = [
    element(
      'label',
      {},
      'Name',
      element('input', { name: 'name', autocomplete: 'off', maxlength: '200' }),
    ),
    element(
      'fieldset',
      {},
      element('legend', {}, 'Who can come in'),
      choice('public', 'Public', 'Anyone who has its link', true),
      choice('private', 'Private', 'Only who is invited'),
    ),
    other,
  ];
  return ask('New room', fields, 'Create', (values) =>
    create({
      name: String(values.get('name')).trim(),
      visibility: values.get('visibility') === 'private' ? 'private' : 'public',
    }),
  );
}

/** @param {string} value @param {string} name @param {string} text @param {boolean} [isChecked] */
function choice(value, name, text, isChecked = false) {
  const input = element('input', { type: 'radio', name: 'visibility', value, checked: isChecked });
  const hint = element('span', { class: 'hint' }, text);
  return element('label', { class: 'choice' }, input, element('span', {}, name, hint));
}

/** @param {(link: string) => Promise<void>} join */
export function askForLink(join) {
  const input = element('input', { name: 'link', autocomplete: 'off', spellcheck: 'false' });
  const label = element('label', {}, 'Link of the room, invitation, or id', input);
  return ask('Join a room', [label], 'Join', (values) => join(String(values.get('link')).trim()));
}

/**
 * Shows links that others come in by.
 *
 * @param {string} name
 * @param {{text: string, link: string}[]} links
 */
export function showLinks(name, links) {
  const parts = links.map(({ text, link }) => copyable(text, link));
  const done = closer('Done', '');
  const dialog = open(`Invite to ${name}`, [...parts, element('p', { class: 'actions' }, done)]);
  done.addEventListener('click', () => dialog.close());
}

/** @param {string} text @param {string} link */
function copyable(text, link) {
  const field = element('input', { value: link, readonly: true, class: 'share' });
  const button = element('button', { type: 'button', class: 'quiet' }, 'Copy');
  field.addEventListener('focus', () => field.select());
  button.addEventListener('click', async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(link);
    } catch {
      // Without TLS there is no clipboard: the link is selected, for Ctrl+C.
      document.execCommand('copy');
    }
    button.textContent = 'Copied';
  });
  return element('label', {}, text, element('span', { class: 'inline' }, field, button));
}
