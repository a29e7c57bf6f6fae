/**
 * Goal: an application on Cassandra does what it does on any store: a view that corrects itself, a handler that is called once for
 * each event, and what settles, over two processes and a restart. Method: a Nest module twice on one keyspace.
 */
import 'reflect-metadata';
import {
  Aggregate,
  at,
  ConcursusModule,
  Count,
  Deadline,
  Deadlines,
  Event,
  EventBus,
  EventHandler,
  Max,
  OnCorrected,
  OnSettled,
  Projection,
  session,
  Sources,
  Sum,
  type CorrectedContext,
  type EventContext,
  type Rows,
  type SettledContext,
  type View,
} from '@concursus/core';
import { Test, type TestingModule } from '@nestjs/testing';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { cassandra } from '../src/index.js';
import { cleanUp, serverUrl, specOptions } from './support.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });
afterAll(cleanUp);

@Event()
class Beat {
  constructor(readonly rate: number) {}
}
@Event()
class Ended {}

@Aggregate('heart')
class Heart {
  static readonly events = { Beat, Ended };
  beats = 0;
  fastest = 0;
  @EventHandler(Beat) beat(event: Beat): void {
    this.beats++;
    this.fastest = Math.max(this.fastest, event.rate);
  }
}

class Cell {
  @Count() hearts = 0;
  @Sum() beats = 0;
  @Max() fastest: number | null = null;
}

@Projection({ name: 'hearts', of: Heart, view: Cell })
class Hearts {
  rows(heart: Heart): Rows<Cell> {
    return [['all', { hearts: 1, beats: heart.beats, fastest: heart.fastest }]];
  }
}

const T = Date.parse('2026-01-01T00:00:00Z');

describe.skipIf(serverUrl === undefined)('an application on Cassandra', () => {
  it('goes on where its last process left it', async () => {
    const lines: string[] = [];
    const called = new Map<string, number>();
    const span = ({ from, to }: { from: number; to: number }): string => `[${from - T},${to - T})`;

    class Doctor {
      @EventHandler(Beat, { schedule: 'durable', name: 'note', from: 'beginning' })
      note(_beat: Beat, { aggregateId, at }: EventContext): void {
        const key = `${aggregateId}@${at - T}`;
        called.set(key, (called.get(key) ?? 0) + 1);
      }
      @OnSettled({ of: Heart, name: 'rhythm', window: session({ gapMs: 10 }) })
      settled(heart: Heart, settled: SettledContext): void {
        lines.push(`${settled.aggregateId}${span(settled)} ${heart.beats}`);
      }
      @OnCorrected({ of: Heart, name: 'rhythm' })
      corrected(before: readonly Heart[], after: readonly Heart[], corrected: CorrectedContext): void {
        const show = (hearts: readonly Heart[], spans: CorrectedContext['before']): string =>
          hearts.map((heart, i) => `${span(spans[i]!)} ${heart.beats}`).join(' + ');
        lines.push(`${show(before, corrected.before)} -> ${show(after, corrected.after)}`);
      }
      @Deadline({ of: Heart, name: 'end', after: [Beat], withinMs: 30, unless: [Ended] }) overdue(): void {}
    }

    const boot = async (): Promise<TestingModule> => {
      const app = await Test.createTestingModule({
        imports: [ConcursusModule.forRoot({ persistent: cassandra(specOptions()) })],
        providers: [Hearts, Doctor],
      })
        .setLogger(false as never)
        .compile();
      await app.init();
      return app;
    };
    const beat = (app: TestingModule, id: string, ms: number, rate = 60) =>
      app
        .get(EventBus)
        .for(Heart, id)
        .record(at(T + ms, new Beat(rate)));
    const until = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 20_000, interval: 20 });

    const [first, beside] = [await boot(), await boot()];
    await beat(first, 'a', 0);
    await beat(beside, 'a', 12);
    await beat(first, 'a', 12);
    await beat(first, 'ab', 5, 90);
    const last = await beat(beside, 'a', 40);
    await first.get(Sources).complete('', T + 25);
    await until(() => expect(lines).toHaveLength(3));
    for (const app of [first, beside]) {
      const view = app.get<View<Cell>>(Hearts);
      await view.caughtUp(last);
      expect((await view.get('all'))?.value).toEqual({ hearts: 2, beats: 4, fastest: 90 });
    }
    await first.close();
    await beside.close();

    const second = await boot();
    expect((await second.get(Deadlines).pending('end')).items).toHaveLength(4);
    await beat(second, 'a', 6, 120);
    await until(() => expect(lines).toHaveLength(4));
    await second.get(Sources).complete('', T + 60);
    await until(() => expect(lines).toHaveLength(5));
    expect(lines.slice(0, 3).toSorted()).toEqual(['a[0,10) 1', 'a[12,22) 1', 'ab[5,15) 1']);
    expect(lines.slice(3)).toEqual(['[0,10) 1 + [12,22) 1 -> [0,22) 3', 'a[40,50) 1']);
    await vi.waitFor(async () => expect((await second.get(Deadlines).overdue('end')).items).toHaveLength(4), 20_000);
    const view = second.get<View<Cell>>(Hearts);
    await vi.waitFor(async () => {
      expect((await view.get('all'))?.value).toEqual({ hearts: 2, beats: 5, fastest: 120 });
    }, 20_000);
    await until(() =>
      expect(Object.fromEntries(called)).toEqual({ 'a@0': 1, 'a@12': 1, 'ab@5': 1, 'a@40': 1, 'a@6': 1 }),
    );
    await second.close();
  });
});
