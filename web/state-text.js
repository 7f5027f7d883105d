/**
 * Shows in words and colour how a client is connected.
 *
 * @param {HTMLElement} target
 * @param {import('./roomcast.js').Roomcast} client
 */
export function showState(target, client) {
  /** @param {number} [retryInMs] */
  const show = (retryInMs) => {
    target.dataset.state = client.state;
    target.textContent = describe(client.state, retryInMs);
  };
  client.addEventListener('state', (event) => {
    show(/** @type {CustomEvent} */ (event).detail.retryInMs);
  });
  show();
}

/** @param {import('./roomcast.js').State} state @param {number} [retryInMs] */
function describe(state, retryInMs) {
  switch (state) {
    case 'online':
      return 'online';
    case 'connecting':
      return 'connecting…';
    case 'waiting':
      return retryInMs && retryInMs > 1000
        ? `offline, next try in ${Math.ceil(retryInMs / 1000)} s`
        : 'offline, trying again…';
    case 'offline':
      return 'offline';
    case 'ended':
      return 'signed out';
  }
}
