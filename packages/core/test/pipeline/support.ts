/** What the pipeline's specs stand on: a store, a quarantine, a clock and a registry that a spec holds in its hand. */
import { EventBus } from '../../src/pipeline/event-bus.js';
import type { EventBusOptions } from '../../src/pipeline/event-bus.js';
import { CanonicalCopier } from '../../src/model/canonical-copier.js';
import type { EventInput } from '../../src/model/event-input.js';
import { InvalidEventError } from '../../src/model/errors.js';
import type { AggregateKey, Fact } from '../../src/model/event.js';
import { identityKey } from '../../src/model/identity.js';
import { OrdinalPosition } from '../../src/model/position.js';
import { formatProcessingId } from '../../src/model/processing-id.js';
import type { Capabilities } from '../../src/ports/capabilities.js';
import { Clock } from '../../src/ports/clock.js';
import { EventStore } from '../../src/ports/event-store.js';
import type { Append, AppendOptions, AppendOutcome, AppendResult, SourceCounts } from '../../src/ports/event-store.js';
import { Quarantine } from '../../src/ports/quarantine.js';
import type { QuarantinedItem, QuarantineInput } from '../../src/ports/quarantine.js';

export class HandClock extends Clock {
  ms = Date.UTC(2026, 0, 1);
  readonly slept: number[] = [];
  now(): number {
    return this.ms;
  }
  monotonicMs(): number {
    return this.ms;
  }
  sleep(ms: number): Promise<void> {
    this.slept.push(ms);
    return Promise.resolve();
  }
  randomBytes(length: number): Uint8Array {
    return new Uint8Array(length).fill(7);
  }
}

/** A store that can be held and made to fail. */
export class HandStore extends EventStore {
  readonly capabilities = {} as Capabilities;
  readonly facts: Fact[] = [];
  readonly calls: { readonly appends: readonly Append[]; readonly options: AppendOptions | undefined }[] = [];
  repeats = 0;
  /** When set, appends wait for it before they store. */
  held: Promise<void> | undefined = undefined;
  /** Errors for the next calls, in order; undefined lets one through. */
  readonly failures: (Error | undefined)[] = [];
  private readonly known = new Map<string, string[]>();

  async append(appends: readonly Append[], options?: AppendOptions): Promise<readonly AppendResult[]> {
    this.calls.push({ appends, options });
    const failure = this.failures.shift();
    if (this.held !== undefined) await this.held;
    if (failure !== undefined) throw failure;
    const results: AppendResult[] = [];
    for (const append of appends) {
      const outcomes: AppendOutcome[] = [];
      for (let i = 0; i < append.facts.length; i++) outcomes.push(this.store(append.facts[i]!, append.receivedAt, i));
      results.push({ outcomes, position: new OrdinalPosition(this.facts.length) });
    }
    return results;
  }

  private store(fact: Fact, receivedAt: number, index: number): AppendOutcome {
    const key = identityKey(fact);
    const contents = this.known.get(key);
    const content = `${fact.version} ${fact.content}`;
    if (contents?.includes(content) === true) {
      this.repeats++;
      return 'repeated';
    }
    fact.processedAt = receivedAt;
    fact.processingId = formatProcessingId({ ms: receivedAt, tick: this.facts.length }, index, '010203040506');
    this.facts.push(fact);
    this.known.set(key, [...(contents ?? []), content]);
    return contents === undefined ? 'recorded' : 'conflicting';
  }

  // eslint-disable-next-line require-yield
  async *read(): AsyncGenerator<readonly Fact[]> {
    throw new Error('not read here');
  }
  readCorrections(): Promise<readonly (readonly Fact[])[]> {
    return Promise.reject(new Error('not read here'));
  }
  readLate(): Promise<readonly Fact[]> {
    return Promise.reject(new Error('not read here'));
  }
  scanAggregates(): Promise<readonly AggregateKey[]> {
    return Promise.reject(new Error('not read here'));
  }
  readSourceCounts(): Promise<readonly SourceCounts[]> {
    return Promise.reject(new Error('not read here'));
  }
  readMany(): Promise<readonly (readonly Fact[])[]> {
    throw new Error('not read here');
  }
  keepFloor(): Promise<void> {
    return Promise.resolve();
  }
}

export class HandQuarantine extends Quarantine {
  readonly puts: (readonly QuarantineInput[])[] = [];
  readonly items = new Map<string, QuarantinedItem>();
  /** Sources over their quota. */
  readonly over = new Set<string>();
  failure: Error | undefined = undefined;

  put(inputs: readonly QuarantineInput[]): Promise<readonly boolean[]> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    this.puts.push(inputs);
    for (const input of inputs) {
      const id = `${input.source}:${input.digest}`;
      const known = this.items.get(id);
      this.items.set(id, {
        ...(known ?? input),
        id,
        count: (known?.count ?? 0) + 1,
        firstAt: known?.firstAt ?? input.at,
        lastAt: input.at,
      } as QuarantinedItem);
    }
    return Promise.resolve(inputs.map((input) => !this.over.has(input.source)));
  }
  list(after: string | undefined, limit: number): Promise<readonly QuarantinedItem[]> {
    const all = [...this.items.values()];
    const from = after === undefined ? 0 : all.findIndex((item) => item.id === after) + 1;
    return Promise.resolve(all.slice(from, from + limit));
  }
  get(id: string): Promise<QuarantinedItem | undefined> {
    return Promise.resolve(this.items.get(id));
  }
  remove(id: string): Promise<boolean> {
    return Promise.resolve(this.items.delete(id));
  }
}

export class Received {
  readonly depot!: string;
}
export class Delivered {
  readonly to!: string;
}

function eventModel(cls: new () => object, name: string, key: string) {
  return {
    name,
    version: '1',
    cls,
    aggregateType: 'parcel',
    characteristics: 0,
    copier: new CanonicalCopier(),
    accepts: (version: string) => version === '1' || version === '0',
    validate(parameters: Record<string, unknown>, version: string) {
      const value = version === '0' ? parameters[`${key}Id`] : parameters[key];
      if (typeof value === 'string') {
        return {
          ok: true,
          undeclared: Object.keys(parameters).filter((other) => other !== key && other !== `${key}Id`),
        };
      }
      if (value === 'later') throw new Error('unreachable');
      return { ok: false, code: 'PARAMETER_TYPE', reason: `${key} is no text.`, path: key, fix: 'Send text.' };
    },
    hydrate: (fact: Fact) => Object.assign(Object.create(cls.prototype) as object, fact.parameters),
  };
}

const received = eventModel(Received, 'received', 'depot');
const delivered = eventModel(Delivered, 'delivered', 'to');
const parcel = {
  type: 'parcel',
  events: new Map([
    ['received', received],
    ['delivered', delivered],
  ]),
};

/** One aggregate `parcel` with `received { depot }` and `delivered { to }`, version 1, from 0 upcast. */
export const registry = {
  aggregate(type: string) {
    if (type === 'parcel') return parcel;
    throw new InvalidEventError('UNKNOWN_AGGREGATE', `There is no aggregate "${type}".`, { fix: 'Declare it.' });
  },
  aggregatesOf: (cls: unknown) => (cls === Received || cls === Delivered ? [parcel] : []),
} as unknown as EventBusOptions['registry'];

export const receivedModel = received as never;

export interface World {
  readonly bus: EventBus;
  readonly store: HandStore;
  readonly quarantine: HandQuarantine;
  readonly clock: HandClock;
  readonly errors: { readonly error: unknown; readonly where: string }[];
}

export function world(options: Partial<EventBusOptions> = {}): World {
  const store = new HandStore();
  const quarantine = new HandQuarantine();
  const clock = new HandClock();
  const errors: { error: unknown; where: string }[] = [];
  const bus = new EventBus({
    registry,
    store,
    quarantine,
    clock,
    onError: (error, where) => errors.push({ error, where }),
    ...options,
  });
  return { bus, store, quarantine, clock, errors };
}

export function receivedEvent(id: string, at = 1_000, depot = 'Lewisham'): EventInput {
  return { aggregateType: 'parcel', aggregateId: id, name: 'received', at, parameters: { depot } };
}

export async function* streamOf<T>(...items: readonly T[]): AsyncGenerator<T> {
  for (const item of items) yield item;
}

/** A promise and what resolves it. */
export function gate(): { readonly opened: Promise<void>; open: () => void } {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

/** Lets everything run that needs no outside event. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

export async function rejectionOf(
  promise: Promise<unknown>,
): Promise<Error & { code?: string; details?: Record<string, unknown> }> {
  try {
    await promise;
  } catch (error) {
    return error as Error & { code?: string };
  }
  throw new Error('expected a rejection');
}
