/** The rules of watermarks one by one: what moves them, what holds them, who joins, leaves and comes back. */
import { describe, expect, it } from 'vitest';
import { SourceTable } from '../../src/time/source-table.js';
import { SOURCE_NOTES, SOURCE_STATISTICS_NOTES } from '../../src/time/source.js';
import { amendment, event, Notes, said, START } from './support.js';

const bound = { boundMs: 99 };
const view = (table: SourceTable, stream: string, channel = '') =>
  table.sources().find((one) => one.stream === stream && one.channel === channel);

function fed(options: ConstructorParameters<typeof SourceTable>[0], ...facts: Parameters<SourceTable['take']>[0][]) {
  const table = new SourceTable(options);
  for (const fact of facts) table.take(fact);
  return table;
}

describe('a source', () => {
  it('settles nothing before it is there', () => {
    expect(new SourceTable().inputWatermark).toBe(-Infinity);
    expect(new SourceTable().sources()).toEqual([]);
  });

  it('is as far as its newest event, heartbeat or marker allows, and never falls', () => {
    const table = fed(bound, event('s', START));
    expect(table.inputWatermark).toBe(START - 100);
    table.take(event('s', START - 99, START));
    expect(table.inputWatermark).toBe(START - 100);
    table.take(said.heartbeat('s', START + 50));
    expect(table.inputWatermark).toBe(START - 50);
    table.take(said.complete('s', START + 10, START + 60));
    expect(table.inputWatermark).toBe(START + 10);
    table.take(said.complete('s', START, START + 70));
    expect(view(table, 's')).toMatchObject({
      watermark: START + 10,
      marker: START + 10,
      heartbeat: START + 50,
      newestEventTime: START,
      lastProcessedAt: START + 70,
      holds: true,
    });
  });

  it('holds what others settle while it is silent, until a marker, a heartbeat, a proof of idleness or its retirement', () => {
    const releases = [
      said.complete('silent', START + 10_000),
      said.heartbeat('silent', START + 10_000),
      said.idle('silent', START + 10_000),
      said.retire('silent', START + 10_000),
    ];
    for (const release of releases) {
      const table = fed(bound, event('silent', START), event('other', START), event('other', START + 10_000));
      expect(table.inputWatermark).toBe(START - 100);
      table.take(release);
      expect(table.inputWatermark).toBe(START + 9_900);
    }
  });

  it('is a channel of its stream: the stream is as far as the last of its channels', () => {
    const table = fed(bound, event('s', START, START, { channel: 'p0' }));
    table.take(event('s', START + 500, START + 500, { channel: 'p1' }));
    expect(table.inputWatermark).toBe(START - 100);
    expect(table.watermarkOf('s')).toBe(START - 100);
    table.take(event('s', START + 600, START + 600, { channel: 'p0' }));
    expect(table.watermarkOf('s')).toBe(START + 400);
    expect(table.watermarkOf('unknown')).toBe(-Infinity);
    expect(table.inputWatermark).toBe(START + 400);
    table.take(said.complete('s', START + 700, START + 700, 'p0'));
    expect(view(table, 's', 'p1')).toMatchObject({ marker: null });
    // Without a channel of that name the whole stream is meant.
    table.take(said.complete('s', START + 800));
    expect(table.inputWatermark).toBe(START + 800);
    expect(view(table, 's')).toBeUndefined();
  });

  it('whose clock is ahead is flagged, and moves nothing at all', () => {
    const table = fed(bound, event('s', START), event('t', START));
    table.take(event('s', START + 60_001, START));
    table.take(event('never', Date.UTC(2099, 0, 1), START));
    table.take(said.complete('t', START + 60_001, START));
    table.take(said.heartbeat('t', Date.UTC(2099, 0, 1), START));
    table.take(said.retire('t', START, Date.UTC(2099, 0, 1)));
    expect(table.inputWatermark).toBe(START - 100);
    expect(table.greatestEventTime).toBe(START);
    expect(table.sources().map((one) => [one.stream, one.future, one.holds])).toEqual([
      ['never', 1, false],
      ['s', 1, true],
      ['t', 3, true],
    ]);
    table.take(event('s', START + 60_000, START));
    expect(view(table, 's')).toMatchObject({ newestEventTime: START + 60_000 });
  });

  it('counts a correction at the earlier of old and corrected time, and is neither made nor brought back by one', () => {
    const table = fed(bound, event('s', START), amendment('clerk', START - 1e6, START - 2e6, START));
    expect(table.sources().map(({ stream }) => stream)).toEqual(['s']);
    table.take(amendment('s', START + 1_000, START + 50, START + 1_000));
    expect(table.inputWatermark).toBe(START - 50);
    table.take(said.retire('s', START + 2_000));
    table.take(amendment('s', START + 1_000, START + 60, START + 3_000));
    expect(view(table, 's')).toMatchObject({ state: 'retired' });
  });
});

describe('what is missing of a source', () => {
  it('counts the number of a correction too, also before the source sent its first event, and over a restart', () => {
    const time = { sources: [{ match: 's', sequenced: { from: 0 } }] };
    const numbered = [
      amendment('s', START, START + 1, START, 0),
      event('s', START + 1, START + 1, { sequence: 1 }),
      event('s', START + 2, START + 2, { sequence: 3 }),
    ];
    for (const order of [
      [0, 1, 2],
      [1, 0, 2],
      [1, 2, 0],
    ]) {
      let table = new SourceTable(time, { statistics: true });
      const notes = new Notes();
      for (const n of order) {
        table.take(numbered[n]!);
        notes.write(table.changes());
        table = SourceTable.load(time, notes.read(), { statistics: true });
      }
      expect(table.gaps()).toEqual([{ stream: 's', missing: [[2, 2]], count: 1, upTo: 3 }]);
    }
  });
});

describe('an idle source', () => {
  it('is out until its next event, which does not take back what settled', () => {
    const table = fed(bound, event('idle', START), event('other', START));
    table.take(said.idle('idle', START + 1_000));
    table.take(event('other', START + 5_000));
    expect(table.inputWatermark).toBe(START + 4_900);
    table.take(event('idle', START + 2_000, START + 6_000));
    expect(table.inputWatermark).toBe(START + 4_900);
    table.take(event('other', START + 9_000));
    expect(table.inputWatermark).toBe(START + 4_900);
    table.take(event('idle', START + 9_000));
    expect(table.inputWatermark).toBe(START + 8_900);
  });

  it('is not made by a proof that an event has overtaken', () => {
    const table = fed(bound, event('s', START), event('s', START + 20, START + 20));
    table.take(said.idle('s', START + 20, START + 30));
    expect(view(table, 's')).toMatchObject({ state: 'active' });
    table.take(said.idle('s', START + 21, START + 40));
    expect(view(table, 's')).toMatchObject({ state: 'idle', idleProvenAt: START + 21 });
  });

  it('may be one that never sent anything', () => {
    const table = fed({ ...bound, expected: ['never'] }, event('s', START));
    expect(table.inputWatermark).toBe(-Infinity);
    table.take(said.idle('never', START + 5));
    expect(table.inputWatermark).toBe(START - 100);
  });

  it('that is the only one goes on with its proofs less its bound, not beyond the newest event', () => {
    const table = fed(bound, event('s', START));
    table.take(said.idle('s', START + 40));
    expect(table.inputWatermark).toBe(START - 60);
    table.take(said.idle('s', START + 70));
    expect(table.inputWatermark).toBe(START - 30);
    table.take(said.idle('s', START + 5_000));
    expect(table.inputWatermark).toBe(START);
    // A deadline beyond all events needs a word of the source.
    table.take(said.heartbeat('s', START + 6_000));
    expect(table.inputWatermark).toBe(START + 5_900);
    expect(view(table, 's')).toMatchObject({ state: 'idle' });
  });
});

describe('a retired source', () => {
  it('holds nothing, and when all are retired the greatest event time is settled', () => {
    const table = fed(bound, event('a', START), event('b', START + 300));
    table.take(said.retire('a', START + 400));
    expect(table.inputWatermark).toBe(START + 200);
    table.take(said.retire('b', START + 400));
    expect(table.inputWatermark).toBe(START + 300);
    expect(Number.isFinite(table.inputWatermark)).toBe(true);
  });

  it('that was corrected at a later time has its newest event settled all the same', () => {
    const table = fed(bound, event('s', START), amendment('s', START + 500, START + 400, START + 500));
    table.take(event('s', START + 350));
    table.take(said.retire('s', START + 360));
    expect(table.inputWatermark).toBe(START + 350);
  });

  it('rejoins at its next event, at the input watermark, also when it retired twice', () => {
    const table = fed(bound, event('a', START), event('b', START + 1_000), said.retire('a', START + 1_000));
    expect(table.inputWatermark).toBe(START + 900);
    table.take(event('a', START + 500, START + 1_100));
    expect(view(table, 'a')).toMatchObject({ state: 'active', watermark: START + 900 });
    table.take(said.retire('a', START + 1_200));
    table.take(said.rejoin('a', START + 1_300));
    expect(view(table, 'a')).toMatchObject({ state: 'active', watermark: START + 900, holds: true });
  });

  it('is one that its policy lets expire: when it holds and was silent for so long in processing time', () => {
    const options = { ...bound, sources: [{ match: 'kiosk-*', expireAfterMs: 1_000 }] };
    const table = fed(options, event('kiosk-1', START), event('s', START + 1_000));
    expect(table.inputWatermark).toBe(START - 100);
    table.take(event('s', START + 1_001));
    expect(view(table, 'kiosk-1')).toMatchObject({ state: 'retired' });
    expect(table.inputWatermark).toBe(START + 901);
  });
});

describe('a new source', () => {
  it('holds from its first event on, at its own watermark or at that of all', () => {
    for (const newSources of ['hold', 'join'] as const) {
      const table = fed({ ...bound, newSources }, event('a', START), event('b', START - 5_000, START));
      expect(view(table, 'b')?.watermark).toBe(newSources === 'hold' ? START - 5_100 : START - 100);
      table.take(event('a', START + 1_000));
      expect(table.inputWatermark).toBe(START - 100);
    }
  });

  it('that is expected or declared holds before it sends anything, through whichever channel it comes', () => {
    for (const how of ['expected', 'declared']) {
      const table = new SourceTable({ ...bound, ...(how === 'expected' ? { expected: ['x'] } : {}) });
      if (how === 'declared') table.take(said.declare('x', START));
      table.take(event('s', START));
      expect(view(table, 'x')).toMatchObject({ expected: true, reported: false, holds: true, watermark: null });
      table.take(event('x', Date.UTC(2099, 0, 1), START, { channel: 'p3' }));
      expect(view(table, 'x')).toMatchObject({ reported: false, holds: true, future: 1 });
      const notes = new Notes();
      notes.write(table.changes());
      table.saved();
      table.take(event('x', START, START, { channel: 'p3' }));
      expect(view(table, 'x')).toBeUndefined();
      expect(view(table, 'x', 'p3')).toMatchObject({ expected: true, reported: true, future: 1 });
      expect(table.inputWatermark).toBe(START - 100);
      notes.write(table.changes());
      const again = SourceTable.load({ ...bound, ...(how === 'expected' ? { expected: ['x'] } : {}) }, notes.read());
      expect(again.sources()).toEqual(table.sources());
      expect(again.notes()).toEqual(table.notes());
    }
  });
});

describe('what is saved', () => {
  it('is what changed, under two prefixes, and no more than watermarks need without statistics', () => {
    const table = new SourceTable({ sources: [{ match: 's', sequenced: true }] }, { statistics: true });
    table.take(event('s', START, START, { sequence: 1 }));
    table.take(event('t', START, START));
    const keys = (): string[] => table.changes().map(({ key }) => key.replaceAll('\0', '|'));
    expect(keys()).toEqual([
      SOURCE_NOTES,
      `${SOURCE_NOTES}s|`,
      `${SOURCE_STATISTICS_NOTES}s/s|`,
      `${SOURCE_NOTES}t|`,
      `${SOURCE_STATISTICS_NOTES}s/t|`,
      `${SOURCE_STATISTICS_NOTES}g/s`,
    ]);
    table.saved();
    expect(keys()).toEqual([]);
    table.take(event('t', START + 1, START + 1));
    expect(keys()).toEqual([SOURCE_NOTES, `${SOURCE_NOTES}t|`, `${SOURCE_STATISTICS_NOTES}s/t|`]);
    const notes = table.notes();
    const again = SourceTable.load({ sources: [{ match: 's', sequenced: true }] }, notes, { statistics: true });
    expect(again.notes()).toEqual(notes);
    expect(again.sources()).toEqual(table.sources());
    expect(again.gaps()).toEqual(table.gaps());
    const plain = new SourceTable();
    plain.take(event('s', START));
    expect(plain.changes()).toEqual([
      { key: SOURCE_NOTES, value: { input: START - 86_400_001, greatest: START } },
      {
        key: `${SOURCE_NOTES}s\0`,
        value: { stream: 's', w: START - 86_400_001, newest: START, eventAt: START, seenAt: START, reported: true },
      },
    ]);
  });

  it('has keys a store can hold, also of long streams and channels', () => {
    const table = fed({}, event('s'.repeat(256), START, START, { channel: '\u{1F600}'.repeat(256) }));
    for (const { key } of table.changes()) expect(key.length).toBeLessThan(400);
    expect(SourceTable.load({}, table.notes()).sources()).toEqual(table.sources());
  });

  it('keeps what settled when a longer bound, or a source that must report, is configured later', () => {
    const table = fed(bound, event('s', START));
    const later = SourceTable.load({ boundMs: 999, expected: ['x'] }, table.notes());
    expect(later.inputWatermark).toBe(START - 100);
    later.take(event('s', START + 5_000));
    expect(later.inputWatermark).toBe(START - 100);
    const without = SourceTable.load({ boundMs: 999 }, later.notes());
    expect(without.inputWatermark).toBe(START + 4_000);
  });
});
