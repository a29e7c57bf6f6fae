/**
 * A process that tells what settles until it is killed: `settling-child <folder> <remote>`. Each call does its effect at a
 * remote, a file that keeps one line a call, and takes a while after it. Prints `ready`.
 */
import 'reflect-metadata';
import { appendFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import {
  SettlingModel,
  SourceTable,
  type SettledSpan,
  type SettlingConsumer,
  type SettlingContext,
} from '@concursus/core';
import { consume } from './consuming.js';
import { BOUND_MS, heartRegistry, SETTLINGS, type Heart, type Part, type Told } from './hearts.js';
import { IN_FLIGHT_MAX, openLayer } from './support.js';

const [folder, remote] = process.argv.slice(2) as [string, string];
const layer = await openLayer(folder);
const aggregate = heartRegistry().aggregate('heart');

function partOf(state: object, { from, to }: SettledSpan): Part {
  const { beats, strength } = state as Heart;
  return { from, to, beats, strength };
}

async function tell(
  what: Pick<Told, 'name' | 'kind' | 'before' | 'after'>,
  { idempotencyKey: key, attempt, aggregateId: id }: SettlingContext,
): Promise<void> {
  if (Math.random() < 0.03) throw new Error('The remote did not answer.');
  appendFileSync(remote, `${JSON.stringify({ ...what, key, attempt, id } satisfies Told)}\n`);
  await setTimeout(Math.random() * 4);
}

function consumer(name: keyof typeof SETTLINGS): SettlingConsumer {
  return {
    name,
    aggregate,
    settling: SETTLINGS[name],
    inFlightMax: IN_FLIGHT_MAX,
    from: 'beginning',
    retry: { attempts: 1_000, firstMs: 1, maxMs: 5 },
    settled: (state, context) => tell({ name, kind: 'settled', before: [], after: [partOf(state, context)] }, context),
    ...(name === 'stop'
      ? {
          withdrawn: (before, _now, context) =>
            tell({ name, kind: 'withdrawn', before: [partOf(before!, context)], after: [] }, context),
        }
      : {
          corrected: (before, after, context) => {
            const parts = (states: readonly (object | undefined)[], spans: readonly SettledSpan[]): Part[] =>
              states.map((state, i) => partOf(state!, spans[i]!));
            const told = { before: parts(before, context.before), after: parts(after, context.after) };
            return tell({ name, kind: 'corrected', ...told }, context);
          },
        }),
  };
}

await consume(layer, (notes) => SourceTable.load({ boundMs: BOUND_MS }, notes), [
  new SettlingModel(consumer('rhythm')),
  new SettlingModel(consumer('stop')),
]);
