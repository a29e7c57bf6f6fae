/**
 * A decision: events that an aggregate's own rules let through, recorded on the condition that nobody decided in between.
 * What a store is asked and what it answers, and the judgement that is the same in every store.
 */
import { InvalidEventError } from '../model/errors.js';
import type { AggregateKey, Fact } from '../model/event.js';
import { checkCommandId } from '../model/identity.js';
import { limits } from '../model/limits.js';
import type { Position } from '../model/position.js';
import { utf8Length } from '../model/text.js';
import { leaseLost } from './checkpoint-store.js';

/** What a command asks to be recorded of one aggregate, with the answer that it gets. */
export interface DecisionAppend {
  readonly aggregate: AggregateKey;
  /** The head that it was decided on, as `readHead` or an answer told it: the number of the decision before, 0 when it is the first. */
  readonly head: number;
  /** Who sends the same command again sends the same id. 1 to 512 bytes, of this aggregate only. */
  readonly commandId: string;
  /** Of this aggregate, not yet logged: up to `limits.decisionEvents`, of `limits.decisionBytes` together. None is a decision, too. */
  readonly facts: readonly Fact[];
  /** What the command is answered, now and whenever it comes again: a text of at most `limits.decisionResultBytes`. */
  readonly result: string;
  /** Of who decides, where one process owns the aggregate at a time. Default 0. One below that of a former decision is refused. */
  readonly epoch?: number;
  /** When it reached the log, epoch ms: see `Append.receivedAt`. */
  readonly receivedAt: number;
}

/**
 * What became of a decision; `head` is how it stands now.
 * - `decided`: it counts, its events are recorded. `position` covers them.
 * - `answered`: its command id was decided before, on this head or an older one; nothing was recorded, `result` is that answer.
 * - `stale`: somebody decided in between; nothing of it is stored. Read the history again, decide again.
 */
export type DecisionAnswer =
  | { readonly outcome: 'decided'; readonly result: string; readonly head: number; readonly position: Position }
  | { readonly outcome: 'answered'; readonly result: string; readonly head: number }
  | { readonly outcome: 'stale'; readonly head: number };

/** How the decisions of an aggregate stand, as its store keeps it. */
export interface DecisionState {
  /** Their number. */
  readonly head: number;
  /** The greatest one that decided. */
  readonly epoch: number;
}

/** Before the first decision. */
export const UNDECIDED: DecisionState = Object.freeze({ head: 0, epoch: 0 });

/**
 * Refuses what no store takes, before anything of it is stored.
 * @throws InvalidEventError `INVALID_ID` (command id), `INVALID_TEXT` (result), `INVALID_ARGUMENT` (head, epoch, or an event of
 * another aggregate), `LIMIT_EXCEEDED`
 */
export function checkDecision(decision: DecisionAppend): void {
  const { aggregate, facts, result } = decision;
  checkCommandId(decision.commandId);
  for (const name of ['head', 'epoch'] as const) {
    const value = decision[name] ?? 0;
    if (Number.isSafeInteger(value) && value >= 0) continue;
    throw new InvalidEventError('INVALID_ARGUMENT', `The ${name} of a decision is ${value}.`, {
      fix: 'Give a whole number from 0: the head as it was read, the epoch of the owner.',
    });
  }
  if (facts.length > limits.decisionEvents) tooMuch(`${facts.length} events`, `${limits.decisionEvents}`);
  let bytes = 0;
  for (const fact of facts) {
    if (
      fact.aggregateId !== aggregate.id ||
      fact.aggregateType !== aggregate.type ||
      fact.tenant !== aggregate.tenant
    ) {
      throw new InvalidEventError(
        'INVALID_ARGUMENT',
        `A decision of ${aggregate.type} ${aggregate.id} holds an event of ${fact.aggregateType} ${fact.aggregateId}.`,
        { fix: 'Decide of one aggregate at a time; record what follows for others as facts.' },
      );
    }
    bytes += utf8Length(fact.content);
    if (fact.metadata !== undefined) bytes += utf8Length(JSON.stringify(fact.metadata));
  }
  if (bytes > limits.decisionBytes) tooMuch(`events of ${bytes} bytes`, `${limits.decisionBytes} bytes`);
  if (!result.isWellFormed()) {
    throw new InvalidEventError('INVALID_TEXT', 'The result of a decision holds a lone surrogate.', {
      fix: 'Give well-formed Unicode text: UTF-8 cannot express half a character.',
    });
  }
  const answered = utf8Length(result);
  if (answered > limits.decisionResultBytes) {
    tooMuch(`a result of ${answered} bytes`, `${limits.decisionResultBytes} bytes`);
  }
}

function tooMuch(what: string, allowed: string): never {
  throw new InvalidEventError('LIMIT_EXCEEDED', `A decision has ${what}; ${allowed} are allowed.`, {
    fix: 'Decide less at once, or record the mass of it as facts.',
  });
}

/**
 * The answer that is due without deciding; undefined when the decision may be made.
 * @param answered what its command id was answered before
 * @throws ConflictError `LEASE_LOST` when somebody with a greater epoch decided before
 */
export function answerBefore(
  decision: DecisionAppend,
  state: DecisionState,
  answered: string | undefined,
): DecisionAnswer | undefined {
  const { head } = state;
  if (answered !== undefined) return { outcome: 'answered', result: answered, head };
  const { aggregate, epoch = 0 } = decision;
  if (epoch < state.epoch) throw leaseLost(`${aggregate.type}/${aggregate.id}`, epoch, state.epoch);
  return decision.head === head ? undefined : { outcome: 'stale', head };
}
