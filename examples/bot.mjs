// A bot that answers `!echo …`: whatever breaks, each one once. On the client library.
//
//   export ROOMCAST_TOKEN=$(roomcast token bot@example.com)
//   node examples/bot.mjs http://127.0.0.1:3000 ROOM_ID
//
// Its user has to be a member of the room. Node has a WebSocket from 22 on; 20 has one behind
// `--experimental-websocket`, or is given that of the package `ws`: `new Roomcast({ WebSocket, … })`.

import { createHash } from 'node:crypto';

import { Roomcast } from '../web/roomcast.js';

const [url, roomId] = process.argv.slice(2);
if (!url || !roomId) throw new Error('usage: bot.mjs URL ROOM_ID');
const client = new Roomcast({ url, token: process.env.ROOMCAST_TOKEN });

client.on('state', ({ state, error }) => console.error(state, error?.message ?? ''));
client.on('error', ({ code, message }) => console.error('refused:', code, message));
client.on('roomLost', () => client.disconnect());
client.on('message', ({ id, senderId, content }) => {
  const words = /^!echo (.+)/s.exec(content)?.[1];
  if (!words || senderId === client.userId) return;
  const answer = client.send(roomId, words, { clientMsgId: answerId(id) });
  answer.catch(({ message }) => console.error('not answered:', message));
});

await client.connect();
await client.joinRoom(roomId, { history: 0 });
console.log('listening');

/** The same id for the same question: asked again after a crash, it is answered once. @param {string} id */
function answerId(id) {
  const hex = createHash('sha256').update(id).digest('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/, '$1-$2-$3-$4-$5');
}
