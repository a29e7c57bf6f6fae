/** Mistakes in declaring, emitting and handling that must not compile, and what the compiler infers where they do. */
import * as classValidator from 'class-validator';
import {
  Aggregate,
  at,
  Coded,
  contextOf,
  dateCodec,
  defineAggregate,
  emitEach,
  emitterFor,
  Event,
  EventHandler,
  EventRegistry,
  handlerFor,
  make,
  Upcast,
  when,
  type AggregateLike,
  type AggregateModel,
  type ClassValidator,
  type EventContext,
  type EventOf,
  type Fact,
  type Parameters,
  type StateOf,
} from '../../src/index.js';
import { Delivered, DeliveryFailed, LoadedOntoTruck, Parcel, ReceivedAtDepot } from '../mapping/parcels.js';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function same<A, B>(_: Same<A, B>): void;

declare const model: AggregateModel<typeof Parcel>;
declare const anyFact: Fact;
declare const anyEvent: EventOf<typeof Parcel>;

// What is inferred.
same<EventOf<typeof Parcel>, ReceivedAtDepot | LoadedOntoTruck | DeliveryFailed | Delivered>(true);
same<StateOf<typeof Parcel>, Parcel>(true);
const forgetful: AggregateModel = model;
export const validator: ClassValidator = classValidator;

// Handlers.
export class Handlers {
  @EventHandler(Delivered) takesItsEvent(event: Delivered): string {
    return event.destinationId;
  }
  @EventHandler(Delivered) takesContext(_event: Delivered, context: EventContext): number {
    return context.at;
  }
  @EventHandler(Delivered) takesNothing(): void {}
  @EventHandler(Delivered) takesAnyOf(_event: Delivered | ReceivedAtDepot): void {}

  // @ts-expect-error the first parameter is another event
  @EventHandler(Delivered) takesAnother(_event: LoadedOntoTruck): void {}
  // @ts-expect-error the first parameter is no event
  @EventHandler(Delivered) takesText(_event: string): void {}
  // @ts-expect-error the second parameter is no context
  @EventHandler(Delivered) takesNoContext(_event: Delivered, _context: number): void {}
  // @ts-expect-error nobody passes a third parameter
  @EventHandler(Delivered) takesThree(_event: Delivered, _context: EventContext, _third: number): void {}
  // @ts-expect-error a property is no handler
  @EventHandler(Delivered) readonly property = 1;
  // @ts-expect-error a string is no event class
  @EventHandler('delivered') named(): void {}
  // @ts-expect-error there is no such schedule
  @EventHandler(Delivered, { schedule: 'sometimes' }) scheduled(): void {}
}

// Aggregates.
// @ts-expect-error an aggregate has no constructor parameters
@Aggregate('lamp')
export class ConstructedLamp {
  static readonly events = { Delivered };
  constructor(readonly watts: number) {}
}
// @ts-expect-error an aggregate lists its events
@Aggregate('lamp')
export class EventlessLamp {}
// @ts-expect-error events are classes
@Aggregate('lamp')
export class NamedLamp {
  static readonly events = { Delivered: 'delivered' };
}
declare function eventsFor<A extends AggregateLike>(aggregate: A): A;
// @ts-expect-error nor can it be emitted for
eventsFor(ConstructedLamp);
// @ts-expect-error an event is no aggregate
eventsFor(Delivered);

// Payloads.
make(LoadedOntoTruck, { truckId: 'CU50 ZCV' });
make(LoadedOntoTruck, { truckId: 'CU50 ZCV', bay: 3 });
// @ts-expect-error a key is missing
make(LoadedOntoTruck, {});
// @ts-expect-error a value has another type
make(LoadedOntoTruck, { truckId: 7 });
// @ts-expect-error a key is not the event's
make(LoadedOntoTruck, { truckId: 'x', driver: 'y' });

// Emitters.
const emitter = emitterFor(model, 'p1', (events) => events.length);
same<ReturnType<typeof emitter.record>, number>(true);
emitter.record(
  at(0, new ReceivedAtDepot('Lewisham')),
  at('2016-10-12T09:06:31.432Z', make(LoadedOntoTruck, { truckId: 'x' })),
);
emitter.emit.Delivered({ destinationId: 'x' }, { at: 0, stream: 'scanner-7' });
emitter.emit.Delivered(new Delivered('x'), { at: new Date(0), sequence: 3, metadata: { traceparent: 'x' } });
// @ts-expect-error a payload key is missing
emitter.emit.Delivered({}, { at: 0 });
// @ts-expect-error a payload value has another type
emitter.emit.Delivered({ destinationId: 7 }, { at: 0 });
// @ts-expect-error a payload key is not the event's
emitter.emit.Delivered({ destinationId: 'x', extra: 1 }, { at: 0 });
// @ts-expect-error it did happen at some time
emitter.emit.Delivered({ destinationId: 'x' }, {});
// @ts-expect-error the aggregate has no such event
emitter.emit.Lost({}, { at: 0 });
// @ts-expect-error an event needs its time
emitter.record(new ReceivedAtDepot('Lewisham'));
// @ts-expect-error an object of no event of the aggregate
emitter.record(at(0, { colour: 'red' }));
// @ts-expect-error a time is no boolean
at(true, new ReceivedAtDepot('Lewisham'));
emitterFor(
  model,
  'p1',
  emitEach(() => undefined),
);

// `when` is exhaustive and infers the union of its results.
const mixed = when(Parcel, anyEvent, {
  ReceivedAtDepot: (event) => event.depotId.length,
  LoadedOntoTruck: (event) => event.truckId,
  DeliveryFailed: () => null,
  Delivered: (event) => event.destinationId === '',
});
same<typeof mixed, number | string | boolean | null>(true);
when(
  Parcel,
  anyEvent,
  // @ts-expect-error a case is missing
  { ReceivedAtDepot: () => 1, LoadedOntoTruck: () => 2, DeliveryFailed: () => 3 },
);
when(Parcel, anyEvent, {
  ReceivedAtDepot: () => 1,
  LoadedOntoTruck: () => 2,
  DeliveryFailed: () => 3,
  Delivered: () => 4,
  // @ts-expect-error a case too many
  Lost: () => 5,
});
when(Parcel, anyEvent, {
  // @ts-expect-error a case takes its own event
  ReceivedAtDepot: (event: Delivered) => event.destinationId,
  LoadedOntoTruck: () => 2,
  DeliveryFailed: () => 3,
  Delivered: () => 4,
});
const cases = { ReceivedAtDepot: () => 1, LoadedOntoTruck: () => 2, DeliveryFailed: () => 3, Delivered: () => 4 };
// @ts-expect-error an event of nobody
when(Parcel, { colour: 'red' }, cases);

// Typed handlers.
const handle = handlerFor(model, {
  ReceivedAtDepot: (event, context) => event.depotId + context.aggregateId,
  LoadedOntoTruck: (event) => event.truckId,
  DeliveryFailed: (event) => event.reason,
  Delivered: () => '',
});
same<ReturnType<typeof handle>, string>(true);
handle(anyFact);
// @ts-expect-error a case is missing
handlerFor(model, { ReceivedAtDepot: () => 1 });
handlerFor(model, {
  ReceivedAtDepot: () => 1,
  LoadedOntoTruck: () => 2,
  DeliveryFailed: () => 3,
  // @ts-expect-error a case takes its own event
  Delivered: (event: LoadedOntoTruck) => event.truckId,
});
contextOf(anyFact).at.toFixed();
// @ts-expect-error a context cannot be changed
contextOf(anyFact).at = 0;

// Pure folds.
export const Folded = defineAggregate('folded', {
  events: { ReceivedAtDepot, Delivered },
  initial: { where: '' },
  fold: {
    ReceivedAtDepot: (state, event) => ({ where: state.where + event.depotId }),
    Delivered: (_state, event, context) => ({ where: `${event.destinationId} ${context.at}` }),
  },
});
same<StateOf<typeof Folded>, { where: string }>(true);
same<EventOf<typeof Folded>, ReceivedAtDepot | Delivered>(true);
eventsFor(Folded);
const registry = new EventRegistry('', [Parcel, Folded]);
emitterFor(registry.aggregate(Folded), 'x', () => 0).emit.Delivered({ destinationId: 'x' }, { at: 0 });
when(Folded, new Delivered('x'), { ReceivedAtDepot: () => 1, Delivered: () => 2 });
defineAggregate('counted', {
  events: { Delivered },
  initial: () => ({ count: 0 }),
  fold: { Delivered: (state) => ({ count: state.count + 1 }) },
});
defineAggregate('missing', {
  events: { ReceivedAtDepot, Delivered },
  initial: { where: '' },
  // @ts-expect-error a case is missing
  fold: { Delivered: (state) => state },
});
defineAggregate('extra', {
  events: { Delivered },
  initial: { where: '' },
  fold: {
    Delivered: (state) => state,
    // @ts-expect-error a case too many
    ReceivedAtDepot: (state: { where: string }) => state,
  },
});
defineAggregate('wrong', {
  events: { Delivered },
  initial: { where: '' },
  // @ts-expect-error a fold returns the state
  fold: { Delivered: () => ({ where: 7 }) },
});

// Fields and upcasters.
@Event()
export class Scanned {
  @Coded(dateCodec) readonly seenAt!: Date;
  @Coded(dateCodec) readonly sentAt?: Date;
  // @ts-expect-error the codec is of another type
  @Coded(dateCodec) readonly count!: number;

  @Upcast(Delivered, { from: '0' }) static fromZero(parameters: Parameters): Parameters {
    return parameters;
  }
  // @ts-expect-error an upcaster is static
  @Upcast(Delivered, { from: '0' }) instance(parameters: Parameters): Parameters {
    return parameters;
  }
  // @ts-expect-error an upcaster maps parameters to parameters
  @Upcast(Delivered, { from: '0' }) static text(_parameters: string): string {
    return '';
  }
}

export { forgetful };
