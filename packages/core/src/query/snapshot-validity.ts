/**
 * When a snapshot may stand for what it folded. This file is the whole rule; every use goes through it, each time.
 *
 * A snapshot folds all initial and `@Ordered` events and the plain ones up to `through`, as recorded up to `newest`. For a
 * read of what happened up to T, as known at P, it holds when
 *
 * 1. nothing in it happened after T, and nothing of it was recorded after P (`covers`);
 * 2. nothing recorded behind `newest` and known at P folds at or before its end, or corrects what does (`isOvertaken`);
 * 3. nothing recorded behind `newest` stands where amendments known then bring events into it from behind its end
 *    (`hasNewcomers`): such an event may come at the end of the history and be listed nowhere;
 * 4. the history behind its end has no initial or `@Ordered` event recorded behind `newest` (`foldsBefore`, while it is read).
 *
 * Why `EventStore.readLate` is enough for 2: when the snapshot was laid, a fact with a later event time than `through` was
 * known. So whatever is recorded later at or before `through` is recorded behind a later key, and that is what it lists.
 * In doubt a snapshot does not hold: it costs time, never truth.
 */
import type { AggregateModel } from '../mapping/event-registry.js';
import { correctionOf, effectTimeOf, isCorrection } from '../model/correction.js';
import type { Rulings } from '../model/effective-facts.js';
import type { Fact } from '../model/event.js';
import { RANK_PLAIN } from '../model/event-order.js';
import { compareProcessingIds, compareProcessingTime, type ProcessingTime } from '../model/processing-id.js';
import type { Rung } from './snapshot-form.js';

/** Rule 1. @param through event time, inclusive; Infinity for all · @param knownAt undefined for all that is recorded */
export function covers(rung: Rung, through: number, knownAt: ProcessingTime | undefined): boolean {
  return rung.eventTimeMax <= through && (knownAt === undefined || compareProcessingTime(rung.recorded, knownAt) <= 0);
}

/** Rule 2. @param late from `readLate` with an `after` below `rung.recorded`; what the snapshot took into account is passed over */
export function isOvertaken(model: AggregateModel, rung: Rung, late: readonly Fact[]): boolean {
  return late.some(
    (fact) =>
      isNewer(rung, fact) && (effectTimeOf(fact) <= rung.through || placeOf(model, targetName(fact)) < RANK_PLAIN),
  );
}

/** Rule 3. @param facts those that stand at the times of `rung.origins` */
export function hasNewcomers(rung: Rung, facts: readonly Fact[]): boolean {
  return facts.some((fact) => isNewer(rung, fact));
}

/** Rule 4. */
export function foldsBefore(model: AggregateModel, rung: Rung, fact: Fact): boolean {
  return placeOf(model, fact.name) < RANK_PLAIN && isNewer(rung, fact);
}

/** Event times behind this one from which amendments bring events to it or before it, ascending. */
export function originsOf(rulings: Rulings, through: number): readonly number[] {
  const origins = new Set<number>();
  for (const { from, to } of rulings.moves) if (from > through && to <= through) origins.add(from);
  return [...origins].sort((a, b) => a - b);
}

/** Where events of a name fold: those of a name the aggregate does not know change no state and stand among the plain ones. */
export function placeOf(model: AggregateModel, name: string): number {
  return model.events.get(name)?.rank ?? RANK_PLAIN;
}

function isNewer(rung: Rung, fact: Fact): boolean {
  if (fact.processedAt !== rung.recorded.ms) return fact.processedAt > rung.recorded.ms;
  return compareProcessingIds(fact.processingId, rung.newest.id) > 0;
}

function targetName(fact: Fact): string {
  return isCorrection(fact) ? correctionOf(fact).target.name : fact.name;
}
