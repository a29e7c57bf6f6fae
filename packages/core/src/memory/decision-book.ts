/** The decisions of one in-memory context: how they stand of each aggregate, and what each command was answered. */
import { aggregateKeyText, type AggregateKey } from '../model/event.js';
import { UNDECIDED, type DecisionAppend, type DecisionState } from '../ports/decision.js';

interface Page extends DecisionState {
  /** By command id. */
  readonly answers: Map<string, string>;
}

export class DecisionBook {
  private readonly pages = new Map<string, Page>();

  stateOf(aggregate: AggregateKey): DecisionState {
    return this.pageOf(aggregate) ?? UNDECIDED;
  }

  /** What a command was answered; undefined when it was not decided. */
  answerOf(aggregate: AggregateKey, commandId: string): string | undefined {
    return this.pageOf(aggregate)?.answers.get(commandId);
  }

  /** @returns the head that it makes */
  add({ aggregate, commandId, result, epoch = 0 }: DecisionAppend): number {
    const text = textOf(aggregate);
    const page = this.pages.get(text) ?? { ...UNDECIDED, answers: new Map<string, string>() };
    page.answers.set(commandId, result);
    const head = page.head + 1;
    this.pages.set(text, { head, epoch, answers: page.answers });
    return head;
  }

  private pageOf(aggregate: AggregateKey): Page | undefined {
    return this.pages.get(textOf(aggregate));
  }
}

function textOf({ tenant, type, id }: AggregateKey): string {
  return aggregateKeyText(tenant, type, id);
}
