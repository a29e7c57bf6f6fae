/**
 * The decorators of what happens when time settles, and their readers: `@OnSettled`, `@OnCorrected`, `@Deadline`,
 * `@OnWithdrawn`. They stand on methods of ordinary providers and only record, on the class itself.
 */
import { ConfigurationError } from '../model/errors.js';
import type { RetryPolicy } from './decorators.js';
import type { AggregateLike, EventClass, EventsOf, StateOf } from './event-class.js';
import { nameOf } from './event-class.js';

const SETTLINGS = Symbol.for('concursus.settlings');

/** Stretches of event time in which an aggregate's events settle together. */
export type SettlingWindow =
  | { readonly kind: 'tumbling'; readonly sizeMs: number; readonly offsetMs: number }
  | { readonly kind: 'sliding'; readonly sizeMs: number; readonly everyMs: number; readonly offsetMs: number }
  | { readonly kind: 'session'; readonly gapMs: number };

/** Windows of `sizeMs` side by side, one of them beginning `offsetMs` (default 0) after the epoch. */
export function tumbling(of: { readonly sizeMs: number; readonly offsetMs?: number }): SettlingWindow {
  return { kind: 'tumbling', sizeMs: of.sizeMs, offsetMs: of.offsetMs ?? 0 };
}

/** Windows of `sizeMs`, one beginning every `everyMs`: an event stands in several of them, at most 1,000. */
export function sliding(of: {
  readonly sizeMs: number;
  readonly everyMs: number;
  readonly offsetMs?: number;
}): SettlingWindow {
  return { kind: 'sliding', sizeMs: of.sizeMs, everyMs: of.everyMs, offsetMs: of.offsetMs ?? 0 };
}

/** Stretches of events without a pause of `gapMs`; a late event may make one of two. */
export function session(of: { readonly gapMs: number }): SettlingWindow {
  return { kind: 'session', gapMs: of.gapMs };
}

/** A stretch of event time as it was handed over: `[from, to)`, epoch milliseconds. */
export interface SettledSpan {
  readonly from: number;
  readonly to: number;
  /** How many events its state was folded from. */
  readonly events: number;
  /** Its state was forgotten (`keepToldMs`): as what is corrected or withdrawn it is undefined. */
  readonly forgotten?: true;
}

/** What a call for something settled learns beside the state. */
export interface SettlingContext {
  readonly tenant: string;
  readonly aggregateType: string;
  readonly aggregateId: string;
  /** Event time up to which this consumer was settled when that was decided, epoch milliseconds. */
  readonly settledUpTo: number;
  /**
   * The same for each call for this item and revision under this name, in every process and after every crash: 64 hex digits made of
   * context, name, aggregate, item and revision.
   */
  readonly idempotencyKey: string;
  /** Which call this is, from 1; known to the store before the call. */
  readonly attempt: number;
}

/** Of what settled: a history (from its first event to behind its last), a window, or a deadline (from its event to when it was due). */
export interface SettledContext extends SettlingContext, SettledSpan {}

/** Of what settled and changed after that: the spans of the states, in their order. */
export interface CorrectedContext extends SettlingContext {
  readonly before: readonly SettledSpan[];
  readonly after: readonly SettledSpan[];
}

/** Where progress is kept, and what becomes of calls that throw. */
export interface SettlingOptions<A extends AggregateLike> {
  /** Whose histories. */
  readonly of: A;
  /** Progress is kept under this name; no handler of the context has the same. */
  readonly name: string;
  /** Where a name that was never seen begins: with aggregates that get an event from now on (default), or with all there are. */
  readonly from?: 'end' | 'beginning';
  readonly retry?: RetryPolicy;
  /** Calls under way together, hence calls repeated after a crash, at most. 1 to 1,000. Default 16. */
  readonly inFlightMax?: number;
  /**
   * What was handed over is kept, so that a correction takes back just that, until its end lies so far behind what is settled, in
   * event time; then its state is forgotten, and a correction that still comes has undefined in its place, its span saying
   * `forgotten`. It counts for what is told while it is set. Default: for ever, which is the text of the state and some 300
   * bytes an item; of a forgotten one these 300 bytes remain. 0 to ten years, whole milliseconds.
   */
  readonly keepToldMs?: number;
}

export interface OnSettledOptions<A extends AggregateLike> extends SettlingOptions<A> {
  /** A history without a terminal event settles this long after its last event. Absent: only with a terminal event. */
  readonly quietMs?: number;
  /** Windows of event time settle instead of whole histories. */
  readonly window?: SettlingWindow;
}

/** Names what is corrected or withdrawn. */
export interface SettlingRef<A extends AggregateLike> {
  readonly of: A;
  readonly name: string;
}

export interface DeadlineOptions<A extends AggregateLike> extends SettlingOptions<A> {
  /** Each of these events begins one. */
  readonly after: readonly EventsOf<A>[keyof EventsOf<A>][];
  /** It is due this long after its event. */
  readonly withinMs: number;
  /** Any of these, at the time of the event or later, however late it comes, ends it. */
  readonly unless: readonly EventsOf<A>[keyof EventsOf<A>][];
}

/** What one decorator recorded. */
export type SettlingMeta =
  | { readonly kind: 'settled'; readonly method: string; readonly options: OnSettledOptions<AggregateLike> }
  | { readonly kind: 'corrected'; readonly method: string; readonly options: SettlingRef<AggregateLike> }
  | {
      readonly kind: 'deadline';
      /** Undefined when it is only listed. */
      readonly method: string | undefined;
      readonly options: Omit<DeadlineOptions<AggregateLike>, 'after' | 'unless'> & {
        readonly after: readonly EventClass[];
        readonly unless: readonly EventClass[];
      };
    }
  | { readonly kind: 'withdrawn'; readonly method: string; readonly options: SettlingRef<AggregateLike> };

type MethodDecoratorOf<F extends (...args: never[]) => unknown> = <M extends F>(
  target: object,
  method: string,
  descriptor: TypedPropertyDescriptor<M>,
) => void;

function recordSettling(cls: object, meta: SettlingMeta): void {
  if (!Object.hasOwn(cls, SETTLINGS)) Object.defineProperty(cls, SETTLINGS, { value: [] });
  (cls as Record<symbol, SettlingMeta[]>)[SETTLINGS]!.push(meta);
}

function instanceOnly(decorator: string, target: object, method: string): object {
  if (typeof target !== 'function') return target.constructor;
  throw new ConfigurationError(
    'INVALID_OPTION',
    `@${decorator} stands on the static method ${nameOf(target)}.${method}.`,
    { fix: 'Put it on an instance method.' },
  );
}

/**
 * Marks a method `(state, context)` that is called when what it is about is settled: once for an aggregate whose terminal
 * event, or `quietMs` after its last, lies at or below what is settled; or once for each window of its events. The state is
 * folded from the events of the item as they count by then, plain data and the method's own. With the retries, the ledger
 * and the parking of a durable handler.
 * @throws ConfigurationError `INVALID_OPTION` on a static method
 */
export function OnSettled<A extends AggregateLike>(
  options: OnSettledOptions<A>,
): MethodDecoratorOf<(state: StateOf<A>, context: SettledContext) => unknown> {
  return (target, method) =>
    recordSettling(instanceOnly('OnSettled', target, method), { kind: 'settled', method, options });
}

/**
 * Marks a method `(before, after, context)` that is called when a straggler, a correction or (with `quietMs`) a later event
 * changes what was settled under that name. `before` is exactly what was handed over. For a history or window it is one, and
 * `after` is one, or none when nothing is settled in its place now: what settles there later is told by `@OnSettled`. Sessions
 * that were merged are one call with all of them in `before`; one that was divided has its parts in `after`. What comes to the same
 * is not told. With `keepToldMs` a state of `before` is undefined once it is forgotten. Without this method corrections are counted, and listed by `SettledItems`.
 * @throws ConfigurationError `INVALID_OPTION` on a static method
 */
export function OnCorrected<A extends AggregateLike>(
  options: SettlingRef<A>,
): MethodDecoratorOf<
  (before: readonly StateOf<A>[], after: readonly StateOf<A>[], context: CorrectedContext) => unknown
> {
  return (target, method) =>
    recordSettling(instanceOnly('OnCorrected', target, method), { kind: 'corrected', method, options });
}

/** What `@Deadline` returns: it stands on a method, or on a class whose deadline is only listed. */
export interface DeadlineDecorator<A extends AggregateLike> {
  (target: abstract new (...args: never[]) => object): void;
  <M extends (state: StateOf<A>, context: SettledContext) => unknown>(
    target: object,
    method: string,
    descriptor: TypedPropertyDescriptor<M>,
  ): void;
}

/**
 * Says that an event of `unless` is due `withinMs` after each of `after`. Overdue is a pure function of the history and of what
 * is settled: `Deadlines` lists it, in any process. On a method `(state, context)` it is called once when that comes to pass, with
 * the state of the whole history; on a class the deadline is only listed.
 * @throws ConfigurationError `INVALID_OPTION` on a static method
 */
export function Deadline<A extends AggregateLike>(options: DeadlineOptions<A>): DeadlineDecorator<A> {
  return ((target: object, method?: string): void => {
    const cls = method === undefined ? target : instanceOnly('Deadline', target, method);
    recordSettling(cls, { kind: 'deadline', method, options: options });
  }) as DeadlineDecorator<A>;
}

/**
 * Marks a method `(before, now, context)` that is called when a deadline that was told is overdue no more: the event came after
 * all, or what began it was withdrawn or moved. `before` is exactly what was handed over, undefined once that is forgotten
 * (`keepToldMs`); `now` is the state of the history.
 * @throws ConfigurationError `INVALID_OPTION` on a static method
 */
export function OnWithdrawn<A extends AggregateLike>(
  options: SettlingRef<A>,
): MethodDecoratorOf<(before: StateOf<A>, now: StateOf<A>, context: SettledContext) => unknown> {
  return (target, method) =>
    recordSettling(instanceOnly('OnWithdrawn', target, method), { kind: 'withdrawn', method, options });
}

/** What was recorded on a class and those it extends, base class first; a method marked again for the same name counts once. */
export function settlingsOf(cls: unknown): readonly SettlingMeta[] {
  const chain: object[] = [];
  for (let c: unknown = cls; typeof c === 'function' && c !== Function.prototype; c = Object.getPrototypeOf(c))
    chain.unshift(c);
  const found: SettlingMeta[] = [];
  for (const one of chain) {
    if (!Object.hasOwn(one, SETTLINGS)) continue;
    for (const meta of (one as Record<symbol, SettlingMeta[]>)[SETTLINGS]!) {
      const same = (other: SettlingMeta): boolean =>
        other.kind === meta.kind && other.method === meta.method && other.options.name === meta.options.name;
      const at = found.findIndex(same);
      if (at === -1) found.push(meta);
      else found[at] = meta;
    }
  }
  return found;
}
