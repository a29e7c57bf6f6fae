/**
 * What settling adds to projecting: the same view of the same feed alone, beside names under which nothing ever settles, and
 * beside deadlines that are set, met and missed. Everything follows one feed in one process, from its start to its end.
 */
import {
  Aggregate,
  Event,
  EventHandler,
  EventRegistry,
  FeedPages,
  HandlerRunner,
  SettlingModel,
  SourceTable,
  viewOfSettling,
  type Position,
  type SettlingConsumer,
  type ViewRef,
  type ViewStore,
} from '@concursus/core';
import type { BenchCase, CaseContext, Round, Side } from '../case.js';
import { ByWattage, Lightbulb } from '../model.js';
import {
  clock,
  memoryLayer,
  lmdbLayer,
  quiet,
  roadOn,
  runnerOf,
  viewRefOf,
  type Road,
  type ViewTarget,
} from '../road.js';
import { feed, targetOf } from './projecting.js';

@Event()
class Blown {
  constructor(readonly amperes: number) {}
}

@Event()
class Replaced {
  constructor(readonly by: string) {}
}

/** Of which the feed has no event: names of it have nothing to time. */
@Aggregate('fuse')
class Fuse {
  static readonly events = { Blown, Replaced };
  blown = false;

  @EventHandler(Blown) wasBlown(): void {
    this.blown = true;
  }

  @EventHandler(Replaced) wasReplaced(): void {
    this.blown = false;
  }
}

function sizeOf(context: CaseContext): number {
  return context.quick ? 20_000 : 100_000;
}

/** Resolves once every view has committed up to the end. */
function allAt(
  road: Road,
  views: ViewStore,
  refs: readonly ViewRef[],
  end: Position,
): { store: ViewStore; done: Promise<void> } {
  const left = new Set(refs.map(({ name }) => name));
  let resolve: () => void = () => undefined;
  const done = new Promise<void>((one) => (resolve = one));
  const commit = views.commit.bind(views);
  views.commit = async (one) => {
    await commit(one);
    if (left.has(one.view.name) && road.ports.eventFeed.parsePosition(one.checkpoint).covers(end))
      left.delete(one.view.name);
    if (left.size === 0) resolve();
  };
  return { store: views, done };
}

/** One view, and these names, over the whole feed. */
function follows(
  name: string,
  road: Road,
  size: number,
  consumers: readonly SettlingConsumer[],
  target: () => Promise<ViewTarget & { close(): Promise<void> }>,
): Side {
  return {
    name,
    part: 'ours',
    async round(): Promise<Round> {
      const into = await target();
      const end = await road.ports.eventFeed.end();
      const refs = [viewRefOf(ByWattage), ...consumers.map((one) => viewOfSettling(one.name))];
      const { store: views, done } = allAt(road, into.viewStore, refs, end);
      const pages = new FeedPages(road.ports.eventFeed, clock);
      const runner = runnerOf(road, [ByWattage], into, {}, pages);
      const handlers = new HandlerRunner(
        {
          context: 'bench',
          store: road.ports.eventStore,
          feed: road.ports.eventFeed,
          pages,
          views,
          checkpoints: into.checkpointStore,
          clock,
          logger: quiet,
          process: 'bench',
          watermarks: (notes) => SourceTable.load({}, notes),
        },
        consumers.map((one) => new SettlingModel(one)),
      );
      return {
        operations: size,
        run: async () => {
          await handlers.start();
          await runner.start();
          await done;
          await runner.stop();
          await handlers.stop();
        },
        done: () => into.close(),
      };
    },
  };
}

const fuses = new EventRegistry('bench', [Fuse]).aggregate(Fuse);

function nothingOf(name: string): SettlingConsumer {
  const settling = {
    kind: 'deadline',
    after: new Set(['blown']),
    withinMs: 1_000,
    unless: new Set(['replaced']),
  } as const;
  return { name, aggregate: fuses, settling, from: 'beginning', settled: () => undefined };
}

/** Each lamp speaks once a second, and is switched off two seconds after it was switched on at the latest. */
function deadlineOf(road: Road, name: string, withinMs: number): SettlingConsumer {
  const settling = {
    kind: 'deadline',
    after: new Set(['switchedOn']),
    withinMs,
    unless: new Set(['switchedOff']),
  } as const;
  return { name, aggregate: road.registry.aggregate(Lightbulb), settling, from: 'beginning' };
}

async function sides(
  context: CaseContext,
  road: Road,
  target: () => Promise<ViewTarget & { close(): Promise<void> }>,
): Promise<readonly Side[]> {
  const size = sizeOf(context);
  await feed(road.layer, size, 0);
  const beside = (name: string, consumers: readonly SettlingConsumer[]): Side =>
    follows(name, road, size, consumers, target);
  return [
    { ...beside('ours', []), close: () => road.close() },
    beside('ours, a name without timers', [nothingOf('one')]),
    beside('ours, four names without timers', ['one', 'two', 'three', 'four'].map(nothingOf)),
    beside('ours, a deadline that is met', [deadlineOf(road, 'met', 5_000)]),
    beside('ours, a deadline that is missed', [deadlineOf(road, 'missed', 500)]),
  ];
}

const compare: BenchCase['compare'] = [
  ['ours, a name without timers', 'ours'],
  ['ours, four names without timers', 'ours'],
  ['ours, a deadline that is met', 'ours'],
  ['ours, a deadline that is missed', 'ours'],
];

export const settlingCases: readonly BenchCase[] = [
  {
    id: 'settling/in memory',
    operation: 'one event projected, with what settles beside it',
    rounds: 9,
    compare,
    sides: async (context) =>
      await sides(context, roadOn(await memoryLayer()), async () => targetOf(await memoryLayer())),
  },
  {
    id: 'settling/lmdb',
    operation: 'one event projected, with what settles beside it, on LMDB',
    rounds: 7,
    slow: true,
    compare,
    sides: async (context) =>
      await sides(context, roadOn(await lmdbLayer(context.memoryFolder())), async () =>
        targetOf(await lmdbLayer(context.memoryFolder())),
      ),
  },
];
