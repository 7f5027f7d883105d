// The line to write in: Enter sends, Shift+Enter begins a new line.

import { element } from '../element.js';
import { icon } from './icon.js';

const MAX_CHARS = 5000;
/** The count is shown when this much is left. */
const COUNT_BELOW = 500;
const MAX_HEIGHT_PX = 180;

export class Composer {
  #input = element('textarea', {
    rows: '1',
    'aria-label': 'Message',
    placeholder: 'Write a message',
    autocomplete: 'off',
    enterkeyhint: 'send',
    dir: 'auto',
  });
  #left = element('span', { class: 'chars-left', role: 'status' });
  #button = element('button', {
    type: 'submit',
    class: 'send',
    'aria-label': 'Send',
    title: 'Send',
  });

  /**
   * @param {{send: (text: string) => void, typing: (isTyping: boolean) => void}} act
   */
  constructor(act) {
    this.act = act;
    this.#button.append(icon('send'));
    this.root = element('form', { class: 'composer' }, this.#input, this.#left, this.#button);
    this.root.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#input.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || isOfInputMethod(event)) return;
      event.preventDefault();
      this.#send();
    });
    this.#input.addEventListener('input', () => {
      this.#fit();
      this.act.typing(this.#input.value !== '');
    });
    this.#input.addEventListener('blur', () => this.act.typing(false));
    this.#fit();
  }

  get text() {
    return this.#input.value;
  }

  set text(text) {
    this.#input.value = text;
    this.#fit();
  }

  focus() {
    this.#input.focus();
  }

  #send() {
    const text = this.#input.value;
    if (this.#button.disabled) return;
    this.act.typing(false);
    this.text = '';
    this.act.send(text);
    this.focus();
  }

  /** As high as the text, up to a limit. */
  #fit() {
    const input = this.#input;
    input.style.height = 'auto';
    if (input.scrollHeight > 0) {
      input.style.height = `${Math.min(input.scrollHeight + 2, MAX_HEIGHT_PX)}px`;
    }
    // The server counts characters, JavaScript's length does not.
    const left = MAX_CHARS - [...input.value].length;
    this.#left.textContent = left < COUNT_BELOW ? `${left} left` : '';
    this.#left.classList.toggle('over', left < 0);
    this.#button.disabled = left < 0 || input.value.trim() === '';
  }
}

/**
 * Whether a key chooses a word of an input method. Safari has ended the composition by then, and
 * tells it by the code alone.
 *
 * @param {KeyboardEvent} event
 */
const isOfInputMethod = ({ isComposing, keyCode }) => isComposing || keyCode === 229;
