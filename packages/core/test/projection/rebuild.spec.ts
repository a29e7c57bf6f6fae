/** A view is built anew beside the one that is read, takes over without a wrong answer, and its changes go on. Long, and still one subject. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  correctionEvent,
  UnavailableError,
  ViewMirror,
  type Clock,
  type EventInput,
  type Position,
  type ProjectionModel,
  type Rows,
  type View,
} from '@concursus/core';
import { Faults } from '@concursus/testing';
import { currentView, ownerNameOf, viewRefOf } from '../../src/projection/generations.js';
import { foldHistory } from '../../src/query/fold-history.js';
import { buildGeneration } from '../../src/projection/rebuild.js';
import { ProjectionRunner } from '../../src/projection/projection-runner.js';
import { ByRoom, Cell } from './rooms.js';
import { Bulb, T, world, type World } from './support.js';

/** Other rows, other values, and some that are the same. */
class ByRoomAnew {
  rows({ room, switched, wattage }: Bulb): Rows<Cell> {
    if (room === 'attic') return [];
    const row = {
      switched: switched * (room === 'hall' ? 2 : 1),
      bulbs: 1,
      most: wattage,
      last: switched,
      rooms: [room],
    };
    return [[room === '' ? 'nowhere' : room, row]];
  }
}

const ROOMS = ['hall', 'attic', 'cellar'];
const QUICK = { leaseMs: 60, beatMs: 10, backOffMs: 1, rebuild: { pauseMs: 0, pageSize: 2 } } as const;

function input(id: number, kind: number, at: number): EventInput {
  const base = { aggregateType: 'bulb', aggregateId: `b${id}`, at: T + at };
  if (kind === 0) return { ...base, name: 'screwedIn', parameters: { room: ROOMS[at % 3]!, wattage: (at * 7) % 11 } };
  return { ...base, name: kind === 1 ? 'burnt' : 'switchedOn', parameters: {} };
}

const modelOf = (
  w: World,
  version: number,
  cls: new () => object = version === 1 ? ByRoom : ByRoomAnew,
): ProjectionModel => ({
  ...w.model(cls, Cell),
  version,
});

async function until(condition: () => Promise<boolean> | boolean, what: string): Promise<void> {
  for (let n = 0; n < 2_000; n++) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error(`never: ${what}`);
}

async function rowsOf(view: View<Cell>): Promise<Record<string, Cell>> {
  return Object.fromEntries((await view.find({ limit: 10_000 })).rows.map(({ key, value }) => [key, value]));
}

/** Follows the changes, and fails with the first that does not fit. */
function follow(view: View<Cell>): { readonly mirror: ViewMirror<Cell>; stop(): Promise<void> } {
  const mirror = new ViewMirror<Cell>();
  const ended = new AbortController();
  const running = (async () => {
    for await (const change of view.changes({ signal: ended.signal })) mirror.apply(change);
  })();
  return {
    mirror,
    async stop() {
      const last = await view.lastChange();
      await Promise.race([running, until(() => mirror.sequence >= last, `change ${last}`)]);
      ended.abort();
      await running;
    },
  };
}

/** What a plain fold of the histories up to a place comes to; without what goes by time. */
async function folded(w: World, version: number, upTo: Position): Promise<Record<string, Omit<Cell, 'last'>>> {
  const rows: Record<string, Omit<Cell, 'last'>> = {};
  const bulbs = w.registry.find('bulb')!;
  const projection = version === 1 ? new ByRoom() : new ByRoomAnew();
  for (const key of await w.ports.eventStore.scanAggregates(undefined, 100)) {
    let state = bulbs.newState();
    const { events } = await foldHistory(w.ports.eventStore, bulbs, key, { upTo }, (fact) => {
      state = bulbs.apply(state, fact);
    });
    for (const [name, cell] of events === 0 ? [] : projection.rows(state as unknown as Bulb)) {
      const row = (rows[name] ??= { switched: 0, bulbs: 0, most: null, rooms: [] });
      row.switched += cell.switched!;
      row.bulbs = (row.bulbs as number) + 1;
      row.most = Math.max(row.most ?? Number.NEGATIVE_INFINITY, cell.most!);
      row.rooms = [...new Set([...row.rooms, ...cell.rooms!])];
    }
  }
  return rows;
}

/** Reads the view all the time; `check` compares each answer with a fold up to where the view stood. */
function watch(w: World, view: View<Cell>) {
  const seen = new Map<
    string,
    { readonly version: number; readonly at: string; readonly rows: Record<string, Cell> }
  >();
  let ended = false;
  const place = async (): Promise<readonly [number, string | undefined]> => {
    const ref = await currentView(w.ports.checkpointStore, 'spec', 1);
    return [ref.version, await w.ports.viewStore.readCheckpoint(ref)];
  };
  const running = (async () => {
    while (!ended) {
      const [version, at] = await place();
      const rows = await rowsOf(view);
      // Only what was read of one moment can be compared.
      if (at !== undefined && String(await place()) === String([version, at])) {
        seen.set(`${version} ${at}`, { version: version % 1_000_000, at, rows });
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  return {
    async check(): Promise<void> {
      ended = true;
      await running;
      for (const { version, at, rows } of seen.values()) {
        const plain = Object.fromEntries(Object.entries(rows).map(([key, { last: _last, ...rest }]) => [key, rest]));
        expect(plain).toEqual(await folded(w, version, w.ports.eventFeed.parsePosition(at)));
      }
    },
  };
}

const held = (mirror: ViewMirror<Cell>): Record<string, Cell> => Object.fromEntries(mirror.rows());

async function fill(w: World, count: number, from = 0): Promise<void> {
  for (let i = from; i < from + count; i++) {
    await w.bus.record([input(i % 9, 0, i), input(i % 9, 2, i + 1), input(i % 7, 2, (i * 13) % 50)]);
  }
}

describe('a rebuild of the same version', () => {
  it('comes to the same, says nothing to who follows, and is listed, reported and dropped', async () => {
    const w = await world();
    const { runner, projections } = w.runner([modelOf(w, 1)], 'one', QUICK);
    await runner.start();
    const view = projections.view<Cell>('spec');
    await fill(w, 20);
    await view.caughtUp({ position: await w.ports.eventFeed.end() });
    const before = (await view.find()).rows;
    const last = await view.lastChange();
    expect(await projections.report('spec')).toBeUndefined();

    expect(await projections.rebuild('spec')).toMatchObject({ version: 1, generation: 1, reason: 'asked' });
    expect((await projections.rebuild('spec')).generation).toBe(1);
    await until(async () => (await projections.rebuilding('spec')) === undefined, 'the switch');

    expect((await view.find()).rows).toEqual(before);
    expect(await view.lastChange()).toBe(last);
    expect(await projections.report('spec')).toMatchObject({ rows: before.length, added: 0, removed: 0, changed: 0 });
    expect((await projections.generations('spec')).map(({ generation, state }) => [generation, state])).toEqual([
      [0, 'kept'],
      [1, 'live'],
    ]);
    await expect(projections.drop('spec', { version: 1, generation: 1 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    await projections.drop('spec', { version: 1, generation: 0 });
    expect((await projections.generations('spec')).map(({ generation }) => generation)).toEqual([1]);

    // It goes on as the view.
    const more = await w.bus.record([input(1, 2, 99)]);
    await view.caughtUp(more);
    expect(await view.lastChange()).toBe(last + 1);
    expect((await projections.audit('spec')).differences).toEqual([]);
    expect(w.logger.lines.join('\n')).toMatch(/built to 100 %/);
    await runner.stop();
    await w.close();
  });

  it('puts right a row that was damaged, as a change', async () => {
    const w = await world();
    const { runner, projections } = w.runner([modelOf(w, 1)], 'one', QUICK);
    await runner.start();
    const view = projections.view<Cell>('spec');
    await fill(w, 9);
    await view.caughtUp({ position: await w.ports.eventFeed.end() });
    const right = await rowsOf(view);
    await runner.stop();
    await damage(w);
    const again = w.runner([modelOf(w, 1)], 'two', QUICK);
    await again.runner.start();
    const mirror = await ViewMirror.of(view);
    expect(await rowsOf(view)).not.toEqual(right);
    await again.projections.rebuild('spec');
    await until(async () => (await again.projections.report('spec')) !== undefined, 'the switch');
    expect(await rowsOf(view)).toEqual(right);
    for await (const change of view.changes({ from: mirror.sequence })) {
      mirror.apply(change);
      if (mirror.sequence === (await view.lastChange())) break;
    }
    expect(held(mirror)).toEqual(right);
    expect(await again.projections.report('spec')).toMatchObject({ added: 0, removed: 1, changed: 1 });
    await again.runner.stop();
    await w.close();
  });
});

/** A row of nobody, and another value in one of somebody. */
async function damage(w: World): Promise<void> {
  const { viewStore, checkpointStore } = w.ports;
  const view = { name: 'spec', version: 1, slice: -1 };
  const owner = await checkpointStore.readOwner('projection:spec:1');
  const checkpoint = (await viewStore.readCheckpoint(view))!;
  const [hall] = await viewStore.readRows(view, ['hall']);
  await viewStore.commit({
    view,
    owner: 'projection:spec:1',
    epoch: owner!.epoch,
    expected: checkpoint,
    checkpoint,
    rows: [
      { ...hall!, fields: { ...hall!.fields, switched: 999 } },
      { key: 'orphan', revision: 1, contributors: 1, fields: { ...hall!.fields } },
    ],
    contributions: [],
    forget: [],
    indexAdd: [],
    indexRemove: [],
    changes: [],
    notes: [],
  });
}

describe('another version', () => {
  it('is built at the start while the old one answers, in every process, and takes over', async () => {
    const w = await world();
    const first = w.runner([modelOf(w, 1)], 'one', QUICK);
    await first.runner.start();
    const old = first.projections.view<Cell>('spec');
    await fill(w, 30);
    await old.caughtUp({ position: await w.ports.eventFeed.end() });
    const before = await rowsOf(old);
    const following = follow(old);

    // The old code goes on in its process until the new one takes over.
    const second = w.runner([modelOf(w, 2)], 'two', { ...QUICK, rebuild: { pauseMs: 1, pageSize: 1 } });
    await second.runner.start();
    const view = second.projections.view<Cell>('spec');
    const stands = JSON.stringify(await rowsOf(view));
    expect(stands).toBe(JSON.stringify(before));
    expect(await second.projections.rebuilding('spec')).toMatchObject({ version: 2, generation: 0, reason: 'version' });
    await until(async () => (await second.projections.rebuilding('spec')) === undefined, 'the switch');

    const report = (await second.projections.report('spec'))!;
    expect(report).toMatchObject({
      from: { version: 1, generation: 0 },
      to: { version: 2, generation: 0 },
      removed: 1,
    });
    expect(report.examples.find(({ key }) => key === 'attic')).toMatchObject({ after: null });
    expect(await rowsOf(old)).toEqual(await rowsOf(view));
    expect(Object.keys(await rowsOf(view)).sort()).toEqual(['cellar', 'hall']);
    await fill(w, 5, 100);
    await view.caughtUp({ position: await w.ports.eventFeed.end() });
    expect((await second.projections.audit('spec')).differences).toEqual([]);
    await following.stop();
    expect(held(following.mirror)).toEqual(await rowsOf(view));
    expect(first.runner.runs('spec')).toBe(false);
    await first.runner.stop();
    await second.runner.stop();
    await w.close();
  });

  it('may be the old one again', async () => {
    const w = await world();
    for (const version of [1, 2, 1, 2]) {
      const { runner, projections } = w.runner([modelOf(w, version)], `of ${version}`, QUICK);
      await runner.start();
      await fill(w, 5, version * 10);
      await until(async () => (await projections.rebuilding('spec')) === undefined, 'the switch');
      const view = projections.view<Cell>('spec');
      await view.caughtUp({ position: await w.ports.eventFeed.end() });
      expect((await projections.audit('spec')).differences).toEqual([]);
      await runner.stop();
    }
    await w.close();
  });
});

describe('two processes', () => {
  // Of 9 histories, two a commit: the first commit, five pages, three of the take-over, then the mark, the pointer, the request.
  it.each([1, 3, 6, 7, 8, 9, 10, 11, 12])(
    'go over also when the one that builds dies before its write %i',
    async (write) => {
      const w = await world();
      const { runner, faults } = fragile(w, modelOf(w, 1), write);
      const other = w.runner([modelOf(w, 1)], 'two', QUICK);
      await runner.start();
      await other.runner.start();
      const view = other.projections.view<Cell>('spec');
      await fill(w, 30);
      await view.caughtUp({ position: await w.ports.eventFeed.end() });
      const before = (await view.find()).rows;
      // Asked for in one, built in the other, which dies in the middle.
      await other.projections.rebuild('spec');
      await until(() => faults.crashed, 'the crash');
      expect((await view.find()).rows).toEqual(before);
      await until(async () => (await other.projections.rebuilding('spec')) === undefined, 'the switch');
      expect((await view.find()).rows).toEqual(before);
      await until(() => other.projections.runsHere('spec'), 'running');
      const more = await w.bus.record([input(1, 2, 99)]);
      await view.caughtUp(more);
      expect((await other.projections.audit('spec')).differences).toEqual([]);
      // What the dead one left, be it a request that is done, stands in nobody's way.
      const again = await other.projections.rebuild('spec');
      await until(async () => {
        const { generation } = (await other.projections.generations('spec')).find(({ state }) => state === 'live')!;
        return generation === again.generation && generation > 1;
      }, 'the next switch');
      await other.runner.stop();
      await w.close();
    },
  );
});

describe('a store that once does not answer', () => {
  it.each(['readOwner', 'claim'] as const)('is asked again: %s of the generation to come', async (method) => {
    const w = await world();
    const { checkpointStore: checkpoints, viewStore: views, eventStore: store, eventFeed: feed } = w.ports;
    let refused = 0;
    const once = (name: string, ...rest: never[]): unknown => {
      if (name === 'projection:spec:1000001' && ++refused === 1)
        throw new UnavailableError('STORE_UNREACHABLE', 'Busy on purpose.', { fix: 'Try again.' });
      return (checkpoints[method] as (...args: unknown[]) => unknown)(name, ...rest);
    };
    const { registry, clock, logger } = w;
    const ports = { store, feed, views, checkpoints: replaced(checkpoints, method, once) };
    const runner = new ProjectionRunner({ ...ports, registry, clock, logger, process: 'one' }, [modelOf(w, 1)], QUICK);
    await runner.start();
    const { projections } = w.runner([modelOf(w, 1)], 'reader', QUICK);
    await fill(w, 9);
    await projections.rebuild('spec');
    await until(async () => (await projections.rebuilding('spec')) === undefined, 'the switch');
    expect(refused).toBeGreaterThan(1);
    await projections.view('spec').caughtUp(await w.bus.record([input(1, 2, 99)]));
    expect((await projections.audit('spec')).differences).toEqual([]);
    await runner.stop();
    await w.close();
  });
});

/** The port with a method of another's. */
const replaced = <P extends object>(port: P, method: string, by: unknown): P =>
  new Proxy(port, { get: (target, name) => (name === method ? by : (Reflect.get(target, name) as unknown)) });

/** A process whose ports die before a write of the building. */
function fragile(w: World, model: ProjectionModel, dies: number) {
  let writes = 0;
  const faults = new Faults(w.clock, [{ method: 'die', call: 1, kind: 'crash' }]);
  const mortal = faults.wrap({ die: async () => undefined });
  const views = faults.wrap(w.ports.viewStore);
  const commit: typeof views.commit = async (one) => {
    if (one.view.version > 1_000_000) count();
    return views.commit(one);
  };
  const checkpoints = faults.wrap(w.ports.checkpointStore);
  const save: typeof checkpoints.save = async (name, value, options) => {
    if (value !== '1' && !value.startsWith('{')) count();
    return checkpoints.save(name, value, options);
  };
  const count = (): void => {
    // A port that is gone answers nobody: not waited for.
    if (++writes === dies) void mortal.die();
  };
  const parts = {
    store: faults.wrap(w.ports.eventStore),
    feed: faults.wrap(w.ports.eventFeed),
    views: replaced(views, 'commit', commit),
    checkpoints: replaced(checkpoints, 'save', save),
    registry: w.registry,
    clock: w.clock,
    logger: w.logger,
    process: 'mortal',
  };
  const runner = new ProjectionRunner(parts, [model], QUICK);
  return { runner, faults };
}

describe('whatever comes while it is built', () => {
  it('answers as the old or the new one, and the followed changes come to the same', async () => {
    const event = fc.tuple(fc.nat(3), fc.nat(8), fc.nat(60));
    await fc.assert(
      fc.asyncProperty(
        fc.array(event, { minLength: 20, maxLength: 80 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 4 }),
        fc.boolean(),
        fc.array(fc.nat(9), { minLength: 1, maxLength: 4 }),
        async (events, batch, pageSize, sameVersion, stops) => {
          const w = await world();
          const options = { ...QUICK, pageSize: 4, rebuild: { pauseMs: 0, pageSize } };
          const next = sameVersion ? 1 : 2;
          let { runner, projections } = w.runner([modelOf(w, 1)], 'p', options);
          await runner.start();
          const view = projections.view<Cell>('spec');
          const record = async (list: typeof events): Promise<void> => {
            for (let at = 0; at < list.length; at += batch) {
              const some = list.slice(at, at + batch);
              const plain = some.filter(([kind]) => kind < 3).map(([kind, id, time]) => input(id, kind, time));
              if (plain.length > 0) await w.bus.record(plain);
              for (const [, id, time] of some.filter(([kind]) => kind === 3)) {
                const target = { name: 'switchedOn', at: T + time };
                const aggregate = { aggregateType: 'bulb', aggregateId: `b${id}` };
                await w.bus.record([correctionEvent({ ...aggregate, kind: 'retract', target, decidedAt: T + 100 })]);
              }
            }
          };
          const half = Math.floor(events.length / 2);
          await record(events.slice(0, half));
          const following = follow(view);
          const watching = watch(w, view);
          await view.caughtUp({ position: await w.ports.eventFeed.end() });

          let recording = record(events.slice(half));
          if (sameVersion) await projections.rebuild('spec');
          for (const [n, ticks] of stops.entries()) {
            for (let tick = 0; tick < ticks; tick++) await new Promise((resolve) => setImmediate(resolve));
            await runner.stop();
            ({ runner, projections } = w.runner([modelOf(w, next)], `p${n}`, options));
            await runner.start();
          }
          await until(async () => (await projections.rebuilding('spec')) === undefined, 'the switch');
          await recording;
          recording = record(events.slice(0, 5));
          await recording;
          const mine = projections.view<Cell>('spec');
          await mine.caughtUp({ position: await w.ports.eventFeed.end() });
          expect((await projections.audit('spec')).differences).toEqual([]);
          expect((await projections.report('spec'))?.to.version).toBe(next);
          await following.stop();
          expect(held(following.mirror)).toEqual(await rowsOf(mine));
          await watching.check();
          await runner.stop();
          await w.close();
        },
      ),
      { numRuns: 40 },
    );
  }, 120_000);
});

describe('a rebuild of histories that are at hand', () => {
  it('rests when its turn is over, also in the middle of a page', async () => {
    const w = await world();
    const { runner, projections } = w.runner([modelOf(w, 1)], 'one', QUICK);
    await runner.start();
    await fill(w, 60);
    await projections.view<Cell>('spec').caughtUp({ position: await w.ports.eventFeed.end() });
    await runner.stop();
    // Of this clock a turn is three looks at it; nobody else looks at it.
    let now = 0;
    let rests = 0;
    const clock: Clock = Object.create(w.clock, {
      monotonicMs: { value: () => (now += 5) },
      sleep: { value: async () => void rests++ },
    }) as Clock;
    const model = modelOf(w, 1);
    const next = { version: 1, generation: 1 };
    const owner = await w.ports.checkpointStore.claim(ownerNameOf('spec', next), 'one', undefined);
    const stop = new AbortController();
    const live = { version: 1, generation: 0 };
    const request = { ...next, reason: 'asked' as const, startedAt: 0 };
    const track = await buildGeneration(w.parts(), model, request, live, owner!, { pageSize: 1_000 }, stop.signal);
    expect(rests).toBe(0);
    expect(track?.position.toString()).toBe(await w.ports.viewStore.readCheckpoint(viewRefOf('spec', live)));
    await w.ports.viewStore.drop(viewRefOf('spec', next));
    await buildGeneration({ ...w.parts(), clock }, model, request, live, owner!, { pageSize: 1_000 }, stop.signal);
    // Nine histories of one page; behind the page there is at most one more.
    expect(rests).toBeGreaterThan(1);
    expect(await w.ports.viewStore.findRows(viewRefOf('spec', next), { limit: 100 })).toEqual(
      (await w.ports.viewStore.findRows(viewRefOf('spec', live), { limit: 100 })).map((row) => ({
        ...row,
        revision: 1,
      })),
    );
    await w.close();
  });
});
