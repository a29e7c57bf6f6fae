/** What the specs of this package share: layers in scratch folders, facts, and child processes that run TypeScript. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Aggregate, canonicalJson, Event, EventRegistry, Fact, Projections, SystemClock } from '@concursus/core';
import type {
  Append,
  Fact as FactType,
  Layer,
  LayerContext,
  LayerLogger,
  ProjectionModel,
  ProjectionRunner,
  RunnerParts,
  WireValue,
} from '@concursus/core';
import { lmdb, type LmdbPersistentOptions } from '../src/index.js';

export const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };

const folders: string[] = [];

/** A folder on disk that `cleanUp` removes. */
export function scratchFolder(parent = tmpdir()): string {
  const folder = mkdtempSync(join(parent, 'concursus-lmdb-'));
  folders.push(folder);
  return folder;
}

/** A folder in memory where Linux offers that, else on disk: flushes cost nothing there. */
export function quickFolder(): string {
  return scratchFolder(existsSync('/dev/shm') ? '/dev/shm' : tmpdir());
}

export function cleanUp(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

export function contextOf(context = 'spec'): LayerContext {
  return { context, clock: new SystemClock(), logger: silent };
}

export async function openLayer(
  path: string,
  options: Partial<LmdbPersistentOptions> = {},
  context = 'spec',
): Promise<Layer<'persistent'>> {
  const layer = await lmdb({ path, ...options }).create(contextOf(context));
  await layer.connect();
  return layer;
}

/** What a runner of one process over a layer is made of. */
export function runnerParts(
  { ports }: Layer<'persistent'>,
  process: string,
  logger: LayerLogger = silent,
): RunnerParts {
  return {
    store: ports.eventStore,
    feed: ports.eventFeed,
    views: ports.viewStore,
    checkpoints: ports.checkpointStore,
    registry: lampRegistry(),
    clock: new SystemClock(),
    logger,
    process,
  };
}

/** Projections of a runner, for specs that replay nothing. */
export function projectionsOf(parts: RunnerParts, runner: ProjectionRunner): Projections {
  return new Projections(parts, runner, () => {
    throw new Error('not here');
  });
}

export interface FactParts {
  readonly type?: string;
  readonly id?: string;
  readonly at?: number;
  readonly name?: string;
  readonly version?: string;
  readonly stream?: string;
  readonly sequence?: number;
  readonly parameters?: WireValue;
}

export function fact(parts: FactParts = {}): FactType {
  return new Fact({
    tenant: '',
    aggregateType: parts.type ?? 'lamp',
    aggregateId: parts.id ?? '1',
    name: parts.name ?? 'screwedIn',
    version: parts.version ?? '0',
    eventTime: parts.at ?? 0,
    streamId: parts.stream ?? '',
    sequence: parts.sequence ?? -1,
    characteristics: 0,
    content: canonicalJson(parts.parameters ?? { wattage: 60 }),
  });
}

export function appendOf(facts: readonly FactType[], receivedAt = 1_000): Append {
  return { facts, receivedAt };
}

const loader = new URL('../../../test/run-typescript.mjs', import.meta.url).href;

/** Starts a TypeScript file of this folder as a process of its own. */
export function startChild(file: string, args: readonly string[]): ChildProcess {
  return spawn(process.execPath, ['--import', loader, fileURLToPath(new URL(file, import.meta.url)), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
}

/** Calls of one handler under way in the children that handle. */
export const IN_FLIGHT_MAX = 8;

/** The lamp of `fact` as an aggregate; without decorator syntax, so that children need no compiler for it. */
export function lampRegistry(): EventRegistry {
  class ScrewedIn {
    wattage = 0;
  }
  Event()(ScrewedIn);
  class Lamp {
    static readonly events = { ScrewedIn };
  }
  Aggregate('lamp')(Lamp);
  return new EventRegistry('spec', [Lamp]);
}

/** Counts lamps and their events; another version counts twice. */
export function countingModel(version: number): ProjectionModel {
  const additive = { merge: 'sum', scale: 0, additive: true } as const;
  return {
    name: 'counting',
    version,
    types: new Set(['lamp']),
    fields: [
      { name: 'lamps', ...additive },
      { name: 'events', ...additive },
    ],
    rowsOf: (_state, { id, events }) => [
      [`room ${Number(id) % 50}`, { lamps: 1, events: version * events }],
      [`lamp ${id}`, { lamps: 1, events }],
    ],
  };
}
