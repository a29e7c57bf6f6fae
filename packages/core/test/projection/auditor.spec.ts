/** What is planted is found, whatever it is, and mended so that a second audit finds nothing and who follows changes agrees. */
import { describe, expect, it } from 'vitest';
import {
  Auditor,
  Fact,
  ViewMirror,
  type AuditFindingKind,
  type EventStore,
  type StoredRow,
  type ViewCommit,
} from '@concursus/core';
import { bulb, input, opened, plant, tampered, VIEW } from './audit-support.js';
import { ByRoom, Cell } from './rooms.js';
import { T, type World } from './support.js';

const planted: readonly (readonly [string, readonly AuditFindingKind[], (w: World) => Promise<Partial<ViewCommit>>])[] =
  [
    [
      'a row of nobody',
      ['orphan-row'],
      async () => ({
        rows: [
          {
            key: 'cellar',
            revision: 3,
            contributors: 1,
            fields: { switched: 1, bulbs: 1, most: 1, last: 1, rooms: [] },
          },
        ],
      }),
    ],
    [
      'a row that was changed by hand',
      ['row'],
      async (w) => {
        const [row] = await w.ports.viewStore.readRows(VIEW, ['hall']);
        return { rows: [{ ...row!, fields: { ...row!.fields, switched: 9_999 } }] };
      },
    ],
    [
      'a wrong number of contributors',
      ['row'],
      async (w) => {
        const [row] = await w.ports.viewStore.readRows(VIEW, ['hall']);
        return { rows: [{ ...row!, contributors: row!.contributors + 1 }] };
      },
    ],
    [
      'a row that is gone',
      ['missing-row'],
      async (w) => {
        const [row] = await w.ports.viewStore.readRows(VIEW, ['attic']);
        return { rows: [{ ...row!, contributors: 0 }] };
      },
    ],
    [
      'a contribution of an aggregate without a history',
      ['orphan-contribution'],
      async (w) => {
        const [value] = await w.ports.viewStore.readContributions(VIEW, [bulb(0)]);
        return { contributions: [{ aggregate: bulb(999), value: value! }] };
      },
    ],
    [
      'a contribution that is another’s',
      ['contribution'],
      async (w) => {
        const [value] = await w.ports.viewStore.readContributions(VIEW, [bulb(0)]);
        return { contributions: [{ aggregate: bulb(2), value: value! }] };
      },
    ],
    ['a contribution that is gone', ['contribution'], async () => ({ forget: [bulb(3)] })],
    [
      'a contribution that is none',
      ['contribution'],
      async () => ({ contributions: [{ aggregate: bulb(3), value: 7 }] }),
    ],
    [
      'an index entry too many',
      ['index'],
      async () => ({ indexAdd: [{ row: 'hall', field: 'most', order: 'nffff', value: 99 }] }),
    ],
    [
      'index entries of a row that never was',
      ['index'],
      async () => ({
        indexAdd: ['1', '2'].map((order) => ({ row: 'cellar', field: 'most', order, value: 99 })),
      }),
    ],
    [
      'index entries of a field that has no index',
      ['index'],
      async () => ({
        indexAdd: [
          { row: 'hall', field: 'colour', order: '1', value: 99 },
          { row: 'hall', field: 'switched', order: '1', value: 99 },
        ],
      }),
    ],
    [
      'an index entry too few',
      ['index'],
      async (w) => ({ indexRemove: await w.ports.viewStore.readIndex(VIEW, 'hall', 'most', { limit: 2 }) }),
    ],
  ];

describe('a full audit', () => {
  it('finds nothing where nothing is wrong', async () => {
    const { auditor, close } = await opened();
    const seen = new Set<string>();
    const report = await auditor.audit({ onProgress: ({ part }) => void seen.add(part) });
    expect(report).toMatchObject({ found: 0, complete: true, facts: 36, aggregates: 12 });
    expect(report.views).toMatchObject([{ view: 'spec', aggregates: 12, rows: 2, unjudged: 0 }]);
    expect(seen).toEqual(new Set(['contributions', 'rows']));
    await close();
  });

  it.each(planted)('finds and mends %s', async (_, kinds, make) => {
    const { w, auditor, view, rows, right, close } = await opened();
    await plant(w, await make(w));
    const mirror = await ViewMirror.of(view);
    const found = await auditor.audit();
    for (const kind of kinds) expect(found.findings.map((one) => one.kind)).toContain(kind);
    expect(found.findings.every(({ mended }) => mended === 'no')).toBe(true);

    const mended = await auditor.audit({ mend: true });
    expect(mended.found).toBe(found.found);
    expect(mended.findings.every(({ mended: how }) => how === 'commit')).toBe(true);
    expect((await auditor.audit()).findings).toEqual([]);
    expect(await rows()).toEqual(right);

    // And it goes on from there.
    await view.caughtUp(await w.bus.record([input(3, 'switchedOn', 99), input(2, 'burnt', 98)]));
    expect((await auditor.audit()).findings).toEqual([]);
    const last = await view.lastChange();
    for await (const change of mirror.sequence < last ? view.changes({ from: mirror.sequence }) : []) {
      mirror.apply(change);
      if (mirror.sequence === last) break;
    }
    expect(Object.fromEntries(mirror.rows())).toEqual(await rows());
    await close();
  });

  it('finds and mends what a row says of reports that are far ahead', async () => {
    const { w, auditor, view, close } = await opened();
    await view.caughtUp(await w.bus.record([input(0, 'switchedOn', 3e12), input(2, 'switchedOn', 3e12 + 1)]));
    expect((await auditor.audit()).findings).toEqual([]);
    const [row] = await w.ports.viewStore.readRows(VIEW, ['hall']);
    const [first, second] = row!.ahead!;
    const { ahead: _, ...unknowing } = row!;
    const wrong: StoredRow[] = [
      unknowing,
      { ...row!, ahead: [first!] },
      { ...row!, ahead: [second!, first!] },
      { ...row!, ahead: [first!, [second![0], second![1] + 1]] },
      { ...row!, ahead: [...row!.ahead!, ['\u0000bulb\u0000b1', T + 4e12]] },
      { ...row!, ahead: [...row!.ahead!, ['nobody', T + 4e12]] },
    ];
    for (const planted of wrong) {
      await plant(w, { rows: [planted] });
      const last = await view.lastChange();
      expect((await auditor.audit({ mend: true })).findings).toMatchObject([
        { kind: 'row', row: 'hall', mended: 'commit' },
      ]);
      expect((await auditor.audit()).findings).toEqual([]);
      expect(await w.ports.viewStore.readRows(VIEW, ['hall'])).toEqual([row]);
      expect(await view.lastChange()).toBe(last);
    }
    await close();
  });

  it('finds a history entry that the feed does not have, and one that the history lost', async () => {
    const { w, auditorOn, close } = await opened();
    const strange = new Fact(
      {
        tenant: '',
        aggregateType: 'bulb',
        aggregateId: 'b4',
        name: 'switchedOn',
        version: '0',
        eventTime: T + 1_000,
        streamId: '',
        sequence: -1,
        characteristics: 0,
        content: '{}',
      },
      '00000000-0000-1000-8000-000000000001',
      T,
    );
    const auditor = auditorOn(
      tampered(w.ports.eventStore, (id, facts) =>
        id === 'b4' ? [...facts, strange] : id === 'b5' ? facts.slice(1) : facts,
      ),
    );
    const report = await auditor.audit({ views: [] });
    expect(report.findings.map(({ kind, aggregate }) => [kind, aggregate?.id])).toEqual([
      ['not-in-feed', 'b4'],
      ['not-in-history', 'b5'],
    ]);
    // The real store has b5's fact, so that recording it again changes nothing; the strange one becomes a fact.
    const mended = await auditor.audit({ views: [], mend: true });
    expect(mended.findings.map((one) => one.mended)).toEqual(['recorded', 'no']);
    expect((await auditorOn(w.ports.eventStore).audit({ views: [] })).found).toBe(0);
    await close();
  });

  it('takes a share of the aggregates, and all of them with all seeds’ shares', async () => {
    const { w, auditor, close } = await opened();
    await plant(w, { forget: [bulb(3)] });
    let audited = 0;
    let found = 0;
    for (let seed = 0; seed < 30; seed++) {
      const report = await auditor.audit({ sample: 0.3, seed });
      audited += report.aggregates;
      if (report.findings.some(({ kind }) => kind === 'contribution')) found++;
    }
    expect(audited).toBeGreaterThan(30 * 12 * 0.15);
    expect(audited).toBeLessThan(30 * 12 * 0.45);
    expect(found).toBeGreaterThan(2);
    expect(found).toBeLessThan(25);
    await close();
  });

  it('leaves parked aggregates alone, ends with its signal, and refuses what it cannot do', async () => {
    const { auditor, close } = await opened();
    const ended = new AbortController();
    ended.abort();
    expect(await auditor.audit({ signal: ended.signal })).toMatchObject({ complete: false, found: 0 });
    await expect(auditor.audit({ sample: 0 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(auditor.audit({ views: ['none'] })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(() => auditor.start({ aggregatesPerSecond: 0 })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
    await close();
  });

  it('counts nothing that is only under way', async () => {
    const { w, auditorOn, view, close } = await opened();
    // Every history read gives the others their turn.
    const auditor = auditorOn(
      new Proxy(w.ports.eventStore, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target);
          if (typeof value !== 'function') return value;
          if (name !== 'read') return (value as (...args: unknown[]) => unknown).bind(target);
          return async function* (...args: Parameters<EventStore['read']>) {
            await new Promise((resolve) => setImmediate(resolve));
            yield* target.read(...args);
          };
        },
      }),
    );
    let recorded = 0;
    let ended = false;
    const recording = (async () => {
      while (!ended) {
        await w.bus.record([input(recorded % 12, 'switchedOn', 1_000 + recorded++)]);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    for (let n = 0; n < 20; n++) expect((await auditor.audit({ mend: true })).findings).toEqual([]);
    ended = true;
    await recording;
    expect(recorded).toBeGreaterThan(20);
    await view.caughtUp({ position: await w.ports.eventFeed.end() });
    expect((await auditor.audit()).findings).toEqual([]);
    await close();
  });

  it('has the view built anew where another process runs it', async () => {
    const { w, view, rows, right, close } = await opened();
    await plant(w, { forget: [bulb(3)] });
    const other = w.runner([w.model(ByRoom, Cell)], 'two');
    const auditor = new Auditor(w.parts('two'), other.runner, other.projections);
    const report = await auditor.audit({ mend: true });
    expect(report.findings[0]).toMatchObject({ kind: 'contribution', mended: 'rebuild' });
    for (let n = 0; n < 500 && (await other.projections.rebuilding('spec')) !== undefined; n++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect((await auditor.audit()).findings).toEqual([]);
    expect(await rows()).toEqual(right);
    expect(await view.lastChange()).toBeGreaterThan(0);
    await close();
  });
});
