/** A view of bulbs by room with an auditor over it, and what may go wrong: in the view, in histories, in the feed. */
import { Auditor, type EventFeed, type EventInput, type EventStore, type Fact, type ViewCommit } from '@concursus/core';
import { ByRoom, Cell } from './rooms.js';
import { NOTHING_CHANGED, T, world, type World } from './support.js';

export const VIEW = { name: 'spec', version: 1, slice: -1 };
const OWNER = 'projection:spec:1';

export const bulb = (id: number) => ({ tenant: '', type: 'bulb', id: `b${id}` });

export function input(id: number, name: string, at: number): EventInput {
  const parameters = name === 'screwedIn' ? { room: ['hall', 'attic'][id % 2]!, wattage: 40 + id } : {};
  return { aggregateType: 'bulb', aggregateId: `b${id}`, at: T + at, name, parameters };
}

/** A store whose histories have lost, or gained, something. */
export function tampered(
  store: EventStore,
  change: (id: string, facts: readonly Fact[]) => readonly Fact[],
): EventStore {
  const read: EventStore['read'] = async function* (key, options) {
    for await (const page of store.read(key, options)) yield change(key.id, page);
  };
  return new Proxy(store, {
    get(target, name) {
      if (name === 'read') return read;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}

/** A feed that has lost something. */
export function without(feed: EventFeed, isLost: (fact: Fact) => boolean): EventFeed {
  const read: EventFeed['read'] = async (from, limit) => {
    const page = await feed.read(from, limit);
    return { ...page, facts: page.facts.filter((fact) => !isLost(fact)) };
  };
  return Object.assign(Object.create(feed) as EventFeed, { read });
}

export async function opened() {
  const w = await world();
  const model = w.model(ByRoom, Cell);
  const { runner, projections } = w.runner([model], 'one', { leaseMs: 60, beatMs: 10, backOffMs: 1 });
  const auditorOn = (store: EventStore): Auditor => new Auditor({ ...w.parts(), store }, runner, projections);
  await runner.start();
  for (let id = 0; id < 12; id++) {
    await w.bus.record([
      input(id, 'screwedIn', id),
      input(id, 'switchedOn', 20 + id),
      input(id, 'switchedOn', 60 - id),
    ]);
  }
  const view = projections.view<Cell>('spec');
  await view.caughtUp({ position: await w.ports.eventFeed.end() });
  const rows = async () => Object.fromEntries((await view.find()).rows.map(({ key, value }) => [key, value]));
  return {
    w,
    runner,
    projections,
    auditor: auditorOn(w.ports.eventStore),
    auditorOn,
    view,
    rows,
    right: await rows(),
    async close() {
      await runner.stop();
      await w.close();
    },
  };
}

/** Writes behind the engine's back, at the place where the view stands. */
export async function plant(w: World, parts: Partial<ViewCommit>): Promise<void> {
  const checkpoint = (await w.ports.viewStore.readCheckpoint(VIEW))!;
  const owner = (await w.ports.checkpointStore.readOwner(OWNER))!;
  await w.ports.viewStore.commit({
    view: VIEW,
    owner: OWNER,
    epoch: owner.epoch,
    expected: checkpoint,
    checkpoint,
    ...NOTHING_CHANGED,
    ...parts,
  });
}
