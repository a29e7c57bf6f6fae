/**
 * Retract, amend and reinstate on the whole road, on every embedded provider: for any set of events and corrections and any
 * delivery of it (order, repeats, batches), histories, states and answers as of T, as known at P equal those of a plain
 * model: arrays, filter, sort, fold. And what was answered once is answered again, whatever came since (law 5).
 *
 * All runs share one store, each under a tenant of its own. Over 400 lines, and one subject: the model and the law it decides.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Aggregate,
  canonicalJson,
  correctionEvent,
  Catalogue,
  catalogueModel,
  Count,
  Event,
  EventBus,
  EventHandler,
  EventRegistry,
  Histories,
  inMemory,
  Max,
  projectionModel,
  ProjectionRunner,
  Projections,
  States,
  Sum,
  ViewMirror,
  type ConflictPolicy,
  type EventContext,
  type EventInput,
  type LayerProvider,
  type Position,
  type Rows,
  type RowsContext,
} from '@concursus/core';
import { lmdb } from '@concursus/lmdb';
import { ManualClock } from '@concursus/testing';

const T0 = Date.parse('2026-03-01T00:00:00Z');

@Event({ initial: true })
class Begun {
  constructor(readonly n: number) {}
}
@Event()
class Moved {
  constructor(readonly n: number) {}
}
@Event({ terminal: true })
class Ended {
  constructor(readonly n: number) {}
}
const events = { Begun, Moved, Ended };

class Path {
  path = '';
  @EventHandler(Begun) begun(e: Begun): void {
    this.path += `B${e.n}`;
  }
  @EventHandler(Moved) moved(e: Moved): void {
    this.path += `M${e.n}`;
  }
  @EventHandler(Ended) ended(e: Ended): void {
    this.path += `E${e.n}`;
  }
}
@Aggregate('keeps-both')
class KeepsBoth extends Path {
  static readonly events = events;
}
@Aggregate('keeps-neither', { conflicts: 'neither' })
class KeepsNeither extends Path {
  static readonly events = events;
}
@Aggregate('keeps-greatest', {
  conflicts: ((contents) =>
    contents.reduce((a, b) =>
      (a.parameters['n'] as number) >= (b.parameters['n'] as number) ? a : b,
    )) as ConflictPolicy,
})
class KeepsGreatest extends Path {
  static readonly events = events;
}
class Cell {
  @Count() things = 0;
  @Sum() total = 0;
  @Max() greatest: string | null = null;
}
class ByState {
  rows(state: Path, context: RowsContext): Rows<Cell> {
    const key = `${context.tenant}/${context.incomplete ? 'incomplete' : 'whole'}`;
    return [[key, { things: 1, total: state.path.length, greatest: state.path } as never]];
  }
}
class ByEvent {
  add(e: { readonly n: number }, context: EventContext): Rows<Cell> {
    const value = { things: 1, total: context.at - T0, greatest: context.name };
    return [[`${context.tenant}/${e.n}`, value as never]];
  }
}
const AGGREGATES = [KeepsBoth, KeepsNeither, KeepsGreatest];
const TYPES = ['keeps-both', 'keeps-neither', 'keeps-greatest'] as const;

interface Said {
  readonly name: 'begun' | 'moved' | 'ended';
  readonly at: number;
  readonly stream: string;
  readonly n: number;
}
interface Corrected {
  readonly kind: 'retract' | 'amend' | 'reinstate';
  readonly of: Omit<Said, 'n'> & { readonly n: number | undefined };
  readonly decidedAt: number;
  readonly desk: string;
  readonly at: number | undefined;
  readonly n: number | undefined;
}
type Item = { readonly said: Said } | { readonly corrected: Corrected };

const said: fc.Arbitrary<Said> = fc.record({
  name: fc.constantFrom('begun' as const, 'moved' as const, 'moved' as const, 'ended' as const),
  at: fc.integer({ min: 1, max: 5 }),
  stream: fc.constantFrom('', 's'),
  n: fc.integer({ min: 0, max: 2 }),
});
const corrected: fc.Arbitrary<Corrected> = fc.record({
  kind: fc.constantFrom('retract' as const, 'amend' as const, 'reinstate' as const),
  of: fc.record({
    name: fc.constantFrom('begun' as const, 'moved' as const, 'moved' as const, 'ended' as const),
    at: fc.integer({ min: 1, max: 5 }),
    stream: fc.constantFrom('', 's'),
    n: fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }),
  }),
  decidedAt: fc.integer({ min: 1, max: 3 }),
  desk: fc.constantFrom('', 'desk'),
  at: fc.option(fc.integer({ min: 0, max: 7 }), { nil: undefined }),
  n: fc.integer({ min: 0, max: 4 }),
});
const item: fc.Arbitrary<Item> = fc.oneof(
  { weight: 3, arbitrary: said.map((one): Item => ({ said: one })) },
  { weight: 2, arbitrary: corrected.map((one): Item => ({ corrected: one })) },
);

const sha = (text: string): string => createHash('sha256').update(text).digest('hex');
const contentDigest = (name: string, n: number): string =>
  sha(`{"name":"${name}","parameters":{"n":${n}},"version":"0"}`);

function inputOf(one: Item, type: string, tenant: string): EventInput {
  if ('said' in one) {
    const { name, at, stream, n } = one.said;
    return { tenant, aggregateType: type, aggregateId: 'a', name, at: T0 + at, streamId: stream, parameters: { n } };
  }
  const { kind, of, decidedAt, desk, at, n } = one.corrected;
  return correctionEvent({
    tenant,
    aggregateType: type,
    aggregateId: 'a',
    kind,
    target: {
      at: T0 + of.at,
      streamId: of.stream,
      name: of.name,
      ...(of.n === undefined ? {} : { digest: contentDigest(of.name, of.n) }),
    },
    decidedAt,
    streamId: desk,
    ...(kind === 'amend' ? { parameters: { n } } : {}),
    ...(kind === 'amend' && at !== undefined ? { at: T0 + at } : {}),
  });
}

/** What the model knows of an item: its key, and when it was first recorded. */
interface Known {
  readonly item: Item;
  readonly recordedAt: number;
}
const keyOf = (one: Item): string => JSON.stringify(one);
const bytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
const rank = { begun: 0, moved: 1, ended: 2 };

interface Counting {
  readonly said: Said;
  readonly at: number;
  readonly n: number;
}

/** The path of the aggregate as of T, as known at P; undefined when nothing counts. */
function model(known: readonly Known[], type: string, asOf: number, knownAt: number): string | undefined {
  const counting = countingOf(known, type, asOf, knownAt);
  if (counting.length === 0) return undefined;
  return counting.map((one) => `${one.said.name[0]!.toUpperCase()}${one.n}`).join('');
}

/** What counts as of T, as known at P, in fold order. Written without a line of the library. */
function countingOf(known: readonly Known[], type: string, asOf: number, knownAt: number): readonly Counting[] {
  const seen = known.filter((one) => one.recordedAt <= knownAt).map((one) => one.item);
  const events = seen.flatMap((one) => ('said' in one ? [one.said] : []));
  const rules = seen.flatMap((one) => ('corrected' in one ? [one.corrected] : []));
  const identities = new Map<string, Said[]>();
  for (const event of events) {
    const id = `${event.name}|${event.at}|${event.stream}`;
    identities.set(id, [...(identities.get(id) ?? []), event]);
  }
  const out: Counting[] = [];
  for (const group of identities.values()) {
    const left: (Counting & { readonly whole: Corrected | undefined })[] = [];
    for (const event of [...group].sort((a, b) => bytes(contentDigest(a.name, a.n), contentDigest(b.name, b.n)))) {
      const rule = rules
        .filter(
          ({ of }) =>
            of.name === event.name &&
            of.at === event.at &&
            of.stream === event.stream &&
            (of.n === undefined || of.n === event.n),
        )
        .sort(
          (a, b) =>
            a.decidedAt - b.decidedAt || bytes(a.desk, b.desk) || bytes(correctionDigest(a), correctionDigest(b)),
        )
        .at(-1);
      if (rule === undefined || rule.kind === 'reinstate') {
        left.push({ said: event, at: event.at, n: event.n, whole: undefined });
      } else if (rule.kind === 'amend') {
        if (rule.of.n === undefined && left.some((one) => one.whole === rule)) continue;
        left.push({
          said: event,
          at: rule.at ?? event.at,
          n: rule.n!,
          whole: rule.of.n === undefined ? rule : undefined,
        });
      }
    }
    if (left.length > 1 && type === 'keeps-neither') continue;
    if (left.length > 1 && type === 'keeps-greatest') out.push(left.reduce((a, b) => (a.n >= b.n ? a : b)));
    else out.push(...left);
  }
  return out
    .filter((one) => one.at <= asOf)
    .sort(
      (a, b) =>
        rank[a.said.name] - rank[b.said.name] ||
        a.at - b.at ||
        bytes(a.said.stream, b.said.stream) ||
        bytes(a.said.name, b.said.name) ||
        bytes(contentDigest(a.said.name, a.n), contentDigest(b.said.name, b.n)),
    );
}

/** The rows that what counts adds up to, by both projections, and whether the catalogue lists the aggregate. */
function rowsOf(counting: readonly Counting[], tenant: string): Record<string, unknown> {
  const rows: Record<string, unknown> = {};
  if (counting.length > 0) {
    const path = counting.map((one) => `${one.said.name[0]!.toUpperCase()}${one.n}`).join('');
    const whole = counting.some((one) => one.said.name === 'begun') ? 'whole' : 'incomplete';
    rows[`state ${tenant}/${whole}`] = { things: 1, total: path.length, greatest: path };
  }
  for (const n of new Set(counting.map((one) => one.n))) {
    const of = counting.filter((one) => one.n === n);
    rows[`event ${tenant}/${n}`] = {
      things: of.length,
      total: of.reduce((sum, one) => sum + one.at, 0),
      greatest: of
        .map((one) => one.said.name)
        .sort(bytes)
        .at(-1),
    };
  }
  return rows;
}

const living = (counting: readonly Counting[]): boolean =>
  counting.some((one) => one.said.name === 'begun') && !counting.some((one) => one.said.name === 'ended');

function correctionDigest(one: Corrected): string {
  const event = inputOf({ corrected: one }, 'any', '');
  return sha(`{"name":"${event.name}","parameters":${canonicalJson(event.parameters)},"version":"0"}`);
}

const RUNS = Number(process.env['LAW_RUNS'] ?? 300);

function laws(name: string, provider: () => LayerProvider<'persistent'>, cleanUp: () => void): void {
  describe(`on ${name}, ${RUNS} runs`, () => {
    const clock = new ManualClock();
    let close: () => Promise<void>;
    let bus: EventBus;
    let histories: Histories;
    let states: States;
    let runner: ProjectionRunner;
    let projections: Projections;
    let catalogue: Catalogue;
    let position: () => Promise<Position>;
    const mirrors = new Map<string, ViewMirror<Cell>>();
    let run = 0;

    /** Brings the mirror up to the view's last change; each change must retract what the one before asserted. */
    const follow = async (name: string): Promise<ViewMirror<Cell>> => {
      const view = projections.view<Cell>(name);
      const mirror = mirrors.get(name)!;
      const last = await view.lastChange();
      if (mirror.sequence >= last) return mirror;
      for await (const change of view.changes({ from: mirror.sequence })) {
        expect(JSON.stringify(change.retract), 'an unchanged output emits nothing').not.toBe(
          JSON.stringify(change.assert),
        );
        mirror.apply(change);
        if (mirror.sequence >= last) break;
      }
      return mirror;
    };

    beforeAll(async () => {
      const logger = { log() {}, warn() {}, error: console.error };
      const layer = await provider().create({ context: 'corrections', clock, logger });
      await layer.connect();
      const {
        eventStore: store,
        eventFeed: feed,
        viewStore: views,
        checkpointStore: checkpoints,
        quarantine,
      } = layer.ports;
      const registry = new EventRegistry('corrections', AGGREGATES);
      bus = new EventBus({ registry, store, quarantine, clock, onError: (error) => console.error(error) });
      histories = new Histories(store, registry, clock);
      states = new States(store, registry, histories);
      const models = AGGREGATES.flatMap((aggregate) => {
        const of = registry.aggregate(aggregate);
        const base = { version: 1, of: aggregate, view: Cell };
        const handlers = Object.values(events).map((event) => ({ method: 'add', event, options: {} }));
        return [
          projectionModel(ByState, { ...base, name: `state-${of.type}` }, [], of, () => new ByState() as never),
          projectionModel(ByEvent, { ...base, name: `event-${of.type}` }, handlers, of, () => new ByEvent() as never),
        ];
      });
      const parts = { store, feed, views, checkpoints, registry, clock, logger, process: 'corrections' };
      runner = new ProjectionRunner(parts, [...models, catalogueModel(registry)], { pageSize: 5 });
      projections = new Projections(parts, runner, () => {
        throw new Error('not here');
      });
      catalogue = new Catalogue(projections.view('.catalogue'), registry);
      for (const { name } of models) mirrors.set(name, new ViewMirror());
      await runner.start();
      position = () => feed.end();
      close = async () => {
        await runner.stop();
        await layer.close();
      };
    });
    afterAll(async () => {
      await close();
      cleanUp();
    });

    it('answers as the plain model does, as of every T and as known at every P, and again later', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...TYPES),
          fc.array(item, { minLength: 1, maxLength: 12 }),
          fc.array(fc.nat(), { maxLength: 6 }),
          fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }),
          async (type, items, repeats, sizes) => {
            const tenant = `run${++run}`;
            const arriving = [...items, ...repeats.map((i) => items[i % items.length]!)];
            const known = new Map<string, Known>();
            const moments: number[] = [];
            const answers: { readonly asOf: number; readonly knownAt: number; readonly text: string | undefined }[] =
              [];
            for (let i = 0, s = 0; i < arriving.length; s++) {
              const batch = arriving.slice(i, i + sizes[s % sizes.length]!);
              i += batch.length;
              await clock.advance(1);
              const now = clock.now();
              await bus.record(batch.map((one) => inputOf(one, type, tenant)));
              for (const one of batch) {
                if (!known.has(keyOf(one))) known.set(keyOf(one), { item: one, recordedAt: now });
              }
              moments.push(now);
              for (const asOf of [0, 3, 7]) {
                const at = { tenant, asOf: T0 + asOf, knownAt: now };
                const state = await states.get(type, 'a', at);
                answers.push({ asOf, knownAt: now, text: (state?.state as Path | undefined)?.path });
              }
            }
            const all = [...known.values()];
            for (const { asOf, knownAt, text } of answers) {
              expect(text, `as of ${asOf} known at ${knownAt}`).toBe(model(all, type, asOf, knownAt));
              const again = await states.get(type, 'a', { tenant, asOf: T0 + asOf, knownAt });
              expect((again?.state as Path | undefined)?.path, 'asked again').toBe(text);
            }
            const path = model(all, type, 99, Number.POSITIVE_INFINITY);
            expect(((await states.get(type, 'a', { tenant }))?.state as Path | undefined)?.path).toBe(path);
            const many = await states.getMany(type, ['a'], { tenant });
            expect((many.get('a')?.state as Path | undefined)?.path).toBe(path);
            const shown = (facts: readonly { name: string; parameters: object }[]): string =>
              facts.map((f) => `${f.name[0]!.toUpperCase()}${(f.parameters as Moved).n}`).join('');
            expect(shown(await histories.collect(type, 'a', { tenant }))).toBe(path ?? '');
            const down = await histories.collect(type, 'a', { tenant, order: 'descending' });
            const up = await histories.collect(type, 'a', { tenant, order: 'ascending' });
            expect(shown(down.toReversed())).toBe(shown(up));
            const now = countingOf(all, type, 99, Number.POSITIVE_INFINITY);
            const expected = rowsOf(now, tenant);
            const rows: Record<string, unknown> = {};
            const held: Record<string, unknown> = {};
            const end = await position();
            for (const form of ['state', 'event']) {
              const view = projections.view<Cell>(`${form}-${type}`);
              await view.caughtUp({ position: end });
              const { rows: found } = await view.find({ prefix: `${tenant}/` });
              for (const { key, value } of found) rows[`${form} ${key}`] = value;
              for (const [key, value] of (await follow(`${form}-${type}`)).rows())
                if (key.startsWith(`${tenant}/`)) held[`${form} ${key}`] = value;
            }
            expect(rows).toEqual(expected);
            expect(held).toEqual(expected);
            await catalogue.caughtUp({ position: end });
            expect((await catalogue.list(type, { tenant })).ids).toEqual(living(now) ? ['a'] : []);
            const [p1, p2] = [moments[0]!, moments.at(-1)!];
            const changed = await states.whatChanged(type, 'a', { tenant, asOf: T0 + 3, between: [p1, p2] });
            expect((changed.before as Path | undefined)?.path).toBe(model(all, type, 3, p1));
            expect((changed.after as Path | undefined)?.path).toBe(model(all, type, 3, p2));
            let last = model(all, type, 3, p1);
            const moved: string[] = [];
            for (const moment of moments.slice(1)) {
              const now = model(all, type, 3, moment);
              if (now !== last) moved.push(`${moment} ${now}`);
              last = now;
            }
            expect(changed.learned.map((one) => `${one.recordedAt} ${(one.state as Path | undefined)?.path}`)).toEqual(
              moved,
            );
          },
        ),
        { numRuns: RUNS },
      );
    }, 600_000);
  });
}

describe('corrections', () => {
  laws(
    'in-memory',
    () => inMemory(),
    () => undefined,
  );
  const path = mkdtempSync(join(tmpdir(), 'concursus-corrections-'));
  laws(
    'LMDB',
    () => lmdb({ path }),
    () => rmSync(path, { recursive: true, force: true }),
  );
});
