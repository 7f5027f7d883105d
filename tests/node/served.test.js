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

const WEB = new URL('../../web/', import.meta.url);

/** All that a module imports, directly or not. @param {URL} module @param {Set<string>} [found] */
async function imports(module, found = new Set()) {
  const source = await readFile(module, 'utf8');
  for (const [, name] of source.matchAll(/^(?:import|export) [^;]*?from '(\.[^']+)';/gms)) {
    const url = new URL(name, module);
    if (found.has(url.href)) continue;
    found.add(url.href);
    await imports(url, found);
  }
  return found;
}

test('the page asks for all of its modules at once', async () => {
  const page = await readFile(new URL('index.html', WEB), 'utf8');
  const preloaded = [...page.matchAll(/rel="modulepreload" href="\/([^"]+)"/g)];
  const needed = await imports(new URL('index.js', WEB));
  assert.ok(needed.size > 10);
  assert.deepEqual(preloaded.map(([, path]) => new URL(path, WEB).href).sort(), [...needed].sort());
});
