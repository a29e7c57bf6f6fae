/**
 * What is handed over for something that settled, changed or was withdrawn. It is folded once, kept with the entry in the
 * commit before the first call, and the same for each: so what a correction has as `before` is exactly what was handed over.
 * Once the call has answered it is kept as told, in the commit that says so.
 */
import type { CorrectedContext, SettledContext, SettledSpan, SettlingContext } from '../mapping/settling.js';
import { HandlerError } from '../model/errors.js';
import type { AggregateKey, WireValue } from '../model/event.js';
import type { Position } from '../model/position.js';
import type { WorkParts } from '../processing/work-model.js';
import type { Call, Entry, Plan } from '../processing/entry.js';
import { foldFrom, type FoldedState, type Snapshots } from '../query/snapshots.js';
import { decodeState, encodeState, Unfit } from '../query/state-codec.js';
import { OUTDATED, type Queued, type Span, type Told } from './rows.js';
import type { SettlingConsumer } from './settling-name.js';
import { orderOf, type ToldStates } from './told-states.js';

type Ready = NonNullable<Queued['ready']>;

export class SettlingPlan implements Plan {
  /** What changed after it was told, and no method takes that; since this process took the name up. */
  uncorrected = 0;

  constructor(
    private readonly parts: WorkParts,
    private readonly consumer: SettlingConsumer,
    private readonly toldStates: ToldStates,
    private readonly snapshots: Snapshots | undefined,
  ) {}

  async of(entry: Entry): Promise<readonly Call[]> {
    const queued = entry.item as unknown as Queued;
    if (queued.error !== undefined) {
      throw new HandlerError('HANDLER_FAILED', queued.error, {
        fix: 'Use wider windows, or discard it when it is of no interest.',
      });
    }
    let { ready } = queued;
    if (ready === undefined) {
      ready = await this.prepare(entry, queued);
      if (ready === undefined) return [];
      entry.item = { ...queued, ready } as unknown as WireValue;
      entry.origin.prepared?.(entry);
    }
    return [this.call(entry, queued, ready)];
  }

  /** What is handed over; undefined when nothing is. */
  private async prepare(entry: Entry, queued: Queued): Promise<Ready | undefined> {
    const { aggregate, aggregateText } = entry;
    const upTo = entry.upTo();
    if (queued.kind === 'settled') {
      const now: Told[] = [];
      for (const span of queued.now) now.push(await this.fold(aggregate, span, upTo));
      return this.consumer.settled === undefined ? undefined : { old: [], now };
    }
    const old: Told[] = [];
    for (const { key } of queued.old) {
      const told = await this.toldStates.get(aggregateText, key);
      if (told !== undefined) old.push(told);
    }
    // A person decided that it is not told, or it came up while nobody was to be told: its corrections are not told either.
    if (old.length === 0) return undefined;
    if (queued.kind === 'withdrawn') {
      if (this.consumer.withdrawn === undefined) {
        this.uncorrected++;
        for (const told of old) this.toldStates.remove(aggregateText, told);
        return undefined;
      }
      return { old, now: [await this.fold(aggregate, old[0]!, upTo)] };
    }
    const now: Told[] = [];
    for (const span of queued.now) now.push(await this.fold(aggregate, span, upTo));
    const isSame = this.isSame(old, now);
    if (!isSame && this.consumer.corrected !== undefined) return { old, now };
    if (!isSame) this.uncorrected++;
    for (const { key } of old) {
      const order = orderOf(aggregateText, key);
      if (isSame) this.parts.ledger.remove(OUTDATED, order);
      else
        this.parts.ledger.put(
          OUTDATED,
          order,
          outdated(
            queued,
            old.find((one) => one.key === key)!,
          ),
        );
    }
    return undefined;
  }

  /** A session is also how long it was; a history or window is what it folds to. What is forgotten is like nothing. */
  private isSame(old: readonly Told[], now: readonly Told[]): boolean {
    if (old.length !== now.length) return false;
    const spans = this.consumer.settling.kind === 'session';
    return old.every((one, i) => {
      const other = now[i]!;
      return (
        one.state !== null && one.state === other.state && (!spans || (one.from === other.from && one.to === other.to))
      );
    });
  }

  private async fold(aggregate: AggregateKey, { key, from, to }: Span, upTo: Position): Promise<Told> {
    const { aggregate: model, settling } = this.consumer;
    const whole = settling.kind === 'history' || settling.kind === 'deadline';
    const { store } = this.parts;
    const range = whole ? {} : { range: { from, to, toExclusive: true } };
    const folded: FoldedState = await foldFrom(whole ? this.snapshots : undefined, store, model, aggregate, {
      upTo,
      ...range,
    });
    try {
      return { key, from, to, events: folded.events, state: encodeState(model, folded.state) };
    } catch (cause) {
      if (!(cause instanceof Unfit)) throw cause;
      throw new HandlerError(
        'HANDLER_FAILED',
        `The state of ${aggregate.type} ${aggregate.id} cannot be kept: ${cause.message}.`,
        { fix: 'Keep plain data in it, then retry what is parked.', cause },
      );
    }
  }

  private call(entry: Entry, queued: Queued, { old, now }: Ready): Call {
    const { aggregate, aggregateText, key } = entry;
    const { ledger } = this.parts;
    const { aggregate: model, settled, corrected, withdrawn } = this.consumer;
    const beforeOf = (told: Told): object | undefined =>
      told.state === null ? undefined : decodeState(model, told.state);
    const stateOf = (told: Told): object => decodeState(model, told.state!);
    const base = (attempt: number): SettlingContext => ({
      tenant: aggregate.tenant,
      aggregateType: aggregate.type,
      aggregateId: aggregate.id,
      settledUpTo: queued.line,
      idempotencyKey: key,
      attempt,
    });
    return {
      key,
      run: ({ attempt }) => {
        const [first] = old;
        const [last] = now;
        switch (queued.kind) {
          case 'settled':
            return settled?.(stateOf(last!), { ...base(attempt), ...spanOf(last!) } satisfies SettledContext);
          case 'corrected':
            return corrected?.(old.map(beforeOf), now.map(stateOf), {
              ...base(attempt),
              before: old.map(spanOf),
              after: now.map(spanOf),
            } satisfies CorrectedContext);
          case 'withdrawn':
            return withdrawn?.(beforeOf(first!), stateOf(last!), { ...base(attempt), ...spanOf(first!) });
        }
      },
      done: () => {
        for (const told of old) {
          this.toldStates.remove(aggregateText, told);
          ledger.remove(OUTDATED, orderOf(aggregateText, told.key));
        }
        if (queued.kind === 'withdrawn') return;
        for (const told of now) {
          this.toldStates.put(aggregateText, told);
          ledger.remove(OUTDATED, orderOf(aggregateText, told.key));
        }
      },
    };
  }
}

function spanOf({ from, to, events, state }: Told): SettledSpan {
  return state === null ? { from, to, events, forgotten: true } : { from, to, events };
}

function outdated({ aggregate, line }: Queued, { from, to }: Told): WireValue {
  return { aggregate, from, to, settledUpTo: line };
}
