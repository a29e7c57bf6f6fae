/**
 * A real month in any order. Method: the bundled reports with corrections planted among them are delivered in random orders,
 * with repeats and in random batches; views, states, catalogue and mirrors that only follow changes must come to the same
 * bytes each time, and to those of a plain model: arrays, filter, sort, fold. `DELIVERIES=100` for the long run.
 */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  canonicalJson,
  Catalogue,
  catalogueModel,
  correctionEvent,
  EventBus,
  EventRegistry,
  Histories,
  inMemory,
  parseEventTime,
  projectionMetaOf,
  projectionModel,
  ProjectionRunner,
  Projections,
  States,
  StreamBatch,
  ViewMirror,
  type EventInput,
  type Layer,
} from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { Carriers } from '../src/flights/carriers.projection.js';
import { readReport } from '../src/flights/flight-report.js';
import { Flight } from '../src/flights/flight.js';
import { FlightStatuses } from '../src/flights/flight-status.projection.js';
import { OriginDay } from '../src/flights/origin-day.projection.js';
import { monthLines, randomFrom, shuffled } from './reports.js';

const DELIVERIES = Number(process.env['DELIVERIES'] ?? 2);
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9));
const CORRECTIONS = 2_000;
const NAMES = ['origin-day', 'carriers', 'flight-status'] as const;

interface Report {
  readonly flight: string;
  readonly type: string;
  readonly at: number;
  readonly source: string;
  readonly data: Readonly<Record<string, string | number>>;
}
interface Correction {
  readonly kind: 'retract' | 'amend' | 'reinstate';
  readonly of: Report;
  readonly digest: string | undefined;
  readonly decidedAt: number;
  readonly source: string;
  readonly at: number | undefined;
  readonly data: Report['data'] | undefined;
}

const sha = (text: string): string => createHash('sha256').update(text).digest('hex');
const digestOf = (type: string, data: object): string =>
  sha(`{"name":"${type}","parameters":${canonicalJson(data)},"version":"0"}`);

function reportsOf(lines: readonly string[]): Report[] {
  const reports: Report[] = [];
  for (const line of lines) {
    try {
      parseEventTime(readReport(line).at);
    } catch {
      continue;
    }
    const { flight, type, at, source, data } = JSON.parse(line) as Report & { at: string };
    reports.push({ flight, type, at: Date.parse(at), source, data });
  }
  return reports;
}

/** Withdrawn, moved, changed, reinstated, by two desks at few moments, so that they contradict each other. */
function corrections(reports: readonly Report[], random: () => number): Correction[] {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  const targets = Array.from({ length: CORRECTIONS / 2 }, () => pick(reports));
  return Array.from({ length: CORRECTIONS }, (): Correction => {
    const of = pick(targets);
    const kind = pick(['retract', 'amend', 'amend', 'reinstate'] as const);
    const moves = kind === 'amend' && random() < 0.7;
    const changes = kind === 'amend' && (!moves || random() < 0.4);
    return {
      kind,
      of,
      digest: random() < 0.3 ? digestOf(of.type, of.data) : undefined,
      decidedAt: of.at + Math.floor(random() * 4) * 60_000,
      source: pick(['desk:A', 'desk:B']),
      at: moves ? of.at + Math.floor(random() * 241 - 120) * 60_000 : undefined,
      data:
        changes && 'tail' in of.data
          ? { ...of.data, tail: `X${Math.floor(random() * 9)}` }
          : changes
            ? of.data
            : undefined,
    };
  });
}

const eventOf = ({ flight, type, at, source, data }: Report): EventInput => ({
  aggregateType: 'flight',
  aggregateId: flight,
  name: type,
  version: '0',
  at,
  streamId: source,
  parameters: data,
});
const correctionOf = (one: Correction): EventInput =>
  correctionEvent({
    aggregateType: 'flight',
    aggregateId: one.of.flight,
    kind: one.kind,
    target: {
      at: one.of.at,
      streamId: one.of.source,
      name: one.of.type,
      ...(one.digest === undefined ? {} : { digest: one.digest }),
    },
    decidedAt: one.decidedAt,
    streamId: one.source,
    ...(one.at === undefined ? {} : { at: one.at }),
    ...(one.data === undefined ? {} : { parameters: one.data, version: '0' }),
  });

const bytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
const RANK: Readonly<Record<string, number>> = { scheduled: 0, departed: 1, arrived: 2, cancelled: 2, diverted: 2 };

type Figures = Record<string, Record<string, Record<string, number>>>;

/** What the month comes to, and which flights are listed as living. */
function model(reports: readonly Report[], said: readonly Correction[]): { figures: Figures; living: string[] } {
  const key = (r: Pick<Report, 'flight' | 'at' | 'source' | 'type'>): string =>
    [r.flight, r.at, r.source, r.type].join('|');
  const distinct = new Map(reports.map((r) => [`${key(r)}|${digestOf(r.type, r.data)}`, r]));
  const rules = new Map<string, Correction[]>();
  for (const one of said) rules.set(key(one.of), [...(rules.get(key(one.of)) ?? []), one]);
  const ruling = (r: Report): Correction | undefined =>
    (rules.get(key(r)) ?? [])
      .filter((one) => one.digest === undefined || one.digest === digestOf(r.type, r.data))
      .sort((a, b) => {
        const digest = (one: Correction): string => {
          const event = correctionOf(one);
          return digestOf(event.name, event.parameters);
        };
        return a.decidedAt - b.decidedAt || bytes(a.source, b.source) || bytes(digest(a), digest(b));
      })
      .at(-1);
  const flights = new Map<string, Report[]>();
  const whole = new Map<Correction, Set<string>>();
  for (const r of [...distinct.values()].sort((a, b) => bytes(digestOf(a.type, a.data), digestOf(b.type, b.data)))) {
    const rule = ruling(r);
    if (rule?.kind === 'retract') continue;
    let now = r;
    if (rule?.kind === 'amend') {
      if (rule.digest === undefined && rule.data !== undefined) {
        const seen = whole.get(rule) ?? new Set();
        whole.set(rule, seen);
        if (seen.has(key(r))) continue;
        seen.add(key(r));
      }
      now = { ...r, at: rule.at ?? r.at, data: rule.data ?? r.data };
    }
    flights.set(r.flight, [...(flights.get(r.flight) ?? []), now]);
  }
  const figures: Figures = { 'origin-day': {}, carriers: {}, 'flight-status': {} };
  const living: string[] = [];
  for (const [flight, history] of flights) {
    history.sort(
      (a, b) =>
        RANK[a.type]! - RANK[b.type]! ||
        a.at - b.at ||
        bytes(a.source, b.source) ||
        bytes(a.type, b.type) ||
        bytes(digestOf(a.type, a.data), digestOf(b.type, b.data)),
    );
    const last = (type: string): Report | undefined => history.filter((r) => r.type === type).at(-1);
    const [scheduled, departed, arrived] = [last('scheduled'), last('departed'), last('arrived')];
    const status = history.at(-1)!.type;
    const minutes = (from: unknown, to: Report | undefined): number =>
      typeof from !== 'string' || to === undefined ? 0 : Math.trunc((to.at - Date.parse(from)) / 60_000) + 0;
    const delay = status === 'arrived' ? minutes(scheduled?.data['scheduledArrival'], arrived) : 0;
    const add = (view: string, row: string, cell: Record<string, number>): void => {
      const held = (figures[view]![row] ??= {});
      for (const [field, value] of Object.entries(cell)) held[field] = (held[field] ?? 0) + value;
    };
    const is = (one: string): number => (status === one ? 1 : 0);
    add('origin-day', `${flight.slice(-8, -5)} ${flight.slice(0, 10)}`, {
      flights: 1,
      arrived: is('arrived'),
      cancelled: is('cancelled'),
      diverted: is('diverted'),
      departureDelayMinutes: minutes(scheduled?.data['scheduledDeparture'], departed),
    });
    add('carriers', flight.slice(11, 13), {
      arrived: is('arrived'),
      arrivalDelayMinutes: delay,
      over15MinutesLate: delay > 15 ? 1 : 0,
    });
    add('flight-status', status, { flights: 1 });
    if (
      scheduled !== undefined &&
      arrived === undefined &&
      !history.some((r) => ['cancelled', 'diverted'].includes(r.type))
    )
      living.push(flight);
  }
  return { figures, living: living.sort(bytes) };
}

/** Delivers everything once more than it must, in the order a seed gives; answers with what it came to. */
async function deliver(inputs: readonly EventInput[], seed: number) {
  const random = randomFrom(seed);
  const clock = new ManualClock(Date.parse('2013-02-01T00:00:00Z'));
  const logger = { log() {}, warn() {}, error: console.error };
  const layer = (await inMemory({ changesKept: 5_000_000 }).create({
    context: 'month',
    clock,
    logger,
  })) as Layer<'persistent'>;
  const {
    eventStore: store,
    eventFeed: feed,
    viewStore: views,
    checkpointStore: checkpoints,
    quarantine,
  } = layer.ports;
  const registry = new EventRegistry('month', [Flight]);
  const bus = new EventBus({ registry, store, quarantine, clock, onError: (error) => console.error(error) });
  const models = [OriginDay, Carriers, FlightStatuses].map((cls) => {
    const instance = new cls();
    return projectionModel(cls, projectionMetaOf(cls)!, [], registry.aggregate(Flight), () => instance as never);
  });
  const parts = { store, feed, views, checkpoints, registry, clock, logger, process: 'month' };
  const runner = new ProjectionRunner(parts, [...models, catalogueModel(registry)]);
  const projections = new Projections(parts, runner, () => {
    throw new Error('not here');
  });
  await runner.start();
  const repeats = Array.from({ length: 5_000 }, () => inputs[Math.floor(random() * inputs.length)]!);
  const order = shuffled([...inputs, ...repeats], seed);
  const summary = await bus.record(
    (async function* () {
      for (let at = 0; at < order.length;) {
        const size = 1 + Math.floor(random() * 900);
        yield new StreamBatch(order.slice(at, at + size));
        at += size;
      }
    })(),
  );
  expect(summary.rejected).toBe(0);
  const figures: Figures = {};
  for (const name of NAMES) {
    const view = projections.view<Record<string, number>>(name);
    await view.caughtUp(summary);
    const { rows } = await view.find({ limit: 10_000 });
    figures[name] = Object.fromEntries(rows.map(({ key, value }) => [key, value]));
    const mirror = new ViewMirror<Record<string, number>>();
    const last = await view.lastChange();
    for await (const change of view.changes()) {
      expect(canonicalJson(change.retract)).not.toBe(canonicalJson(change.assert));
      mirror.apply(change);
      if (change.sequence === last) break;
    }
    expect(canonicalJson(Object.fromEntries(mirror.rows()))).toBe(canonicalJson(figures[name]));
  }
  const catalogue = new Catalogue(projections.view('.catalogue'), registry);
  await catalogue.caughtUp(summary);
  const living: string[] = [];
  for (let after: string | undefined; ;) {
    const page = await catalogue.list(Flight, after === undefined ? {} : { after });
    living.push(...page.ids);
    if (page.next === undefined) break;
    after = page.next;
  }
  const states = new States(store, registry, new Histories(store, registry, clock));
  const hash = createHash('sha256');
  const ids = [...new Set(inputs.map((input) => input.aggregateId))].sort(bytes);
  for (let at = 0; at < ids.length; at += 5_000) {
    const some = ids.slice(at, at + 5_000);
    const found = await states.getMany(Flight, some);
    for (const id of some) hash.update(`${id} ${canonicalJson({ ...found.get(id)?.state })}\n`);
  }
  await runner.stop();
  await layer.close();
  return { figures, living, states: hash.digest('hex') };
}

describe(`the month with ${CORRECTIONS} corrections, delivered ${DELIVERIES} times (seed ${SEED})`, () => {
  it(
    'comes to what the plain model says, byte by byte the same each time',
    async () => {
      const reports = reportsOf(monthLines());
      const said = corrections(reports, randomFrom(SEED));
      const expected = model(reports, said);
      const inputs = [...reports.map(eventOf), ...said.map(correctionOf)];
      let states: string | undefined;
      for (let n = 0; n < DELIVERIES; n++) {
        const found = await deliver(inputs, SEED + n);
        expect(found.figures, `delivery ${n}`).toEqual(expected.figures);
        expect(found.living).toEqual(expected.living);
        states ??= found.states;
        expect(found.states).toBe(states);
      }
    },
    120_000 + DELIVERIES * 60_000,
  );
});
