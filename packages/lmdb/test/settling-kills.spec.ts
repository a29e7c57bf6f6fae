/**
 * Goal: kill -9 loses nothing that settled, and tells nothing twice. Method: a child tells of sessions and deadlines while this
 * process records events, some of them too late, and is killed at random points; a remote, which drops repeats by their key,
 * is then compared with a plain model of all that was recorded. `KILLS=1000` for the long run.
 */
import 'reflect-metadata';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { sourceFactOf, sourceFacts, type WireValue } from '@concursus/core';
import { GAP_MS, SETTLINGS, WITHIN_MS, type Part, type Told } from './hearts.js';
import { killAtRandom, linesOf, runChild, stopChild } from './remote.js';
import { appendOf, cleanUp, fact, IN_FLIGHT_MAX, openLayer, quickFolder } from './support.js';

const kills = Number(process.env['KILLS'] ?? 4);
const PER_ROUND = 120;
/** About one call at the remote. */
const LINE_BYTES = 200;
/** Events of hearts that live at one time; then come others, so that no history grows with the run. */
const GENERATION = 300;

afterAll(cleanUp);

interface Recorded {
  readonly at: number;
  /** Undefined: it stopped. */
  readonly strength: number | undefined;
}

/** Each heart, told by name: what a spec of another kind would call the state. */
type Standing = Map<string, string[]>;

const nameOf = (name: Told['name'], id: string, { from, to }: Part): string =>
  name === 'rhythm' ? `rhythm of ${id} from ${from}` : `stop of ${id} from ${from} to ${to}`;
const textOf = ({ from, to, beats, strength }: Part): string => `[${from},${to}) ${beats} beats of ${strength}`;

/** What is settled when everything is: by filter, sort and fold. */
function settledOf(hearts: ReadonlyMap<string, readonly Recorded[]>): Map<string, number | string> {
  const settled = new Map<string, number | string>();
  for (const [id, events] of hearts) {
    const times = events.map(({ at }) => at).sort((a, b) => a - b);
    const begins = times.filter((at, i) => i === 0 || at - times[i - 1]! >= GAP_MS);
    for (const [i, from] of begins.entries()) {
      const mine = events.filter(({ at }) => at >= from && at < (begins[i + 1] ?? Infinity));
      const beats = mine.filter(({ strength }) => strength !== undefined);
      const part: Part = {
        from,
        to: Math.max(...mine.map(({ at }) => at)) + GAP_MS,
        beats: beats.length,
        strength: beats.reduce((sum, beat) => sum + beat.strength!, 0),
      };
      settled.set(nameOf('rhythm', id, part), textOf(part));
    }
    const met = Math.max(-1, ...events.filter((one) => one.strength === undefined).map(({ at }) => at));
    for (const { at } of events.filter((one) => one.strength !== undefined && one.at > met)) {
      const name = nameOf('stop', id, { from: at, to: at + WITHIN_MS, beats: 0, strength: 0 });
      settled.set(name, ((settled.get(name) ?? 0) as number) + 1);
    }
  }
  return settled;
}

/** What the remote holds once repeats are dropped: told and not taken back. @throws when something is told twice, or taken back that was not told */
function standingOf(calls: readonly Told[]): Standing {
  const standing: Standing = new Map();
  for (const { name, id, before, after } of calls) {
    for (const part of before) {
      const known = standing.get(nameOf(name, id, part)) ?? [];
      const i = known.indexOf(textOf(part));
      expect(i, `${textOf(part)} was told and is taken back`).not.toBe(-1);
      if (known.length === 1) standing.delete(nameOf(name, id, part));
      else known.splice(i, 1);
    }
    for (const part of after) {
      const known = standing.get(nameOf(name, id, part)) ?? [];
      if (name === 'rhythm') expect(known, `${textOf(part)} is told once`).toEqual([]);
      standing.set(nameOf(name, id, part), [...known, textOf(part)]);
    }
  }
  return standing;
}

it(
  `tells once by its key what settled, was corrected and is overdue no more, over ${kills} kills`,
  { timeout: 60_000 + kills * 15_000 },
  async () => {
    const folder = quickFolder();
    const remote = join(folder, 'remote.log');
    const layer = await openLayer(folder);
    const hearts = new Map<string, Recorded[]>();
    let recorded = 0;
    const record = async (): Promise<void> => {
      for (let n = 0; n < PER_ROUND / 3; n++) {
        const facts = Array.from({ length: 3 }, () => {
          const id = `h${Math.floor(recorded / GENERATION)}.${Math.floor(Math.random() * 5)}`;
          const isLate = Math.random() < 0.1;
          const at = Math.max(0, recorded * 8 + Math.floor(Math.random() * 50) - (isLate ? 300 : 0));
          const strength = Math.random() < 0.07 ? undefined : Math.floor(Math.random() * 9);
          hearts.set(id, [...(hearts.get(id) ?? []), { at, strength }]);
          const name = strength === undefined ? 'stopped' : 'beat';
          const parameters: WireValue = strength === undefined ? {} : { strength };
          return fact({ type: 'heart', id, at, sequence: recorded++, name, parameters });
        });
        await layer.ports.eventStore.append([appendOf(facts, Date.now())]);
      }
    };
    const child = 'settling-child.ts';
    const args = [folder, remote];
    await killAtRandom({ kills, child, args, remote, bytesMax: PER_ROUND * LINE_BYTES, record });
    // Nothing more comes: everything settles.
    const end = sourceFactOf(sourceFacts.complete('', { upTo: recorded * 8 + 10_000 }));
    await layer.ports.eventStore.append([appendOf([end], Date.now())]);
    const running = await runChild(child, args);

    const calls = (): Told[] => linesOf(remote).map((line) => JSON.parse(line) as Told);
    const firstOf = (all: readonly Told[]): Told[] =>
      [...new Map(all.toReversed().map((call) => [call.key, call])).values()].toReversed();
    const settled = settledOf(hearts);
    const shown = (standing: Standing): Record<string, number | string> =>
      Object.fromEntries(
        [...standing].map(([name, texts]) => [name, name.startsWith('stop') ? texts.length : texts.join(' | ')]),
      );
    const isDone = (): boolean => {
      const now = shown(standingOf(firstOf(calls())));
      return Object.keys(now).length === settled.size && [...settled].every(([name, text]) => now[name] === text);
    };
    for (let i = 0; i < 300 && !isDone(); i++) await setTimeout(100);
    await stopChild(running);
    await layer.close();

    const all = calls();
    expect(shown(standingOf(firstOf(all)))).toEqual(Object.fromEntries(settled));
    for (const name of Object.keys(SETTLINGS)) {
      const mine = all.filter((call) => call.name === name);
      const byKey = new Map<string, Told[]>();
      for (const call of mine) byKey.set(call.key, [...(byKey.get(call.key) ?? []), call]);
      const repeats = mine.length - byKey.size;
      const kinds = ['settled', 'corrected', 'withdrawn'].map(
        (kind) => `${[...byKey.values()].filter(([call]) => call!.kind === kind).length} ${kind}`,
      );
      // eslint-disable-next-line no-console
      console.log(
        `${name}: ${recorded} events, ${kills} kills, ${kinds.join(', ')}, ${repeats} repeats (at most ${kills * IN_FLIGHT_MAX})`,
      );
      expect(repeats).toBeLessThanOrEqual(kills * IN_FLIGHT_MAX);
      for (const list of byKey.values()) {
        const attempts = list.map((call) => call.attempt);
        expect(attempts).toEqual([...new Set(attempts)].sort((a, b) => a - b));
        for (const { attempt: _, ...said } of list) {
          const { attempt: __, ...first } = list[0]!;
          expect(said).toEqual(first);
        }
      }
    }
  },
);
