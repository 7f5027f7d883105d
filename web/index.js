// The first page: sign in or up, then one's rooms.

import { Chat } from './chat.js';
import { find } from './element.js';
import { Rest } from './roomcast.js';

/** One tab is one sign-in: it survives a reload, and ends with the tab. */
const TOKEN_KEY = 'roomcast.token';

const form = /** @type {HTMLFormElement} */ (find('#sign-in'));
let isNew = false;

/** @param {boolean} next whether the form makes an account */
function ask(next) {
  isNew = next;
  const title = isNew ? 'Create an account' : 'Sign in';
  find('#sign-in-title').textContent = title;
  find('[type=submit]', form).textContent = title;
  find('#switch').textContent = isNew ? 'Have an account? Sign in' : 'New here? Create an account';
  find('#name-field').hidden = !isNew;
  const password = find('[name=password]', form);
  password.setAttribute('autocomplete', isNew ? 'new-password' : 'current-password');
  problem('');
}

/** @param {string} text '' for none */
function problem(text) {
  const place = find('.problem', form);
  place.textContent = text;
  place.hidden = !text;
}

async function signIn() {
  const rest = new Rest();
  const fields = new FormData(form);
  const email = String(fields.get('email'));
  const password = String(fields.get('password'));
  const displayName = String(fields.get('displayName')) || undefined;
  if (isNew) await rest.request('POST', '/auth/register', { email, password, displayName });
  const { body } = await rest.request('POST', '/auth/login', { email, password });
  sessionStorage.setItem(TOKEN_KEY, body.accessToken);
  form.reset();
  await enter(body.accessToken);
}

/** @param {string} token */
async function enter(token) {
  const { body: me } = await new Rest({ token }).request('GET', '/me');
  const chat = new Chat(token, me, (reason) => {
    sessionStorage.removeItem(TOKEN_KEY);
    welcome(reason);
  });
  find('#welcome').hidden = true;
  await chat.start();
}

/** @param {string} [reason] why one is asked to sign in */
function welcome(reason = '') {
  find('#welcome').hidden = false;
  ask(false);
  problem(reason);
}

async function offerDemo() {
  const answer = await fetch('/demo', { method: 'HEAD' });
  find('#demo-link').hidden = !answer.ok;
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = /** @type {HTMLButtonElement} */ (find('[type=submit]', form));
  button.disabled = true;
  problem('');
  try {
    await signIn();
  } catch (error) {
    problem(/** @type {Error} */ (error).message);
  } finally {
    button.disabled = false;
  }
});
find('#switch').addEventListener('click', () => ask(!isNew));

offerDemo().catch(() => {});
const token = sessionStorage.getItem(TOKEN_KEY);
if (token) enter(token).catch((error) => welcome(error.message));
else welcome();
