/**
 * Goal: the door of reports keeps its promises over HTTP: types and encodings, totals, broken bodies, aborts, many posts
 * at once. Method: real requests, some of them by hand on a socket, to the application in this process.
 */
import { once } from 'node:events';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { getJson, post, postLines, type Answer } from './reports.js';
import { appFor } from './spec-app.js';

const app = appFor('all');
let next = 0;

/** A report that nobody sent before. */
function line(source = 'airport:EWR'): string {
  const n = next++;
  const flight = `2013-03-01/UA${(n % 9_999) + 1}/EWR-${String(Math.floor(n / 9_999)).padStart(4, '0')}`;
  return JSON.stringify({ source, flight, type: 'departed', at: '2013-03-01T15:17:00.000Z', data: { tail: 'N14228' } });
}

const many = (count: number): string[] => Array.from({ length: count }, () => line());

/** A post whose body is sent by hand. */
function begin(headers: Record<string, string> = {}): { call: ClientRequest; answer: Promise<IncomingMessage> } {
  const call = request(`${app.url}/flights/reports`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson', ...headers },
  });
  const answer = once(call, 'response').then(([response]) => response as IncomingMessage);
  answer.catch(() => undefined);
  return { call, answer };
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const part of response) text += String(part);
  return text;
}

describe('POST /flights/reports', () => {
  it('counts lines from 1, blank ones too, and takes a last line without a newline, and CRLF', async () => {
    const body = `\n${line()}\r\n   \n\t\r\n{"broken\n${line()}`;
    const answer = (await (await post(app.url, body)).json()) as Answer;
    expect(answer).toMatchObject({ received: 3, recorded: 2, repeated: 0, conflicting: 0, rejected: 1 });
    expect(answer.rejections).toEqual([{ line: 5, code: 'INVALID_JSON', reason: expect.any(String) as string }]);
    expect(Object.keys(answer)).toEqual(['received', 'recorded', 'repeated', 'conflicting', 'rejected', 'rejections']);
  });

  it('answers an empty body with zeros', async () => {
    expect(await postLines(app.url, [])).toEqual({
      received: 0,
      recorded: 0,
      repeated: 0,
      conflicting: 0,
      rejected: 0,
      rejections: [],
    });
    const gzip = await post(app.url, gzipSync(''), { 'content-encoding': 'gzip' });
    expect([gzip.status, ((await gzip.json()) as Answer).received]).toEqual([200, 0]);
  });

  it('names the first 100 rejections and counts all', async () => {
    const answer = await postLines(
      app.url,
      Array.from({ length: 150 }, (_, i) => `garbage ${i}`),
    );
    expect(answer.rejected).toBe(150);
    expect(answer.rejections.map((rejection) => rejection.line)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
  });

  it('takes gzip, also in several members', async () => {
    const [a, b] = [many(3), many(2)];
    const body = Buffer.concat([gzipSync(`${a.join('\n')}\n`), gzipSync(b.join('\n'))]);
    const response = await post(app.url, body, { 'content-encoding': 'gzip' });
    expect(await response.json()).toMatchObject({ received: 5, recorded: 5 });
  });

  it('refuses other types and encodings with 415', async () => {
    const refused: [Record<string, string>, string][] = [
      [{ 'content-type': 'application/json' }, '{}'],
      [{ 'content-type': 'text/plain' }, line()],
      [{ 'content-type': 'application/x-ndjson; charset=latin1' }, line()],
      [{ 'content-encoding': 'br' }, line()],
      [{ 'content-encoding': 'gzip, gzip' }, line()],
    ];
    for (const [headers, body] of refused) {
      const response = await post(app.url, body, headers);
      expect(response.status).toBe(415);
      const problem = (await response.json()) as Record<string, unknown>;
      expect(problem).toMatchObject({ statusCode: 415, code: 'UNSUPPORTED_MEDIA_TYPE' });
      expect(problem['message']).toBeTypeOf('string');
      expect(problem['fix']).toBeTypeOf('string');
    }
    expect((await post(app.url, line(), { 'content-type': 'Application/X-NDJSON; charset=UTF-8' })).status).toBe(200);
  });

  it('streams running totals, each a state that is on disk, the last one whole', async () => {
    const lines = many(3_000);
    const response = await post(app.url, lines.join('\n'), { accept: 'application/x-ndjson' });
    expect(response.headers.get('content-type')).toContain('application/x-ndjson');
    const totals = (await response.text())
      .trimEnd()
      .split('\n')
      .map((each) => JSON.parse(each) as Answer & { line: number });
    expect(totals.length).toBeGreaterThan(2);
    let before = 0;
    for (const total of totals) {
      expect(total.line).toBeGreaterThanOrEqual(before);
      expect(total.recorded).toBe(total.line);
      before = total.line;
    }
    expect(totals.at(-1)).toMatchObject({ line: 3_000, received: 3_000, recorded: 3_000, rejected: 0, rejections: [] });
  });

  it('sends a total before the body ends, and what it covers is there at once', async () => {
    const { call, answer } = begin({ accept: 'application/x-ndjson' });
    const first = many(2_000);
    call.write(`${first.join('\n')}\n`);
    const response = await answer;
    const [part] = (await once(response, 'data')) as [Buffer];
    const total = JSON.parse(part.toString().split('\n')[0]!) as { line: number; recorded: number };
    expect(total.line).toBeGreaterThan(0);
    const { flight } = JSON.parse(first[total.line - 1]!) as { flight: string };
    await getJson(`${app.url}/flights/${encodeURIComponent(flight)}`);
    call.end();
    await textOf(response);
  });

  it('answers a body that breaks off with 400 and the counts, and keeps the complete lines', async () => {
    const lines = many(5);
    const { port, hostname } = new URL(app.url);
    const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true });
    const body = `${lines.join('\n')}\n{"source":"airport:JFK","fli`;
    socket.write(
      `POST /flights/reports HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ncontent-length: 100000\r\n\r\n${body}`,
    );
    socket.end();
    let text = '';
    for await (const part of socket) text += String(part);
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    const answer = JSON.parse(text.slice(text.indexOf('{'))) as Answer & { code: string };
    expect(answer).toMatchObject({ statusCode: 400, code: 'BROKEN_BODY', received: 5, recorded: 5, rejected: 0 });
    expect(await postLines(app.url, lines)).toMatchObject({ repeated: 5, recorded: 0 });
  });

  it('answers a body that does not decompress with 400 and the counts, keeps the complete lines and quarantines its beginning', async () => {
    const lines = many(2_000);
    const whole = gzipSync(lines.join('\n'));
    const cut = whole.subarray(0, Math.floor(whole.length * 0.6));
    const response = await post(app.url, cut, { 'content-encoding': 'gzip' });
    expect(response.status).toBe(400);
    const answer = (await response.json()) as Answer;
    expect(answer).toMatchObject({ statusCode: 400, code: 'BROKEN_GZIP', rejected: 0 });
    expect(answer.received).toBeGreaterThan(500);
    expect(answer.recorded).toBe(answer.received);
    expect(await postLines(app.url, lines)).toMatchObject({
      repeated: answer.recorded,
      recorded: 2_000 - answer.recorded,
    });

    const none = await post(app.url, 'this is not gzip', { 'content-encoding': 'gzip' });
    expect(none.status).toBe(400);
    expect(await none.json()).toMatchObject({ code: 'BROKEN_GZIP', received: 0 });
    const { items } = await getJson<{ items: { bytes: string }[] }>(`${app.url}/quarantine?limit=1000`);
    expect(items.some((item) => Buffer.from(item.bytes, 'base64').toString() === 'this is not gzip')).toBe(true);
  });

  it('keeps every complete line before the byte at which a compressed body breaks', async () => {
    for (const count of [5, 3_000]) {
      const lines = many(count);
      const body = Buffer.concat([gzipSync(`${lines.join('\n')}\n`), Buffer.from('garbage')]);
      const response = await post(app.url, body, { 'content-encoding': 'gzip' });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({
        code: 'BROKEN_GZIP',
        received: count,
        recorded: count,
        rejected: 0,
      });
    }
  });

  it('ends the load when the sender goes away', async () => {
    const lines = many(20_000);
    const { call } = begin({ accept: 'application/x-ndjson' });
    call.on('error', () => undefined);
    let sent = 0;
    for (; sent < 4_000; sent += 100) call.write(`${lines.slice(sent, sent + 100).join('\n')}\n`);
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    await once(response, 'data');
    response.on('error', () => undefined);
    call.destroy();
    const answer = await postLines(app.url, lines.slice(sent));
    expect(answer.recorded).toBe(lines.length - sent);
  });

  it('serves 50 posts at once, and up to 256; the next one is told to come again', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => postLines(app.url, many(40))));
    expect(answers.every((answer) => answer.recorded === 40)).toBe(true);

    const held = Array.from({ length: 256 }, () => begin());
    for (const { call } of held) call.write(`${line()}\n`);
    // All of them are known to the app once it has recorded a line of each.
    for (let tries = 0; ; tries++) {
      const response = await post(app.url, '');
      if (response.status === 503) {
        expect(await response.json()).toMatchObject({ statusCode: 503, code: 'OVERLOADED' });
        expect(response.headers.get('retry-after')).toBe('1');
        break;
      }
      expect(tries).toBeLessThan(500);
    }
    for (const { call } of held) call.end();
    const all = await Promise.all(held.map(async ({ answer }) => JSON.parse(await textOf(await answer)) as Answer));
    expect(all.every((answer) => answer.recorded === 1)).toBe(true);
  });

  it('gives exactly one of several equal reports at once the outcome recorded', async () => {
    const lines = many(200);
    const answers = await Promise.all(Array.from({ length: 8 }, () => postLines(app.url, lines)));
    expect(answers.reduce((total, answer) => total + answer.recorded, 0)).toBe(200);
    expect(answers.reduce((total, answer) => total + answer.repeated, 0)).toBe(1_400);
  });
});

describe('reading', () => {
  it('answers what nobody reported with 404 and what is malformed with 400, all in one shape', async () => {
    const expected: [string, number][] = [
      ['/flights/origins/EWR/days/1999-01-01', 404],
      ['/flights/origins/ewr/days/2013-01-01', 400],
      ['/flights/origins/EWR/days/2013-02-30', 400],
      ['/flights/origins/EWR/days/20130101', 400],
      ['/flights/carriers/ZZ', 404],
      ['/flights/carriers/ZZZ', 400],
      [`/flights/${encodeURIComponent('2013-01-01/ZZ1/EWR-0515')}`, 404],
      [`/flights/${encodeURIComponent('2013-01-01/ZZ1/EWR-0515')}/history`, 404],
      [`/flights/${encodeURIComponent('2013-13-01/ZZ1/EWR-0515')}`, 400],
      [`/flights/${encodeURIComponent('2013-01-01/ZZ1/EWR-2515')}`, 400],
      ['/flights/nonsense', 400],
      ['/flights/%E0%A4%A', 400],
      [`/flights/${'x'.repeat(9_000)}`, 400],
      ['/quarantine?limit=0', 400],
      ['/quarantine?limit=1001', 400],
      ['/quarantine?limit=x', 400],
      ['/quarantine?after=x', 400],
      ['/nothing', 404],
    ];
    for (const [path, status] of expected) {
      const response = await fetch(app.url + path);
      expect([path, response.status]).toEqual([path, status]);
      expect(Object.keys((await response.json()) as object)).toEqual(['statusCode', 'code', 'message', 'fix']);
    }
  });

  it('refuses times that are none, and times to come', async () => {
    const report = JSON.parse(line()) as { flight: string };
    await postLines(app.url, [
      JSON.stringify({
        ...report,
        source: 's',
        type: 'departed',
        at: '2013-03-01T15:17:00.000Z',
        data: { tail: 'N1' },
      }),
    ]);
    const path = `${app.url}/flights/${encodeURIComponent(report.flight)}`;
    const ask = async (query: string): Promise<[number, string | undefined]> => {
      const response = await fetch(`${path}?${query}`);
      return [response.status, ((await response.json()) as { code?: string }).code];
    };
    expect(await ask('asOf=yesterday')).toEqual([400, 'INVALID_TIME']);
    expect(await ask('asOf=2013-03-38T00:00:00Z')).toEqual([400, 'INVALID_TIME']);
    expect(await ask('knownAt=2013-03-01')).toEqual([400, 'INVALID_TIME']);
    expect(await ask('knownAt=2999-01-01T00:00:00Z')).toEqual([400, 'NOT_YET_KNOWN']);
    expect(await ask('asOf=2013-03-01T15:17:00Z&asOf=2013-03-01T15:17:00Z')).toEqual([400, 'INVALID_ARGUMENT']);
    expect(await ask('asOf=2013-03-01T15:17:00.000Z')).toEqual([200, undefined]);
    expect(await ask('asOf=2013-03-01T15:16:59.999Z')).toEqual([404, 'NOT_FOUND']);
    expect(await ask('knownAt=2013-03-01T15:17:00.000Z')).toEqual([404, 'NOT_FOUND']);
  });
});
