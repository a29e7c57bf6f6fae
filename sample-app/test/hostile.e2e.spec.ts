/**
 * Goal: hostile input is answered with its code and kept up to its bound, the good lines around it are recorded, and
 * memory stays flat. Method: each evil between two good lines; the huge ones against a process whose memory is read.
 */
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { scratchFolder, startApp } from './app.js';
import { quarantined, type Answer } from './reports.js';
import { appFor } from './spec-app.js';

const good = (n: number, extra: object = {}): string =>
  JSON.stringify({
    source: 'airport:EWR',
    flight: `2013-03-02/UA${n}/EWR-1015`,
    type: 'departed',
    at: '2013-03-02T15:17:00.000Z',
    data: { tail: 'N1' },
    ...extra,
  });

async function send(url: string, parts: readonly (string | Uint8Array)[]): Promise<Answer> {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as Uint8Array)));
  const response = await fetch(`${url}/flights/reports`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body,
  });
  expect(response.status).toBe(200);
  return (await response.json()) as Answer;
}

const deep = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
const withText = (key: string, value: string): string => good(1).replace(`"${key}":"`, `"${key}":"${value}`);

/** Each with the codes it may be answered with. */
const evils: readonly [string, string | Uint8Array, readonly string[]][] = [
  ['an empty object', '{}', ['INVALID_EVENT']],
  ['an array', '[1,2,3]', ['INVALID_EVENT']],
  ['null', 'null', ['INVALID_EVENT']],
  ['a cut line', '{"source":"airport:JFK","flight":', ['INVALID_JSON']],
  ['two objects on a line', `${good(1)}${good(2)}`, ['INVALID_JSON']],
  [
    'invalid UTF-8',
    Buffer.concat([Buffer.from('{"source":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]),
    ['INVALID_UTF8'],
  ],
  ['overlong UTF-8', Buffer.from([0x22, 0xc0, 0xaf, 0x22]), ['INVALID_UTF8']],
  ['a byte-order mark', Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(good(1))]), ['INVALID_JSON']],
  ['JSON 10,000 deep', deep(10_000), ['INVALID_EVENT', 'LIMIT_EXCEEDED']],
  ['data 10,000 deep', good(1).replace('"N1"', `"N1","x":${deep(10_000)}`), ['LIMIT_EXCEEDED']],
  ['__proto__ in data', good(1).replace('"tail"', '"__proto__":{"polluted":1},"tail"'), ['FORBIDDEN_KEY']],
  [
    'constructor deep in data',
    good(1).replace('"N1"', '"N1","x":[{"constructor":{"prototype":{}}}]'),
    ['FORBIDDEN_KEY'],
  ],
  ['__proto__ beside data', good(1).replace('{"source"', '{"__proto__":{"polluted":1},"source"'), ['FORBIDDEN_KEY']],
  ['a NUL in the id', withText('flight', '\\u0000'), ['INVALID_ID']],
  ['a colon in the id', withText('flight', ':'), ['INVALID_ID']],
  ['an id of 10 kB', withText('flight', 'x'.repeat(10_240)), ['INVALID_ID', 'LIMIT_EXCEEDED']],
  ['a source of 10 kB', withText('source', 'x'.repeat(10_240)), ['LIMIT_EXCEEDED']],
  ['a NUL in the source', withText('source', '\\u0000'), ['INVALID_ID']],
  ['a lone surrogate in the source', withText('source', '\\ud800'), ['INVALID_ID', 'INVALID_TEXT']],
  ['a lone surrogate in data', withText('tail', '\\udfff'), ['INVALID_TEXT']],
  ['the year 0', good(1, { at: '0000-06-01T00:00:00.000Z' }), ['INVALID_TIME']],
  ['the year 275760', good(1, { at: '+275760-09-13T00:00:00.000Z' }), ['INVALID_TIME']],
  ['the 38th of March', good(1, { at: '2016-03-38T00:00:00.000Z' }), ['INVALID_TIME']],
  ['a time finer than a millisecond', good(1, { at: '2013-03-02T15:17:00.0001Z' }), ['INVALID_TIME']],
  ['a time without zone', good(1, { at: '2013-03-02T15:17:00' }), ['INVALID_TIME']],
  ['a number as time', good(1, { at: 1_362_237_420_000 }), ['INVALID_TIME']],
  ['an unsafe integer', good(1).replace('"N1"', '"N1","x":9007199254740993'), ['PARAMETER_TYPE']],
  ['an infinite number', good(1).replace('"N1"', '"N1","x":1e999'), ['PARAMETER_TYPE']],
  ['a tail that is a number', good(1, { data: { tail: 7 } }), ['PARAMETER_TYPE']],
  ['no tail', good(1, { data: {} }), ['PARAMETER_MISSING']],
  ['data that is an array', good(1, { data: [] }), ['PARAMETER_TYPE']],
  ['no data', good(1, { data: undefined }), ['PARAMETER_MISSING']],
  ['an unknown type', good(1, { type: 'teleported' }), ['UNKNOWN_EVENT_TYPE']],
  ['a type from the prototype', good(1, { type: 'constructor' }), ['UNKNOWN_EVENT_TYPE']],
  ['an empty source', good(1, { source: '' }), ['INVALID_EVENT']],
  ['a negative sequence', good(1, { sequence: -1 }), ['INVALID_SEQUENCE']],
  ['a sequence that is text', good(1, { sequence: '1' }), ['INVALID_SEQUENCE']],
  ['a received time that is none', good(1, { receivedAt: 'yesterday' }), ['INVALID_TIME']],
  ['a flight on no day', good(1, { flight: '2013-02-30/UA1/EWR-1015' }), ['INVALID_ID']],
  ['a line just over 1 MiB', `{"x":"${'a'.repeat(1_048_576)}"}`, ['LIMIT_EXCEEDED']],
];

describe('hostile lines', () => {
  const app = appFor('all');

  it('are each rejected with their code, kept with their bytes, and cost no good line', async () => {
    let n = 10;
    const before = new Set<string>();
    for (const [what, evil, codes] of evils) {
      const answer = await send(app.url, [`${good(n++)}\n`, evil, `\n${good(n++)}`]);
      expect({ what, ...answer, rejections: 0 }).toMatchObject({ what, received: 3, recorded: 2, rejected: 1 });
      expect(answer.rejections[0]!.line).toBe(2);
      expect(codes.map((code) => `${what}: ${code}`)).toContain(`${what}: ${answer.rejections[0]!.code}`);
      const kept = (await quarantined(app.url)).filter((item) => !before.has(item.id));
      expect({ what, items: kept.length, count: kept[0]?.count, code: kept[0]?.code }).toEqual({
        what,
        items: 1,
        count: 1,
        code: answer.rejections[0]!.code,
      });
      const bytes = Buffer.from(evil as Uint8Array);
      expect(Buffer.from(kept[0]!.bytes, 'base64').equals(bytes.subarray(0, 65_536))).toBe(true);
      before.add(kept[0]!.id);
    }
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  it('are one item however often they come, with a count', async () => {
    await send(app.url, ['again and again\nagain and again\r\n', 'again and again']);
    await send(app.url, ['again and again']);
    const items = (await quarantined(app.url)).filter(
      (item) => Buffer.from(item.bytes, 'base64').toString() === 'again and again',
    );
    expect(items.map(({ line, code, count }) => ({ line, code, count }))).toEqual([
      { line: 1, code: 'INVALID_JSON', count: 4 },
    ]);
    expect(Object.keys(items[0]!)).toEqual(['id', 'line', 'code', 'reason', 'bytes', 'count', 'firstAt', 'lastAt']);
    expect(items[0]!.lastAt >= items[0]!.firstAt).toBe(true);
  });

  it('may be as long as is allowed, and more fields than needed are taken', async () => {
    const line = good(9_000, {
      data: { tail: 'N1', more: { deep: [1, 2, { x: null }] }, filler: 'x'.repeat(900_000) },
    });
    expect(await send(app.url, [line])).toMatchObject({ recorded: 1, rejected: 0 });
  });
});

describe('a line of 100 MB, plain and as a gzip bomb', { timeout: 180_000 }, () => {
  it('is measured and hashed while it passes, in flat memory', async () => {
    const folder = await scratchFolder();
    const app = await startApp({ CONCURSUS_DATA: folder.path });
    try {
      const anonymousKb = (): number =>
        Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${app.pid}/status`, 'utf8'))![1]);
      const MB = 1_048_576;
      async function* body(): AsyncGenerator<Buffer> {
        yield Buffer.from(`${good(1)}\n`);
        for (let i = 0; i < 100; i++) yield Buffer.alloc(MB, 'x');
        yield Buffer.from(`\n${good(2)}\n`);
      }
      const start = anonymousKb();
      let peak = start;
      const watch = setInterval(() => (peak = Math.max(peak, anonymousKb())), 20);
      const plain = await fetch(`${app.url}/flights/reports`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body: Readable.toWeb(Readable.from(body())) as ReadableStream,
        duplex: 'half',
      } as RequestInit);
      expect(await plain.json()).toMatchObject({
        received: 3,
        recorded: 2,
        rejected: 1,
        rejections: [{ line: 2, code: 'LIMIT_EXCEEDED' }],
      });

      const bomb = gzipSync(
        Buffer.concat([Buffer.from(`${good(3)}\n`), Buffer.alloc(100 * MB, 'x'), Buffer.from(`\n${good(4)}`)]),
      );
      const packed = await fetch(`${app.url}/flights/reports`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson', 'content-encoding': 'gzip' },
        body: bomb,
      });
      expect(await packed.json()).toMatchObject({ received: 3, recorded: 2, rejected: 1 });
      clearInterval(watch);
      expect(peak - start).toBeLessThan(60 * 1_024);

      // Equal bytes, so one item that came twice; of its bytes the beginning is kept.
      const items = await quarantined(app.url);
      expect(items.map((item) => [item.code, item.count, Buffer.from(item.bytes, 'base64').length])).toEqual([
        ['LIMIT_EXCEEDED', 2, 65_536],
      ]);
    } finally {
      await app.kill();
      await folder.clean();
    }
  });
});
