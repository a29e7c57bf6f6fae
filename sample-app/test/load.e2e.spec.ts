/**
 * Goal: the sample is loaded once, under the times its lines were received, whoever is killed meanwhile; live posts wait.
 * Method: real processes on one environment, a file that takes a moment, SIGKILL in the middle.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { scratchFolder, startApp, startHere, type RunningApp } from './app.js';
import { getJson, modelOf, monthLines, postLines, quarantined, settled, type Truth } from './reports.js';

/** The first lines of the month, without garbage but what is planted. */
const LINES = 20_000;
const lines = monthLines().slice(0, LINES);
const GARBAGE = 'no report at all';
lines[100] = GARBAGE;
/** No time of receipt: comes just above the line before. */
const NO_TIME = 5_000;
const { receivedAt: _dropped, ...timeless } = JSON.parse(lines[NO_TIME]!) as Record<string, unknown>;
lines[NO_TIME] = JSON.stringify(timeless);

const reports = lines.flatMap((line) => {
  try {
    return [
      JSON.parse(line) as {
        flight: string;
        at: string;
        source: string;
        type: string;
        receivedAt?: string;
        data: Record<string, unknown>;
      },
    ];
  } catch {
    return [];
  }
});
const truth: Truth = modelOf(reports);

interface Summary {
  readonly loading: { readonly line: number; readonly total: number; readonly done: boolean } | null;
  readonly recorded: number;
}
interface HistoryEvent {
  readonly name: string;
  readonly processedAt: string;
  readonly repeats: number;
}

async function until(condition: () => Promise<boolean>, withinMs = 60_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error('It did not come to it in time.');
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

describe('loading the sample', { timeout: 300_000 }, () => {
  const running = new Set<RunningApp>();
  let folder: { readonly path: string; clean(): Promise<void> };
  let env: Record<string, string>;

  beforeEach(async () => {
    folder = await scratchFolder();
    const file = join(folder.path, 'sample.ndjson');
    await writeFile(file, lines.join('\n'));
    env = { SAMPLE_DATA: file, CONCURSUS_DATA: join(folder.path, 'a', 'b', 'store') };
  });

  afterEach(async () => {
    await Promise.all([...running].map((app) => app.kill()));
    running.clear();
    await folder.clean();
  });

  async function start(): Promise<RunningApp> {
    const app = await startApp(env);
    running.add(app);
    return app;
  }

  const summaryOf = (app: RunningApp): Promise<Summary> => getJson<Summary>(`${app.url}/board/summary`);
  const isLoaded = async (app: RunningApp): Promise<boolean> => (await summaryOf(app)).loading?.done === true;

  it('goes on where a killed load was, with each line under its time, and waits with live posts', async () => {
    let app = await start();
    await until(async () => ((await summaryOf(app)).loading?.line ?? 0) > 2_000);
    await app.kill();

    app = await start();
    // Counted from the view of sources, which goes on from its own checkpoint.
    await until(async () => (await summaryOf(app)).recorded > 1_500);
    const early = await fetch(
      `${app.url}/flights/${encodeURIComponent(reports[0]!.flight)}?knownAt=2013-02-01T00:00:00Z`,
    );
    expect(((await early.json()) as { code: string }).code).toBe('NOT_YET_KNOWN');

    const live = {
      source: 'tower',
      flight: '2013-02-01/UA1/EWR-0700',
      type: 'departed',
      at: '2013-02-01T12:00:00.000Z',
      data: { tail: 'N1' },
    };
    let answered = false;
    const posted = postLines(app.url, [JSON.stringify(live)]).finally(() => (answered = true));
    posted.catch(() => undefined);
    expect((await summaryOf(app)).loading?.done).toBe(false);
    expect(answered).toBe(false);
    await until(() => isLoaded(app));
    expect(await posted).toMatchObject({ recorded: 1 });
    const [event] = await getJson<HistoryEvent[]>(`${app.url}/flights/${encodeURIComponent(live.flight)}/history`);
    expect(Date.parse(event!.processedAt)).toBeGreaterThan(Date.parse('2020-01-01'));

    expect(await settled(app.url, modelOf([...reports, live]))).toEqual([]);
    const first = await getJson<HistoryEvent[]>(`${app.url}/flights/${encodeURIComponent(reports[0]!.flight)}/history`);
    expect(first[0]!.processedAt).toBe(reports[0]!.receivedAt);
    // Every flight's first event stands at the time its line was received (the planted one just above the line before).
    for (const at of [1_900, 2_500, 6_000, 15_000]) {
      const report = reports[at]!;
      const history = await getJson<HistoryEvent[]>(`${app.url}/flights/${encodeURIComponent(report.flight)}/history`);
      expect(history.map((each) => each.processedAt)).toContain(report.receivedAt);
    }
    const planted = await getJson<HistoryEvent[]>(
      `${app.url}/flights/${encodeURIComponent(timeless['flight'] as string)}/history`,
    );
    const before = Date.parse((JSON.parse(lines[NO_TIME - 1]!) as { receivedAt: string }).receivedAt);
    expect(
      planted.some((each) => Date.parse(each.processedAt) >= before && Date.parse(each.processedAt) <= before + 1),
    ).toBe(true);

    await app.stop();
    app = await start();
    expect((await summaryOf(app)).loading).toBe(null);
    expect(await settled(app.url, modelOf([...reports, live]), 0)).toEqual([]);
    expect(app.output()).not.toContain('Loading');
    const items = await quarantined(app.url);
    expect(items.map((item) => Buffer.from(item.bytes, 'base64').toString())).toContain(GARBAGE);
  });

  it('is done by one of two processes, and taken over by the other when that one is killed', async () => {
    const [a, b] = await Promise.all([start(), start()]);
    await until(
      async () =>
        ((await summaryOf(a)).loading?.line ?? 0) > 1_000 && ((await summaryOf(b)).loading?.line ?? 0) > 1_000,
    );
    const loads = [a, b].filter((app) => app.output().includes('Loading'));
    expect(loads.length).toBe(1);
    const other = loads[0] === a ? b : a;
    await loads[0]!.kill();
    await until(() => isLoaded(other));
    expect(other.output()).toContain('Loading sample.ndjson: 100 %');
    expect(await settled(other.url, truth)).toEqual([]);
    // No line was stored twice, and none was counted as a repeat of itself by the restart.
    const history = await getJson<HistoryEvent[]>(
      `${other.url}/flights/${encodeURIComponent(reports[0]!.flight)}/history`,
    );
    const repeats = reports.filter((report) => report.flight === reports[0]!.flight).length - history.length;
    expect(history.reduce((total, event) => total + event.repeats, 0)).toBe(repeats);
  });

  it('leaves views that equal their rebuild after a kill in the middle', async () => {
    const app = await start();
    await until(async () => ((await summaryOf(app)).loading?.line ?? 0) > 3_000);
    await app.kill();
    const here = await startHere(env['CONCURSUS_DATA']!, { SAMPLE_DATA: env['SAMPLE_DATA']! });
    try {
      expect(await settled(here.url, truth, 60_000)).toEqual([]);
      expect((await here.audit('flights')).flatMap((audit) => audit.differences)).toEqual([]);
    } finally {
      await here.stop();
    }
  });
});
