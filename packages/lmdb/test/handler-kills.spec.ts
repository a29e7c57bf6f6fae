/**
 * Goal: kill -9 repeats side effects and loses none. Method: a child runs a durable and a persistent handler over events
 * that this process records, and is killed at random points; a remote, which drops repeats by their idempotency key, is
 * then compared with what was recorded. `KILLS=1000` for the long run.
 */
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { killAtRandom, linesOf, runChild, stopChild } from './remote.js';
import { appendOf, cleanUp, fact, IN_FLIGHT_MAX, openLayer, quickFolder } from './support.js';

const kills = Number(process.env['KILLS'] ?? 20);
const PER_ROUND = 150;
/** About one call at the remote. */
const LINE_BYTES = 95;

afterAll(cleanUp);

interface Call {
  readonly handler: string;
  readonly key: string;
  readonly attempt: number;
  readonly id: string;
  readonly at: number;
  readonly late: boolean;
}

function calls(remote: string): Call[] {
  return linesOf(remote).map((line) => {
    const [handler, key, attempt, id, at, late] = line.split(' ') as [string, string, string, string, string, string];
    return { handler, key, attempt: Number(attempt), id, at: Number(at), late: late === 'late' };
  });
}

it(
  `does each event's effect once by its key over ${kills} kills, and repeats at most what was under way`,
  { timeout: 120_000 + kills * 15_000 },
  async () => {
    const folder = quickFolder();
    const remote = join(folder, 'remote.log');
    const layer = await openLayer(folder);
    let recorded = 0;
    const expected = new Map<string, number[]>();
    const record = async (): Promise<void> => {
      for (let n = 0; n < PER_ROUND / 3; n++) {
        const facts = Array.from({ length: 3 }, () => {
          const at = recorded * 10 + Math.floor(Math.random() * 40);
          const one = fact({ id: `b${recorded % 23}`, at, sequence: recorded++ });
          expected.set(one.aggregateId, [...(expected.get(one.aggregateId) ?? []), at]);
          return one;
        });
        await layer.ports.eventStore.append([appendOf(facts, Date.now())]);
      }
    };
    const child = 'handling-child.ts';
    const args = [folder, remote];
    await killAtRandom({ kills, child, args, remote, bytesMax: PER_ROUND * LINE_BYTES, record });
    // The last of all settles everything before it.
    await layer.ports.eventStore.append([
      appendOf([fact({ id: 'end', at: recorded * 10 + 1_000, name: 'other' })], Date.now()),
    ]);
    const running = await runChild(child, args);
    const done = (handler: string): number =>
      new Set(
        calls(remote)
          .filter((call) => call.handler === handler)
          .map((call) => call.key),
      ).size;
    for (let i = 0; i < 600 && (done('durable') < recorded || done('persistent') < recorded); i++) await setTimeout(50);
    await stopChild(running);
    await layer.close();

    const all = calls(remote);
    for (const handler of ['durable', 'persistent']) {
      const mine = all.filter((call) => call.handler === handler);
      const byKey = new Map<string, Call[]>();
      for (const call of mine) byKey.set(call.key, [...(byKey.get(call.key) ?? []), call]);
      const repeats = mine.length - byKey.size;
      // eslint-disable-next-line no-console
      console.log(
        `${handler}: ${recorded} events, ${kills} kills, ${mine.length} calls, ${repeats} repeats (at most ${kills * IN_FLIGHT_MAX})`,
      );
      expect(byKey.size).toBe(recorded);
      expect(new Set(mine.map((call) => `${call.id}@${call.at}`)).size).toBe(
        new Set([...expected].flatMap(([id, times]) => times.map((at) => `${id}@${at}`))).size,
      );
      expect(repeats).toBeLessThanOrEqual(kills * IN_FLIGHT_MAX);
      for (const list of byKey.values()) {
        const attempts = list.map((call) => call.attempt);
        expect(attempts).toEqual([...new Set(attempts)].sort((a, b) => a - b));
      }
      const first = [...byKey.values()].map(([call]) => call!);
      expect(first.filter((call) => call.late)).toEqual([]);
      for (const [id, times] of expected) {
        const order = first.filter((call) => call.id === id).map((call) => call.at);
        expect(order).toEqual(handler === 'durable' ? times : [...times].sort((a, b) => a - b));
      }
    }
  },
);
