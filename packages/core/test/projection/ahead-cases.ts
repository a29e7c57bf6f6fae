/**
 * A report of a wrong clock, dated 2099, and what becomes of its row when it is withdrawn, put right, or counts again: on any
 * store, as one piece and in shares, over a restart and a rebuild.
 */
import { describe, expect, it } from 'vitest';
import { correctionEvent, Max, sharesOf, sourceFacts, type EventInput, type Rows, type View } from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { FAR, report, time } from './ahead-law.js';
import { NOTHING_CHANGED, T, type Bulb, type World } from './support.js';

class Room {
  @Max() most: number | null = null;
}
/** What a bulb adds does not depend on when it was screwed in. */
class ByRoom {
  rows({ room, wattage }: Bulb): Rows<Room> {
    if (room === 'cursed') throw new Error('cursed');
    return [[room === '' ? '?' : room, { most: wattage }]];
  }
}

type Report = ReturnType<typeof report>;

export type Open = (clock: ManualClock) => Promise<World>;

async function opened(open: Open, shares = 1) {
  const clock = new ManualClock(T);
  const w = await open(clock);
  const models = sharesOf(w.model(ByRoom, Room, {}, 'spec', shares), w.registry.context);
  const started = async () => {
    const running = w.runner(models, 'one', { time, rebuild: { pauseMs: 0 } });
    await running.runner.start();
    return running;
  };
  let running = await started();
  let decided = T;
  const view = (): View<Room> => running.projections.view<Room>('spec');
  const targeting = ({ aggregateType, aggregateId, at, streamId, name }: Report) => ({
    aggregateType,
    aggregateId,
    target: { at, streamId: streamId!, name },
    decidedAt: ++decided,
    streamId: 'desk',
  });
  const record = async (...inputs: EventInput[]): Promise<void> => view().caughtUp(await w.bus.record(inputs));
  return {
    w,
    clock,
    view,
    record,
    correct: (kind: 'retract' | 'reinstate', ...all: Report[]) =>
      record(...all.map((of) => correctionEvent({ ...targeting(of), kind }))),
    amend: (of: Report, at: number, room?: string) =>
      record(
        correctionEvent({
          ...targeting(of),
          kind: 'amend',
          at,
          ...(room === undefined ? {} : { parameters: { room, wattage: 40 } }),
        }),
      ),
    /** All that was reported until now is settled. */
    settle: async (): Promise<void> => {
      await clock.advance(120_000);
      await record(sourceFacts.complete('a', { upTo: clock.now() }));
    },
    provisional: async (): Promise<Record<string, boolean>> => {
      const { rows } = await view().find();
      return Object.fromEntries(rows.map((row) => [row.key, row.provisional]));
    },
    restart: async (): Promise<void> => {
      await running.runner.stop();
      running = await started();
    },
    rebuild: async (): Promise<void> => {
      await running.projections.rebuild('spec');
      while ((await running.projections.rebuilding('spec')) !== undefined) await clock.advance(10);
    },
    retryParked: () => running.projections.retryParked('spec'),
    close: async (): Promise<void> => {
      await running.runner.stop();
      await w.close();
    },
  };
}

export function aheadCases(open: Open): void {
  describe('a row with a report of a wrong clock', () => {
    const wrong = report('b1', FAR, 'hall');

    it.each([1, 3])(
      'is provisional until that is withdrawn, and again when it counts again (shares: %i)',
      async (n) => {
        const on = await opened(open, n);
        await on.record(report('b1', T, 'hall'), report('b2', T, 'hall'), wrong, report('b3', T, 'attic'));
        await on.settle();
        expect(await on.provisional()).toEqual({ hall: true, attic: false });
        await on.correct('retract', wrong);
        expect(await on.provisional()).toEqual({ hall: false, attic: false });
        await on.correct('reinstate', wrong);
        expect(await on.provisional()).toEqual({ hall: true, attic: false });
        await on.close();
      },
    );

    it('is settled as soon as the time is put right, though it adds what it added, over a restart', async () => {
      const on = await opened(open);
      await on.record(wrong, report('b2', T, 'hall'));
      await on.restart();
      await on.settle();
      expect(await on.provisional()).toEqual({ hall: true });
      const { revision } = (await on.view().get('hall'))!;
      await on.restart();
      await on.amend(wrong, on.clock.now() + 5);
      expect(await on.provisional()).toEqual({ hall: true });
      await on.settle();
      expect(await on.provisional()).toEqual({ hall: false });
      expect((await on.view().get('hall'))!.revision).toBe(revision);
      await on.close();
    });

    it('is settled when its aggregate goes over to another row, which is provisional then', async () => {
      const on = await opened(open);
      await on.record(report('b2', T, 'hall'), report('b3', T, 'attic'), wrong);
      await on.settle();
      await on.amend(wrong, FAR + 1, 'attic');
      expect(await on.provisional()).toEqual({ hall: false, attic: true });
      await on.amend(wrong, T, 'hall');
      expect(await on.provisional()).toEqual({ hall: false, attic: false });
      await on.close();
    });

    it('is settled when it is parked, and provisional when it is released', async () => {
      const on = await opened(open);
      const cursed = report('b1', FAR + 5, 'cursed');
      await on.record(report('b2', T, 'hall'), wrong);
      await on.settle();
      await on.record(cursed);
      expect(await on.provisional()).toEqual({ hall: false });
      await on.correct('retract', cursed);
      expect(await on.retryParked()).toBe(1);
      expect(await on.provisional()).toEqual({ hall: true });
      await on.close();
    });

    it('is provisional while one of many is left, and for as many as are kept settled after the last', async () => {
      const on = await opened(open);
      const many = Array.from({ length: 64 }, (_, i) => report(`far ${i}`, FAR + i, 'hall'));
      await on.record(report('b2', T, 'hall'), ...many);
      await on.settle();
      await on.correct('retract', ...many.slice(1));
      expect(await on.provisional()).toEqual({ hall: true });
      await on.correct('retract', many[0]!);
      expect(await on.provisional()).toEqual({ hall: false });
      // Of too many the least is as any other event: what is settled has to pass it.
      const least = report('least', on.clock.now() + 90_000, 'hall');
      await on.record(...many.map((one) => ({ ...one, at: one.at + 100 })), least);
      await on.correct('retract', ...many.map((one) => ({ ...one, at: one.at + 100 })));
      await on.correct('retract', least);
      expect(await on.provisional()).toEqual({ hall: true });
      await on.settle();
      expect(await on.provisional()).toEqual({ hall: false });
      await on.close();
    });

    it('that an earlier version stored is put right by a rebuild', async () => {
      const on = await opened(open);
      await on.record(report('b2', T, 'hall'));
      await on.settle();
      const ref = { name: 'spec', version: 1, slice: -1 };
      const [row] = await on.w.ports.viewStore.readRows(ref, ['hall']);
      const checkpoint = (await on.w.ports.viewStore.readCheckpoint(ref))!;
      const owner = 'projection:spec:1';
      const { epoch } = (await on.w.ports.checkpointStore.readOwner(owner))!;
      const rows = [{ ...row!, through: FAR }];
      const commit = { view: ref, owner, epoch, expected: checkpoint, checkpoint, ...NOTHING_CHANGED, rows };
      await on.w.ports.viewStore.commit(commit);
      expect(await on.provisional()).toEqual({ hall: true });
      await on.rebuild();
      expect(await on.provisional()).toEqual({ hall: false });
      await on.close();
    });

    it('is provisional after a rebuild as before, and settled when it is withdrawn then', async () => {
      const on = await opened(open);
      await on.record(wrong, report('b2', T, 'hall'));
      await on.settle();
      await on.rebuild();
      expect(await on.provisional()).toEqual({ hall: true });
      await on.correct('retract', wrong);
      expect(await on.provisional()).toEqual({ hall: false });
      await on.close();
    });
  });

  it('rests on what is not settled also where that shows only when another goes', async () => {
    const on = await opened(open);
    await on.record(report('b1', T, 'hall', 'a', 60));
    await on.settle();
    await on.record(report('b2', on.clock.now() + 5, 'hall', 'a', 40));
    await on.correct('retract', report('b1', T, 'hall'));
    expect(await on.view().get('hall')).toMatchObject({ value: { most: 40 }, provisional: true });
    await on.settle();
    expect(await on.provisional()).toEqual({ hall: false });
    await on.close();
  });
}
