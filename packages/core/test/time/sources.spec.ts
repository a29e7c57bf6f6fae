/** What an application says about its sources: recorded as facts, heartbeats sparingly, refused when it would move nothing; and what it gets listed. */
import { describe, expect, it } from 'vitest';
import { InvalidEventError } from '../../src/model/errors.js';
import type { EventInput } from '../../src/model/event-input.js';
import { readSourceFact, sourceFactOf } from '../../src/time/source-facts.js';
import { SourceTable } from '../../src/time/source-table.js';
import { Sources } from '../../src/time/sources.js';
import { HandClock, world } from '../pipeline/support.js';
import { event, START } from './support.js';

const nothing = { table: new SourceTable({}, { statistics: true }), counts: new Map<string, never>() };

function made(options?: ConstructorParameters<typeof Sources>[3]) {
  const clock = new HandClock();
  const recorded: EventInput[] = [];
  const answers: unknown[] = [];
  const sources = new Sources(
    async (input) => {
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      recorded.push(input);
      return answer;
    },
    clock,
    async () => nothing,
    options,
  );
  return {
    clock,
    recorded,
    answers,
    sources,
    facts: () => recorded.map((input) => readSourceFact(sourceFactOf(input))),
  };
}

describe('sources', () => {
  it('records what is said of them', async () => {
    const { sources, clock, facts } = made();
    const now = clock.now();
    await sources.complete('s', now - 5, { lastSequence: 9 });
    await sources.declare('s');
    await sources.retire('s', { upTo: now - 1, channel: 'p0' });
    await sources.rejoin('s');
    expect(facts()).toMatchObject([
      { kind: 'complete', stream: 's', at: now - 5, lastSequence: 9 },
      { kind: 'declare', at: now },
      { kind: 'retire', at: now, upTo: now - 1, channel: 'p0' },
      { kind: 'rejoin', at: now },
    ]);
  });

  it('takes heartbeats as often as they come, and records one for each stretch of progress', async () => {
    const { sources, clock, facts, answers } = made({ heartbeatEveryMs: 1_000 });
    const beat = async (ms: number): Promise<boolean> => {
      clock.ms += ms;
      return sources.heartbeat('s');
    };
    expect([await beat(0), await beat(999), await beat(1), await beat(500)]).toEqual([true, false, true, false]);
    expect(await sources.heartbeat('s', { channel: 'other' })).toBe(true);
    expect(await sources.heartbeat('s', { at: clock.now() - 60_000 })).toBe(false);
    expect(facts()).toHaveLength(3);
    answers.push(new Error('down'));
    clock.ms += 5_000;
    await expect(sources.heartbeat('s')).rejects.toThrow('down');
    expect(await sources.heartbeat('s')).toBe(true);
  });

  it('refuses what is ahead of the clock, and passes on a rejection', async () => {
    const { sources, clock, recorded, answers } = made();
    const ahead = clock.now() + 60_001;
    for (const call of [
      () => sources.complete('s', ahead),
      () => sources.heartbeat('s', { at: ahead }),
      () => sources.retire('s', { upTo: ahead }),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'INVALID_TIME' });
    }
    await expect(sources.complete('\0', START)).rejects.toThrow(InvalidEventError);
    expect(recorded).toEqual([]);
    answers.push({ rejections: [{ reason: 'not here' }] });
    await expect(sources.declare('s')).rejects.toMatchObject({ code: 'REFUSED' });
    expect(() => made({ heartbeatEveryMs: 0 })).toThrow(/INVALID_OPTION/);
  });

  it('lists them with what is counted, through the bus and the feed', async () => {
    const { bus, store, clock } = world();
    const table = new SourceTable(
      { boundMs: 99, sources: [{ match: 's', sequenced: { from: 1 } }] },
      { statistics: true },
    );
    const sources = new Sources(
      (input) => bus.record(input),
      clock,
      async () => ({ table, counts: new Map([['s', { repeated: 2, conflicting: 1 }]]) }),
    );
    await bus.record({
      aggregateType: 'parcel',
      aggregateId: 'p1',
      name: 'received',
      at: clock.now() - 1_000,
      streamId: 's',
      sequence: 2,
      parameters: { depot: 'Lewisham' },
    });
    clock.ms += 10;
    await sources.complete('s', clock.now(), { lastSequence: 4 });
    await sources.declare('later');
    for (const fact of store.facts) table.take(fact);
    table.take(event('t', clock.now()));
    expect(await sources.list()).toMatchObject([
      { stream: 'later', expected: true, reported: false, holds: true, watermark: null },
      {
        stream: 's',
        repeated: 2,
        conflicting: 1,
        state: 'active',
        watermark: clock.now(),
        gaps: {
          missing: [
            [1, 1],
            [3, 4],
          ],
          count: 3,
        },
        statistics: { count: 1, lateness: { max: 1_000 }, lateAtReceipt: 0 },
      },
      { stream: 't' },
    ]);
    expect(await made().sources.list()).toEqual([]);
  });
});
