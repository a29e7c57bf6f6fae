/** What becomes of the facts of a group, from what is known of their histories: outcomes, processing times and ids. No I/O. */
import {
  aggregateKeyText,
  Fact,
  formatProcessingId,
  type Append,
  type AppendOutcome,
  type AppendResult,
  type ProcessingTime,
} from '@concursus/core';
import type { Epoch } from './epoch.js';
import type { LoggedFact } from './feed-row.js';
import type { KnownHistory } from './known-facts.js';
import { BEFORE_ALL, later, TimePosition } from './processing-times.js';
import { Counted } from './repeat-counts.js';

/** What was decided for a group. */
export interface Decision {
  readonly logged: readonly LoggedFact[];
  /** Of each logged fact its place in the answers. */
  readonly answers: readonly { readonly outcomes: AppendOutcome[]; readonly index: number }[];
  readonly counted: Counted;
  readonly results: readonly (readonly AppendResult[])[];
}

/** As `aggregateKeyText` names the aggregate of a fact. */
export const textOf = (fact: Fact): string => aggregateKeyText(fact.tenant, fact.aggregateType, fact.aggregateId);

/** Gives times to what is new, in the order of the calls, and stamps it. Facts of one group know of each other. */
export function decide(
  calls: readonly (readonly Append[])[],
  histories: ReadonlyMap<string, KnownHistory>,
  epoch: Epoch,
): Decision {
  const logged: LoggedFact[] = [];
  const answers: { outcomes: AppendOutcome[]; index: number }[] = [];
  const counted = new Counted();
  const results = calls.map((appends) =>
    appends.map((append): AppendResult => {
      const outcomes: AppendOutcome[] = [];
      let position: ProcessingTime = BEFORE_ALL;
      let time: ProcessingTime | undefined;
      let index = 0;
      for (const fact of append.facts) {
        const history = histories.get(textOf(fact))!;
        const contents = history.contentsOf(fact);
        const found = contents?.get(fact.digest);
        if (found !== undefined) {
          outcomes.push('repeated');
          counted.repeated(fact);
          position = later(position, found);
          continue;
        }
        const outcome = contents === undefined ? 'recorded' : 'conflicting';
        outcomes.push(outcome);
        if (outcome === 'conflicting') counted.conflicting(fact);
        time ??= epoch.next(append.receivedAt);
        position = later(position, time);
        // A fact stamped by another store stays that store's.
        const stored = fact.processingId === '' ? fact : new Fact(fact);
        stored.processingId = formatProcessingId(time, index, epoch.node);
        stored.processedAt = time.ms;
        logged.push({ fact: stored, time, index, late: history.isBehind(fact) });
        answers.push({ outcomes, index: outcomes.length - 1 });
        index += 1;
        history.add(stored, time);
      }
      return { outcomes, position: new TimePosition(position) };
    }),
  );
  return { logged, answers, counted, results };
}

/** What was stamped under an epoch that was lost goes back to whoever gave it, as it came. */
export function unstamp(logged: readonly LoggedFact[]): void {
  for (const { fact } of logged) {
    fact.processingId = '';
    fact.processedAt = -1;
  }
}
