/** The peers' in-memory event stores, each driven as its documentation shows, behind one face: append a batch, load a state. */
import { fold, initialState } from '../bare/sorted-map.js';
import { idAt, type LampParameters, type LampRecord, type LampState } from '../model.js';
import { isInstalled, load } from './peer.js';

export interface PeerStore {
  readonly name: string;
  /** Turns an event into the peer's form; not timed. */
  prepare(event: LampRecord): unknown;
  /** Events of one aggregate, prepared. */
  append(aggregate: number, events: readonly unknown[]): Promise<unknown>;
  load(aggregate: number): Promise<LampState>;
  /** A quicker way in for a long history, where the peer's own is quadratic. */
  seed?(aggregate: number, events: readonly unknown[]): void;
}

interface EmmettMessage {
  readonly type: string;
  readonly data: LampParameters;
  readonly metadata?: { readonly ts?: number };
}
interface Emmett {
  getInMemoryEventStore(): {
    appendToStream(id: string, events: readonly unknown[]): Promise<unknown>;
    aggregateStream(
      id: string,
      options: {
        readonly evolve: (state: LampState, message: EmmettMessage) => LampState;
        readonly initialState: () => LampState;
      },
    ): Promise<{ readonly state: LampState }>;
  };
}

async function emmett(): Promise<PeerStore> {
  const store = (await load<Emmett>('emmett')).getInMemoryEventStore();
  const evolve = (state: LampState, message: EmmettMessage): LampState =>
    fold(state, message.type, message.data.wattage, message.metadata?.ts ?? 0);
  return {
    name: 'emmett',
    prepare: (event) => ({ type: event.name, data: event.parameters, metadata: { ts: event.eventTimestamp } }),
    append: (aggregate, events) => store.appendToStream(idAt(aggregate), events),
    load: async (aggregate) => (await store.aggregateStream(idAt(aggregate), { evolve, initialState })).state,
  };
}

interface CastoreEvent {
  readonly type: string;
  readonly payload: LampParameters;
  readonly timestamp: string;
}
interface CastoreStore {
  readonly eventStorageAdapter: { readonly eventStore: Record<string, unknown> };
  pushEvent(event: object): Promise<unknown>;
  groupEvent(event: object): object;
  getAggregate(id: string): Promise<{ readonly aggregate: LampState }>;
}
interface Castore {
  readonly EventStore: (new (options: object) => CastoreStore) & {
    pushEventGroup(...events: readonly object[]): Promise<unknown>;
  };
  readonly EventType: new (options: { readonly type: string }) => object;
  readonly InMemoryEventStorageAdapter: new () => object;
}

async function castore(): Promise<PeerStore> {
  const { EventStore, EventType, InMemoryEventStorageAdapter } = await load<Castore>('castore');
  const store = new EventStore({
    eventStoreId: 'BULBS',
    eventTypes: ['screwedIn', 'switchedOn', 'switchedOff'].map((type) => new EventType({ type })),
    reducer: (state: LampState | undefined, event: CastoreEvent) =>
      fold(state ?? initialState(), event.type, event.payload.wattage, Date.parse(event.timestamp)),
    eventStorageAdapter: new InMemoryEventStorageAdapter(),
  });
  const versions = new Map<number, number>();
  return {
    name: 'castore',
    prepare: (event) => ({
      aggregateId: event.aggregateId,
      type: event.name,
      payload: event.parameters,
      timestamp: new Date(event.eventTimestamp).toISOString(),
    }),
    append: (aggregate, events) => {
      let version = versions.get(aggregate) ?? 0;
      versions.set(aggregate, version + events.length);
      const numbered = (events as readonly object[]).map((event) => Object.assign(event, { version: ++version }));
      if (numbered.length === 1) return store.pushEvent(numbered[0]!);
      return EventStore.pushEventGroup(...numbered.map((event) => store.groupEvent(event)));
    },
    load: async (aggregate) => (await store.getAggregate(idAt(aggregate))).aggregate,
    seed: (aggregate, events) => {
      store.eventStorageAdapter.eventStore[idAt(aggregate)] = (events as readonly object[]).map((event, i) =>
        Object.assign(event, { version: i + 1 }),
      );
    },
  };
}

type AnyClass = new (...args: never[]) => object;
interface Ocoda {
  Aggregate(options: { readonly streamName: string }): (cls: AnyClass) => void;
  Event(name: string): (cls: AnyClass) => void;
  readonly AggregateRoot: new () => { loadFromHistory(events: unknown): Promise<void> };
  readonly EventMap: new () => { register(cls: AnyClass, serializer: unknown): void };
  readonly EventStream: { for(cls: AnyClass, id: unknown): unknown };
  readonly UUID: { from(id: string): unknown };
  readonly DefaultEventSerializer: { for(cls: AnyClass): unknown };
  readonly InMemoryEventStore: new (map: object) => {
    publish: unknown;
    setup(): unknown;
    appendEvents(stream: unknown, version: number, events: readonly unknown[]): Promise<unknown>;
    getEvents(stream: unknown): unknown;
  };
}

interface OcodaEvent {
  readonly wattage: number;
  readonly ts: number;
}

async function ocoda(): Promise<PeerStore> {
  const library = await load<Ocoda>('ocoda');
  const map = new library.EventMap();
  const classes = new Map<string, new (parameters: LampParameters | undefined, ts: number) => object>();
  for (const name of ['screwedIn', 'switchedOn', 'switchedOff']) {
    const made = {
      [name]: class {
        readonly wattage;
        readonly room;
        readonly by;
        readonly note;
        constructor(
          parameters: LampParameters | undefined,
          readonly ts: number,
        ) {
          this.wattage = parameters?.wattage;
          this.room = parameters?.room;
          this.by = parameters?.by;
          this.note = parameters?.note;
        }
      },
    }[name]!;
    library.Event(name)(made);
    map.register(made, library.DefaultEventSerializer.for(made));
    classes.set(name, made);
  }
  class Bulb extends library.AggregateRoot {
    state = initialState();
    onscrewedIn(event: OcodaEvent): void {
      this.state = fold(this.state, 'screwedIn', event.wattage, event.ts);
    }
    onswitchedOn(event: OcodaEvent): void {
      this.state = fold(this.state, 'switchedOn', event.wattage, event.ts);
    }
    onswitchedOff(event: OcodaEvent): void {
      this.state = fold(this.state, 'switchedOff', event.wattage, event.ts);
    }
  }
  library.Aggregate({ streamName: 'bulb' })(Bulb);
  const store = new library.InMemoryEventStore(map);
  await store.setup();
  store.publish = () => undefined;
  const versions = new Map<number, number>();
  const streams = new Map<number, unknown>();
  const streamOf = (aggregate: number): unknown => {
    if (!streams.has(aggregate))
      streams.set(aggregate, library.EventStream.for(Bulb, library.UUID.from(idAt(aggregate))));
    return streams.get(aggregate);
  };
  return {
    name: 'ocoda',
    prepare: (event) => new (classes.get(event.name)!)(event.parameters, event.eventTimestamp),
    append: (aggregate, events) => {
      const version = (versions.get(aggregate) ?? 0) + events.length;
      versions.set(aggregate, version);
      return store.appendEvents(streamOf(aggregate), version, events);
    },
    load: async (aggregate) => {
      const bulb = new Bulb();
      await bulb.loadFromHistory(store.getEvents(streamOf(aggregate)));
      return bulb.state;
    },
  };
}

const stores = { emmett, castore, ocoda } as const;

/** Makers of the installed peers' stores, by name. */
export function installedStores(): readonly (readonly [name: string, make: () => Promise<PeerStore>])[] {
  return (Object.keys(stores) as (keyof typeof stores)[])
    .filter((name) => isInstalled(name))
    .map((name) => [name, stores[name]] as const);
}
