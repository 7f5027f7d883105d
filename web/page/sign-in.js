// The form that signs in or up. Refusals are shown at the field they are about.

import { find } from '../element.js';
import { Rest, RoomcastError } from '../roomcast.js';

/** @typedef {import('./session.js').Session} Session */

/** Refusals that are about one field. @type {Record<string, string>} */
const FIELD_OF = { EMAIL_TAKEN: 'email', INVALID_CREDENTIALS: 'password' };
/** What the server says for programs, for people. @type {Record<string, string>} */
const TEXT_OF = {
  EMAIL_TAKEN: 'There is an account with this address already. Sign in instead?',
  INVALID_CREDENTIALS: 'Address and password do not match.',
};

export class SignIn {
  #form = /** @type {HTMLFormElement} */ (find('#sign-in'));
  #submit = /** @type {HTMLButtonElement} */ (find('[type=submit]', this.#form));
  #isNew = false;

  /** @param {(session: Session) => void} onSignedIn */
  constructor(onSignedIn) {
    this.onSignedIn = onSignedIn;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#try();
    });
    this.#form.addEventListener('input', (event) => {
      if (event.target instanceof HTMLInputElement) this.#problemAt(event.target.name, '');
    });
    find('#switch').addEventListener('click', () => {
      this.#ask(!this.#isNew);
      this.#field(this.#isNew ? 'displayName' : 'email').focus();
    });
  }

  /**
   * @param {string} reason why one is asked, '' for none
   * @param {string} [email] of the only account that will do
   * @param {() => void} [onOther] another account is wanted all the same
   */
  show(reason, email = '', onOther = () => {}) {
    this.#ask(false);
    this.#say(reason);
    find('#switch').hidden = email !== '';
    const other = find('#other-account');
    other.hidden = email === '';
    other.onclick = onOther;
    const field = this.#field('email');
    field.value = email;
    field.readOnly = email !== '';
    find('#welcome').hidden = false;
    this.#field(email ? 'password' : 'email').focus();
  }

  hide() {
    find('#welcome').hidden = true;
    this.#form.reset();
  }

  /** @param {boolean} isNew whether the form makes an account */
  #ask(isNew) {
    this.#isNew = isNew;
    const title = isNew ? 'Create an account' : 'Sign in';
    find('#sign-in-title').textContent = title;
    this.#submit.textContent = title;
    find('#switch').textContent = isNew
      ? 'Have an account? Sign in'
      : 'New here? Create an account';
    find('#name-field').hidden = !isNew;
    find('#password-hint').hidden = !isNew;
    this.#field('password').autocomplete = isNew ? 'new-password' : 'current-password';
    this.#clear();
  }

  async #try() {
    this.#clear();
    this.#submit.disabled = true;
    try {
      const session = await this.#signIn();
      this.hide();
      this.onSignedIn(session);
    } catch (error) {
      this.#refused(/** @type {RoomcastError} */ (error));
    } finally {
      this.#submit.disabled = false;
    }
  }

  /** @returns {Promise<Session>} */
  async #signIn() {
    const fields = new FormData(this.#form);
    const email = String(fields.get('email')).trim();
    const password = String(fields.get('password'));
    const displayName = String(fields.get('displayName')).trim() || undefined;
    const rest = new Rest();
    if (this.#isNew) await rest.register({ email, password, displayName });
    const { accessToken } = await rest.login({ email, password });
    return { token: accessToken, me: await rest.me(), stays: fields.has('stay') };
  }

  /** @param {RoomcastError} error */
  #refused({ code, message, fields = [], retryAfterMs }) {
    const wait = retryAfterMs ? ` Try again in ${Math.ceil(retryAfterMs / 1000)} s.` : '';
    const text = (TEXT_OF[code] ?? message) + wait;
    const at = FIELD_OF[code] ? [{ path: FIELD_OF[code], message: text }] : fields;
    const rest = at.filter(({ path, message: why }) => !this.#problemAt(path, why));
    if (at.length === 0) this.#say(text);
    else if (rest.length > 0) this.#say(rest.map((r) => `${r.path}: ${r.message}`).join('; '));
    const first = this.#form.querySelector('[aria-invalid=true]');
    if (first instanceof HTMLElement) first.focus();
  }

  /** @param {string} name @param {string} text '' for none @returns whether there is such a field */
  #problemAt(name, text) {
    const place = document.getElementById(`${name}-problem`);
    if (!place) return false;
    place.textContent = text.charAt(0).toUpperCase() + text.slice(1);
    this.#field(name).setAttribute('aria-invalid', String(text !== ''));
    return true;
  }

  #clear() {
    this.#say('');
    for (const name of ['displayName', 'email', 'password']) this.#problemAt(name, '');
  }

  /** @param {string} text */
  #say(text) {
    const place = find('.problem', this.#form);
    place.textContent = text;
    place.hidden = !text;
  }

  /** @param {string} name */
  #field(name) {
    return /** @type {HTMLInputElement} */ (find(`[name=${name}]`, this.#form));
  }
}
