// A roomcast of one's own, with nothing left behind.

import { spawn } from 'node:child_process';
import { once } from 'node:events';

const START_TIMEOUT_MS = 30_000;

/**
 * Starts `roomcast dev` and returns the address of its page.
 *
 * @param {string} binary
 * @param {{dataDir?: string, port?: string, env?: Record<string, string>}} [options] `dataDir` and
 *   `port` to come back where another one was; `env` beside the environment of this process
 * @returns {Promise<{url: string, stop: (signal?: 'SIGTERM'|'SIGKILL') => Promise<void>}>}
 */
export async function start(binary, { dataDir, port = '0', env = {} } = {}) {
  const data = dataDir ? ['--data-dir', dataDir] : ['--ephemeral'];
  const args = ['dev', ...data, '--port', port, '--metrics-addr', 'off'];
  const child = spawn(binary, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
  });
  const stop = async (/** @type {'SIGTERM'|'SIGKILL'} */ signal = 'SIGTERM') => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  };
  try {
    return { url: await address(child), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** @param {import('node:child_process').ChildProcess} child */
function address(child) {
  return new Promise((resolve, reject) => {
    let printed = '';
    const fail = (/** @type {string} */ why) => reject(new Error(`${why}\n${printed}`));
    const timer = setTimeout(() => fail('the server does not start'), START_TIMEOUT_MS);
    child.on('error', reject);
    child.on('exit', (status) => fail(`the server ended with status ${status}`));
    child.stderr?.on('data', (bytes) => {
      printed += bytes;
      const url = /^\s*page\s+(http:\S+)/m.exec(printed)?.[1];
      if (!url) return;
      clearTimeout(timer);
      resolve(url);
    });
  });
}
