/** The month of flights end to end: the sample application in a process of its own, the whole file posted over HTTP, until its views are current. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import type { BenchCase } from '../case.js';
import { now } from '../measure.js';

const root = new URL('../../../../', import.meta.url);
const FILE = fileURLToPath(new URL('sample-app/data/flights-2013-01.reports.ndjson.gz', root));
const MAIN = fileURLToPath(new URL('sample-app/dist/main.js', root));

interface Running {
  readonly url: string;
  readonly startedMs: number;
  end(): Promise<void>;
}

async function start(folder: string): Promise<Running> {
  const began = now();
  const app = spawn(process.execPath, [MAIN], {
    env: { ...process.env, PORT: '0', CONCURSUS_DATA: folder, SAMPLE_DATA: 'none' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => app.once('exit', () => resolve()));
  const url = await new Promise<string>((resolve, reject) => {
    let text = '';
    app.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const found = /API at (http:\S+)\/api/.exec(text);
      if (found !== null) resolve(found[1]!);
    });
    app.once('exit', () => reject(new Error(`the sample application ended: ${text}`)));
  });
  return {
    url,
    startedMs: (now() - began) / 1e6,
    end: () => {
      app.kill('SIGTERM');
      return ended;
    },
  };
}

export const monthCases: readonly BenchCase[] = [
  {
    id: 'month/over HTTP',
    operation: 'the month of reports posted, on disk',
    values: async (context) => {
      const app = await start(context.folder());
      try {
        const bytes = readFileSync(FILE);
        const lines = gunzipSync(bytes).toString().trimEnd().split('\n').length;
        const began = now();
        const answer = await fetch(`${app.url}/flights/reports`, {
          method: 'POST',
          headers: { 'content-type': 'application/x-ndjson', 'content-encoding': 'gzip' },
          body: bytes,
        });
        const counts = (await answer.json()) as { readonly received?: number; readonly recorded?: number };
        const ms = (now() - began) / 1e6;
        if (!answer.ok || counts.received !== lines)
          throw new Error(`answered ${answer.status}, ${counts.received} of ${lines} lines`);
        return {
          lines,
          recorded: counts.recorded ?? 0,
          'start of the application, ms': Math.round(app.startedMs),
          'until all is answered, ms': Math.round(ms),
          'lines/s': Math.round((lines / ms) * 1_000),
        };
      } finally {
        await app.end();
      }
    },
  },
];
