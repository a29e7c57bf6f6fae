/**
 * A persistent handler: events in the order of their own time once it is settled, as they count by then; stragglers and
 * corrections after that at once. Over 400 lines, and one subject: when and in which order it is called.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Fact, ParkedEvents, type HandlerConsumer, type HandlerRunner, type WatermarkFactory } from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { Bulb, world, type World } from '../projection/support.js';
import { consumer, correction, event, kept, quiet, record, run, T, until } from './support.js';

/** A watermark that a fact of the feed moves: the one double of these specs. */
export const byBurntBulb: WatermarkFactory = (notes) => {
  let watermark = (notes.find(({ key }) => key === 'burnt')?.value ?? Number.NEGATIVE_INFINITY) as number;
  let changed = false;
  const take = (fact: Fact): void => {
    if (fact.name !== 'burnt' || fact.eventTime <= watermark) return;
    watermark = fact.eventTime;
    changed = true;
  };
  return {
    take,
    takePage: (facts) => facts.forEach(take),
    get inputWatermark() {
      return watermark;
    },
    changes: () => (changed ? [{ key: 'burnt', value: watermark }] : []),
    saved: () => {
      changed = false;
    },
  };
};

const settled = (at: number) => event({ id: 'clock', name: 'burnt', at });
const lamp = (at: number, wattage: number, id = 'a', stream = '') =>
  event({ at, id, name: 'screwedIn', stream, parameters: { room: 'hall', wattage } });
const target = (at: number, id = 'a') => ({ at, id, name: 'screwedIn' });
const text = (e: object | null): string => (e === null ? 'nothing' : `${(e as { wattage: number }).wattage}`);

function following(w: World, lines: string[], options: Partial<HandlerConsumer> = {}): HandlerConsumer {
  const model = w.registry.aggregate(Bulb).events.get('screwedIn')!;
  const late = (context: { late: { settledUpTo: number } | undefined }): string =>
    context.late === undefined ? '' : ` late ${context.late.settledUpTo - T}`;
  return consumer(w, ({ id, at, context }, e) => lines.push(`${id}${at} ${text(e)}${late(context)}`), {
    schedule: 'persistent',
    corrections: [
      {
        model,
        handle: (before, after, context) =>
          lines.push(`${context.aggregateId}${context.at - T} ${text(before)}->${text(after)}${late(context)}`),
      },
    ],
    ...options,
  });
}

async function started(w: World, lines: string[], options: Partial<HandlerConsumer> = {}): Promise<HandlerRunner> {
  return await run(w, [following(w, lines, options)], { watermarks: byBurntBulb });
}

async function place(): Promise<{ w: World; lines: string[]; clock: ManualClock }> {
  const clock = new ManualClock(T);
  return { w: await world({ clock }), lines: [], clock };
}

describe('a persistent handler', () => {
  it('gets an aggregate’s events in event-time order once the watermark has passed, and not before', async () => {
    const { w, lines } = await place();
    const runner = await started(w, lines);
    await record(w, lamp(5, 50), lamp(1, 10), lamp(3, 31, 'a', 's2'), lamp(3, 30, 'a', 's1'), lamp(9, 90));
    await quiet();
    expect(lines).toEqual([]);
    await record(w, settled(4));
    await until(() => lines.length === 3);
    await quiet();
    expect(lines).toEqual(['a1 10', 'a3 30', 'a3 31']);
    await record(w, settled(9));
    await until(() => lines.length === 5);
    expect(lines.slice(3)).toEqual(['a5 50', 'a9 90']);
    await runner.stop();
    expect(await kept(w)).toEqual({
      checkpoint: (await w.ports.eventFeed.end()).toString(),
      start: 'o1:0',
      queue: { settledUpTo: T + 9, number: 0 },
      wburnt: T + 9,
    });
    await w.close();
  });

  it('gets a straggler at once, flagged with how far time was settled', async () => {
    const { w, lines } = await place();
    const runner = await started(w, lines);
    await record(w, lamp(5, 50), settled(6), lamp(2, 20), lamp(6, 60), lamp(7, 70));
    await until(() => lines.length === 3);
    await quiet();
    expect(lines).toEqual(['a5 50', 'a2 20 late 6', 'a6 60 late 6']);
    await record(w, settled(7));
    await until(() => lines.length === 4);
    expect(lines[3]).toBe('a7 70');
    await runner.stop();
    await w.close();
  });

  it('gets what counts when it is released: not what was retracted, the moved at its new time, the amended as amended', async () => {
    const { w, lines } = await place();
    const runner = await started(w, lines);
    await record(
      w,
      lamp(1, 10),
      lamp(2, 20),
      lamp(3, 30),
      lamp(4, 40),
      correction(target(1), 'retract', { decidedAt: 10 }),
      correction(target(2), 'amend', { decidedAt: 10, at: 8 }),
      correction(target(3), 'amend', { decidedAt: 10, parameters: { room: 'hall', wattage: 33 } }),
      // One comes before its target.
      correction(target(5), 'amend', { decidedAt: 10, at: 1 }),
      lamp(5, 50),
      correction(target(6), 'retract', { decidedAt: 10 }),
      lamp(6, 60),
      settled(20),
    );
    await until(() => lines.length === 4);
    await quiet();
    expect(lines).toEqual(['a1 50', 'a3 33', 'a4 40', 'a8 20']);
    await runner.stop();
    await w.close();
  });

  it('gets both of two events that an amendment brought to one time, however alike they are', async () => {
    const { w, lines } = await place();
    const runner = await started(w, lines);
    await record(w, lamp(7, 10), correction(target(7), 'amend', { decidedAt: 10, at: 2 }), lamp(2, 10));
    await record(w, settled(4));
    await until(() => lines.length === 2);
    expect(lines).toEqual(['a2 10', 'a2 10']);
    await runner.stop();
    await w.close();
  });

  it('gets contents of one identity in the order of their digests as they count', async () => {
    for (const wattage of [5, 6, 7, 8, 9]) {
      const { w, lines } = await place();
      const runner = await started(w, lines);
      const amended = { room: 'hall', wattage };
      const of = { ...target(1), digest: lamp(1, 10).digest };
      await record(w, lamp(1, 10), lamp(1, 11), correction(of, 'amend', { decidedAt: 10, parameters: amended }));
      await record(w, settled(4));
      await until(() => lines.length === 2);
      const inOrder = [lamp(1, wattage), lamp(1, 11)].sort((a, b) => (a.digest < b.digest ? -1 : 1));
      expect(lines).toEqual(inOrder.map(({ parameters }) => `a1 ${String(parameters['wattage'])}`));
      await runner.stop();
      await w.close();
    }
  });

  it('gets a withheld event after all when it is reinstated: at its time, or late', async () => {
    const { w, lines } = await place();
    const runner = await started(w, lines);
    await record(
      w,
      lamp(1, 10),
      lamp(7, 70),
      correction(target(1), 'retract', { decidedAt: 10 }),
      correction(target(7), 'retract', { decidedAt: 10 }),
      settled(3),
      correction(target(1), 'reinstate', { decidedAt: 11 }),
      correction(target(7), 'reinstate', { decidedAt: 11 }),
      settled(9),
    );
    await until(() => lines.length === 2);
    await quiet();
    expect(lines).toEqual(['a1 10 late 3', 'a7 70']);
    expect((await kept(w))['withheld']).toBeUndefined();
    await runner.stop();
    await w.close();
  });

  it('gets one of two contents that an amendment made alike, the other when the first is retracted', async () => {
    for (const [first, second] of [
      [10, 11],
      [11, 10],
    ] as const) {
      const { w, lines } = await place();
      const runner = await started(w, lines);
      await record(
        w,
        lamp(1, first),
        correction(target(1), 'amend', { decidedAt: 10, parameters: { room: 'hall', wattage: 60 } }),
        lamp(1, second),
        lamp(2, 20),
        settled(3),
      );
      await until(() => lines.length === 2);
      await quiet();
      expect(lines).toEqual(['a1 60', 'a2 20']);
      const { digest } = lamp(1, first);
      await record(w, correction({ ...target(1), digest }, 'retract', { decidedAt: 11 }), settled(9));
      await until(() => lines.length === 4);
      await quiet();
      expect(lines.slice(2)).toEqual(['a1 60->nothing late 3', 'a1 60 late 3']);
      await runner.stop();
      await w.close();
    }
  });

  it('is told by its correction method what changed of what was released', async () => {
    const { w, lines } = await place();
    const runner = await started(w, lines);
    await record(
      w,
      lamp(1, 10),
      settled(3),
      correction(target(1), 'retract', { decidedAt: 10 }),
      correction(target(1), 'reinstate', { decidedAt: 11 }),
      correction(target(1), 'amend', { decidedAt: 12, at: 50, parameters: { room: 'hall', wattage: 11 } }),
      settled(60),
      correction(target(1), 'retract', { decidedAt: 13 }),
    );
    await until(() => lines.length === 5);
    await quiet();
    expect(lines).toEqual([
      'a1 10',
      'a1 10->nothing late 3',
      'a1 nothing->10 late 3',
      'a1 10->11 late 3',
      'a1 11->nothing late 60',
    ]);
    await runner.stop();
    await w.close();
  });

  it('gets an event as it was released also when a correction comes while it fails, and then the correction', async () => {
    const { w, lines, clock } = await place();
    let broken = true;
    const plain = following(w, lines);
    const handlers = plain.handlers.map(({ model, handle }) => ({
      model,
      handle: ((e, context) => {
        if (broken) throw new Error('no');
        return handle(e, context);
      }) as typeof handle,
    }));
    const runner = await started(w, lines, { handlers });
    await record(w, lamp(1, 10), settled(3));
    await quiet();
    await record(w, correction(target(1), 'retract', { decidedAt: 10 }), lamp(2, 20));
    await quiet();
    broken = false;
    await clock.advance(1_000);
    await until(() => lines.length === 3);
    expect(lines).toEqual(['a1 10', 'a1 10->nothing late 3', 'a2 20 late 3']);
    await runner.stop();
    await w.close();
  });

  it('keeps what waits and what is released over a stop, and calls nothing twice', async () => {
    const { w, lines } = await place();
    const first = await started(w, lines);
    await record(w, lamp(5, 50), lamp(1, 10), settled(1));
    await until(() => lines.length === 1);
    await first.stop();
    await record(w, lamp(3, 30), lamp(0, 5), settled(9));
    const second = await run(w, [following(w, lines)], { watermarks: byBurntBulb, process: 'two' });
    await until(() => lines.length === 4);
    await quiet();
    expect(lines).toEqual(['a1 10', 'a0 5 late 1', 'a3 30', 'a5 50']);
    await second.stop();
    await w.close();
  });

  it('goes over all aggregates one at a time, in the order of time, stream, sequence, name, type and id', async () => {
    const { w, lines } = await place();
    let busy = 0;
    const plain = following(w, lines);
    const handlers = plain.handlers.map(({ model, handle }) => ({
      model,
      handle: (async (e, context) => {
        expect(++busy).toBe(1);
        await quiet(2);
        busy--;
        return handle(e, context);
      }) as typeof handle,
    }));
    const runner = await started(w, lines, { handlers, across: 'context' });
    await record(
      w,
      lamp(2, 1, 'c'),
      lamp(2, 2, 'b', 's1'),
      lamp(2, 3, 'b'),
      lamp(1, 4, 'z'),
      lamp(2, 5, 'a'),
      settled(3),
    );
    await until(() => lines.length === 5);
    expect(lines).toEqual(['z1 4', 'a2 5', 'b2 3', 'c2 1', 'b2 2']);
    await runner.stop();
    await w.close();
  });

  it('parks in order, with others going on, and handles the parked as they were released', async () => {
    const { w, lines } = await place();
    let broken = true;
    const plain = following(w, lines);
    const handlers = plain.handlers.map(({ model, handle }) => ({
      model,
      handle: ((e, context) => {
        if (broken && context.aggregateId === 'a') throw new Error('no');
        return handle(e, context);
      }) as typeof handle,
    }));
    const runner = await started(w, lines, { handlers, retry: { attempts: 1 } });
    await record(w, lamp(1, 10), lamp(2, 20), lamp(1, 11, 'b'), settled(3));
    await until(() => lines.length === 1);
    await record(w, correction(target(1), 'retract', { decidedAt: 10 }), lamp(4, 40), settled(4));
    await quiet();
    expect(runner.states()[0]!.parked).toBe(4);
    broken = false;
    expect(await new ParkedEvents(w.ports.viewStore, () => runner).retry('spec')).toBe(4);
    expect(lines).toEqual(['b1 11', 'a1 10', 'a2 20', 'a1 10->nothing late 3', 'a4 40']);
    await runner.stop();
    await w.close();
  });

  it('does not hear of corrections of what was recorded before it began', async () => {
    const { w, lines } = await place();
    await record(w, lamp(1, 10));
    const runner = await started(w, lines);
    await record(w, correction(target(1), 'retract', { decidedAt: 10 }), lamp(2, 20), settled(5));
    await until(() => lines.length === 1);
    await quiet();
    expect(lines).toEqual(['a2 20']);
    await runner.stop();
    await w.close();
  });

  it('keeps what waits in the store: memory does not grow with it', async () => {
    const { w, lines } = await place();
    const runner = await started(w, lines);
    for (let n = 0; n < 12; n++) {
      await record(
        w,
        Array.from({ length: 250 }, (_, i) => lamp(n * 250 + i, i, `b${i % 9}`)),
      );
    }
    await until(() => runner.states()[0]!.state === 'running');
    await quiet(200);
    expect(runner.states()[0]!.waiting).toBe(0);
    await record(w, settled(5_000));
    let most = 0;
    while (lines.length < 3_000) {
      most = Math.max(most, runner.states()[0]!.waiting);
      await quiet(1);
    }
    expect(most).toBeLessThanOrEqual(1_000);
    for (let id = 0; id < 9; id++) {
      const mine = lines.filter((line) => line.startsWith(`b${id}`)).map((line) => Number(/^b\d(\d+) /.exec(line)![1]));
      expect(mine).toEqual([...mine].sort((a, b) => a - b));
    }
    await runner.stop();
    await w.close();
  });
});

type Move =
  | { readonly kind: 'event'; readonly id: number; readonly at: number; readonly wattage: number }
  | { readonly kind: 'settled'; readonly at: number }
  | { readonly kind: 'stop' | 'crowd' }
  | {
      readonly kind: 'correct';
      readonly how: 'retract' | 'reinstate' | 'amend';
      readonly id: number;
      readonly at: number;
      readonly to: number;
      readonly decidedAt: number;
    };

const move: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('event' as const),
      id: fc.nat(1),
      at: fc.nat(9),
      wattage: fc.integer({ min: 1, max: 2 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('settled' as const), at: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('stop' as const, 'crowd' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('correct' as const),
      how: fc.constantFrom('retract' as const, 'reinstate' as const, 'amend' as const),
      id: fc.nat(1),
      at: fc.nat(9),
      to: fc.nat(12),
      decidedAt: fc.nat(50),
    }),
  },
);

it(
  'calls the same in the same order, however the feed is cut by pages, pauses and stops',
  { timeout: 120_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(move, { minLength: 3, maxLength: 40 }), async (moves) => {
        const facts: (Fact | undefined)[] = moves.map((one) => {
          if (one.kind === 'event') return lamp(one.at, one.wattage, `b${one.id}`);
          if (one.kind === 'settled') return settled(one.at);
          if (one.kind !== 'correct') return undefined;
          const { how, decidedAt, to } = one;
          return correction(target(one.at, `b${one.id}`), how, { decidedAt, ...(how === 'amend' ? { at: to } : {}) });
        });
        facts.push(settled(20));
        const options = { from: 'beginning' } as const;
        const whole = await place();
        for (const fact of facts) if (fact !== undefined) await record(whole.w, fact);
        const once = await started(whole.w, whole.lines, options);
        await quiet(40);
        await once.stop();

        const cut = await place();
        let runner = await started(cut.w, cut.lines, options);
        for (let i = 0; i < facts.length; i++) {
          const fact = facts[i];
          // Facts belong to the store that stamped them: this one gets its own.
          if (fact !== undefined) await record(cut.w, copyOf(fact));
          else if ((moves[i] as Move).kind === 'crowd') await quiet(10);
          else {
            await runner.stop();
            runner = await started(cut.w, cut.lines, options);
          }
        }
        await quiet(40);
        await runner.stop();
        for (const id of ['b0', 'b1']) {
          const of = (lines: readonly string[]) => lines.filter((line) => line.startsWith(id));
          expect(of(cut.lines)).toEqual(of(whole.lines));
        }
        expect((await kept(cut.w))['queue']).toMatchObject({ settledUpTo: T + 20 });
        await whole.w.close();
        await cut.w.close();
      }),
      { numRuns: Number(process.env['RUNS'] ?? 80) },
    );
  },
);

function copyOf(fact: Fact): Fact {
  return new Fact(fact);
}
