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

/** With `stays`, for all tabs and until signed out; else for this tab alone. @param {Session} session */
export function saveSession(session) {
  const [place, other] = session.stays
    ? [localStorage, sessionStorage]
    : [sessionStorage, localStorage];
  place.setItem(KEY, JSON.stringify(session));
  other.removeItem(KEY);
}

export function forgetSession() {
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
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
