/**
 * Goal: of decisions of several processes exactly one counts on each head, whenever a process is killed. Method: children that
 * count in one history of one environment; the count has no gap, and holds what was acknowledged.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterAll, describe, expect, it } from 'vitest';
import { cleanUp, openLayer, scratchFolder, startChild } from './support.js';

afterAll(cleanUp);

const KEY = { tenant: '', type: 'lamp', id: 'decided' };

describe('decisions of several processes on LMDB', () => {
  it('count without a gap, whichever of them is killed at any moment', async () => {
    const folder = scratchFolder();
    const layer = await openLayer(folder);
    const acknowledged: string[] = [];
    for (let round = 0; round < 2; round++) {
      const children = [0, 1].map((n) => {
        const child = startChild('deciding-child.ts', [folder, `${round}/${n}`]);
        const lines = createInterface({ input: child.stdout! });
        const own: string[] = [];
        const ready = once(lines, 'line');
        const enough = new Promise<void>((resolve) => {
          lines.on('line', (line) => {
            if (line !== 'ready') own.push(line);
            if (own.length > 5 + 7 * round + 3 * n) resolve();
          });
        });
        return { child, own, ready, enough, ended: once(child, 'exit') };
      });
      await Promise.all(children.map(({ ready, ended }) => Promise.race([ready, ended])));
      for (const { child } of children) child.stdin!.write('go\n');
      for (const { child, own, enough, ended } of children) {
        await Promise.race([enough, ended]);
        child.kill('SIGKILL');
        await ended;
        expect(own.length).toBeGreaterThan(5);
      }
      acknowledged.push(...children.flatMap(({ own }) => own));
    }
    const { eventStore } = layer.ports;
    const head = await eventStore.readHead(KEY);
    const [history] = await eventStore.readMany([KEY]);
    expect(history!.map((fact) => fact.eventTime)).toEqual(Array.from({ length: head }, (_, i) => i));
    const commands = history!.map((fact) => fact.parameters['commandId'] as string);
    expect(new Set(commands).size).toBe(head);
    expect(commands).toEqual(expect.arrayContaining(acknowledged));
    // What died between its commit and its answer is answered, not decided again.
    const facts = [history!.at(-1)!];
    const again = { aggregate: KEY, head, commandId: commands.at(-1)!, facts, result: 'other', receivedAt: 0 };
    expect(await eventStore.decide(again)).toEqual({ outcome: 'answered', head, result: '' });
    await layer.close();
  }, 120_000);
});
