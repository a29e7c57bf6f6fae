/**
 * Everything that handlers and settlings of a world reach outside: which calls each owes by the log, and which came. Laws 9
 * and 10. A wrong call is found when it comes, a missing one at the end.
 */
import type {
  AggregateModel,
  CorrectionContext,
  EffectContext,
  HandlerConsumer,
  Settling,
  SettlingConsumer,
  SettlingContext,
  ViewCommit,
} from '@concursus/core';
import { Calls, IN_FLIGHT_MAX, type Call } from './calls.js';
import type { Moved } from './domain.js';
import { DurableOwed, PersistentOwed, says, type Owed } from './owed.js';
import type { Plan, SettlingDraft } from './plan.js';
import type { Life } from './scheduler.js';
import { EPOCH_MS } from './sim-clock.js';
import { Tide } from './tide.js';
import { Told, type ToldState } from './told.js';
import { ordinalOf, type Truth } from './truth.js';
import { violated } from './violation.js';

/** A call on its way over the network: `arrives` when the other side gets it. @throws what the network throws */
export type Carry = (life: Life, arrives: () => void) => Promise<void>;

/** What one process runs. */
export interface Consumers {
  readonly handlers: readonly HandlerConsumer[];
  readonly settlings: readonly SettlingConsumer[];
}

interface Handler {
  readonly calls: Calls;
  readonly owed: Owed;
  readonly schedule: 'durable' | 'persistent';
  readonly lane: (id: string) => string;
  readonly corrected: boolean;
}

interface Settler {
  readonly calls: Calls;
  readonly told: Told;
  readonly of: SettlingDraft;
}

const shared = { from: 'beginning', inFlightMax: IN_FLIGHT_MAX } as const;

export class OtherSide {
  private readonly handlers: readonly Handler[];
  private readonly settler: Settler | undefined;
  private readonly seen = new WeakSet<ViewCommit>();
  private readonly tide: Tide;

  constructor(
    plan: Plan,
    private readonly truth: Truth,
    private readonly carry: Carry,
    /** Runs a check inside of production code. */
    private readonly watchful: (check: () => void) => void,
  ) {
    const { log } = truth;
    const tide = new Tide(log, plan.time);
    this.tide = tide;
    const handlers: Handler[] = [];
    if (plan.durable !== 'none') {
      const corrected = plan.durable === 'corrected';
      const owed = new DurableOwed(log, corrected);
      handlers.push({ calls: new Calls('notify'), owed, schedule: 'durable', lane: (id) => id, corrected });
    }
    const { persistent } = plan;
    if (persistent !== 'none') {
      const corrected = plan.persistentCorrected;
      const owed = new PersistentOwed(log, tide, persistent, corrected);
      const lane = (id: string): string => (persistent === 'context' ? '' : id);
      handlers.push({ calls: new Calls('in-order'), owed, schedule: 'persistent', lane, corrected });
    }
    this.handlers = handlers;
    const { settling } = plan;
    if (settling !== undefined)
      this.settler = { calls: new Calls('settles'), told: new Told(settling, plan.policy, log, tide), of: settling };
  }

  /** The consumers of one run of a process. */
  consumersOf(life: Life, thing: AggregateModel): Consumers {
    return {
      handlers: this.handlers.map((handler) => this.handlerOf(handler, life, thing)),
      settlings: this.settler === undefined ? [] : [this.settlingOf(this.settler, life, thing)],
    };
  }

  /** Names of the views whose checkpoints say how far all of it is. */
  get views(): string[] {
    const settling = this.settler === undefined ? [] : [`.settling.${this.settler.calls.name}`];
    return [...this.handlers.map(({ calls }) => `.handler.${calls.name}`), ...settling];
  }

  /** A view was committed: the same commit again, by a driver or after a lost answer, holds nothing more. */
  committed(commit: ViewCommit, life: Life): void {
    const calls = [...this.handlers, ...(this.settler === undefined ? [] : [this.settler])]
      .map((one) => one.calls)
      .find(({ name }) => commit.view.name === `.handler.${name}` || commit.view.name === `.settling.${name}`);
    if (calls === undefined || this.seen.has(commit)) return;
    this.seen.add(commit);
    const place = ordinalOf(commit.checkpoint);
    const handler = this.handlers.find((one) => one.calls === calls);
    if (handler?.schedule === 'durable') this.passed(handler, place);
    calls.committed(place, commit.epoch, life);
  }

  /** What is still to come, and which law is broken when it never does; undefined when nothing is. */
  owed(): { readonly law: number; readonly what: string } | undefined {
    for (const handler of this.handlers) {
      for (const lane of handler.owed.lanes()) {
        const done = this.doneIn(handler.calls, lane);
        const must = handler.owed.of(lane);
        if (done < must.length)
          return { law: 10, what: `"${handler.calls.name}" was called for ${done} of ${must.join(' · ')}` };
      }
    }
    const what = this.settler?.told.owed();
    return what === undefined ? undefined : { law: 9, what };
  }

  /** When all is done: nothing too much. */
  judge(): void {
    const owed = this.owed();
    if (owed !== undefined) violated(owed.law, owed.what);
    for (const { calls } of this.handlers) calls.judge(this.truth.ownersOf(`handler:${calls.name}`));
    this.settler?.calls.judge(this.truth.ownersOf(`settling:${this.settler.calls.name}`));
  }

  /** Law 10: behind the checkpoint of a durable handler everything was done. */
  private passed({ calls }: Handler, place: number): void {
    const done = new Set([...calls.done.values()].map((call) => call.says));
    for (let i = calls.place; i < place; i++) {
      const { draft, processingId } = this.truth.log[i]!;
      if (draft.kind !== 'event' || draft.name !== 'moved') continue;
      if (!done.has(says.event(processingId, draft.time, draft.who, draft.amount, undefined)))
        violated(10, `"${calls.name}" passed event ${i}, which was not done`);
    }
  }

  private doneIn(calls: Calls, lane: string): number {
    return [...calls.done.values()].filter((call) => call.lane === lane).length;
  }

  private handlerOf(handler: Handler, life: Life, thing: AggregateModel): HandlerConsumer {
    const { calls, schedule } = handler;
    const model = thing.events.get('moved')!;
    const handle = (event: object, context: EffectContext): Promise<void> => {
      const { processingId, at, late } = context;
      const { who, amount } = event as Moved;
      return this.perform(handler, life, context, says.event(processingId, at - EPOCH_MS, who, amount, lateOf(late)));
    };
    const correct = (before: object | null, after: object | null, context: CorrectionContext): Promise<void> => {
      const { kind, decidedAt, streamId: stream, sequence } = context.correction;
      const by = { kind, decidedAt: decidedAt - EPOCH_MS, stream, sequence };
      const { processingId, late } = context;
      const text = says.correction(processingId, by, contentText(before), contentText(after), lateOf(late));
      return this.perform(handler, life, context, text);
    };
    return {
      ...shared,
      name: calls.name,
      schedule,
      handlers: [{ model, handle }],
      ...(handler.corrected ? { corrections: [{ model, handle: correct }] } : {}),
      ...(schedule === 'persistent' && handler.lane('a') === '' ? { across: 'context' as const } : {}),
    };
  }

  /** Calls come in exactly the order in which they are owed. */
  private async perform(
    { calls, owed, lane, schedule }: Handler,
    life: Life,
    context: EffectContext,
    text: string,
  ): Promise<void> {
    const call = {
      key: context.idempotencyKey,
      attempt: context.attempt,
      lane: lane(context.aggregateId),
      says: text,
    };
    if (schedule === 'persistent' && context.late === undefined)
      this.watchful(() => {
        const settled = this.tide.before(calls.place);
        if (context.at - EPOCH_MS > settled)
          violated(10, `"${calls.name}" was called for ${text}, and ${settled} was settled`);
      });
    await this.reach(calls, call, life, () => {
      const nth = this.doneIn(calls, call.lane) - 1;
      const must = owed.of(call.lane)[nth];
      if (must !== text) violated(10, `"${calls.name}" was called for ${text}; call ${nth} is of ${must ?? 'nothing'}`);
    });
  }

  private settlingOf({ calls, told, of }: Settler, life: Life, thing: AggregateModel): SettlingConsumer {
    const reach = (context: SettlingContext, text: unknown, first: () => void): Promise<void> => {
      const { idempotencyKey: key, attempt, aggregateId: lane } = context;
      return this.reach(calls, { key, attempt, lane, says: `${lane}: ${JSON.stringify(text)}` }, life, first);
    };
    // Nothing is forgotten here: `keepToldMs` is not set.
    const state = (one: object | undefined): ToldState => ({ ...(one as ToldState) });
    return {
      ...shared,
      name: calls.name,
      aggregate: thing,
      settling: settlingOf(of),
      settled: (one, context) =>
        reach(context, ['settled', one, context.from, context.to, context.settledUpTo], () =>
          told.settled(state(one), context, calls.place),
        ),
      ...(of.kind === 'deadline'
        ? {
            withdrawn: (before, now, context) =>
              reach(context, ['withdrawn', before, now, context.from, context.to], () =>
                told.withdrawn(state(before), state(now), context, calls.place),
              ),
          }
        : {
            corrected: (before, after, context) =>
              reach(context, ['corrected', before, after, context.before, context.after], () =>
                told.corrected(before.map(state), after.map(state), context, calls.place),
              ),
          }),
    };
  }

  /** @param first what is checked when the other side is called for the first time under this key */
  private async reach(calls: Calls, call: Call, life: Life, first: () => void): Promise<void> {
    this.watchful(() => calls.calling(call, life));
    let well = false;
    try {
      await this.carry(life, () =>
        this.watchful(() => {
          if (calls.does(call)) first();
        }),
      );
      well = true;
    } finally {
      if (!life.dead) calls.over(call, life, well);
    }
  }
}

const lateOf = (late: EffectContext['late']): number | undefined =>
  late === undefined ? undefined : late.settledUpTo - EPOCH_MS;
const contentText = (event: object | null): string =>
  event === null ? 'nothing' : `${(event as Moved).who} ${(event as Moved).amount}`;

function settlingOf(draft: SettlingDraft): Settling {
  if (draft.kind !== 'deadline') return draft;
  return { ...draft, after: new Set(['prepared', 'moved']), unless: new Set(['ended']) };
}
