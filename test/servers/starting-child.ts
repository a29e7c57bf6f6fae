/** Starts a process under a guard, says its id and folder on one line, and waits to be killed; by starter.server.spec.ts. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalProcess } from './local-process.js';

const folder = mkdtempSync(join(tmpdir(), 'concursus-child-'));
// Any program will do: what is looked at is its end.
const program = new LocalProcess(
  { command: 'sleep', lib: '' },
  { folder, ports: [], fast: false, sync: 'each' },
  { folders: [], files: {}, arguments: ['3600'] },
);
await program.begin();
console.log(JSON.stringify({ pid: Number(/\d+/.exec(program.where)?.[0]), folder }));
setInterval(() => undefined, 60_000);
