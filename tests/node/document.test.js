// Runs the snippets of docs/CLIENTS.md as they stand there.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Server } from './server.js';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const DOCUMENT = new URL('../../docs/CLIENTS.md', import.meta.url);
const LIBRARY = new URL('../../web/roomcast.js', import.meta.url);
const ADDRESS = '127.0.0.1:3000';

/** @typedef {{language: string, code: string}} Snippet */

/** Each snippet by the name that is written before it. @type {Map<string, Snippet>} */
const snippets = new Map();
/** @type {Server} */
let server;
/** @type {string} */
let folder;
/** @type {import('./server.js').User} */
let alice;
/** @type {string} */
let roomId;

before(async () => {
  const text = await readFile(DOCUMENT, 'utf8');
  const found = text.matchAll(/<!-- test: (\S+) -->\n```(\w+)\n(.*?)\n```/gs);
  for (const [, name, language, code] of found) snippets.set(name, { language, code });
  assert.equal(snippets.size, text.match(/^```\w+$/gm)?.length, 'every snippet has a name');
  server = await Server.start();
  alice = await server.user('Alice');
  roomId = await server.room(alice);
  // Where modules find the packages of these tests, and the library as a copy beside them.
  folder = await mkdtemp(join(HERE, 'scratch-'));
  await copyFile(LIBRARY, join(folder, 'roomcast.js'));
});

after(async () => {
  await server?.stop();
  if (folder) await rm(folder, { recursive: true });
});

/** What a page has and Node has not, and what the document says is there. */
const surroundings = () => `
  const token = ${JSON.stringify(alice.token)};
  const roomId = ${JSON.stringify(roomId)};
  const localStorage = new Map([['token', token]]);
  localStorage.getItem = localStorage.get;
  localStorage.setItem = localStorage.set;
`;

/** @param {string} name */
function snippet(name) {
  const found = snippets.get(name);
  assert.ok(found, `the document has a snippet \`${name}\``);
  snippets.delete(name);
  return { ...found, code: found.code.replaceAll(ADDRESS, new URL(server.url).host) };
}

/**
 * Runs a snippet until it has printed all that is expected, in any order.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {(string|RegExp)[]} expected
 */
async function prints(program, args, expected) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const printed = [];
  let missing = expected;
  try {
    for await (const line of createInterface(child.stdout)) {
      printed.push(line);
      const isHere = (/** @type {string|RegExp} */ one) =>
        typeof one === 'string' ? line === one : one.test(line);
      missing = missing.filter((one) => !isHere(one));
      if (missing.length === 0) break;
    }
    assert.deepEqual(missing, [], `printed:\n${printed.join('\n')}`);
  } finally {
    child.kill();
    await exited;
  }
}

/** @param {string} name @param {(string|RegExp)[]} expected */
async function runs(name, expected) {
  const { language, code } = snippet(name);
  if (language === 'sh') return prints('bash', ['-euo', 'pipefail', '-c', code], expected);
  // Node loads no module from a server: the file is the one that is served.
  const local = code.replace(/from 'http:[^']*\/roomcast\.js'/, "from './roomcast.js'");
  const path = join(folder, `${name}.mjs`);
  await writeFile(path, `${surroundings()}${local}\n`);
  await prints(process.execPath, ['--no-warnings', '--experimental-websocket', path], expected);
}

test('the library in a browser', () =>
  runs('browser', ['online, 0 waiting', /^\d+: Hello from the library$/, /^stored as \d+$/]));

test('the library in Node', async () => {
  const { code } = snippets.get('node') ?? assert.fail('no snippet');
  snippets.set('node', { language: 'js', code: code.replace('alice@example.com', alice.email) });
  await runs('node', ['Hello from Node']);
});

test('the library in two tabs', () => runs('tabs', [`signed in as ${alice.id}`]));

test('the bare WebSocket', () => runs('websocket', [/^\d+: Hello from a socket$/]));

test('Socket.IO', () =>
  runs('socket.io', ['joined', 'ACCEPTED', /^\d+: Hello from Socket\.IO$/]));

test('curl', () => runs('curl', [/"content":"Hello from curl"/]));

test('no snippet is left out', () => assert.deepEqual([...snippets.keys()], []));
