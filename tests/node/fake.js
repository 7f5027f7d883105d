// A server that does what a test says, for what a real one never does.

import { once } from 'node:events';
import { WebSocketServer } from 'ws';

/**
 * Starts one that is ready at once. `act` is called when that is said (`ready`), and for each frame
 * of the client.
 *
 * @param {import('node:test').TestContext} t ends it
 * @param {(socket: import('ws').WebSocket, frame: {event: string, data?: any, id: number}) => void} act
 */
export async function fake(t, act) {
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(sockets, 'listening');
  t.after(() => sockets.close());
  sockets.on('connection', (socket) => {
    const limits = { sendBurst: 0, sendPerS: 0, joinBurst: 0 };
    const data = { userId: 'u', heartbeatIntervalMs: 25_000, expiresAt: '2100-01-01', limits };
    socket.on('message', (frame) => act(socket, JSON.parse(String(frame))));
    socket.send(JSON.stringify({ event: 'ready', data }));
    act(socket, { event: 'ready', id: 0 });
  });
  const { port } = /** @type {import('node:net').AddressInfo} */ (sockets.address());
  return { url: `http://127.0.0.1:${port}` };
}
