/** Faults come where they were planned, and a caller that retries loses nothing and doubles nothing (laws 1 and 3). */
import { inMemory, UnavailableError, type Fact, type PersistentPorts } from '@concursus/core';
import { factOf, Faults, ManualClock, type Fault } from '@concursus/testing';
import { describe, expect, it } from 'vitest';

const P1 = { tenant: '', type: 'parcel', id: 'p1' };

async function opened(): Promise<{ ports: PersistentPorts; clock: ManualClock }> {
  const clock = new ManualClock();
  const quiet = { log: () => undefined, warn: () => undefined, error: () => undefined };
  const layer = await inMemory().create({ context: 'faults', clock, logger: quiet });
  return { ports: layer.ports, clock };
}

async function timesOf({ eventStore }: PersistentPorts): Promise<number[]> {
  const [facts] = await eventStore.readMany([P1]);
  return facts!.map((fact) => fact.eventTime);
}

describe('a faulty port', () => {
  it('fails, drops the answer, repeats or delays on the planned call only', async () => {
    const { ports, clock } = await opened();
    const faults = new Faults(clock, [
      { method: 'append', call: 1, kind: 'fail' },
      { method: 'append', call: 2, kind: 'drop-ack' },
      { method: 'append', call: 3, kind: 'repeat' },
      { method: 'append', call: 4, kind: 'delay', delayMs: 50 },
    ]);
    const store = faults.wrap(ports.eventStore);
    const append = (fact: Fact) => store.append([{ facts: [fact], receivedAt: clock.now() }]);
    await expect(append(factOf({ at: 1 }))).rejects.toThrow(UnavailableError);
    expect(await timesOf(ports)).toEqual([]);
    await expect(append(factOf({ at: 2 }))).rejects.toThrow('STORE_UNREACHABLE');
    expect(await timesOf(ports)).toEqual([2]);
    expect((await append(factOf({ at: 3 })))[0]?.outcomes).toEqual(['repeated']);
    const late = append(factOf({ at: 4 }));
    await clock.advance(49);
    expect(await timesOf(ports)).toEqual([2, 3]);
    await clock.advance(1);
    expect((await late)[0]?.outcomes).toEqual(['recorded']);
    expect((await append(factOf({ at: 5 })))[0]?.outcomes).toEqual(['recorded']);
    expect(faults.calls('append')).toBe(5);
  });

  it('answers nothing any more after a crash, on any port of the process; iterables refuse when read', async () => {
    const { ports, clock } = await opened();
    const faults = new Faults(clock, [{ method: 'append', call: 2, kind: 'crash-after' }]);
    const [store, views] = [faults.wrap(ports.eventStore), faults.wrap(ports.viewStore)];
    const append = (at: number) => store.append([{ facts: [factOf({ at })], receivedAt: clock.now() }]);
    await append(1);
    expect(faults.crashed).toBe(false);
    await expect(append(2)).rejects.toThrow('crashed on purpose');
    expect(faults.crashed).toBe(true);
    await expect(append(3)).rejects.toThrow('crashed on purpose');
    await expect(views.versions('v')).rejects.toThrow('crashed on purpose');
    const read = async (): Promise<void> => {
      for await (const page of store.read(P1)) expect(page).toBeUndefined();
    };
    await expect(read()).rejects.toThrow('crashed on purpose');
    expect(await timesOf(ports)).toEqual([1, 2]);
  });

  it('loses and doubles nothing when every append fails in turn and its sender retries', async () => {
    for (const kind of ['fail', 'drop-ack', 'repeat'] as const) {
      for (let call = 1; call <= 4; call++) {
        const { ports, clock } = await opened();
        const plan: Fault[] = [{ method: 'append', call, kind }];
        const store = new Faults(clock, plan).wrap(ports.eventStore);
        for (const at of [3, 1, 2]) {
          const send = () => store.append([{ facts: [factOf({ at })], receivedAt: clock.now() }]);
          await send().catch(send);
        }
        expect(await timesOf(ports)).toEqual([1, 2, 3]);
        const { facts } = await ports.eventFeed.read(ports.eventFeed.start(), 10);
        expect(facts.map((fact) => fact.eventTime)).toEqual([3, 1, 2]);
      }
    }
  });
});
