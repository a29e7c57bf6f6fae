/** The events every case uses: some 330 bytes of wire JSON with four parameters, about lamps. */
import {
  Aggregate,
  Event,
  EventHandler,
  EventRegistry,
  Fact,
  limits,
  Projection,
  Sum,
  type EventContext,
  type EventInput,
  type Rows,
} from '@concursus/core';

class LampEvent {
  constructor(
    readonly wattage: number,
    readonly room: string,
    readonly by: string,
    readonly note: string,
  ) {}
}

@Event()
export class ScrewedIn extends LampEvent {}

@Event()
export class SwitchedOn extends LampEvent {}

@Event()
export class SwitchedOff extends LampEvent {}

/** The state that every side folds to. */
export interface LampState {
  readonly count: number;
  readonly on: boolean;
  readonly wattage: number;
  readonly last: number;
}

@Aggregate('lightbulb')
export class Lightbulb implements LampState {
  static readonly events = { ScrewedIn, SwitchedOn, SwitchedOff };
  count = 0;
  on = false;
  wattage = 0;
  last = 0;

  @EventHandler(ScrewedIn) screwedIn(event: ScrewedIn, context: EventContext): void {
    this.count++;
    this.wattage = event.wattage;
    this.last = context.at;
  }

  @EventHandler(SwitchedOn) switchedOn(_: SwitchedOn, context: EventContext): void {
    this.count++;
    this.on = true;
    this.last = context.at;
  }

  @EventHandler(SwitchedOff) switchedOff(_: SwitchedOff, context: EventContext): void {
    this.count++;
    this.on = false;
    this.last = context.at;
  }
}

/** What an application's boot makes once: every road of a process shares it. */
export const lamps = new EventRegistry('bench', [Lightbulb]);
const lampEvents = lamps.aggregate(Lightbulb).events;

export class WattageRow {
  @Sum() lamps = 0;
  @Sum() lit = 0;
  @Sum() events = 0;
}

/** A view of five rows, so that every event changes a row that others change too. */
@Projection({ name: 'by-wattage', of: Lightbulb, view: WattageRow })
export class ByWattage {
  rows(lamp: Lightbulb): Rows<WattageRow> {
    return [[`${lamp.wattage} W`, { lamps: 1, lit: lamp.on ? 1 : 0, events: lamp.count }]];
  }
}

@Projection({ name: 'by-count', of: Lightbulb, view: WattageRow })
export class ByCount {
  rows(lamp: Lightbulb): Rows<WattageRow> {
    return [[`${Math.floor(lamp.count / 10)}`, { lamps: 1, lit: lamp.on ? 1 : 0, events: lamp.count }]];
  }
}

@Projection({ name: 'by-state', of: Lightbulb, view: WattageRow })
export class ByState {
  rows(lamp: Lightbulb): Rows<WattageRow> {
    return [[lamp.on ? 'lit' : 'dark', { lamps: 1, lit: lamp.on ? 1 : 0, events: lamp.count }]];
  }
}

export const START_MS = 1_700_000_000_000;
export const AGGREGATES = 1_000;
export const TYPE = 'lightbulb';

const hex = (n: number, width: number): string => n.toString(16).padStart(width, '0');

/** A UUID as text, the same for the same number. */
export function idOf(i: number): string {
  return `${hex(Math.imul(i, 2_654_435_761) >>> 0, 8)}-${hex(i & 0xffff, 4)}-4000-8000-${hex(i, 12)}`;
}

const ids = Array.from({ length: 16_384 }, (_, i) => idOf(i));
const names = ['screwedIn', 'switchedOn', 'switchedOff'] as const;

export interface LampParameters {
  readonly [name: string]: string | number;
  readonly wattage: number;
  readonly room: string;
  readonly by: string;
  readonly note: string;
}

/** A plain event, as the bare parts and the peers take it. */
export interface LampRecord {
  readonly aggregateType: string;
  readonly aggregateId: string;
  readonly name: string;
  readonly version: string;
  readonly eventTimestamp: number;
  readonly streamId: string;
  readonly processingId: string;
  readonly characteristics: number;
  readonly parameters: LampParameters;
}

export function idAt(aggregate: number): string {
  return ids[aggregate] ?? idOf(aggregate);
}

function parametersOf(i: number): LampParameters {
  return { wattage: 40 + (i % 5) * 20, room: 'kitchen', by: `user-${i % 97}`, note: 'x'.repeat(24) };
}

/** The i-th event; its processing id only makes it as long as a stored one. */
export function recordOf(i: number, aggregate = i % AGGREGATES, at = START_MS + i): LampRecord {
  return {
    aggregateType: TYPE,
    aggregateId: idAt(aggregate),
    name: names[i % 3]!,
    version: '0',
    eventTimestamp: at,
    streamId: 'hall',
    processingId: idOf(i),
    characteristics: 0,
    parameters: parametersOf(i),
  };
}

/** The i-th event as the bus takes it. */
export function inputOf(i: number, aggregate = i % AGGREGATES, at = START_MS + i): EventInput {
  return {
    aggregateType: TYPE,
    aggregateId: idAt(aggregate),
    name: names[i % 3]!,
    at,
    streamId: 'hall',
    parameters: parametersOf(i),
  };
}

/** The i-th event as a store takes it from the receiver, its parameters copied in canonical order; new each time: a store stamps it. */
export function factOf(i: number, aggregate = i % AGGREGATES, at = START_MS + i): Fact {
  const name = names[i % 3]!;
  const { copier } = lampEvents.get(name)!;
  const held = copier.copy(parametersOf(i), limits.parametersBytes)!;
  return new Fact({
    tenant: '',
    aggregateType: TYPE,
    aggregateId: idAt(aggregate),
    name,
    version: '0',
    eventTime: at,
    streamId: 'hall',
    sequence: -1,
    characteristics: 0,
    metadata: undefined,
    content: undefined,
    held,
    flat: copier.flat,
    shape: copier.shape,
  });
}

/** Numbers from 0 to 1 that are the same in every run and on every side. */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
