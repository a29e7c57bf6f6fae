/** Quarantined input from the operator's side: listed, retried through the same road, let go. */
import { describe, expect, it } from 'vitest';
import type { EventInput } from '../../src/model/event-input.js';
import { QuarantineService } from '../../src/pipeline/quarantine-service.js';
import { asJson } from '../../src/pipeline/quarantine-keeper.js';
import type { RawInput } from '../../src/pipeline/record.js';
import { receivedEvent, rejectionOf, streamOf, world } from './support.js';
import type { World } from './support.js';

const decode = (text: string): EventInput => JSON.parse(text) as EventInput;

function service(): World & { readonly service: QuarantineService } {
  const w = world();
  return { ...w, service: new QuarantineService(w.quarantine, w.bus) };
}

function raw(text: string, line = 1): RawInput {
  return { bytes: Buffer.from(text), line, source: 'reports' };
}

describe('the quarantine service', () => {
  it('lists in pages', async () => {
    const { bus, service: quarantine } = service();
    await bus.record(streamOf(...Array.from({ length: 5 }, (_, i) => raw(`bad ${i}`, i + 1))), { decode });
    const first = await quarantine.list(undefined, 2);
    expect(first.items.map(({ line }) => line)).toEqual([1, 2]);
    const rest = await quarantine.list(first.next, 100);
    expect(rest.items.map(({ line }) => line)).toEqual([3, 4, 5]);
    expect(rest.next).toBeUndefined();
    expect((await rejectionOf(quarantine.list(undefined, 0))).code).toBe('INVALID_ARGUMENT');
  });

  it('retries with the decoder of the item’s source once that is mended, and removes what is recorded', async () => {
    const { bus, store, service: quarantine } = service();
    await bus.record(streamOf(raw('p1;Lewisham')), { decode });
    const [item] = (await quarantine.list()).items;
    quarantine.registerDecode('reports', (text) => {
      const [id, depot] = text.split(';');
      return receivedEvent(id!, 1_000, depot);
    });
    expect(await quarantine.retry(item!.id)).toEqual({
      id: item!.id,
      outcome: 'recorded',
      rejection: undefined,
      removed: true,
    });
    expect(store.facts[0]).toMatchObject({ aggregateId: 'p1' });
    expect(await quarantine.get(item!.id)).toBeUndefined();
    expect((await rejectionOf(quarantine.retry(item!.id))).code).toBe('INVALID_ARGUMENT');
  });

  it('keeps what is rejected again, with its count as it was', async () => {
    const { bus, service: quarantine } = service();
    await bus.record(streamOf(raw('bad', 7)), { decode });
    const [item] = (await quarantine.list()).items;
    expect(await quarantine.retry(item!.id, { decode })).toMatchObject({
      outcome: 'rejected',
      removed: false,
      rejection: { line: 7, code: 'INVALID_JSON' },
    });
    expect(await quarantine.get(item!.id)).toMatchObject({ count: 1 });
  });

  it('retries an event that came as an object from its JSON text', async () => {
    const { bus, store, service: quarantine } = service();
    const refuse = {
      handle: (
        batch: { pending(): Iterable<never>; refuse(item: never, reason: string): void },
        next: () => Promise<void>,
      ) => {
        if (store.calls.length === 0 && !open) for (const item of batch.pending()) batch.refuse(item, 'closed');
        return next();
      },
    };
    let open = false;
    bus.use(refuse as never, { stage: 'receive' });
    expect(await bus.record({ ...receivedEvent('p1'), at: new Date(1_000), streamId: 's' })).toMatchObject({
      rejected: 1,
    });
    open = true;
    const [item] = (await quarantine.list()).items;
    expect(await quarantine.retry(item!.id)).toMatchObject({ outcome: 'recorded', removed: true });
    expect(store.facts[0]).toMatchObject({ aggregateId: 'p1', eventTime: 1_000, streamId: 's' });
  });

  it('does not retry what is kept in part only, and discards on demand', async () => {
    const { bus, service: quarantine } = service();
    await bus.record(streamOf(raw('x'.repeat(70_000))), { decode });
    const [item] = (await quarantine.list()).items;
    expect(item).toMatchObject({ sizeBytes: 70_000 });
    expect(item!.bytes.byteLength).toBe(65_536);
    expect((await rejectionOf(quarantine.retry(item!.id))).code).toBe('LIMIT_EXCEEDED');
    expect(await quarantine.discard(item!.id)).toBe(true);
    expect(await quarantine.discard(item!.id)).toBe(false);
  });
});

describe('the JSON text of a hostile object', () => {
  it('is bounded in depth and length, and is JSON', () => {
    const cycle: Record<string, unknown> = {};
    cycle['again'] = [cycle, cycle];
    for (const value of [
      cycle,
      'x'.repeat(3_000_000),
      Array.from({ length: 2_000_000 }, () => 1),
      { a: Symbol('s') },
      new Date(Number.NaN),
    ]) {
      const text = asJson(value);
      expect(text.length).toBeLessThan(2_500_000);
      expect(() => JSON.parse(text) as unknown).not.toThrow();
    }
  });
});
