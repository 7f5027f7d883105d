// The demo: Alice and Bob side by side, each with a connection that can be dropped.

import { find } from './element.js';
import { drawIcons } from './page/icon.js';
import { RoomPane } from './page/room-pane.js';
import { Rooms } from './page/rooms.js';
import { Rest, Roomcast } from './roomcast.js';
import { showState } from './state-text.js';

/** @param {HTMLElement} user the user's half of the page */
async function start(user) {
  const request = { user: user.dataset.user };
  const { body: session } = await new Rest().request('POST', '/demo/session', request);
  const { accessToken, userId, displayName, roomId } = session;
  const client = new Roomcast({ token: accessToken });
  const rooms = new Rooms(client, { id: userId, displayName });
  find('h1', user).textContent = displayName;
  showState(find('.state', user), client);
  dropAndReconnect(user, client);
  client.connect().catch(() => {});
  // Follows the rooms, which takes a connection: not waited for.
  rooms.addEventListener('list', () => {
    const room = rooms.get(roomId);
    if (!room || user.querySelector('.pane')) return;
    const pane = new RoomPane(rooms, room);
    user.append(pane.root);
    pane.open();
  });
  await rooms.load();
}

/** @param {HTMLElement} user @param {Roomcast} client */
function dropAndReconnect(user, client) {
  const button = /** @type {HTMLButtonElement} */ (find('.drop', user));
  const catchUp = find('.catch-up', user);
  button.disabled = false;
  button.addEventListener('click', () => {
    const wasDropped = client.state !== 'offline';
    if (wasDropped) client.disconnect();
    else client.connect().catch(() => {});
    button.textContent = wasDropped ? 'Connect again' : 'Drop connection';
    catchUp.textContent = wasDropped ? 'Dropped. What you write waits here.' : 'Catching up…';
  });
  client.on('joined', ({ replayed, truncated }) => {
    if (catchUp.textContent) catchUp.textContent = told(replayed, truncated);
  });
}

/** @param {number} replayed @param {boolean} truncated */
function told(replayed, truncated) {
  if (truncated) return 'Caught up: too much for a replay, read from the history.';
  const count = replayed === 1 ? '1 message was' : `${replayed} messages were`;
  return `Caught up: ${count} replayed.`;
}

drawIcons();
for (const user of document.querySelectorAll('.user')) {
  start(/** @type {HTMLElement} */ (user)).catch((error) => {
    find('.catch-up', user).textContent = error.message;
  });
}
