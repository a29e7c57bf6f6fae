/** Goal: notes in numbered records are what a map would hold, in no more records than there ever were notes. Method: generated commits, some of which fail, and a second one who takes over. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noteOf, NotePlaces, noteText } from '../src/note-places.js';

const key = fc.oneof(fc.constantFrom('a', 'b', 'c', 'd', 'é', '1:', ''), fc.string({ maxLength: 3 }));
const commits = fc.array(
  fc.record({
    notes: fc.uniqueArray(fc.tuple(key, fc.option(fc.integer())), { selector: ([k]) => k, maxLength: 6 }),
    fails: fc.boolean(),
    takenOver: fc.boolean(),
  }),
  { maxLength: 30 },
);

describe('places of notes', () => {
  it('hold what a map would', () => {
    fc.assert(
      fc.property(commits, (given) => {
        const model = new Map<string, number>();
        const records = new Map<number, string | undefined>();
        let places = new NotePlaces();
        let most = 0;
        for (const { notes, fails, takenOver } of given) {
          if (takenOver) {
            places = new NotePlaces();
            for (const [id, text] of records) places.add(id, text === undefined ? undefined : noteOf(text).key);
          }
          const texts = new Map(notes.map(([k, value]) => [k, value === null ? null : noteText(k, value)]));
          const plan = places.plan(texts);
          expect(places.plan(texts), 'planned again, as after a failure').toEqual(plan);
          if (fails) continue;
          const sizeBefore = model.size;
          for (const [id, text] of plan.writes) records.set(id, text);
          places.done(plan);
          expect(places.giveUp(), 'so few free ones are kept').toEqual([]);
          for (const [k, value] of notes) {
            if (value === null) model.delete(k);
            else model.set(k, value);
          }
          // Those that come in one commit cannot use what goes in it.
          most = Math.max(most, sizeBefore + notes.length);
          const held = [...records.values()].flatMap((text) => (text === undefined ? [] : [noteOf(text)]));
          expect(new Map(held.map(({ key, json }) => [key, JSON.parse(json) as number]))).toEqual(model);
          expect(held).toHaveLength(model.size);
          expect(records.size).toBeLessThanOrEqual(most);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('give up free records that are many more than those in use', () => {
    const places = new NotePlaces();
    const keys = Array.from({ length: 5_000 }, (_, i) => `k${i}`);
    places.done(places.plan(new Map(keys.map((k) => [k, noteText(k, 1)]))));
    expect(places.giveUp()).toEqual([]);
    places.done(places.plan(new Map(keys.slice(10).map((k) => [k, null]))));
    const gone = places.giveUp();
    expect(new Set(gone).size).toBe(3_990);
    const plan = places.plan(new Map(keys.map((k) => [`again ${k}`, noteText(k, 1)])));
    expect([...plan.writes.keys()].filter((id) => gone.includes(id))).toEqual([]);
  });
});
