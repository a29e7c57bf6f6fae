// What the bench needs of emmett.
export { getInMemoryEventStore, getInMemoryMessageBus } from '@event-driven-io/emmett';
