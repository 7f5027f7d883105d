// The demo: Alice and Bob side by side, each with a connection that can be dropped.

import { find } from './element.js';
import { RoomView } from './room-view.js';
import { Rest, Roomcast } from './roomcast.js';
import { showState } from './state-text.js';

/** @param {HTMLElement} pane */
async function start(pane) {
  const { user } = pane.dataset;
  const { body: session } = await new Rest().request('POST', '/demo/session', { user });
  const client = new Roomcast({ token: session.accessToken });
  const view = new RoomView(find('.room', pane), client, session);
  find('h1', pane).textContent = session.displayName;
  showState(find('.state', pane), client);
  dropAndReconnect(pane, client);
  void client.connect();
  await view.open();
}

/** @param {HTMLElement} pane @param {Roomcast} client */
function dropAndReconnect(pane, client) {
  const button = /** @type {HTMLButtonElement} */ (find('.drop', pane));
  const catchUp = find('.catch-up', pane);
  button.disabled = false;
  button.addEventListener('click', () => {
    const wasDropped = client.state !== 'offline';
    if (wasDropped) client.disconnect();
    else void client.connect();
    button.textContent = wasDropped ? 'Connect again' : 'Drop connection';
    catchUp.textContent = wasDropped ? 'Dropped. What you write waits here.' : 'Catching up…';
  });
  client.addEventListener('joined', (event) => {
    const { replayed, truncated } = /** @type {CustomEvent} */ (event).detail;
    if (catchUp.textContent) catchUp.textContent = told(replayed, truncated);
  });
}

/** @param {number} replayed @param {boolean} truncated */
function told(replayed, truncated) {
  if (truncated) return 'Caught up: too much for a replay, read from the history.';
  const count = replayed === 1 ? '1 message was' : `${replayed} messages were`;
  return `Caught up: ${count} replayed.`;
}

for (const pane of document.querySelectorAll('.pane')) {
  start(/** @type {HTMLElement} */ (pane)).catch((error) => {
    find('.catch-up', pane).textContent = error.message;
  });
}
