/** Names are spread over processes: a newcomer gets its share, a dead one's are taken, and all comes to rest. */
import { expect, it } from 'vitest';
import {
  FairShares,
  inMemory,
  Ownership,
  type CheckpointStore,
  type Layer,
  type OwnershipOptions,
} from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { QuietLogger } from '../projection/support.js';

const LEASE: OwnershipOptions = { leaseMs: 2_000, beatMs: 400 };

function storeOf(clock: ManualClock): CheckpointStore {
  const layer = inMemory().create({ context: 'spec', clock, logger: new QuietLogger() }) as Layer<'persistent'>;
  return layer.ports.checkpointStore;
}

/** What one process would be, with one name that lets go at once unless `letGo` says otherwise. */
class Process {
  readonly sharing: FairShares;
  readonly ownership: Ownership;
  readonly letGos: string[] = [];

  constructor(
    readonly name: string,
    store: CheckpointStore,
    clock: ManualClock,
    readonly names: readonly string[],
    letGo: (name: string) => Promise<void> = () => Promise.resolve(),
    groupOf: (name: string) => string = (one) => one,
  ) {
    const logger = new QuietLogger();
    this.sharing = new FairShares(store, clock, logger, name, LEASE);
    const options = { ...LEASE, sharing: this.sharing };
    this.ownership = new Ownership(store, clock, logger, name, () => undefined, options);
    for (const one of names) {
      const ends = (): Promise<void> => {
        this.letGos.push(one);
        return letGo(one);
      };
      this.ownership.watch(one, { group: groupOf(one), letGo: ends });
    }
  }

  async start(): Promise<this> {
    await this.ownership.start();
    this.sharing.start();
    return this;
  }

  get held(): string[] {
    return this.names.filter((name) => this.ownership.held(name) !== undefined);
  }

  async stop(): Promise<void> {
    await this.sharing.stop();
    await this.ownership.stop();
  }
}

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `n${i}`);
const heldBy = (processes: readonly Process[]): number[] => processes.map(({ held }) => held.length);

it('gives a newcomer its share within a lease, and what a stopped one had to the others evenly', async () => {
  const clock = new ManualClock();
  const store = storeOf(clock);
  const one = await new Process('one', store, clock, names(6)).start();
  expect(one.held).toEqual(names(6));
  const two = await new Process('two', store, clock, names(6)).start();
  await clock.advance(2_000);
  expect(heldBy([one, two])).toEqual([3, 3]);
  const three = await new Process('three', store, clock, names(6)).start();
  await clock.advance(4_000);
  expect(heldBy([one, two, three])).toEqual([2, 2, 2]);
  expect(new Set([...one.held, ...two.held, ...three.held]).size).toBe(6);
  await three.stop();
  await clock.advance(2_000);
  expect(heldBy([one, two])).toEqual([3, 3]);
  await one.stop();
  await clock.advance(800);
  expect(two.held).toEqual(names(6));
  await two.stop();
});

it('takes a dead process’s names within a lease and two beats, each of those left its part', async () => {
  const clock = new ManualClock();
  const store = storeOf(clock);
  for (const name of ['n0', 'n1', 'n2', 'n3']) await store.claim(name, 'dead', undefined);
  const processes = [new Process('one', store, clock, names(4)), new Process('two', store, clock, names(4))] as const;
  await Promise.all(processes.map((process) => process.start()));
  await clock.advance(1_900);
  expect(heldBy(processes)).toEqual([0, 0]);
  await clock.advance(900);
  expect(heldBy(processes)).toEqual([2, 2]);
  await Promise.all(processes.map((process) => process.stop()));
});

it('comes to rest: nothing moves once processes are at most one name apart', async () => {
  const clock = new ManualClock();
  const store = storeOf(clock);
  const processes = ['one', 'two', 'three'].map((name) => new Process(name, store, clock, names(7)));
  for (const process of processes) await process.start();
  await clock.advance(20_000);
  expect(heldBy(processes).sort((a, b) => a - b)).toEqual([2, 2, 3]);
  const before = processes.map(({ held, letGos }) => [held, letGos.length]);
  await clock.advance(60_000);
  expect(processes.map(({ held, letGos }) => [held, letGos.length])).toEqual(before);
  await Promise.all(processes.map((process) => process.stop()));
});

it('spreads the shares of each piece of work, not only their number', async () => {
  const clock = new ManualClock();
  const store = storeOf(clock);
  const shares = ['a0', 'a1', 'a2', 'a3'];
  const others = ['b', 'c', 'd', 'e'];
  // As chance may have it: one has all shares of one view, the other all the rest.
  const group = (name: string): string => name[0]!;
  const [one, two] = ['one', 'two'].map(
    (name) => new Process(name, store, clock, [...shares, ...others], undefined, group),
  ) as [Process, Process];
  await one.start();
  for (const name of others) one.ownership.give(name);
  await clock.advance(1);
  await two.start();
  expect([one.held, two.held]).toEqual([shares, others]);
  await clock.advance(20_000);
  expect([one, two].map(({ held }) => held.filter((name) => shares.includes(name)).length)).toEqual([2, 2]);
  expect(heldBy([one, two])).toEqual([4, 4]);
  await Promise.all([one.stop(), two.stop()]);
});

it('waits with the row in hand until what it gives away is finished, longer than a lease if need be', async () => {
  const clock = new ManualClock();
  const store = storeOf(clock);
  let finish = (): void => undefined;
  const one = await new Process('one', store, clock, names(2), () => new Promise((done) => (finish = done))).start();
  const two = await new Process('two', store, clock, names(2)).start();
  await clock.advance(9_000);
  // Given, so nothing new begins under it; held, so nobody else begins either.
  expect([one.held.length, two.held.length]).toEqual([1, 0]);
  const [given] = one.letGos as [string];
  expect(one.ownership.rowOf(given)?.owner).toBe('one');
  const { epoch } = (await store.readOwner(given))!;
  finish();
  await clock.advance(1_200);
  expect(two.held).toEqual([given]);
  expect(two.ownership.held(given)?.epoch).toBe(epoch + 1);
  await Promise.all([one.stop(), two.stop()]);
});

it('takes back what nobody took, and asks in vain seldom', async () => {
  const clock = new ManualClock();
  const store = storeOf(clock);
  // Another version of the code: it never gives, and knows one name less.
  const old = new Ownership(store, clock, new QuietLogger(), 'old', () => undefined, LEASE);
  for (const name of names(4)) old.watch(name);
  await old.start();
  const one = await new Process('one', store, clock, [...names(4), 'new']).start();
  expect(one.held).toEqual(['new']);
  const asked = async (): Promise<number> => (await store.readOwner('fair-shares'))!.epoch;
  await clock.advance(10_000);
  const epoch = await asked();
  await clock.advance(30_000);
  expect((await asked()) - epoch).toBeLessThanOrEqual(4);
  expect(one.held).toEqual(['new']);
  // Who asks and goes away leaves what it asked for to its owner.
  await one.stop();
  const two = await new Process('two', store, clock, ['new']).start();
  await clock.advance(400);
  await store.claim('fair-shares', JSON.stringify(['gone', ['new']]), await store.readOwner('fair-shares'));
  two.ownership.give('new');
  await clock.advance(1_600);
  expect(two.held).toEqual([]);
  await clock.advance(3_600);
  expect(two.held).toEqual(['new']);
  await two.stop();
  await old.stop();
});
