/**
 * Law 9 against an omniscient model. A projection reads pages, cannot handle some aggregates for a while, is restarted, finds steps
 * undone: whenever `settledUpTo` is T, every event at or before T that was recorded by then and was no straggler is applied.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Fact } from '../../src/model/event.js';
import { Settlement } from '../../src/time/settlement.js';
import { SourceTable } from '../../src/time/source-table.js';
import { event, holds, Notes, said, START } from './support.js';

const BOUND = 100;
const options = { boundMs: BOUND - 1 };

interface Read {
  readonly fact: Fact;
  readonly straggler: boolean;
}

/** A projection as its runner drives it; `broken` aggregates cannot be handled. */
class Projection {
  table = new SourceTable(options);
  settlement = new Settlement();
  readonly notes = new Notes();
  readonly read: Read[] = [];
  readonly parked = new Set<string>();
  readonly broken = new Set<string>();

  page(facts: readonly Fact[], commits: boolean): void {
    const stragglers = facts.map((fact) => this.settlement.isStraggler(fact));
    const parks = new Set<string>();
    for (const fact of facts) {
      if (fact.aggregateType !== 'parcel') continue;
      if (this.parked.has(fact.aggregateId)) this.settlement.hold(fact.aggregateId, fact.eventTime);
      else if (this.broken.has(fact.aggregateId)) parks.add(fact.aggregateId);
    }
    for (const id of parks) {
      // Parking withdraws all that was applied of it.
      const all = [...this.read.map(({ fact }) => fact), ...facts];
      this.settlement.holdAll(
        id,
        all.filter((fact) => fact.aggregateId === id),
      );
    }
    for (const fact of facts) this.table.take(fact);
    this.settlement.advance(this.table.inputWatermark);
    if (!commits) {
      this.reload();
      return;
    }
    this.commit();
    facts.forEach((fact, i) => this.read.push({ fact, straggler: stragglers[i]! }));
    for (const id of parks) this.parked.add(id);
  }

  release(): void {
    for (const id of this.parked) {
      if (this.broken.has(id)) continue;
      this.parked.delete(id);
      this.settlement.release(id);
    }
    this.settlement.advance(this.table.inputWatermark);
    this.commit();
  }

  reload(): void {
    this.table = SourceTable.load(options, this.notes.read());
    this.settlement = new Settlement(this.notes.read());
  }

  private commit(): void {
    this.notes.write([...this.table.changes(), ...this.settlement.changes()]);
    this.table.saved();
    this.settlement.saved();
  }
}

const step = fc.record({
  kind: fc.constantFrom('events', 'events', 'events', 'break', 'mend', 'release', 'restart', 'undone'),
  id: fc.constantFrom('p1', 'p2', 'p3'),
  events: fc.array(
    fc.record({
      id: fc.constantFrom('p1', 'p2', 'p3'),
      stream: fc.constantFrom('a', 'b'),
      delay: fc.oneof(fc.nat({ max: BOUND - 1 }), fc.nat({ max: 5 * BOUND })),
      pass: fc.nat({ max: 40 }),
    }),
    { maxLength: 6 },
  ),
});

describe('settled', () => {
  it('means settled, whatever is parked, released, restarted or undone', () => {
    holds(
      'law 9',
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const projection = new Projection();
        let now = START;
        let settled = -Infinity;
        for (const { kind, id, events } of steps) {
          const before = projection.settlement.settledUpTo;
          if (kind === 'events' || kind === 'undone') {
            const facts = events.map((one) => event(one.stream, (now += one.pass) - one.delay, now, { id: one.id }));
            projection.page(facts, kind === 'events');
          } else if (kind === 'break') projection.broken.add(id);
          else if (kind === 'mend') projection.broken.delete(id);
          else if (kind === 'release') projection.release();
          else projection.reload();
          const upTo = projection.settlement.settledUpTo;
          expect(upTo).toBeGreaterThanOrEqual(settled);
          expect(upTo).toBeLessThanOrEqual(projection.table.inputWatermark);
          settled = upTo;
          for (const { fact, straggler } of projection.read) {
            // What it passed in this step is applied.
            if (fact.aggregateType !== 'parcel' || straggler || fact.eventTime <= before || fact.eventTime > upTo)
              continue;
            expect(projection.parked.has(fact.aggregateId)).toBe(false);
          }
        }
        projection.broken.clear();
        projection.release();
        now += 1_000;
        projection.page([said.complete('a', now), said.complete('b', now)], true);
        expect(projection.settlement.settledUpTo).toBe(now);
        expect(projection.settlement.parked()).toEqual([]);
      }),
      500,
    );
  });
});
