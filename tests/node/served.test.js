import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { Server } from './server.js';

test('the server has its client library and the types, and says when they are the same still', async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const files = [
    ['roomcast.js', 'text/javascript; charset=utf-8'],
    ['roomcast.d.ts', 'application/typescript; charset=utf-8'],
  ];
  for (const [name, type] of files) {
    const url = new URL(name, server.url);
    const answer = await fetch(url);
    assert.equal(answer.headers.get('Content-Type'), type);
    assert.equal(answer.headers.get('Cache-Control'), 'no-cache');
    const file = await readFile(new URL(`../../web/${name}`, import.meta.url), 'utf8');
    assert.equal(await answer.text(), file);
    const known = { 'If-None-Match': answer.headers.get('ETag') ?? '' };
    assert.equal((await fetch(url, { headers: known })).status, 304);
  }
});

test('the library needs no other file', async () => {
  const file = await readFile(new URL('../../web/roomcast.js', import.meta.url));
  const alone = await import(`data:text/javascript;base64,${file.toString('base64')}`);
  assert.deepEqual(Object.keys(alone).sort(), ['Rest', 'Roomcast', 'RoomcastError']);
});
