/**
 * Goal: after kill -9 at any point, and with a paused owner that goes on behind its follower's back, a view is exactly what its
 * acknowledged commits made of it. Method: processes that commit as fast as they can, killed or paused at random points; then
 * everything of the view is compared with the commits counted by hand. `KILLS=200` for the long run.
 */
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { ViewMirror } from '@concursus/core';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { CassandraViewStore } from '../src/cassandra-view-store.js';
import { Session } from '../src/session.js';
import { KILLED_VIEW, ROWS, rowsOfCommit } from './kills-model.js';
import { cleanUp, contextOf, freshContext, openLayer, specOptions, startChild } from './support.js';

const kills = Number(process.env['KILLS'] ?? 6);
vi.setConfig({ testTimeout: 60_000 + kills * 20_000, hookTimeout: 60_000 });

interface Child {
  readonly process: ChildProcess;
  readonly lines: string[];
  /** The last commit that it said was acknowledged. */
  acknowledged(): number;
  /** Resolves when it said `count` lines, or ended. */
  said(count: number): Promise<void>;
}

describe('a view whose owners are killed', () => {
  const children: Child[] = [];

  afterEach(() => {
    for (const { process } of children.splice(0)) process.kill('SIGKILL');
  });

  afterAll(cleanUp);

  function begin(context: string): Child {
    const { keyspace } = specOptions();
    const process = startChild('./committing-child.ts', [keyspace!, context, `child ${children.length}`]);
    const lines: string[] = [];
    const waiting = new Set<() => void>();
    const wake = (): void => {
      for (const each of waiting) each();
    };
    createInterface({ input: process.stdout! }).on('line', (line) => {
      lines.push(line);
      wake();
    });
    process.on('exit', wake);
    const child: Child = {
      process,
      lines,
      acknowledged: () => Number(lines.findLast((line) => line.startsWith('done'))?.split(' ')[1] ?? 0),
      said: async (count) => {
        while (lines.length < count && process.exitCode === null && process.signalCode === null) {
          await new Promise<void>((resolve) => {
            waiting.add(resolve);
          });
          waiting.clear();
        }
      },
    };
    children.push(child);
    return child;
  }

  it(`holds what was acknowledged, wholly, over ${kills} kills and pauses`, async () => {
    const context = freshContext();
    await (await openLayer(context)).close();
    const session = new Session(specOptions(), contextOf(context));
    await session.connect();
    const views = new CassandraViewStore(session, 1_000_000);

    const standing = async (): Promise<number> => Number((await views.readCheckpoint(KILLED_VIEW)) ?? 0);
    /** What a dead or paused process had sent may still be taken by the server while this reads: then it is read again. */
    const check = async (acknowledged: number): Promise<number> => {
      for (let tries = 1; ; tries++) {
        const n = await standing();
        expect(n, 'nothing acknowledged is lost').toBeGreaterThanOrEqual(acknowledged);
        try {
          await checkAt(n);
        } catch (error) {
          if (tries < 5 && (await standing()) > n) continue;
          throw error;
        }
        return n;
      }
    };
    const checkAt = async (n: number): Promise<void> => {
      const counts = new Map<string, number>();
      const last = new Map<string, number>();
      let sum = 0;
      for (let i = 1; i <= n; i++) {
        for (const key of rowsOfCommit(i)) {
          counts.set(key, (counts.get(key) ?? 0) + 1);
          last.set(key, i);
          sum += 1;
        }
      }
      const rows = await views.findRows(KILLED_VIEW, { limit: ROWS + 1 });
      expect(new Map(rows.map((row) => [row.key, row.fields['count']]))).toEqual(counts);
      expect((await views.readNotes(KILLED_VIEW, ''))[0]?.value ?? 0).toBe(sum);
      expect(await views.lastChange(KILLED_VIEW)).toBe(sum);
      for (const [key, i] of last) {
        expect(await views.readIndex(KILLED_VIEW, key, 'n', { limit: 2 })).toEqual([
          { row: key, field: 'n', order: 'last', value: i },
        ]);
      }
      const ids: number[] = [];
      for await (const page of views.scanContributions(KILLED_VIEW))
        ids.push(...page.map((one) => Number(one.aggregate.id)));
      const expected = Array.from({ length: n }, (_, i) => i + 1).filter((id) => id % 3 !== 2 || id === n);
      expect(ids.toSorted((a, b) => a - b)).toEqual(expected);
      // Who only follows the changes holds the same.
      const mirror = new ViewMirror();
      for (let after = 0; after < sum;) {
        const changes = await views.readChanges(KILLED_VIEW, after, 1_000);
        for (const change of changes) mirror.apply(change);
        after += changes.length;
      }
      for (const [key, count] of counts) expect(mirror.get(key)).toMatchObject({ count });
    };

    let acknowledged = 0;
    let paused: Child | undefined;
    for (let kill = 0; kill < kills; kill++) {
      const child = begin(context);
      await child.said(1);
      expect(child.lines[0]).toMatch(/^owner/);
      if (paused !== undefined) {
        // It was replaced while it was paused, and goes on where it stood.
        paused.process.kill('SIGCONT');
        await once(paused.process, 'exit');
        expect(paused.lines.at(-1)).toMatch(/^(?:LEASE_LOST|TIMEOUT|STORE_UNREACHABLE)/);
        acknowledged = Math.max(acknowledged, paused.acknowledged());
        paused = undefined;
      }
      await child.said(3);
      await setTimeout(Math.random() * 700);
      if (kill % 2 === 0 && kill < kills - 1) {
        child.process.kill('SIGSTOP');
        paused = child;
      } else {
        child.process.kill('SIGKILL');
        await once(child.process, 'exit');
      }
      acknowledged = Math.max(acknowledged, child.acknowledged());
      acknowledged = await check(acknowledged);
    }
    expect(acknowledged).toBeGreaterThan(kills);
    await session.close();
  });
});
