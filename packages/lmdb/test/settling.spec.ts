/** What settles, on disk: timers, what was told, and the list of what is overdue are there after a restart. */
import 'reflect-metadata';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Aggregate,
  at,
  ConcursusModule,
  Deadline,
  Deadlines,
  Event,
  EventBus,
  EventHandler,
  OnCorrected,
  OnSettled,
  session,
  Sources,
  type CorrectedContext,
  type SettledContext,
} from '@concursus/core';
import { lmdb } from '@concursus/lmdb';
import { Test } from '@nestjs/testing';
import { expect, it } from 'vitest';

@Event()
class Beat {}
@Event()
class Ended {}

@Aggregate('heart')
class Heart {
  static readonly events = { Beat, Ended };
  beats = 0;
  @EventHandler(Beat) beat(): void {
    this.beats++;
  }
}

const T = Date.parse('2026-01-01T00:00:00Z');

async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (done()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('It did not come to pass.');
}

it('goes on where the last process left it', { timeout: 30_000 }, async () => {
  const path = mkdtempSync(join(tmpdir(), 'settling-'));
  const lines: string[] = [];
  const span = ({ from, to }: { from: number; to: number }): string => `[${from - T},${to - T})`;
  class Doctor {
    @OnSettled({ of: Heart, name: 'rhythm', window: session({ gapMs: 10 }) })
    settled(heart: Heart, context: SettledContext): void {
      lines.push(`${context.aggregateId}${span(context)} ${heart.beats}`);
    }
    @OnCorrected({ of: Heart, name: 'rhythm' })
    corrected(before: readonly Heart[], after: readonly Heart[], context: CorrectedContext): void {
      const show = (hearts: readonly Heart[], spans: CorrectedContext['before']): string =>
        hearts.map((heart, i) => `${span(spans[i]!)} ${heart.beats}`).join(' + ');
      lines.push(`${show(before, context.before)} -> ${show(after, context.after)}`);
    }
    @Deadline({ of: Heart, name: 'end', after: [Beat], withinMs: 30, unless: [Ended] }) overdue(): void {}
  }
  const boot = async () => {
    const app = await Test.createTestingModule({
      imports: [ConcursusModule.forRoot({ persistent: lmdb({ path }) })],
      providers: [Doctor],
    })
      .setLogger(false as never)
      .compile();
    await app.init();
    return app;
  };
  try {
    const first = await boot();
    const beat = (app: typeof first, id: string, ms: number) =>
      app
        .get(EventBus)
        .for(Heart, id)
        .record(at(T + ms, new Beat()));
    await beat(first, 'a', 0);
    await beat(first, 'a', 12);
    await beat(first, 'ab', 5);
    await beat(first, 'a', 40);
    await first.get(Sources).complete('', T + 25);
    await until(() => lines.length === 3);
    await first.close();
    const second = await boot();
    expect((await second.get(Deadlines).pending('end')).items).toHaveLength(4);
    await beat(second, 'a', 6);
    await until(() => lines.length === 4);
    await second.get(Sources).complete('', T + 60);
    await until(() => lines.length === 5);
    expect([...lines.slice(0, 3)].sort()).toEqual(['a[0,10) 1', 'a[12,22) 1', 'ab[5,15) 1']);
    expect(lines.slice(3)).toEqual(['[0,10) 1 + [12,22) 1 -> [0,22) 3', 'a[40,50) 1']);
    for (let tries = 0; tries < 200; tries++) {
      if ((await second.get(Deadlines).overdue('end')).items.length === 4) break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const page = await second.get(Deadlines).overdue('end', { limit: 2 });
    const rest = await second.get(Deadlines).overdue('end', { after: page.next! });
    expect([...page.items, ...rest.items].map((one) => `${one.aggregate.id} ${one.due - T}`)).toEqual([
      'a 30',
      'ab 35',
      'a 36',
      'a 42',
    ]);
    await second.close();
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
});
