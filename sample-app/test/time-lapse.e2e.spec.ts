/**
 * Goal: what the board said at any moment, over HTTP, is what the library's replay of each view comes to. Method: made-up
 * reports loaded under their times of receipt, with corrections after; every figure compared at a number of moments.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { scratchFolder, startHere, type AppHere } from './app.js';
import { getJson, plantedReports, postLines, shuffled } from './reports.js';

interface Board {
  readonly knownAt: string;
  readonly status: Readonly<Record<string, number>>;
  readonly origins: readonly (Readonly<Record<string, number>> & { readonly origin: string; readonly day: string })[];
  readonly carriers: readonly (Readonly<Record<string, number>> & { readonly carrier: string })[];
  readonly recorded: number;
  readonly settledUpTo: string | null;
}

describe('the board at a moment', { timeout: 120_000 }, () => {
  let app: AppHere;
  let clean: () => Promise<void>;

  afterEach(async () => {
    await app.stop();
    await clean();
  });

  async function same(knownAt: string): Promise<Board> {
    const board = await getJson<Board>(`${app.url}/board/at?knownAt=${knownAt}`);
    const rows = await app.replay('flights', board.knownAt);
    const status = Object.fromEntries(rows['flight-status']!.map(({ key, value }) => [key, value['flights']]));
    expect(board.status).toEqual({ scheduled: 0, departed: 0, arrived: 0, cancelled: 0, diverted: 0, ...status });
    expect(board.origins).toEqual(
      rows['origin-day']!.map(({ key, value }) => ({ origin: key.slice(0, 3), day: key.slice(4), ...value })),
    );
    expect(board.carriers).toEqual(rows['carriers']!.map(({ key, value }) => ({ carrier: key, ...value })));
    return board;
  }

  it('is what each view comes to as known then, before and after a correction', async () => {
    const folder = await scratchFolder();
    clean = folder.clean;
    const reports = shuffled(plantedReports(200, 5), 5);
    const start = Date.parse('2013-02-04T00:00:00Z');
    const file = join(folder.path, 'reports.ndjson');
    const lines = reports.map((report, i) =>
      JSON.stringify({ ...report, receivedAt: new Date(start + i * 190_000).toISOString() }),
    );
    await writeFile(file, lines.join('\n'));
    app = await startHere(join(folder.path, 'store'), { SAMPLE_DATA: file });

    const moments = await getJson<string[]>(`${app.url}/board/moments`);
    expect(moments.length).toBeGreaterThan(10);
    expect(moments).toEqual([...moments].sort());
    let before = 0;
    const settled: string[] = [];
    for (const moment of moments.filter((_, i) => i % 6 === 0)) {
      const { recorded, settledUpTo } = await same(moment);
      expect(recorded).toBeGreaterThan(before);
      before = recorded;
      settled.push(settledUpTo ?? '');
    }
    expect(settled).toEqual([...settled].sort());
    expect(new Set(settled).size).toBeGreaterThan(2);
    expect(await same('2013-02-03T00:00:00.000Z')).toMatchObject({ recorded: 0, settledUpTo: null });
    const now = new Date(Date.now() - 60_000).toISOString();
    const then = await same(now);

    // What comes later adds to the end, and leaves what was said.
    const departed = reports.find((report) => report.type === 'departed')!;
    const response = await fetch(`${app.url}/flights/${encodeURIComponent(departed.flight)}/corrections`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        kind: 'amend',
        target: {
          at: departed.at,
          source: departed.source,
          type: 'departed',
          ...(departed.sequence === undefined ? {} : { sequence: departed.sequence }),
        },
        decidedAt: '2013-02-06T00:00:00Z',
        source: 'desk',
        at: new Date(Date.parse(departed.at) + 3_600_000).toISOString(),
      }),
    });
    expect(response.status).toBe(200);
    await postLines(app.url, lines.slice(0, 3));
    expect(await same(now)).toEqual(then);
    const live = await getJson<{ recorded: number; settledUpTo: string }>(`${app.url}/board/summary`);
    expect(live.recorded).toBe(then.recorded + 1);
    // A correction moves no source, and a repeat says nothing: what is settled now was so then.
    expect(then.settledUpTo).toBe(live.settledUpTo);
  });

  it('refuses what is no moment, and what is still to come', async () => {
    const folder = await scratchFolder();
    clean = folder.clean;
    app = await startHere(folder.path);
    const refused = async (query: string): Promise<[number, string]> => {
      const response = await fetch(`${app.url}/board/at${query}`);
      return [response.status, ((await response.json()) as { code: string }).code];
    };
    expect(await refused('')).toEqual([400, 'INVALID_ARGUMENT']);
    expect(await refused('?knownAt=soon')).toEqual([400, 'INVALID_TIME']);
    expect(await refused('?knownAt=2999-01-01T00:00:00Z')).toEqual([400, 'NOT_YET_KNOWN']);
    expect(await getJson(`${app.url}/board/moments`)).toEqual([]);
    expect(await getJson<Board>(`${app.url}/board/at?knownAt=2013-01-01T00:00:00Z`)).toMatchObject({
      recorded: 0,
      origins: [],
    });
  });
});
