/** What a changing past costs: late events on the whole road, corrections under `knownAt`, and what sources and settling take of projecting. */
import { correctionEvent, SourceTable, type Fact, type FeedPage } from '@concursus/core';
import type { BenchCase, CaseContext, Round, Side } from '../case.js';
import { now } from '../measure.js';
import { AGGREGATES, ByWattage, factOf, idAt, Lightbulb, randomNumbers, START_MS } from '../model.js';
import { caughtUp, clock, memoryLayer, roadOn, runnerOf, type Road } from '../road.js';

const APPEND = 1_000;
const SHARES = [0, 0.01, 0.05, 0.2] as const;

/** Records events of 1,000 lamps with a running view until the view holds them all: this share of them is up to a minute late. */
function whole(context: CaseContext, late: number): Side {
  const size = context.quick ? 20_000 : 100_000;
  return {
    name: `ours, ${late * 100} % late`,
    part: 'ours',
    async round(): Promise<Round> {
      const random = randomNumbers(5);
      const road = roadOn(await memoryLayer());
      const batches: Fact[][] = [];
      for (let from = 0; from < size; from += APPEND) {
        batches.push(
          Array.from({ length: APPEND }, (_, k) => {
            const i = from + k;
            const lateBy = random() < late ? 500 + Math.floor(random() * 60) * APPEND : 0;
            return factOf(i, i % AGGREGATES, START_MS + i - lateBy);
          }),
        );
      }
      const runner = runnerOf(road, [ByWattage]);
      await runner.start();
      return {
        operations: size,
        run: async () => {
          for (const facts of batches) await road.ports.eventStore.append([{ facts, receivedAt: clock.now() }]);
          await caughtUp(road, runner, [ByWattage]);
        },
        done: async () => {
          await runner.stop();
          await road.close();
        },
      };
    },
  };
}

const LENGTH = 1_000;

/** One history of a thousand events, each amended five times. */
async function amended(): Promise<{ readonly road: Road; readonly at: number }> {
  const road = roadOn(await memoryLayer());
  const facts = Array.from({ length: LENGTH }, (_, i) => factOf(i, 1, START_MS + i * 10));
  await road.ports.eventStore.append([{ facts, receivedAt: clock.now() }]);
  for (let n = 0; n < 5; n++) {
    const corrections = facts.map((fact) =>
      correctionEvent({
        aggregateType: fact.aggregateType,
        aggregateId: fact.aggregateId,
        kind: 'amend',
        target: { at: fact.eventTime, streamId: fact.streamId, sequence: fact.sequence, name: fact.name },
        decidedAt: START_MS + n,
        streamId: 'desk',
        parameters: fact.parameters,
      }),
    );
    const { rejected } = await road.bus.record(corrections);
    if (rejected > 0) throw new Error(`${rejected} corrections were refused`);
  }
  return { road, at: clock.now() - 1 };
}

function reads(name: string, road: Road, options: { readonly knownAt?: number }): Side {
  return {
    name,
    part: 'ours',
    round(): Round {
      const count = 5;
      return {
        operations: count,
        run: async () => {
          for (let i = 0; i < count; i++) await road.states.get(Lightbulb, idAt(1), options);
        },
      };
    },
  };
}

/** What reading the feed into a table of sources takes of projecting the same events, in one process, by turns. */
async function shareOfSources(context: CaseContext): Promise<Readonly<Record<string, number>>> {
  const size = context.quick ? 20_000 : 100_000;
  const road = roadOn(await memoryLayer());
  for (let from = 0; from < size; from += APPEND) {
    const facts = Array.from({ length: APPEND }, (_, k) =>
      factOf(from + k, (from + k) % AGGREGATES, START_MS + from + k),
    );
    await road.ports.eventStore.append([{ facts, receivedAt: clock.now() }]);
  }
  const feed: FeedPage = await road.ports.eventFeed.read(road.ports.eventFeed.start(), size);
  const shares: number[] = [];
  for (let turn = 0; turn < 9; turn++) {
    const into = await memoryLayer();
    const { viewStore, checkpointStore } = into.ports;
    const runner = runnerOf(road, [ByWattage], { viewStore, checkpointStore }, { catchUpPageSize: APPEND });
    let start = now();
    await runner.start();
    await caughtUp(road, runner, [ByWattage], { viewStore, checkpointStore });
    const projecting = now() - start;
    await runner.stop();
    await into.close();
    const table = new SourceTable();
    start = now();
    for (let i = 0; i < feed.facts.length; i++) {
      table.take(feed.facts[i]!);
      if (i % APPEND === APPEND - 1) {
        table.changes();
        table.saved();
      }
    }
    shares.push((now() - start) / projecting);
  }
  await road.close();
  const share = shares.sort((a, b) => a - b)[shares.length >>> 1]!;
  return { 'sources and settling, share of projecting': Math.round(share * 1_000) / 1_000 };
}

export const truthCases: readonly BenchCase[] = [
  {
    id: 'truth/late events',
    operation: 'one event recorded and projected, in memory',
    rounds: 31,
    compare: SHARES.slice(1).map((late) => [`ours, ${late * 100} % late`, 'ours, 0 % late'] as const),
    sides: (context) => SHARES.map((late) => whole(context, late)),
  },
  {
    id: 'truth/known at, amended five times',
    operation: 'one state of 1,000 events, each amended five times',
    sides: async () => {
      const { road, at } = await amended();
      return [
        { ...reads('ours, known at', road, { knownAt: at }), close: () => road.close() },
        reads('ours, plain', road, {}),
      ];
    },
    compare: [['ours, known at', 'ours, plain']],
  },
  {
    id: 'truth/sources',
    operation: 'one event projected',
    values: shareOfSources,
  },
];
