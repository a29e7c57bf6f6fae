/** Laws 2 and 3 through the bus: whatever the order, the repeats, the batches and the doors, the same histories; every input counted once. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inMemory } from '../../src/memory/in-memory.provider.js';
import type { EventInput } from '../../src/model/event-input.js';
import { EventBus } from '../../src/pipeline/event-bus.js';
import { StreamBatch } from '../../src/pipeline/record.js';
import type { RecordSummary } from '../../src/pipeline/record.js';
import { HandClock, registry, streamOf } from './support.js';

const logger = { log() {}, warn() {}, error() {} };
const ids = ['p1', 'p2', 'ü/:'];

const event = fc.record({
  aggregateType: fc.constantFrom('parcel', 'parcel', 'parcel', 'train'),
  aggregateId: fc.constantFrom(...ids),
  name: fc.constant('received'),
  at: fc.constantFrom<number | string>(1, 2, 3, '2016-03-38'),
  streamId: fc.constantFrom('', 's'),
  sequence: fc.constantFrom(-1, 0),
  parameters: fc.record({ depot: fc.constantFrom('a', 'b') }),
});

/** A delivery: the events in some order, some more than once, cut into calls of one kind or the other. */
const delivery = (
  events: readonly EventInput[],
): fc.Arbitrary<{ readonly sent: readonly EventInput[]; readonly sizes: readonly number[] }> =>
  fc.record({
    sent: fc.array(fc.nat({ max: Math.max(0, events.length - 1) }), { maxLength: 10 }).chain((again) =>
      fc.shuffledSubarray([...events, ...(events.length === 0 ? [] : again.map((i) => events[i]!))], {
        minLength: events.length + (events.length === 0 ? 0 : again.length),
      }),
    ),
    sizes: fc.array(fc.integer({ min: -6, max: 6 }), { minLength: 1, maxLength: 8 }),
  });

async function deliver(sent: readonly EventInput[], sizes: readonly number[]): Promise<string> {
  const layer = await inMemory().create({ context: '', clock: new HandClock(), logger });
  await layer.connect();
  const { eventStore, quarantine } = layer.ports;
  const bus = new EventBus({ registry, store: eventStore, quarantine, clock: new HandClock(), onError: () => {} });
  const calls: Promise<RecordSummary>[] = [];
  let at = 0;
  for (let i = 0; at < sent.length; i++) {
    const size = sizes[i % sizes.length]!;
    const part = sent.slice(at, (at += Math.max(1, Math.abs(size))));
    calls.push(size < 0 ? bus.record(streamOf(new StreamBatch(part)), { batchSizeMax: 2 }) : bus.record(part));
  }
  let received = 0;
  for (const one of await Promise.all(calls)) {
    received += one.received;
    expect(one.recorded + one.repeated + one.conflicting + one.rejected).toBe(one.received);
  }
  expect(received).toBe(sent.length);
  const histories = await eventStore.readMany(ids.map((id) => ({ tenant: '', type: 'parcel', id })));
  return histories
    .map((history) =>
      history
        .map((fact) => `${fact.eventTime} ${fact.streamId} ${fact.sequence} ${fact.name} ${fact.digest}`)
        .join('\n'),
    )
    .join('\n\n');
}

describe('the road', () => {
  it('comes to the same histories for every order, repetition and batching of a delivery', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(event, { maxLength: 25 }).chain((events) => fc.tuple(fc.constant(events), delivery(events))),
        async ([events, { sent, sizes }]) => {
          expect(await deliver(sent, sizes)).toBe(await deliver(events, [100]));
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
