/**
 * Contracts as data: what a port promises is a list of plain cases over `node:assert`. `verifyContract` registers them in
 * Vitest, Jest or node:test; `failures` runs them by hand, which is how the contracts themselves are tested.
 */
import { setImmediate } from 'node:timers/promises';
import {
  ConcursusError,
  lacks,
  SystemClock,
  type Capabilities,
  type Capability,
  type ErrorCode,
  type EventRelay,
  type Layer,
  type LayerProvider,
  type PortsBySlot,
  type PublishedEvent,
  type RelayContext,
  type RelayProvider,
  type Slot,
} from '@concursus/core';
import assert from 'node:assert/strict';
import { ManualClock } from './manual-clock.js';

/** What can be under test: the layers, and relays. */
export interface PortsUnderTest extends PortsBySlot {
  readonly publish: {
    readonly eventRelay: EventRelay;
    /** What a reader on the other side finds, those of one aggregate in order. */
    received(): Promise<readonly PublishedEvent[]>;
  };
}

/** A slot, or the list of relays. */
export type Testable = keyof PortsUnderTest;

/** One layer or relay under test, open and empty. */
export interface Opened<S extends Testable> {
  readonly ports: PortsUnderTest[S];
  /** The layer's clock. */
  readonly clock: ManualClock;
  /** Closes it and opens it anew over the same data, as a restart does. Only where `survivesRestart` is promised. */
  reopen?(): Promise<Opened<S>>;
  /** A second one over the same data, as another process has it. Only where `multiProcess` is promised. */
  another?(): Promise<Opened<S>>;
  /** Idempotent; closes what `another` opened, too. */
  close(): Promise<void>;
}

/** What a contract is verified against. */
export interface Subject<S extends Testable> {
  readonly name: string;
  readonly capabilities: Capabilities;
  /** Opens an empty layer: no two of them share anything. */
  open(): Promise<Opened<S>>;
}

export interface World {
  /** Runs of each property. */
  readonly runs: number;
}

export interface ContractCase<S extends Testable> {
  /** A sentence of behaviour. */
  readonly name: string;
  /** Without this capability the case does not apply; then `refuses` does, if there is one. */
  readonly needs?: Capability;
  run(opened: Opened<S>, world: World): Promise<void>;
  /** Checks that what the provider cannot do is refused cleanly, with nothing half done. */
  refuses?(opened: Opened<S>, world: World): Promise<void>;
}

export interface Contract<S extends Testable> {
  /** The port's name. */
  readonly name: string;
  readonly cases: readonly ContractCase<S>[];
}

/** The two functions of a test runner that are needed; Vitest, Jest and node:test all fit. */
export interface Runner {
  describe(name: string, body: () => void): unknown;
  it(name: string, body: () => Promise<void>): unknown;
}

/** How a case stands to a subject: as it is, as its refusal, or not promised (with the reason, so that no lack is silent). */
interface Planned<S extends Testable> {
  readonly name: string;
  readonly run: ((opened: Opened<S>, world: World) => Promise<void>) | undefined;
}

function plan<S extends Testable>(each: ContractCase<S>, subject: Subject<S>): Planned<S> {
  const reason = each.needs === undefined ? undefined : lacks(subject.capabilities, each.needs);
  if (reason === undefined) return { name: each.name, run: each.run };
  if (each.refuses !== undefined) {
    return { name: `refuses cleanly (${each.needs} is lacking: ${reason}): ${each.name}`, run: each.refuses };
  }
  return { name: `does not promise (${each.needs} is lacking: ${reason}): ${each.name}`, run: undefined };
}

async function runOn<S extends Testable>(planned: Planned<S>, subject: Subject<S>, world: World): Promise<void> {
  if (planned.run === undefined) return;
  const opened = await subject.open();
  try {
    await planned.run(opened, world);
  } finally {
    await opened.close();
  }
}

/**
 * Registers every case of a contract for one provider. A case that needs what the provider declares lacking becomes its
 * refusal, or is listed with the reason: never skipped silently.
 *
 * @example
 * verifyContract(eventStoreContract, subjectOf('in-memory', () => inMemory()), { describe, it });
 */
export function verifyContract<S extends Testable>(
  contract: Contract<S>,
  subject: Subject<S>,
  runner: Runner,
  options: { readonly runs?: number } = {},
): void {
  // Laws over generated input are promised for a thousand runs.
  const world: World = { runs: options.runs ?? 1_000 };
  runner.describe(`${contract.name} on ${subject.name}`, () => {
    for (const each of contract.cases) {
      const planned = plan(each, subject);
      runner.it(planned.name, () => runOn(planned, subject, world));
    }
  });
}

/** A case that a subject does not keep, and what it threw. */
export interface Failure {
  readonly name: string;
  readonly error: unknown;
}

/** Runs the cases one after the other and tells which failed; with `first`, only until one did. A case that takes longer than `caseMs` (default 10 s) failed. */
export async function failures<S extends Testable>(
  contract: Contract<S>,
  subject: Subject<S>,
  options: { readonly runs?: number; readonly first?: boolean; readonly caseMs?: number } = {},
): Promise<readonly Failure[]> {
  const world: World = { runs: options.runs ?? 1_000 };
  const failed: Failure[] = [];
  for (const each of contract.cases) {
    const planned = plan(each, subject);
    try {
      await within(runOn(planned, subject, world), options.caseMs ?? 10_000, `"${planned.name}"`);
    } catch (error) {
      failed.push({ name: planned.name, error });
      if (options.first === true) break;
    }
  }
  return failed;
}

/**
 * The subject of a provider: each `open` makes a provider of its own and opens its layer on a manual clock.
 * @param make called for each `open`; `dispose` runs after the layer closed (removes a folder, drops a keyspace)
 */
export function subjectOf<S extends Slot>(
  name: string,
  make: () => LayerProvider<S> | Promise<LayerProvider<S>>,
  options: {
    readonly capabilities?: Capabilities;
    /** The context of each `open`: where making an empty store costs much, one that nobody used is as good. */
    context?(): string;
    dispose?(provider: LayerProvider<S>): Promise<void> | void;
  } = {},
): Subject<S> {
  return {
    name,
    get capabilities() {
      if (options.capabilities !== undefined) return options.capabilities;
      const provider = make();
      if (provider instanceof Promise) throw new Error('Give `capabilities` where `make` is asynchronous.');
      return provider.capabilities;
    },
    async open() {
      const provider = await make();
      const clock = new ManualClock();
      const context = options.context?.() ?? 'contract';
      const layers: Layer<S>[] = [];
      let disposed = false;
      const restarts = lacks(provider.capabilities, 'survivesRestart') === undefined;
      const shares = lacks(provider.capabilities, 'multiProcess') === undefined;
      const openLayer = async (): Promise<Opened<S>> => {
        const layer = await provider.create({ context, clock, logger: silent });
        await whileTimePasses(layer.connect(), clock);
        layers.push(layer);
        const opened: Opened<S> = {
          // The same by `S`, which the compiler does not see through the wider index.
          ports: layer.ports as PortsUnderTest[S],
          clock,
          close: async () => {
            // In reverse order of opening; closing twice is closing once.
            for (const each of layers.splice(0).reverse()) await each.close();
            if (disposed) return;
            disposed = true;
            await options.dispose?.(provider);
          },
        };
        if (restarts) {
          opened.reopen = async () => {
            layers.splice(layers.indexOf(layer), 1);
            await layer.close();
            return openLayer();
          };
        }
        if (shares) opened.another = openLayer;
        return opened;
      };
      return openLayer();
    },
  };
}

/** Of a relay: it declares nothing that a case could need. */
const relayCapabilities: Capabilities = {
  atomicAppend: { lacking: 'a relay is no store' },
  appendWithCheckpoint: { lacking: 'a relay is no store' },
  conditionalAppend: { lacking: 'a relay is no store' },
  knownAt: { lacking: 'a relay is no store' },
  feed: { lacking: 'a relay is no store' },
  transactionalViews: { lacking: 'a relay is no store' },
  survivesRestart: { lacking: 'its other side is not told to stop' },
  multiProcess: { lacking: 'its owner row sees to it' },
};

/**
 * The subject of a relay: each `open` makes one of its own in the context `contract`, for the aggregate types `parcel` and `truck`.
 * @param make called for each `open`: the provider, and what a reader of its other side finds
 */
export function relaySubjectOf(
  name: string,
  make: () => {
    readonly provider: RelayProvider;
    received(context: RelayContext): Promise<readonly PublishedEvent[]>;
    dispose?(): Promise<void> | void;
  },
): Subject<'publish'> {
  return {
    name,
    capabilities: relayCapabilities,
    async open() {
      const made = make();
      const clock = new ManualClock();
      const context = { context: 'contract', clock, logger: silent, aggregateTypes: ['parcel', 'truck'] };
      const eventRelay = made.provider.create(context);
      await whileTimePasses(eventRelay.connect(), clock);
      return {
        ports: { eventRelay, received: () => made.received(context) },
        clock,
        close: async () => {
          await eventRelay.close();
          await made.dispose?.();
        },
      };
    },
  };
}

const STEP_MS = 10;
const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };

/** Asserts that a call is refused with an error of Concursus that has this code, says why, and how to go on. */
export async function refused(code: ErrorCode, call: () => unknown): Promise<void> {
  let error: unknown;
  try {
    await call();
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error !== undefined, `expected a refusal with ${code}, but the call succeeded`);
  assert.ok(ConcursusError.isInstance(error), `expected a ConcursusError ${code}, got ${String(error)}`);
  assert.equal(error.code, code);
  assert.ok(error.reason.length > 0 && error.fix.length > 0, `${code} says what happened and how to go on`);
}

/**
 * Waits for what takes as long as it takes, a server that is not ready yet for example. Whoever sleeps on the manual clock
 * meanwhile, to ask again, wakes as on a machine's; a clock that nobody sleeps on stands still.
 */
export async function whileTimePasses<T>(promise: Promise<T>, clock: ManualClock): Promise<T> {
  const real = new SystemClock();
  const over = new AbortController();
  const noted = promise.finally(() => over.abort());
  noted.catch(() => undefined);
  while (!over.signal.aborted) {
    await real.sleep(STEP_MS, over.signal);
    if (!over.signal.aborted && clock.sleeping > 0) await clock.advance(STEP_MS);
  }
  return noted;
}

/** Waits for what should come by itself, moving the manual clock on meanwhile; after 5 s of real time it failed. */
export async function soon<T>(promise: Promise<T>, clock: ManualClock, what: string): Promise<T> {
  let settled = false;
  const noted = promise.finally(() => (settled = true));
  noted.catch(() => undefined);
  const real = new SystemClock();
  const start = real.monotonicMs();
  while (!settled) {
    assert.ok(real.monotonicMs() - start < 5_000, `${what} within 5 s`);
    await clock.advance(1);
    await setImmediate();
  }
  return noted;
}

/** As `soon`, for a condition. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  clock: ManualClock,
  what: string,
): Promise<void> {
  const real = new SystemClock();
  const start = real.monotonicMs();
  while (!(await condition())) {
    assert.ok(real.monotonicMs() - start < 5_000, `${what} within 5 s`);
    await clock.advance(1);
    await setImmediate();
  }
}

async function within<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  const ended = new AbortController();
  const late = new SystemClock().sleep(ms, ended.signal).then(() => {
    if (ended.signal.aborted) return new Promise<never>(() => undefined);
    throw new Error(`${what} took more than ${ms} ms`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    ended.abort();
  }
}
