/**
 * Goal: several processes on one environment, and processes that die. Method: children that print what was acknowledged;
 * afterwards feed, histories and the log row are compared with each other and with what was printed.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { compareProcessingIds } from '@concursus/core';
import type { AggregateKey, Fact, Layer } from '@concursus/core';
import { afterAll, describe, expect, it } from 'vitest';
import { appendOf, cleanUp, fact, openLayer, scratchFolder, startChild } from './support.js';

afterAll(cleanUp);

const nameOf = (each: Fact): string => `${each.aggregateId}@${each.eventTime}#${each.sequence}`;

/** Reads everything two ways and checks that both tell the same. @returns names of the stored facts */
async function consistent(layer: Layer<'persistent'>): Promise<Set<string>> {
  const { eventFeed, eventStore } = layer.ports;
  const feed: Fact[] = [];
  for (let at = eventFeed.start(), end = false; !end;) {
    const page = await eventFeed.read(at, 500);
    feed.push(...page.facts);
    at = page.next;
    end = page.atEnd;
  }
  expect((await eventFeed.end()).toString()).toBe(`o1:${feed.length}`);
  for (let i = 1; i < feed.length; i++) {
    expect(compareProcessingIds(feed[i - 1]!.processingId, feed[i]!.processingId)).toBeLessThan(0);
  }
  const names = new Set(feed.map(nameOf));
  expect(names.size).toBe(feed.length);
  const ids = [...new Set(feed.map((each) => each.aggregateId))];
  const histories = await eventStore.readMany(ids.map((id) => ({ tenant: '', type: 'lamp', id })));
  const found = histories.flat().map((each) => `${nameOf(each)} ${each.processingId}`);
  expect(found.sort()).toEqual(feed.map((each) => `${nameOf(each)} ${each.processingId}`).sort());
  return names;
}

/** An aggregate of the children with this seed. */
function seeded(seed: string, n: number): AggregateKey {
  return { tenant: '', type: 'lamp', id: `${seed}-${n}` };
}

interface Child {
  readonly acknowledged: string[];
  readonly go: () => void;
  readonly kill: () => void;
  readonly ended: Promise<unknown>;
  readonly ready: Promise<unknown>;
  /** Resolves when so many appends were acknowledged, or the child ended. */
  readonly after: (lines: number) => Promise<unknown>;
}

/** @param indexAfter the fewer, the more is under way between feed and histories when it dies */
function appending(folder: string, seed: string, appends: number, indexAfter: number): Child {
  const process = startChild('appending-child.ts', [folder, seed, String(appends), String(indexAfter)]);
  const acknowledged: string[] = [];
  const lines = createInterface({ input: process.stdout! });
  const ended = once(process, 'exit');
  const watchers: { readonly lines: number; readonly resolve: () => void }[] = [];
  const ready = new Promise<void>((resolve) => {
    lines.on('line', (line) => {
      if (line === 'ready') resolve();
      else acknowledged.push(line);
      for (const watcher of watchers) if (acknowledged.length >= watcher.lines) watcher.resolve();
    });
  });
  return {
    acknowledged,
    ready,
    ended,
    go: () => process.stdin!.write('go\n'),
    kill: () => process.kill('SIGKILL'),
    after: (count) => Promise.race([ended, new Promise<void>((resolve) => watchers.push({ lines: count, resolve }))]),
  };
}

describe('two processes', () => {
  it.each([
    ['while histories wait in memory', 16_384, 16_384],
    ['while each writes into the histories', 3, 40],
  ])(
    'append the same facts at once, without loss or double, %s: exactly one says recorded, the other is counted',
    { timeout: 60_000 },
    async (_, ...indexAfter) => {
      const folder = scratchFolder();
      const watcher = await openLayer(folder);
      const children = indexAfter.map((each) => appending(folder, 'same', 600, each));
      await Promise.all(children.map((child) => child.ready));
      const waited = watcher.ports.eventFeed.wait(watcher.ports.eventFeed.start(), new AbortController().signal);
      for (const child of children) child.go();
      await waited;
      // Read while both write, so that this process takes in what they do step by step.
      for (let reads = 0; reads < 20; reads++) await watcher.ports.eventStore.readMany([seeded('same', reads % 17)]);
      await Promise.all(children.map((child) => child.ended));
      const names = await consistent(watcher);
      const outcomes = new Map<string, string[]>();
      for (const line of children.flatMap((child) => child.acknowledged)) {
        for (const each of line.split(' ')) {
          const [name, outcome] = each.split('=') as [string, string];
          outcomes.set(name, [...(outcomes.get(name) ?? []), outcome].sort());
        }
      }
      expect(outcomes.size).toBe(1_800);
      expect(names.size).toBe(1_800);
      for (const each of outcomes.values()) expect(each).toEqual(['recorded', 'repeated']);
      const histories = await watcher.ports.eventStore.readMany(
        Array.from({ length: 17 }, (_, n) => seeded('same', n)),
        { withRepeats: true },
      );
      expect(histories.flat().map((each) => each.repeats)).toEqual(Array.from({ length: 1_800 }, () => 1));
      await watcher.close();
    },
  );
});

describe('kill -9 in the middle of appends', () => {
  it(
    'loses nothing that was acknowledged, and leaves feed, histories and log in agreement',
    { timeout: 480_000 },
    async () => {
      const folder = scratchFolder();
      const kills = 20;
      let layer: Layer<'persistent'> | undefined;
      for (let round = 0; round < kills; round++) {
        // Every second round this process has it open meanwhile, and must be able to write after the other died.
        if (round % 2 === 0) layer = await openLayer(folder);
        const indexAfter = [1, 25, 400, 16_384][round % 4]!;
        const child = appending(folder, String(round), 100_000, indexAfter);
        await child.ready;
        child.go();
        await child.after(1 + ((round * 37) % 150));
        child.kill();
        await child.ended;
        layer ??= await openLayer(folder);
        const names = await consistent(layer);
        for (const line of child.acknowledged) {
          for (const each of line.split(' ')) expect(names.has(each.split('=')[0]!)).toBe(true);
        }
        // What died with it is done again, however far it had come, and everything is known again.
        if (child.acknowledged.length > 0) {
          const [name] = child.acknowledged[0]!.split(/[= ]/) as [string];
          const [, id, at, sequence] = /^(.*)@(.*)#(.*)$/.exec(name) as unknown as [string, string, string, string];
          const again = fact({ id, at: Number(at), sequence: Number(sequence) });
          const [result] = await layer.ports.eventStore.append([appendOf([again])]);
          expect(result!.outcomes).toEqual(['repeated']);
        }
        const mark = fact({ id: `mark-${round}` });
        await layer.ports.eventStore.append([appendOf([mark], 0)]);
        expect(mark.processingId).not.toBe('');
        await layer.close();
        layer = undefined;
      }
    },
  );
});
