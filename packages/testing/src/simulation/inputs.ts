/** A draft as whoever sends it hands it to the bus. */
import { correctionEvent, sourceFacts, type EventInput } from '@concursus/core';
import { contentOf, countedOf } from './model.js';
import type { Draft } from './plan.js';
import { EPOCH_MS } from './sim-clock.js';

/** @param turned keys in the other order: content does not depend on it */
export function inputOf(draft: Draft, turned: boolean): EventInput {
  if (draft.kind === 'marker') {
    const at = EPOCH_MS + draft.time;
    if (draft.says === 'heartbeat') return sourceFacts.heartbeat(draft.stream, { at });
    return draft.says === 'complete'
      ? sourceFacts.complete(draft.stream, { upTo: at })
      : sourceFacts.retire(draft.stream, { at, upTo: at });
  }
  if (draft.kind === 'correction') {
    const { target } = draft;
    return correctionEvent({
      aggregateType: 'thing',
      aggregateId: draft.id,
      kind: draft.does,
      target: {
        at: EPOCH_MS + target.time,
        streamId: target.stream,
        sequence: target.sequence,
        name: target.name,
        ...(draft.exact ? { digest: countedOf(target).digest } : {}),
      },
      decidedAt: EPOCH_MS + draft.decidedAt,
      streamId: draft.stream,
      sequence: draft.sequence,
      ...(draft.time === undefined ? {} : { at: EPOCH_MS + draft.time }),
      ...(draft.says === undefined
        ? {}
        : { parameters: JSON.parse(contentOf(draft.says, target.name)) as Record<string, unknown> }),
    });
  }
  const { who, amount } = draft;
  const says = turned ? { amount, who } : { who, amount };
  return {
    aggregateType: 'thing',
    aggregateId: draft.id,
    name: draft.name,
    at: EPOCH_MS + draft.time,
    streamId: draft.stream,
    sequence: draft.sequence,
    parameters: draft.name === 'moved' ? says : { who },
  };
}
