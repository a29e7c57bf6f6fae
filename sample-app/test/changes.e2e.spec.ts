/**
 * Goal: the changes of a view are followed over HTTP from any point that is kept, and resumed after it. Method: a reader of
 * server-sent events by hand; a store that keeps few changes; a shutdown in the middle.
 */
import { Global, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ConcursusModule, inMemory } from '@concursus/core';
import { afterEach, describe, expect, it } from 'vitest';
import { FLIGHTS } from '../src/flights/context.js';
import { FlightsModule } from '../src/flights/flights.module.js';
import { LoadClock } from '../src/load/load-clock.js';
import { readSettings, SETTINGS } from '../src/settings.js';
import { ProblemFilter } from '../src/web/problem.js';
import { scratchFolder, startHere, type AppHere } from './app.js';
import { getJson, postLines } from './reports.js';

const flight = (number: number, origin = 'EWR'): string => `2013-01-05/UA${number}/${origin}-0500`;
const departed = (id: string): string =>
  JSON.stringify({
    source: `airport:${id.slice(-8, -5)}`,
    flight: id,
    type: 'departed',
    at: '2013-01-05T10:00:00.000Z',
    data: { tail: 'N7' },
  });

interface Change {
  readonly id: number;
  readonly data: {
    readonly view: string;
    readonly key: string;
    readonly revision: number;
    readonly retract: Readonly<Record<string, number>> | null;
    readonly assert: Readonly<Record<string, number>> | null;
    readonly cause: readonly string[];
  };
}

/** Reads server-sent events until told to stop. */
class Stream {
  readonly changes: Change[] = [];
  comments = 0;
  ended = false;
  private readonly gone = new AbortController();

  static async open(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Stream> {
    const stream = new Stream();
    const response = await fetch(url, { headers, signal: stream.gone.signal });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    void stream.read(response).catch(() => undefined);
    return stream;
  }

  close(): void {
    this.gone.abort();
  }

  private async read(response: Response): Promise<void> {
    let text = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += decoder.decode(chunk, { stream: true });
      const events = text.split('\n\n');
      text = events.pop()!;
      for (const event of events) {
        const fields = new Map(
          event.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
        );
        if (fields.has('data')) {
          this.changes.push({ id: Number(fields.get('id')), data: JSON.parse(fields.get('data')!) as Change['data'] });
        } else this.comments++;
      }
    }
    this.ended = true;
  }
}

describe('changes of a view as server-sent events', { timeout: 60_000 }, () => {
  let stop: () => Promise<void> = async () => undefined;

  afterEach(() => stop());

  async function start(): Promise<AppHere> {
    const folder = await scratchFolder();
    const app = await startHere(folder.path);
    let stopped: Promise<void> | undefined;
    const end = () => (stopped ??= app.stop());
    stop = async () => {
      await end();
      await folder.clean();
    };
    return { ...app, stop: end };
  }

  it('begin where they are asked to, follow what comes, and are resumed after the last seen', async () => {
    const app = await start();
    await postLines(app.url, [departed(flight(1))]);
    const first = await Stream.open(`${app.url}/flights/changes?from=0`);
    await expect.poll(() => first.changes.length).toBe(1);
    const [change] = first.changes;
    expect(change!.data).toEqual({
      view: 'origin-day',
      key: 'EWR 2013-01-05',
      revision: 1,
      retract: null,
      assert: { flights: 1, arrived: 0, cancelled: 0, diverted: 0, departureDelayMinutes: 0 },
      cause: [`flight/${flight(1)}@2013-01-05T10:00:00.000Z#departed`],
    });
    expect(first.comments).toBeGreaterThan(0);

    await postLines(app.url, [departed(flight(2))]);
    await expect.poll(() => first.changes.length).toBe(2);
    expect(first.changes[1]!.data.retract).toEqual(change!.data.assert);
    expect(first.changes[1]!.data.assert).toMatchObject({ flights: 2 });
    first.close();

    await postLines(app.url, [departed(flight(3))]);
    // The header of a browser that comes again is stronger than its address.
    const again = await Stream.open(`${app.url}/flights/changes?from=0`, {
      'last-event-id': String(first.changes[1]!.id),
    });
    await expect.poll(() => again.changes.length).toBe(1);
    expect(again.changes[0]!.id).toBeGreaterThan(first.changes[1]!.id);
    expect(again.changes[0]!.data.retract).toEqual(first.changes[1]!.data.assert);
    again.close();
  });

  it.each(['carriers', 'status'])('are of the view %s when that is asked for', async (view) => {
    const app = await start();
    await postLines(app.url, [departed(flight(1))]);
    const stream = await Stream.open(`${app.url}/flights/changes?from=0&view=${view}`);
    await expect.poll(() => stream.changes.length).toBe(1);
    expect(stream.changes[0]!.data).toMatchObject({
      view,
      key: view === 'carriers' ? 'UA' : 'departed',
      retract: null,
    });
    stream.close();
  });

  it('refuse what is no point and no view, and what is beyond the last change', async () => {
    const app = await start();
    const refused = async (query: string, headers = {}): Promise<[number, string]> => {
      const response = await fetch(`${app.url}/flights/changes?${query}`, { headers });
      return [response.status, ((await response.json()) as { code: string }).code];
    };
    expect(await refused('from=-1')).toEqual([400, 'INVALID_ARGUMENT']);
    expect(await refused('from=x')).toEqual([400, 'INVALID_ARGUMENT']);
    expect(await refused('from=0&from=1')).toEqual([400, 'INVALID_ARGUMENT']);
    expect(await refused('view=__proto__')).toEqual([400, 'INVALID_ARGUMENT']);
    expect(await refused('from=0', { 'last-event-id': 'x' })).toEqual([400, 'INVALID_ARGUMENT']);
    expect(await refused('from=7')).toEqual([410, 'CHANGES_TRIMMED']);
  });

  it('are bounded in number, and a place is free again when one leaves', async () => {
    const app = await start();
    const streams = await Promise.all(
      Array.from({ length: 64 }, () => Stream.open(`${app.url}/flights/changes?from=0`)),
    );
    const refused = await fetch(`${app.url}/flights/changes?from=0`);
    expect(refused.status).toBe(503);
    expect(((await refused.json()) as { code: string }).code).toBe('OVERLOADED');
    streams[0]!.close();
    await expect
      .poll(async () => {
        const response = await fetch(`${app.url}/flights/changes?from=0`);
        await response.body?.cancel();
        return response.status;
      })
      .toBe(200);
    for (const stream of streams) stream.close();
  });

  it('end when the application goes down', async () => {
    const app = await start();
    const stream = await Stream.open(`${app.url}/flights/changes?from=0`);
    await app.stop();
    await expect.poll(() => stream.ended).toBe(true);
  });

  it('that are no longer kept are answered 410', async () => {
    const clock = new LoadClock();
    class Root {}
    Module({
      imports: [
        ConcursusModule.forRoot({
          context: FLIGHTS,
          persistent: inMemory({ changesKept: 1 }),
          clock,
          catalogue: false,
        }),
        FlightsModule,
      ],
      providers: [
        { provide: SETTINGS, useValue: readSettings({ SAMPLE_DATA: 'none' }) },
        { provide: LoadClock, useValue: clock },
      ],
      exports: [SETTINGS, LoadClock],
    })(Root);
    Global()(Root);
    const nest = await NestFactory.create(Root, { bodyParser: false, logger: ['error'] });
    nest.useGlobalFilters(new ProblemFilter());
    await nest.listen(0, '127.0.0.1');
    stop = () => nest.close();
    const url = await nest.getUrl();
    for (let number = 1; number <= 20; number++) {
      await postLines(url, [departed(flight(number))]);
      await expect
        .poll(() => getJson<{ flights: number }>(`${url}/flights/origins/EWR/days/2013-01-05`).catch(() => undefined))
        .toMatchObject({ flights: number });
    }
    const response = await fetch(`${url}/flights/changes?from=1`);
    expect(response.status).toBe(410);
    expect(await response.json()).toMatchObject({ statusCode: 410, code: 'CHANGES_TRIMMED' });
  });
});
