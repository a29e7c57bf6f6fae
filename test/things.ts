/**
 * What the specs of the laws stand on, on any embedded provider: the simulator's things, its wiring of the services and its
 * plain model. All runs of a spec share one store and one running view, each under a tenant of its own, so a run also
 * meets what others left.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { inMemory, type Clock, type EventFeed, type EventInput, type Layer, type LayerProvider } from '@concursus/core';
import { lmdb } from '@concursus/lmdb';
import { inputOf } from '../packages/testing/src/simulation/inputs.js';
import { recordedOf, rowsOf, type Counted } from '../packages/testing/src/simulation/model.js';
import type { CorrectionDraft, EventDraft, Policy, ViewName } from '../packages/testing/src/simulation/plan.js';
import { SimProcess } from '../packages/testing/src/simulation/sim-process.js';

export { bytes, effective, historiesOf, livingOf, stateOf } from '../packages/testing/src/simulation/model.js';
export { EPOCH_MS } from '../packages/testing/src/simulation/sim-clock.js';
export type { Thing } from '../packages/testing/src/simulation/domain.js';
export type { Counted, CorrectionDraft, EventDraft, Policy, SimProcess };

/** What is reported: an event, or a correction of one. */
export type Report = EventDraft | CorrectionDraft;

export const inputFor = (report: Report, tenant: string): EventInput => ({
  ...inputOf(report, report.kind === 'event' && report.amount % 2 === 0),
  tenant,
});

/** What tells two facts apart: identity and content. */
export const identityOf = (report: Report): string => recordedOf(report).identity;
export const factOf = (report: Report): string => identityOf(report) + recordedOf(report).content;

/** Each fact once. */
export function distinct<R extends Report>(reports: readonly R[]): R[] {
  return [...new Map(reports.map((report) => [factOf(report), report])).values()];
}

/** The rows of a view that these histories of one tenant add up to. */
export function rowsFor(
  view: ViewName,
  histories: ReadonlyMap<string, readonly Counted[]>,
  tenant: string,
): Record<string, unknown> {
  const rows = rowsOf(view, histories, new Set());
  return Object.fromEntries(Object.entries(rows).map(([key, row]) => [`${tenant}/${key}`, row]));
}

/** A running process over a fresh store of its own. */
export interface Place {
  readonly process: SimProcess;
  readonly feed: EventFeed;
}

/** A provider under test. */
export interface Tested {
  readonly name: string;
  readonly provider: (policy: Policy) => LayerProvider<'persistent'>;
  /** Removes what it kept. */
  readonly dispose: () => Promise<void> | void;
}

/** The providers that need no server. */
export function embedded(): readonly Tested[] {
  const folder = mkdtempSync(join(tmpdir(), 'concursus-laws-'));
  return [
    { name: 'in-memory', provider: () => inMemory(), dispose: () => undefined },
    {
      name: 'LMDB',
      provider: (policy) => lmdb({ path: join(folder, policy) }),
      dispose: () => rmSync(folder, { recursive: true, force: true }),
    },
  ];
}

/** Registers `cases` for a provider; `place` is a process under a conflict policy, started once for each. */
export function onProvider(
  { name, provider, dispose }: Tested,
  title: string,
  clock: Clock,
  policies: readonly Policy[],
  cases: (place: (policy: Policy) => Place) => void,
): void {
  describe(`on ${name}, ${title}`, () => {
    const places = new Map<Policy, Place & { readonly layer: Layer<'persistent'> }>();
    beforeAll(async () => {
      const logger = { log() {}, warn() {}, error: console.error };
      for (const policy of policies) {
        const layer = await provider(policy).create({ context: 'simulation', clock, logger });
        await layer.connect();
        const options = { leaseMs: 2_000, sharing: false, shares: 1, pageSize: 7, snapshots: false, policy };
        const process = new SimProcess('laws', layer.ports, undefined, clock, options);
        await process.start();
        places.set(policy, { process, feed: layer.ports.eventFeed, layer });
      }
    }, 120_000);
    afterAll(async () => {
      for (const { process, layer } of places.values()) {
        await process.stop();
        await layer.close();
      }
      await dispose();
    }, 60_000);
    cases((policy) => places.get(policy)!);
  });
}
