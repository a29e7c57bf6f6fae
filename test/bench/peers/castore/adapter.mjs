// What the bench needs of castore.
export { EventStore, EventType } from '@castore/core';
export { InMemoryEventStorageAdapter } from '@castore/event-storage-adapter-in-memory';
