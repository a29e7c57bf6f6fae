/**
 * Goal: sources say how far they are, days settle by what they say, and what holds is named. Method: a few reports of two
 * sources, markers, heartbeats and retirements over HTTP, and the doors that answer.
 */
import { describe, expect, it } from 'vitest';
import { getJson, postLines } from './reports.js';
import { appFor } from './spec-app.js';

const FLIGHT = '2013-01-05/UA7/EWR-0500';
const line = (source: string, at: string, more: object = {}): string =>
  JSON.stringify({ source, flight: FLIGHT, type: 'departed', at, data: { tail: 'N7' }, ...more });

interface Source {
  readonly stream: string;
  readonly state: string;
  readonly watermark: string | null;
  readonly holds: boolean;
  readonly silent: boolean;
  readonly repeated: number;
  readonly conflicting: number;
  readonly gaps?: { readonly missing: readonly (readonly number[])[]; readonly count: number };
  readonly heartbeat: string | null;
  readonly marker: string | null;
  readonly statistics: {
    readonly count: number;
    readonly lateness: Readonly<Record<'p50' | 'p95' | 'p99' | 'max', number>>;
    readonly ratePerHour: number | null;
  };
}

interface Settled {
  readonly settledUpTo: string | null;
  readonly completeness: {
    readonly settledUpTo: string | null;
    readonly holding: readonly { readonly stream: string; readonly why: string; readonly watermark: string | null }[];
    readonly gaps: readonly { readonly stream: string }[];
    readonly retired: readonly { readonly stream: string }[];
  };
}

describe('sources over HTTP', { timeout: 60_000 }, () => {
  const app = appFor('each');

  async function say(source: string, what: string, body?: unknown): Promise<{ status: number; body: unknown }> {
    const response = await fetch(`${app.url}/sources/${encodeURIComponent(source)}/${what}`, {
      method: 'POST',
      ...(body === undefined
        ? {}
        : {
            headers: { 'content-type': 'application/json' },
            body: typeof body === 'string' ? body : JSON.stringify(body),
          }),
    });
    return { status: response.status, body: await response.json() };
  }

  const sources = () => getJson<Source[]>(`${app.url}/sources`);
  const source = async (name: string) => (await sources()).find((each) => each.stream === name);
  const settled = () => getJson<Settled>(`${app.url}/flights/settled`);

  it('have nothing settled before anything is known of them', async () => {
    expect(await sources()).toEqual([]);
    expect(await settled()).toMatchObject({ settledUpTo: null, completeness: { settledUpTo: null, holding: [] } });
  });

  it('settle the days by their bound, and by what they say is complete; the slowest holds', async () => {
    await postLines(app.url, [
      line('airport:EWR', '2013-01-05T10:00:00.000Z'),
      line('airline:UA', '2013-01-09T10:00:00.000Z'),
    ]);
    // Three days behind the newest report, as far as the slower one goes.
    await expect.poll(async () => (await settled()).settledUpTo).toBe('2013-01-02T09:59:59.999Z');
    expect((await settled()).completeness.holding).toMatchObject([
      { stream: 'airport:EWR', why: 'watermark', watermark: '2013-01-02T09:59:59.999Z' },
    ]);

    expect(await say('airport:EWR', 'complete', { upTo: '2013-01-08T00:00:00Z' })).toEqual({
      status: 200,
      body: { source: 'airport:EWR', upTo: '2013-01-08T00:00:00.000Z' },
    });
    await expect.poll(async () => (await settled()).settledUpTo).toBe('2013-01-06T09:59:59.999Z');
    await say('airline:UA', 'complete', { upTo: '2013-01-07T00:00:00Z' });
    await expect.poll(async () => (await settled()).settledUpTo).toBe('2013-01-07T00:00:00.000Z');
    expect((await settled()).completeness.settledUpTo).toBe('2013-01-07T00:00:00.000Z');

    // It never goes back, also when what is complete is said again with less.
    await say('airline:UA', 'complete', { upTo: '2013-01-03T00:00:00Z' });
    expect(await source('airline:UA')).toMatchObject({ state: 'active', marker: '2013-01-07T00:00:00.000Z' });
    expect((await settled()).settledUpTo).toBe('2013-01-07T00:00:00.000Z');

    // One that reports no more holds nothing.
    expect(await say('airline:UA', 'retire')).toEqual({
      status: 200,
      body: { source: 'airline:UA', state: 'retired' },
    });
    await expect.poll(async () => (await settled()).settledUpTo).toBe('2013-01-08T00:00:00.000Z');
    expect((await settled()).completeness.retired.map(({ stream }) => stream)).toEqual(['airline:UA']);
    expect(await source('airline:UA')).toMatchObject({ state: 'retired', holds: false });
  });

  it('leave a day provisional for a report of a wrong clock until its time is put right, and settled then', async () => {
    const wrong = '2099-01-05T13:20:00.000Z';
    await postLines(app.url, [
      line('airport:EWR', '2013-01-05T10:00:00.000Z'),
      line('airport:IAH', wrong, { type: 'arrived' }),
    ]);
    for (const one of ['airport:EWR', 'airport:IAH']) await say(one, 'complete', { upTo: '2013-01-08T00:00:00Z' });
    await expect.poll(async () => (await settled()).settledUpTo).toBe('2013-01-08T00:00:00.000Z');
    const days = async () => {
      const { origins } = await getJson<{ origins: object[] }>(`${app.url}/board/summary`);
      return origins;
    };
    const day = { origin: 'EWR', day: '2013-01-05', arrived: 1 };
    await expect.poll(days).toMatchObject([{ ...day, settled: false }]);

    const response = await fetch(`${app.url}/flights/${encodeURIComponent(FLIGHT)}/corrections`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        kind: 'amend',
        target: { at: wrong, source: 'airport:IAH', type: 'arrived' },
        decidedAt: '2013-01-08T08:00:00Z',
        source: 'desk',
        at: '2013-01-05T13:20:00.000Z',
      }),
    });
    expect(response.status).toBe(200);
    await expect.poll(days).toMatchObject([{ ...day, settled: true }]);
  });

  it('are listed with lateness, rate, repeats, conflicts and gaps, times as ISO', async () => {
    const at = '2013-01-05T10:00:00.000Z';
    await postLines(app.url, [
      line('airport:EWR', at, { sequence: 1 }),
      line('airport:EWR', at, { sequence: 1 }),
      line('airport:EWR', at, { sequence: 1, data: { tail: 'N8' } }),
      line('airport:EWR', '2013-01-05T11:00:00.000Z', { sequence: 4 }),
    ]);
    await expect.poll(async () => (await source('airport:EWR'))?.statistics.count).toBe(3);
    const found = (await source('airport:EWR'))!;
    expect(found).toMatchObject({
      state: 'active',
      holds: true,
      silent: false,
      repeated: 1,
      conflicting: 1,
      watermark: '2013-01-02T10:59:59.999Z',
      gaps: { missing: [[2, 3]], count: 2 },
    });
    for (const key of ['p50', 'p95', 'p99', 'max'] as const) {
      expect(found.statistics.lateness[key]).toBeGreaterThan(3_600_000);
    }
    expect((await settled()).completeness.gaps.map(({ stream }) => stream)).toEqual(['airport:EWR']);
    await say('airport:EWR', 'complete', { upTo: '2013-01-06T00:00:00Z', lastSequence: 6 });
    await expect.poll(async () => (await source('airport:EWR'))?.gaps?.count).toBe(4);
  });

  it('live by heartbeats, recorded every ten seconds at most', async () => {
    const at = '2013-01-08T00:00:00.000Z';
    expect(await say('tower', 'heartbeat', { at })).toEqual({ status: 200, body: { source: 'tower', recorded: true } });
    expect(await say('tower', 'heartbeat', { at })).toEqual({
      status: 200,
      body: { source: 'tower', recorded: false },
    });
    await expect.poll(async () => (await source('tower'))?.heartbeat).toBe(at);
    expect((await say('tower', 'heartbeat')).status).toBe(200);
  });

  it.each<[string, string, string, unknown, string]>([
    ['no time', 'tower', 'complete', {}, 'INVALID_TIME'],
    ['a number as a time', 'tower', 'complete', { upTo: 5 }, 'INVALID_TIME'],
    ['a time that is none', 'tower', 'complete', { upTo: 'soon' }, 'INVALID_TIME'],
    ['a time to come', 'tower', 'complete', { upTo: '2999-01-01T00:00:00Z' }, 'INVALID_TIME'],
    ['an unknown field', 'tower', 'complete', { upTo: '2013-01-08T00:00:00Z', all: true }, 'INVALID_EVENT'],
    ['a prototype key', 'tower', 'complete', '{"__proto__":{},"upTo":"2013-01-08T00:00:00Z"}', 'FORBIDDEN_KEY'],
    ['no sequence', 'tower', 'complete', { upTo: '2013-01-08T00:00:00Z', lastSequence: 0.5 }, 'INVALID_SEQUENCE'],
    ['no JSON', 'tower', 'complete', '{', 'INVALID_JSON'],
    ['no object', 'tower', 'retire', '[1]', 'INVALID_EVENT'],
    ['a name too long', 'x'.repeat(3_000), 'retire', undefined, 'LIMIT_EXCEEDED'],
    ['a lone surrogate', 'tower', 'heartbeat', { at: '\ud800' }, 'INVALID_TIME'],
  ])('with %s are refused, and nothing is kept of it', async (_what, name, what, body, code) => {
    const answer = await say(name, what, body);
    expect(answer).toMatchObject({ status: 400, body: { statusCode: 400, code } });
    expect(Object.keys(answer.body as object).sort()).toEqual(['code', 'fix', 'message', 'statusCode']);
    expect(await sources()).toEqual([]);
  });

  it('are told when a body is too large, or no JSON by its type', async () => {
    expect((await say('tower', 'complete', `{"upTo":"${'1'.repeat(5_000)}"}`)).status).toBe(413);
    const text = await fetch(`${app.url}/sources/tower/complete`, { method: 'POST', body: 'upTo' });
    expect(text.status).toBe(415);
  });
});
