// Checks an AsyncAPI document: node asyncapi.mjs FILE
// Runs where the parser is installed: dev/specifications puts it there.

import { readFile } from 'node:fs/promises';
import { Parser } from '@asyncapi/parser';

const ERROR = 0;
const WARNING = 1;

/** Says nothing about what the document describes. */
const ADVICE = ['asyncapi-id', 'asyncapi-latest-version'];

const [file] = process.argv.slice(2);
const { document, diagnostics } = await new Parser().parse(await readFile(file, 'utf8'));
const problems = diagnostics.filter(
  ({ severity, code }) => severity === ERROR || (severity === WARNING && !ADVICE.includes(String(code))),
);
for (const { code, message, path } of problems) console.error(`${code} at ${path.join('.')}: ${message}`);
if (!document || problems.length) process.exit(1);
console.log(`asyncapi.json: OK, ${document.allMessages().length} messages, ${document.allOperations().length} operations`);
