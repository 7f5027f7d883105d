// Who is signed in here: kept over reloads, and shared by the tabs if so wished.

/** @typedef {import('../roomcast.js').User} User */
/** @typedef {{token: string, me: User, stays: boolean}} Session */

const KEY = 'roomcast.session';

/** @returns {Session|null} */
export function loadSession() {
  for (const place of [sessionStorage, localStorage]) {
    try {
      const session = JSON.parse(place.getItem(KEY) ?? 'null');
      if (session?.token && session.me?.id) return session;
    } catch {
      place.removeItem(KEY);
    }
  }
  return null;
}

/** @param {boolean} stays for all tabs and until signed out; else for this tab alone */
const placeOf = (stays) => (stays ? localStorage : sessionStorage);

/** @param {Session} session */
export function saveSession(session) {
  // A tab's own place comes first: nothing of before may be left there.
  if (session.stays) sessionStorage.removeItem(KEY);
  placeOf(session.stays).setItem(KEY, JSON.stringify(session));
}

/** Leaves alone what another tab has kept in the other place. @param {Session} session */
export function forgetSession(session) {
  placeOf(session.stays).removeItem(KEY);
}

/**
 * Tells when another tab signs in, renews the token or signs out.
 *
 * @param {(session: Session|null) => void} listener
 */
export function onOtherTab(listener) {
  addEventListener('storage', ({ key, storageArea }) => {
    if (storageArea === localStorage && (key === KEY || key === null)) listener(loadSession());
  });
}
