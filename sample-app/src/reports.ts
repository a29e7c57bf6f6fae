/**
 * `npm run reports -- FILE|- [--url URL]`: streams a file of reports, plain or .gz, or standard input into a running
 * app, and shows how far it is by the running totals the app sends back.
 */
import { stat } from 'node:fs/promises';
import { request } from 'node:http';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { Progress } from './load/progress.js';

const USAGE = `Usage: npm run reports -- FILE [--url http://127.0.0.1:3000]
FILE is newline-delimited JSON, plain or .gz; - reads standard input.
The app is found by --url, CONCURSUS_URL, or HOST and PORT.`;

async function isGzip(path: string): Promise<boolean> {
  const file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0);
  await file.close();
  return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
}

function urlOf(given: string | undefined): URL {
  const host = process.env['HOST'] ?? '127.0.0.1';
  const base = given ?? process.env['CONCURSUS_URL'] ?? `http://${host}:${process.env['PORT'] ?? '3000'}`;
  return new URL('/flights/reports', base);
}

async function send(path: string, url: URL): Promise<number> {
  const stdin = path === '-';
  const size = stdin ? 0 : (await stat(path)).size;
  const gzip = !stdin && (await isGzip(path));
  const bar = new Progress(`Sending ${stdin ? 'standard input' : path}`, process.stderr);
  let sent = 0;
  const source = stdin ? process.stdin : createReadStream(path);
  source.on('data', (chunk: Buffer) => (sent += chunk.length));
  const call = request(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-ndjson',
      accept: 'application/x-ndjson',
      ...(gzip ? { 'content-encoding': 'gzip' } : {}),
    },
  });
  const answered = new Promise<number>((resolve, reject) => {
    call.on('error', reject);
    call.on('response', (response) => {
      let text = '';
      let last = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        const lines = (text + part).split('\n');
        text = lines.pop() ?? '';
        for (const line of lines) {
          last = line;
          const total = JSON.parse(line) as {
            line: number;
            recorded: number;
            rejected: number;
            buffered?: number;
          };
          if (!stdin)
            bar.update(
              sent,
              size,
              `line ${total.line}: ${total.recorded} recorded, ${total.rejected} rejected` +
                (total.buffered === undefined ? '' : `, ${total.buffered} buffered`),
            );
        }
      });
      response.on('end', () => {
        bar.end();
        const answer = JSON.parse(text === '' ? last : text) as { statusCode?: number };
        console.log(JSON.stringify(answer, null, 2));
        resolve(response.statusCode === 200 && answer.statusCode === undefined ? 0 : 1);
      });
      response.on('error', reject);
    });
  });
  // An app that refuses closes its side: its answer then says why, not the broken pipe.
  const piped = pipeline(source, call).catch((error: unknown) => error);
  const code = await answered;
  await piped;
  return code;
}

const { values, positionals } = parseArgs({
  options: { url: { type: 'string' }, help: { type: 'boolean' } },
  allowPositionals: true,
});
if (values.help === true || positionals.length !== 1) {
  console.log(USAGE);
  process.exitCode = values.help === true ? 0 : 2;
} else {
  try {
    process.exitCode = await send(positionals[0]!, urlOf(values.url));
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
