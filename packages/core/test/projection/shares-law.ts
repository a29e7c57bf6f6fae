/**
 * The law of shares: a view kept in any number of them is the view kept in one piece. Random reports, late and corrected ones
 * and some that cannot be handled, with owners that change in the middle; then everything a reader can ask is compared.
 */
import fc from 'fast-check';
import { expect } from 'vitest';
import {
  correctionEvent,
  Count,
  Earliest,
  EventHandler,
  Latest,
  Max,
  Min,
  SetOf,
  sharesOf,
  Sum,
  TimePolicies,
  ViewMirror,
  type EventContext,
  type EventInput,
  type ProjectionModel,
  type Projections,
  type ProjectionRunner,
  type Rows,
  type View,
} from '@concursus/core';
import { Bulb, ScrewedIn, SwitchedOn, T, type World } from './support.js';

class Everything {
  @Sum({ scale: 1 }) switched = 0;
  @Count() burnt: number | boolean = 0;
  @Min() least: number | string | null = null;
  @Max() most: number | null = null;
  @Latest() last: number | null = null;
  @Earliest() first: number | null = null;
  @SetOf() rooms: string[] = [];
}
/** Cannot handle a bulb of the room "cursed". */
class ByRoom {
  rows({ room, wattage, switched, burnt }: Bulb): Rows<Everything> {
    if (room === 'cursed') throw new Error('cursed');
    const least = wattage % 2 === 0 ? wattage : `w${wattage}`;
    return [
      [
        room === '' ? '?' : room,
        { switched: switched / 10, burnt, least, most: wattage, last: wattage, rooms: [room] },
      ],
      [`watts ${wattage % 3}`, { switched, most: wattage - switched, first: switched, last: switched }],
    ];
  }
}
class Hours {
  @Count() events = 0;
  @Earliest() first: string | null = null;
  @Latest() last: string | null = null;
}
class ByHour {
  @EventHandler(ScrewedIn) in(_: ScrewedIn, { at, aggregateId }: EventContext): Rows<Hours> {
    return [[`hour ${at % 4}`, { events: 1, first: aggregateId, last: aggregateId }]];
  }
  @EventHandler(SwitchedOn) on(_: SwitchedOn, { at, aggregateId }: EventContext): Rows<Hours> {
    return [[`hour ${at % 3}`, { events: 1, first: aggregateId, last: aggregateId }]];
  }
}

const BULB = { aggregateType: 'bulb' };
const ROOMS = ['hall', '', 'attic', 'cursed'];
const NAMES = ['screwedIn', 'switchedOn', 'burnt'] as const;
const time = new TimePolicies({ boundMs: 30 });

interface Report {
  readonly id: number;
  readonly kind: 0 | 1 | 2;
  readonly late: number;
  readonly room: number;
  readonly stream: 'a' | 'b';
  /** Withdraws one that was sent before instead. */
  readonly withdraws: number | undefined;
}
const report: fc.Arbitrary<Report> = fc.record({
  id: fc.nat(15),
  kind: fc.constantFrom(0, 1, 2),
  late: fc.nat(60),
  room: fc.nat(3),
  stream: fc.constantFrom('a', 'b'),
  withdraws: fc.oneof({ weight: 8, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.nat() }),
});

/** What is sent for each; a withdrawal of nothing is a report. */
function inputsOf(reports: readonly Report[]): EventInput[] {
  const sent: EventInput[] = [];
  return reports.map((one, i) => {
    const of = one.withdraws === undefined ? undefined : sent[one.withdraws % Math.max(1, sent.length)];
    if (of !== undefined) {
      const target = { at: of.at, streamId: of.streamId!, name: of.name };
      return correctionEvent({ ...BULB, aggregateId: of.aggregateId, kind: 'retract', target, decidedAt: T + i });
    }
    const parameters = one.kind === 0 ? { room: ROOMS[one.room]!, wattage: (one.late * 7) % 11 } : {};
    const input: EventInput = {
      ...BULB,
      aggregateId: `b${one.id}`,
      streamId: one.stream,
      at: T + i * 10 - one.late,
      name: NAMES[one.kind],
      parameters,
    };
    sent.push(input);
    return input;
  });
}

const COUNTS = [1, 2, 4];

interface Running {
  readonly runner: ProjectionRunner;
  readonly projections: Projections;
}

/** Everything that a reader can see of a view but revisions, what is provisional, and the path of its changes. */
async function seen(view: View<object>): Promise<unknown> {
  const { rows } = await view.find();
  const keys = rows.map(({ key }) => key);
  const got = await view.getMany([...keys, 'never']);
  expect(got.map((row) => row && { ...row })).toEqual([...rows.map((row) => ({ ...row })), undefined]);
  for (const descending of [false, true]) {
    const paged: string[] = [];
    for (let after: string | undefined; ;) {
      const page = await view.find({ limit: 2, descending, ...(after === undefined ? {} : { after }) });
      paged.push(...page.rows.map(({ key }) => key));
      if ((after = page.next) === undefined) break;
    }
    expect(paged).toEqual(descending ? keys.toReversed() : keys);
  }
  const { parked, stragglers, settledUpTo } = await view.completeness();
  const ids = (holds: typeof parked): string[] => holds.map(({ aggregate }) => aggregate.id).sort();
  return {
    rows: rows.map(({ key, value }) => ({ key, value })),
    parked: ids(parked),
    stragglers: ids(stragglers),
    settledUpTo,
  };
}

/** Follows the changes of a view to their end, in two goes. */
async function followed(view: View<object>, mirror: ViewMirror<object>): Promise<void> {
  const last = await view.lastChange();
  const stop = new AbortController();
  if (mirror.sequence === last) return;
  for await (const change of view.changes({ from: mirror.token, signal: stop.signal })) {
    mirror.apply(change);
    if (change.sequence >= last) stop.abort();
  }
}

/** @param open an empty store each time */
export async function checkSharesLaw(open: () => Promise<World>, numRuns: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(
      fc.array(report, { minLength: 5, maxLength: 40 }),
      fc.integer({ min: 4, max: 20 }),
      fc.boolean(),
      async (reports, batch, movesOn) => {
        const w = await open();
        const views = COUNTS.flatMap((count) => [`rooms${count}`, `hours${count}`]);
        const models = (): ProjectionModel[] =>
          COUNTS.flatMap((count) => [
            w.model(ByRoom, Everything, {}, `rooms${count}`, count),
            w.model(ByHour, Hours, { in: ScrewedIn, on: SwitchedOn }, `hours${count}`, count),
          ]).flatMap((model) => sharesOf(model, w.registry.context));
        const start = async (process: string): Promise<Running> => {
          const running = w.runner(models(), process, { time, pageSize: 7, leaseMs: 200, beatMs: 20 });
          await running.runner.start();
          return running;
        };
        let running = await start('one');
        const mirrors = new Map(views.map((name) => [name, new ViewMirror<object>()]));
        const inputs = inputsOf(reports);
        for (let from = 0; from < inputs.length; from += batch) {
          const recorded = await w.bus.record(inputs.slice(from, from + batch));
          await Promise.all(views.map((name) => running.projections.view(name).caughtUp(recorded)));
          if (from > inputs.length / 3) {
            await Promise.all([...mirrors].map(([name, mirror]) => followed(running.projections.view(name), mirror)));
          }
          if (movesOn && from > inputs.length / 2) {
            await running.runner.stop();
            running = await start(`next ${from}`);
          }
        }
        const { projections } = running;
        for (const kind of ['rooms', 'hours']) {
          // What an earlier owner parked was tried again; now it is parked for good.
          for (const count of COUNTS) await projections.retryParked(`${kind}${count}`);
          const whole = await seen(projections.view(`${kind}1`));
          const replayed = await projections
            .view(`${kind}1`)
            .replay({ asOf: T + 100 })
            .catch(codeOf);
          for (const count of COUNTS) {
            const name = `${kind}${count}`;
            const view = projections.view<object>(name);
            expect(await seen(view), name).toEqual(whole);
            expect(JSON.stringify(await view.replay({ asOf: T + 100 }).catch(codeOf))).toBe(JSON.stringify(replayed));
            const mirror = mirrors.get(name)!;
            await followed(view, mirror);
            const { rows } = await view.find();
            expect(Object.fromEntries(mirror.rows())).toEqual(
              Object.fromEntries(rows.map(({ key, value }) => [key, value])),
            );
            expect((await projections.parked(name)).length).toBe(new Set(idsOf(await view.completeness())).size);
            if (kind === 'hours') expect((await projections.audit(name)).differences).toEqual([]);
          }
        }
        await running.runner.stop();
        await w.close();
      },
    ),
    { numRuns, endOnFailure: true },
  );
}

const codeOf = (error: unknown): string => (error as { readonly code: string }).code;
const idsOf = ({ parked }: Awaited<ReturnType<View<object>['completeness']>>): string[] =>
  parked.map(({ aggregate }) => aggregate.id);
