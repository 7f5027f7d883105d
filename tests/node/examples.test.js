import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Client } from './client.js';
import { within } from './patience.js';
import { BINARY, Server } from './server.js';

const MAX_LINES = 60;
const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));
const PYTHON = fileURLToPath(new URL('python/bin/python', import.meta.url));
const IN_RUST = join(dirname(BINARY), 'examples/bot');

/** The bots: source, and how each is run. @type {[string, string, string[]][]} */
const BOTS = [
  ['bot.mjs', process.execPath, ['--experimental-websocket', join(EXAMPLES, 'bot.mjs')]],
  ['bot.py', PYTHON, [join(EXAMPLES, 'bot.py')]],
  ['bot.rs', IN_RUST, []],
];

/**
 * Starts a bot; `heard` resolves at each line that it prints, `complains` when it has told of something.
 *
 * @param {import('node:test').TestContext} t
 * @param {string} program
 * @param {string[]} args
 * @param {string} token
 */
function run(t, program, args, token) {
  const env = { ...process.env, ROOMCAST_TOKEN: token, NODE_NO_WARNINGS: '1' };
  const bot = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(bot, 'exit');
  t.after(async () => {
    bot.kill();
    await exited;
  });
  let complaints = '';
  bot.stderr.on('data', (bytes) => (complaints += bytes));
  const complains = async (/** @type {string} */ of) => {
    while (!complaints.includes(of)) await within(once(bot.stderr, 'data'), `a word of ${of}`);
  };
  const lines = createInterface(bot.stdout)[Symbol.asyncIterator]();
  const heard = async () => {
    const { done, value } = await within(lines.next(), 'a line of the bot');
    assert.ok(!done, `the bot ended: ${complaints}`);
    return value;
  };
  return { heard, complains };
}

for (const [name, program, args] of BOTS) {
  test(`${name} answers each question once, also after the server was killed`, async (t) => {
    await access(program).catch(() =>
      assert.fail(`no ${program}: run dev/node-tests, and cargo test`),
    );
    const source = await readFile(join(EXAMPLES, name), 'utf8');
    assert.ok(source.split('\n').length <= MAX_LINES, `${name} has less than ${MAX_LINES} lines`);

    const dataDir = await mkdtemp(join(tmpdir(), 'roomcast-bot-'));
    let server = await Server.start({ dataDir });
    t.after(async () => {
      await server.stop();
      await rm(dataDir, { recursive: true });
    });
    const [alice, bot] = [await server.user('Alice'), await server.user('Bot')];
    const roomId = await server.room(alice, bot);
    const client = new Client(t, server, alice);
    await client.connect();
    await client.joinRoom(roomId);
    await client.send(roomId, '!echo from before it listened');

    const { heard } = run(t, program, [...args, server.url, roomId], bot.token);
    assert.equal(await heard(), 'listening');
    for (const text of ['No question', '!echo One', '!echo Two']) await client.send(roomId, text);
    const answers = () =>
      client
        .all('message')
        .flatMap(({ senderId, content }) => (senderId === bot.id ? content : []));
    await client.until(() => answers().length === 2);

    await server.stop('SIGKILL');
    const asked = client.send(roomId, '!echo Three');
    server = await Server.start({ dataDir, port: server.port });
    await asked;
    await client.until(() => answers().length === 3);
    await client.send(roomId, '!echo Four');
    await client.until(() => answers().length === 4);
    assert.deepEqual(answers(), ['One', 'Two', 'Three', 'Four']);
  });

  test(`${name} says what is refused`, async (t) => {
    const server = await Server.start();
    t.after(() => server.stop());
    const [alice, bot] = [await server.user('Alice'), await server.user('Bot')];
    const roomId = await server.room(alice);
    const { complains } = run(t, program, [...args, server.url, roomId], bot.token);
    await complains('Not a member');
  });
}
