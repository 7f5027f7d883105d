import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const WEB = join(HERE, '../../web');
const TSC = join(HERE, 'node_modules/typescript/bin/tsc');

/** @param {string} project */
function check(project) {
  const { status, stdout } = spawnSync(process.execPath, [TSC, '-p', project], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stdout);
}

// Compiled, not run: what is declared is there, and nothing public is left undeclared.
const AGREEMENT = `
import * as declared from './roomcast.js';
import * as built from './built.js';

export const all: typeof declared = built;

type Undeclared<Built, Declared> = Exclude<keyof Built, keyof Declared>;
type Nothing<T extends never> = T;
export type Checked = Nothing<
  | Undeclared<typeof built, typeof declared>
  | Undeclared<built.Roomcast, declared.Roomcast>
  | Undeclared<built.Rest, declared.Rest>
  | Undeclared<built.RoomcastError, declared.RoomcastError>
>;
`;

test('the library, the examples and these tests are typed', () => check(HERE));

test('the library is what roomcast.d.ts declares', async (t) => {
  const folder = await mkdtemp(join(HERE, 'scratch-'));
  t.after(() => rm(folder, { recursive: true }));
  await copyFile(join(WEB, 'roomcast.d.ts'), join(folder, 'roomcast.d.ts'));
  await copyFile(join(WEB, 'roomcast.js'), join(folder, 'built.js'));
  await writeFile(join(folder, 'agreement.ts'), AGREEMENT);
  const config = { extends: '../tsconfig.json', include: ['*.ts'] };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
  check(folder);
});
