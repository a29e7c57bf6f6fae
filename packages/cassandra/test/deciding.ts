/** What specs of decisions and the processes they start share: one aggregate, one decision, and a counter that is decided. */
import type { AggregateKey, DecisionAnswer, DecisionAppend, Fact, Layer } from '@concursus/core';
import { factOf } from '@concursus/testing';

export const P1: AggregateKey = { tenant: '', type: 'parcel', id: 'p1' };

/** The decision of a command "c1" on an empty head, with all that an event can have. */
export function theDecision(more: Partial<DecisionAppend> = {}): DecisionAppend {
  const facts = [
    factOf({ at: 1, stream: 'decide', sequence: 1, parameters: { text: 'ü"\\' }, metadata: { correlationId: 'k' } }),
    factOf({ at: 2, characteristics: 2, version: '3' }),
  ];
  return { aggregate: P1, head: 0, commandId: 'c1', facts, result: '{"ok":true}', receivedAt: Date.now(), ...more };
}

export async function historyOf(layer: Layer<'persistent'>): Promise<readonly Fact[]> {
  return (await layer.ports.eventStore.readMany([P1]))[0]!;
}

/** Decides that the next number has come, until the command is decided or was before. */
export async function countOne(layer: Layer<'persistent'>, commandId: string): Promise<DecisionAnswer> {
  const { eventStore } = layer.ports;
  for (;;) {
    const head = await eventStore.readHead(P1);
    const at = (await historyOf(layer)).length;
    const facts = [factOf({ at, parameters: { commandId } })];
    const answer = await eventStore.decide({
      aggregate: P1,
      head,
      commandId,
      facts,
      result: `${at}`,
      receivedAt: Date.now(),
    });
    if (answer.outcome !== 'stale') return answer;
  }
}
