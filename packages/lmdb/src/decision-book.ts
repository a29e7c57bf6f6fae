/**
 * The decisions of one context: how they stand of each aggregate, and what each command was answered. Read and written in the
 * write transaction that records their events, so that all of it counts or nothing.
 */
import { UNDECIDED, type AggregateKey, type DecisionAppend, type DecisionState } from '@concursus/core';
import type { Texts } from './environment.js';
import { KeyWriter } from './keys.js';
import type { Session } from './session.js';

const keys = new KeyWriter();

/** An aggregate's state stands before its answers: no command id is empty. */
function key({ tenant, type, id }: AggregateKey, commandId: string): Buffer {
  return keys.start().text(tenant).text(type).text(id).tail(commandId).view();
}

export class DecisionBook {
  constructor(private readonly session: Session) {}

  private get rows(): Texts {
    return this.session.env.texts(this.session.context, 'decisions');
  }

  /** As the transaction or snapshot in hand sees it. */
  stateOf(aggregate: AggregateKey): DecisionState {
    const text = this.rows.get(key(aggregate, ''));
    return text === undefined ? UNDECIDED : (JSON.parse(text) as DecisionState);
  }

  /** What a command was answered; undefined when it was not decided. */
  answerOf(aggregate: AggregateKey, commandId: string): string | undefined {
    return this.rows.get(key(aggregate, commandId));
  }

  /** @returns the head that it makes */
  add({ aggregate, commandId, result, epoch = 0 }: DecisionAppend): number {
    const state: DecisionState = { head: this.stateOf(aggregate).head + 1, epoch };
    this.rows.putSync(key(aggregate, ''), JSON.stringify(state));
    this.rows.putSync(key(aggregate, commandId), result);
    return state.head;
  }
}
