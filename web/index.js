// The first page: who is signed in, and the way in for who is not.

import { find } from './element.js';
import { App } from './page/app.js';
import { drawIcons } from './page/icon.js';
import { forgetSession, loadSession, onOtherTab, saveSession } from './page/session.js';
import { SignIn } from './page/sign-in.js';

/** @typedef {import('./page/session.js').Session} Session */

/** @type {App|null} */
let app = null;
/** Set while the app waits for its user to sign in again. @type {((token: string|null) => void)|null} */
let resume = null;
/** @type {Session|null} */
let session = loadSession();
const signIn = new SignIn(entered);

/** @param {Session} next */
function entered(next) {
  session = next;
  saveSession(next);
  if (app && resume && app.me.id === next.me.id) {
    find('#chat').inert = false;
    resume(next.token);
    resume = null;
    // The client has the token then: no need to wait for its next try.
    const { client } = app;
    setTimeout(() => client.connect().catch(() => {}));
    return;
  }
  enter(next);
}

/** @param {Session} current */
function enter(current) {
  app = new App(current, {
    getToken: () => anotherToken(current.me),
    keepToken: (token) => {
      if (session) saveSession((session = { ...session, token }));
    },
    onEnd: (reason) => {
      app = null;
      if (session) forgetSession(session);
      session = null;
      resume = null;
      find('#chat').inert = false;
      signIn.show(reason);
    },
  });
  void app.start();
}

/**
 * The token was refused. Another tab may have a newer one; else one is asked to sign in again, over
 * the page, and nothing that is unsent is lost.
 *
 * @param {import('./roomcast.js').User} me
 * @returns {Promise<string|null>}
 */
async function anotherToken(me) {
  const stored = loadSession();
  if (stored && stored.me.id === me.id && stored.token !== app?.client.rest.token)
    return stored.token;
  const waiting = app?.client.waiting ?? 0;
  const kept = waiting ? ' What you wrote and is not sent yet is kept.' : '';
  find('#chat').inert = true;
  const text = `Your session has expired. Sign in again to go on.${kept}`;
  signIn.show(text, me.email, () => app?.end(''));
  return new Promise((resolve) => {
    resume = resolve;
  });
}

onOtherTab((other) => {
  if (!session?.stays && session) return;
  if (!other) return app?.end('You have signed out in another tab.');
  // Somebody else has signed in, or this tab was waiting for it.
  if (!app || app.me.id !== other.me.id) location.reload();
  else if (resume) {
    signIn.hide();
    entered(other);
  } else session = other;
});

drawIcons();
// The demo is for whoever sits at the machine: elsewhere there is none, and no need to ask.
if (['127.0.0.1', '[::1]', 'localhost'].includes(location.hostname)) {
  fetch('/demo', { method: 'HEAD' }).then(
    ({ ok }) => (find('#demo-link').hidden = !ok),
    () => {},
  );
}
if (session) enter(session);
else
  signIn.show(
    location.hash.includes('invite=')
      ? 'You are invited to a room: sign in, or create an account.'
      : '',
  );
