/**
 * Goal: kill -9 repeats side effects and loses none. Method: a child runs a durable and a persistent handler over events
 * that this process records, and is killed at random points; a remote, which drops repeats by their idempotency key, is
 * then compared with what was recorded. `KILLS=1000` for the long run.
 */
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { appendOf, cleanUp, fact, IN_FLIGHT_MAX, openLayer, quickFolder, startChild } from './support.js';

const kills = Number(process.env['KILLS'] ?? 20);
const PER_ROUND = 150;
/** About one call at the remote. */
const LINE_BYTES = 95;

const size = (path: string): number => (existsSync(path) ? statSync(path).size : 0);

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
  if (!existsSync(remote)) return [];
  const lines = readFileSync(remote, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => {
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
    const child = async () => {
      const process = startChild('handling-child.ts', [folder, remote]);
      const ended = once(process, 'exit');
      await Promise.race([once(createInterface({ input: process.stdout! }), 'line'), ended]);
      return { process, ended };
    };

    for (let round = 0; round < kills; round++) {
      const { process, ended } = await child();
      const recording = record();
      // After some calls, so that most kills hit calls and commits; now and then while the dead owner's lease still runs.
      const bytes = size(remote) + Math.random() * PER_ROUND * LINE_BYTES;
      const until = performance.now() + (Math.random() < 0.1 ? 100 : 2_000);
      while (size(remote) < bytes && performance.now() < until) await setTimeout(1);
      process.kill('SIGKILL');
      await Promise.all([ended, recording]);
    }
    // The last of all settles everything before it.
    await layer.ports.eventStore.append([
      appendOf([fact({ id: 'end', at: recorded * 10 + 1_000, name: 'other' })], Date.now()),
    ]);
    const { process, ended } = await child();
    const done = (handler: string): number =>
      new Set(
        calls(remote)
          .filter((call) => call.handler === handler)
          .map((call) => call.key),
      ).size;
    for (let i = 0; i < 600 && (done('durable') < recorded || done('persistent') < recorded); i++) await setTimeout(50);
    process.stdin!.write('stop\n');
    await ended;
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
