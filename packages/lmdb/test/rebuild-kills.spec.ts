/**
 * Goal: a view that is built anew survives kill -9, and so does who follows its changes. Method: a child runs a view and
 * builds it anew, the same version or the next, while this process records and follows; it is killed at random points until
 * the new one is read, which is then compared with a count by hand. `KILLS=1000` for the long run.
 */
import { setTimeout } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { ProjectionRunner, ViewMirror } from '@concursus/core';
import {
  appendOf,
  cleanUp,
  countingModel,
  fact,
  openLayer,
  projectionsOf,
  quickFolder,
  runnerParts,
} from './support.js';
import { runChild, stopChild } from './remote.js';

const kills = Number(process.env['KILLS'] ?? 6);
const LAMPS = 1_500;

interface Cell {
  readonly lamps: number;
  readonly events: number;
}

afterAll(cleanUp);

it(
  `is resumed and taken over over ${kills} kills`,
  async () => {
    const folder = quickFolder();
    const layer = await openLayer(folder);
    const parts = runnerParts(layer, 'reader');
    const { store: eventStore, feed: eventFeed } = parts;
    // Never started: it only reads, asks and follows.
    const reader = (version: number) => {
      return projectionsOf(parts, new ProjectionRunner(parts, [countingModel(version)]));
    };
    const events = new Map<number, number>();
    let recorded = 0;
    const record = async (lamps: readonly number[]): Promise<void> => {
      const facts = lamps.map((lamp) => {
        events.set(lamp, (events.get(lamp) ?? 0) + 1);
        return fact({ id: String(lamp), at: recorded, sequence: recorded++ });
      });
      await eventStore.append([appendOf(facts, Date.now())]);
    };
    await record(Array.from({ length: LAMPS }, (_, i) => i));
    await record(Array.from({ length: LAMPS }, (_, i) => i));

    const child = async (version: number) => {
      const running = await runChild('rebuilding-child.ts', [folder, String(version)]);
      running.process.stdout!.resume();
      return running;
    };
    const view = reader(1).view<Cell>('counting');
    const mirror = new ViewMirror<Cell>();
    const following = new AbortController();
    const followed = (async () => {
      for await (const change of view.changes({ signal: following.signal })) mirror.apply(change);
    })();

    let version = 1;
    let killed = 0;
    let switches = 0;
    let running = await child(version);
    await view.caughtUp({ position: await eventFeed.end() });
    while (killed < kills) {
      // In turn the same version again, and the next.
      if (switches % 2 === 0) await reader(version).rebuild('counting');
      else version++;
      const live = await reader(version).generations('counting');
      const before = live.find(({ state }) => state === 'live')!;
      const isOver = async (): Promise<boolean> =>
        (await reader(version).generations('counting')).some(
          (one) => one.state === 'live' && (one.version !== before.version || one.generation !== before.generation),
        );
      for (let n = 0; !(await isOver()); n++) {
        // Killed early and late, then left alone: it must come to an end.
        if (n < 3) {
          await setTimeout(Math.random() * 250);
          await record([Math.floor(Math.random() * LAMPS), Math.floor(Math.random() * LAMPS)]);
          running.process.kill('SIGKILL');
          await running.ended;
          killed++;
          running = await child(version);
        } else await setTimeout(20);
        if (n > 1_000) throw new Error('It never took over.');
      }
      if (switches % 2 === 1) {
        running.process.kill('SIGKILL');
        await running.ended;
        running = await child(version);
      }
      switches++;
    }

    await record([1, 2, 3]);
    const last = reader(version).view<Cell>('counting');
    await last.caughtUp({ position: await eventFeed.end() });
    const expected: Record<string, Cell> = {};
    for (const [lamp, count] of events) {
      expected[`lamp ${lamp}`] = { lamps: 1, events: count };
      const room = (expected[`room ${lamp % 50}`] ??= { lamps: 0, events: 0 });
      expected[`room ${lamp % 50}`] = { lamps: room.lamps + 1, events: room.events + version * count };
    }
    const { rows } = await last.find({ limit: 10_000 });
    expect(Object.fromEntries(rows.map(({ key, value }) => [key, value]))).toEqual(expected);
    const end = await last.lastChange();
    for (let n = 0; n < 500 && mirror.sequence < end; n++) await Promise.race([followed, setTimeout(20)]);
    following.abort();
    await followed;
    expect(Object.fromEntries(mirror.rows())).toEqual(expected);
    await stopChild(running);
    await layer.close();
    console.log(`${killed} kills, ${switches} switches, ${end} changes followed`);
  },
  60_000 + kills * 15_000,
);
