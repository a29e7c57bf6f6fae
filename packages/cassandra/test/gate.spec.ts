/** Goal: so many requests at once, in order, and no more waiting than allowed. Method: work that ends by hand. */
import { refused } from '@concursus/testing';
import { describe, expect, it } from 'vitest';
import { Gate } from '../src/gate.js';
import { Lanes } from '../src/lanes.js';

/** Work whose ends are called by hand, in the order in which it began. */
class Works {
  readonly begun: number[] = [];
  private readonly ends: ((failed: boolean) => void)[] = [];

  make(number: number): () => Promise<number> {
    return () => {
      this.begun.push(number);
      return new Promise((resolve, reject) => {
        this.ends.push((failed) => (failed ? reject(new Error(`${number} failed`)) : resolve(number)));
      });
    };
  }

  async end(failed = false): Promise<void> {
    this.ends.shift()!(failed);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('a gate', () => {
  it('lets so many in at once, the others in the order in which they came', async () => {
    const gate = new Gate(2, 10_000);
    const works = new Works();
    const answers = Array.from({ length: 5_000 }, (_, i) => gate.run(works.make(i)));
    expect(works.begun).toEqual([0, 1]);
    for (let i = 0; i < 5_000; i++) {
      await works.end();
      expect(works.begun.length).toBe(Math.min(i + 3, 5_000));
    }
    expect(await Promise.all(answers)).toEqual(works.begun);
    expect(works.begun).toEqual(Array.from({ length: 5_000 }, (_, i) => i));
  });

  it('refuses who would wait behind too many, and gives a failed one’s place to the next', async () => {
    const gate = new Gate(1, 1);
    const works = new Works();
    const first = gate.run(works.make(1));
    const second = gate.run(works.make(2));
    await refused('OVERLOADED', () => gate.run(works.make(3)));
    const failed = first.catch((error: unknown) => String(error));
    await works.end(true);
    expect(await failed).toContain('1 failed');
    expect(works.begun).toEqual([1, 2]);
    let drained = false;
    const drain = gate.drained().then(() => (drained = true));
    expect(drained).toBe(false);
    await works.end();
    expect(await second).toBe(2);
    await drain;
    await gate.drained();
  });
});

describe('lanes', () => {
  it('do the work of one name in order, also after a failure, and that of others beside it', async () => {
    const lanes = new Lanes();
    const works = new Works();
    const a1 = lanes.run('a', works.make(1));
    const a2 = lanes.run('a', works.make(2));
    const b = lanes.run('b', works.make(3));
    expect(works.begun).toEqual([1, 3]);
    const failed = a1.catch((error: unknown) => String(error));
    await works.end(true);
    expect(await failed).toContain('1 failed');
    expect(works.begun).toEqual([1, 3, 2]);
    await works.end();
    await works.end();
    expect(await Promise.all([a2, b])).toEqual([2, 3]);
  });
});
