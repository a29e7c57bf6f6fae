/**
 * A process that runs a durable and a persistent handler until it is killed: `handling-child <folder> <remote>`.
 * Each call does its effect at a remote, a file that keeps one line a call, and takes a while after it. Prints `ready`.
 */
import { appendFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import type { EffectContext, Fact, WatermarkFactory } from '@concursus/core';
import { consume } from './consuming.js';
import { IN_FLIGHT_MAX, lampRegistry, openLayer } from './support.js';

const [folder, remote] = process.argv.slice(2) as [string, string];
const layer = await openLayer(folder);
const model = lampRegistry().aggregates.values().next().value!.events.get('screwedIn')!;

/** Event times come at most 50 out of order. */
const watermarks: WatermarkFactory = (notes) => {
  let watermark = (notes[0]?.value ?? Number.NEGATIVE_INFINITY) as number;
  let changed = false;
  const take = (fact: Fact): void => {
    if (fact.eventTime - 50 <= watermark) return;
    watermark = fact.eventTime - 50;
    changed = true;
  };
  return {
    take,
    takePage: (facts) => facts.forEach(take),
    get inputWatermark() {
      return watermark;
    },
    changes: () => (changed ? [{ key: 'max', value: watermark }] : []),
    saved: () => {
      changed = false;
    },
  };
};

const handler = (name: string) => async (_event: object, context: EffectContext) => {
  if (Math.random() < 0.03) throw new Error('The remote did not answer.');
  const { idempotencyKey, attempt, aggregateId, at, late } = context;
  appendFileSync(
    remote,
    `${name} ${idempotencyKey} ${attempt} ${aggregateId} ${at} ${late === undefined ? '-' : 'late'}\n`,
  );
  await setTimeout(Math.random() * 4);
};

const shared = {
  inFlightMax: IN_FLIGHT_MAX,
  from: 'beginning',
  retry: { attempts: 1_000, firstMs: 1, maxMs: 5 },
} as const;
await consume(layer, watermarks, [
  { ...shared, name: 'durable', schedule: 'durable', handlers: [{ model, handle: handler('durable') }] },
  { ...shared, name: 'persistent', schedule: 'persistent', handlers: [{ model, handle: handler('persistent') }] },
]);
