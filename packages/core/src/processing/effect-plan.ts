/**
 * Which calls an entry comes to. An event is one call; with corrections that were recorded before it, a durable handler is
 * called for it as recorded, and its correction method right after. A correction is one call for each event that it
 * changes and that the handler has done.
 *
 * What an event means before and after a correction is a pure function of what was recorded up to it, so a call that is
 * repeated after a crash says the same.
 */
import { correctionContextOf, effectContextOf } from '../mapping/event-context.js';
import { correctionOf, isCorrection } from '../model/correction.js';
import { Rulings } from '../model/effective-facts.js';
import { aggregateKeyOf, sameContent, type AggregateKey, type Fact } from '../model/event.js';
import { HandlerError } from '../model/errors.js';
import { compareProcessingIds } from '../model/processing-id.js';
import type { Position } from '../model/position.js';
import type { EventStore } from '../ports/event-store.js';
import type { Call, Entry, Plan } from './entry.js';
import { correctionKey, effectKey, matches, momentOf, refOf, type FactRef } from './fact-ref.js';
import type { HandlerModel } from './handlers.js';

export interface PlanParts {
  readonly store: EventStore;
  readonly context: string;
  readonly model: HandlerModel;
  /** Events before it are none of this handler's; undefined when it began at the beginning. */
  readonly start: Position | undefined;
  /** Whether a person decided that this event is not to be handled. */
  readonly isDiscarded: (key: string) => Promise<boolean>;
}

const isBefore = (a: Fact, b: Fact): boolean => compareProcessingIds(a.processingId, b.processingId) < 0;

const inRecordedOrder = (a: Fact, b: Fact): number => compareProcessingIds(a.processingId, b.processingId);

/** The corrections of one identity among the facts of its moment, in recorded order: also those that name another of its contents. */
export function correctionsOf(moment: readonly Fact[], target: FactRef): Fact[] {
  const [, stream, sequence, name] = target;
  return moment
    .filter((fact) => {
      if (!isCorrection(fact)) return false;
      const { target: t } = correctionOf(fact);
      return t.name === name && t.sequence === sequence && t.streamId === stream;
    })
    .sort(inRecordedOrder);
}

/** The recorded contents of the identity that a correction is of, in recorded order: what becomes of one may change another. */
export function targetsOf(moment: readonly Fact[], correction: Fact): Fact[] {
  const { name, sequence, streamId } = correctionOf(correction).target;
  return moment
    .filter(
      (fact) => !isCorrection(fact) && fact.name === name && fact.sequence === sequence && fact.streamId === streamId,
    )
    .sort(inRecordedOrder);
}

/**
 * What a recorded event means under some corrections; null when it does not count.
 * @param contents of its identity, in recorded order: of those that one amendment makes alike the first counts, so that none
 * changes because another one came
 */
export function meaningOf(target: Fact, contents: readonly Fact[], corrections: readonly Fact[]): Fact | null {
  if (corrections.length === 0) return target;
  const left = new Rulings(corrections).apply(contents, 'both');
  return left.find((fact) => fact === target || fact.amends === target) ?? null;
}

/** The contents of the event's identity that were recorded when `by` was, or before, in recorded order. */
export function siblingsOf(moment: readonly Fact[], target: Fact, by: Fact): Fact[] {
  return moment
    .filter(
      (fact) =>
        fact.name === target.name &&
        fact.sequence === target.sequence &&
        fact.streamId === target.streamId &&
        !isCorrection(fact) &&
        !isBefore(by, fact),
    )
    .sort(inRecordedOrder);
}

/** True when an event means the same either way, to the handler. */
export function sameMeaning(a: Fact | null, b: Fact | null): boolean {
  if (a === null || b === null) return a === b;
  return a.eventTime === b.eventTime && sameContent(a, b);
}

/** What an event meant right before and right after a correction was recorded. */
export function changeBy(
  moment: readonly Fact[],
  target: Fact,
  correction: Fact,
): { before: Fact | null; after: Fact | null } {
  const contents = siblingsOf(moment, target, correction);
  const corrections = moment.filter((fact) => isCorrection(fact) && !isBefore(correction, fact));
  return {
    before: meaningOf(
      target,
      contents,
      corrections.filter((one) => one !== correction),
    ),
    after: meaningOf(target, contents, corrections),
  };
}

export class EffectPlan implements Plan {
  constructor(private readonly parts: PlanParts) {}

  /** The calls of an entry, in order; none when it comes to nothing. */
  async of(entry: Entry): Promise<readonly Call[]> {
    const { model } = this.parts;
    if (model.schedule === 'persistent') return await this.persistent(entry);
    if (entry.kind === 'correction') return await this.corrections(entry);
    const [eventTime, , , name] = entry.fact;
    if (model.correctionOf(entry.aggregate.type, name) === undefined && entry.loaded !== undefined) {
      return [this.event(entry.key, entry.loaded)];
    }
    return await this.asRecorded(entry, await this.moment(entry, eventTime));
  }

  private async moment(entry: Entry, eventTime: number): Promise<readonly Fact[]> {
    return await momentOf(this.parts.store, entry.aggregate, eventTime, entry.upTo());
  }

  /** A durable event: as recorded, then what was known already to correct it. */
  private async asRecorded(entry: Entry, moment: readonly Fact[]): Promise<readonly Call[]> {
    const fact = found(moment, entry.fact, entry.aggregate);
    const calls = [this.event(entry.key, fact)];
    const earlier = correctionsOf(moment, entry.fact).filter((one) => isBefore(one, fact));
    const contents = siblingsOf(moment, fact, fact);
    for (let i = 0; i < earlier.length; i++) {
      const before = meaningOf(fact, contents, earlier.slice(0, i));
      const call = this.correction(fact, earlier[i]!, before, meaningOf(fact, contents, earlier.slice(0, i + 1)));
      if (call !== undefined) calls.push(call);
    }
    return calls;
  }

  /** A durable correction: for each event it changes that was this handler's to do. */
  private async corrections(entry: Entry): Promise<readonly Call[]> {
    const [eventTime] = entry.fact;
    const moment = await this.moment(entry, eventTime);
    const correction = found(moment, entry.fact, entry.aggregate);
    const foreign = await this.beforeStart(entry.aggregate, eventTime);
    const calls: Call[] = [];
    for (const target of targetsOf(moment, correction)) {
      if (!isBefore(target, correction) || foreign.has(target.processingId)) continue;
      if (await this.parts.isDiscarded(this.keyOf(entry.aggregate, target))) continue;
      const { before, after } = changeBy(moment, target, correction);
      const call = this.correction(target, correction, before, after);
      if (call !== undefined) calls.push(call);
    }
    return calls;
  }

  private async persistent(entry: Entry): Promise<readonly Call[]> {
    const target = entry.target ?? entry.fact;
    const moment = await this.moment(entry, target[0]);
    const fact = found(moment, target, entry.aggregate);
    if (entry.kind === 'correction') {
      if (await this.parts.isDiscarded(this.keyOf(entry.aggregate, fact))) return [];
      const correction = found(moment, entry.fact, entry.aggregate);
      const { before, after } = changeBy(moment, fact, correction);
      const call = this.correction(fact, correction, before, after);
      return call === undefined ? [] : [call];
    }
    const { before, known } = entry;
    const corrections = moment.filter(
      (one) =>
        isCorrection(one) &&
        (before === undefined || compareProcessingIds(one.processingId, before) < 0) &&
        (known === undefined || compareProcessingIds(one.processingId, known) <= 0),
    );
    const last = corrections.reduce((latest, one) => (isBefore(latest, one) ? one : latest), fact);
    const meaning = meaningOf(fact, siblingsOf(moment, fact, last), corrections);
    return meaning === null ? [] : [this.event(entry.key, meaning)];
  }

  /** The ids of what an aggregate's history held at a time before this handler began. */
  async beforeStart(aggregate: AggregateKey, eventTime: number): Promise<ReadonlySet<string>> {
    const { start, store } = this.parts;
    if (start === undefined) return new Set();
    return new Set((await momentOf(store, aggregate, eventTime, start)).map((fact) => fact.processingId));
  }

  keyOf(aggregate: AggregateKey, fact: Fact): string {
    return effectKey(this.parts.context, this.parts.model.name, aggregate, refOf(fact));
  }

  private event(key: string, fact: Fact): Call {
    const method = this.parts.model.handlerOf(fact)!;
    return {
      key,
      run: (details) =>
        method.handle(method.model.hydrate(fact), effectContextOf(fact, { ...details, idempotencyKey: key })),
    };
  }

  private correction(target: Fact, by: Fact, before: Fact | null, after: Fact | null): Call | undefined {
    const method = this.parts.model.correctionOf(target.aggregateType, target.name);
    if (method === undefined || sameMeaning(before, after)) return undefined;
    const { context, model } = this.parts;
    const key = correctionKey(context, model.name, aggregateKeyOf(target), refOf(by), refOf(target));
    const hydrate = (fact: Fact | null): object | null => (fact === null ? null : method.model.hydrate(fact));
    return {
      key,
      run: (details) =>
        method.handle(
          hydrate(before),
          hydrate(after),
          correctionContextOf(target, by, { ...details, idempotencyKey: key }),
        ),
    };
  }
}

function found(moment: readonly Fact[], ref: FactRef, aggregate: AggregateKey): Fact {
  const fact = moment.find((one) => matches(ref, one));
  if (fact !== undefined) return fact;
  throw new HandlerError(
    'HANDLER_FAILED',
    `The store holds "${ref[3]}" of ${aggregate.type} ${aggregate.id} no more.`,
    {
      fix: 'If it was removed for good, discard the parked event.',
    },
  );
}
