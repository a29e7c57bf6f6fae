// What the bench needs of ocoda, whose newest release on the registry is of Nest 10.
import 'reflect-metadata';
import ocoda from '@ocoda/event-sourcing';
import serializers from '@ocoda/event-sourcing/dist/helpers/default-event-serializer.js';
import inMemory from '@ocoda/event-sourcing/dist/integration/event-store/in-memory.event-store.js';
import models from '@ocoda/event-sourcing/dist/models/index.js';
export const { Aggregate, Event, EventMap } = ocoda;
export const { InMemoryEventStore } = inMemory;
export const { AggregateRoot, EventStream, UUID } = models;
export const { DefaultEventSerializer } = serializers;
