/** Corrections as generated specs decide them, made into facts. */
import { correctionEvent, CORRECTION, type CorrectionKind } from '../../src/model/correction.js';
import { canonicalJson } from '../../src/model/canonical-json.js';
import { Fact } from '../../src/model/event.js';

export interface Decision {
  readonly kind: CorrectionKind;
  /** Covers this content alone. */
  readonly withDigest: boolean;
  readonly decidedAt: number;
  readonly stream?: string;
  readonly sequence?: number;
  /** Of an amendment: the new time, and the new content. With neither the content is 99. */
  readonly at: number | undefined;
  readonly n: number | undefined;
}

/** The correction of a recorded fact, as the log would have it. */
export function correctionOfFact(target: Fact, one: Decision): Fact {
  const amends = one.kind === 'amend';
  const { tenant, aggregateType, aggregateId } = target;
  const event = correctionEvent({
    tenant,
    aggregateType,
    aggregateId,
    kind: one.kind,
    target: {
      at: target.eventTime,
      streamId: target.streamId,
      name: target.name,
      ...(one.withDigest ? { digest: target.digest } : {}),
    },
    decidedAt: one.decidedAt,
    ...(one.stream === undefined ? {} : { streamId: one.stream }),
    ...(one.sequence === undefined ? {} : { sequence: one.sequence }),
    ...(amends && one.at !== undefined ? { at: one.at } : {}),
    ...(amends && (one.n !== undefined || one.at === undefined) ? { parameters: { n: one.n ?? 99 } } : {}),
  });
  return new Fact({
    tenant,
    aggregateType,
    aggregateId,
    name: event.name,
    version: '0',
    eventTime: event.at as number,
    streamId: event.streamId!,
    sequence: event.sequence!,
    characteristics: CORRECTION,
    content: canonicalJson(event.parameters),
  });
}
