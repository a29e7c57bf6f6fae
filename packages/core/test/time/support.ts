/** What the specs of time stand on: a feed made by hand, and a seed that is printed so that a failure can be run again. */
import * as fc from 'fast-check';
import { CORRECTION, correctionEvent } from '../../src/model/correction.js';
import { canonicalJson } from '../../src/model/canonical-json.js';
import { Fact } from '../../src/model/event.js';
import type { EventInput } from '../../src/model/event-input.js';
import { parseEventTime } from '../../src/model/time.js';
import { sourceFactOf, sourceFacts } from '../../src/time/source-facts.js';
import type { TimeNote } from '../../src/time/source.js';

export const START = Date.UTC(2026, 0, 1);

export interface EventDetails {
  readonly sequence?: number;
  readonly channel?: string;
  readonly id?: string;
}

export function factFrom(input: EventInput, processedAt: number, characteristics = 0): Fact {
  return new Fact(
    {
      tenant: '',
      aggregateType: input.aggregateType,
      aggregateId: input.aggregateId,
      name: input.name,
      version: '0',
      eventTime: parseEventTime(input.at),
      streamId: input.streamId ?? '',
      sequence: input.sequence ?? -1,
      characteristics,
      content: canonicalJson(input.parameters),
      metadata: input.metadata,
    },
    `id-${processedAt}`,
    processedAt,
  );
}

/** An event of a stream, recorded at `processedAt`. */
export function event(stream: string, at: number, processedAt = at, details: EventDetails = {}): Fact {
  return factFrom(
    {
      aggregateType: 'parcel',
      aggregateId: details.id ?? 'p1',
      name: 'received',
      at,
      streamId: stream,
      sequence: details.sequence ?? -1,
      parameters: {},
      ...(details.channel === undefined ? {} : { metadata: { channel: details.channel } }),
    },
    processedAt,
  );
}

/** An amendment of an event at `target` to `at`, by `stream`. */
export function amendment(stream: string, target: number, at: number, processedAt: number, sequence = -1): Fact {
  const input = correctionEvent({
    aggregateType: 'parcel',
    aggregateId: 'p1',
    kind: 'amend',
    target: { at: target, name: 'received' },
    decidedAt: processedAt,
    at,
    streamId: stream,
    sequence,
  });
  return factFrom(input, processedAt, CORRECTION);
}

const stamped = (input: EventInput, processedAt: number): Fact => {
  const fact = sourceFactOf(input);
  fact.processedAt = processedAt;
  return fact;
};

/** Facts about sources, as recorded at `processedAt`. */
export const said = {
  complete: (stream: string, upTo: number, processedAt = upTo, channel = '', lastSequence?: number): Fact =>
    stamped(
      sourceFacts.complete(stream, { upTo, channel, ...(lastSequence === undefined ? {} : { lastSequence }) }),
      processedAt,
    ),
  heartbeat: (stream: string, at: number, processedAt = at, channel = ''): Fact =>
    stamped(sourceFacts.heartbeat(stream, { at, channel }), processedAt),
  idle: (stream: string, provenAt: number, processedAt = provenAt, channel = ''): Fact =>
    stamped(sourceFacts.idle(stream, { provenAt, channel }), processedAt),
  declare: (stream: string, at: number, channel = ''): Fact =>
    stamped(sourceFacts.declare(stream, { at, channel }), at),
  retire: (stream: string, at: number, upTo?: number, channel = ''): Fact =>
    stamped(sourceFacts.retire(stream, { at, channel, ...(upTo === undefined ? {} : { upTo }) }), at),
  rejoin: (stream: string, at: number, channel = ''): Fact => stamped(sourceFacts.rejoin(stream, { at, channel }), at),
};

/** Notes as a view store keeps them. */
export class Notes {
  readonly kept = new Map<string, string>();
  write(notes: readonly TimeNote[]): void {
    for (const { key, value } of notes) {
      if (value === null) this.kept.delete(key);
      else this.kept.set(key, JSON.stringify(value));
    }
  }
  read(): TimeNote[] {
    return [...this.kept].map(([key, value]) => ({ key, value: JSON.parse(value) as TimeNote['value'] }));
  }
}

function seeded(name: string): number {
  const given = process.env['FC_SEED'];
  const seed = given === undefined ? Date.now() ^ (Math.random() * 0x1_0000_0000) : Number(given);
  process.stdout.write(`${name}: seed ${seed}\n`);
  return seed;
}

/** Checks a property with a seed of its own, or that of `FC_SEED`, and prints it. */
export function holds<T extends unknown[]>(name: string, property: fc.IProperty<T>, numRuns = 300): void {
  fc.assert(property, { seed: seeded(name), numRuns });
}

/** The same for one that awaits. */
export async function holdsAsync<T extends unknown[]>(
  name: string,
  property: fc.IAsyncProperty<T>,
  numRuns = 300,
): Promise<void> {
  await fc.assert(property, { seed: seeded(name), numRuns });
}
