/** `@concursus/core`: the public API, in the order of the walk (ARCHITECTURE.md). */

// The model: what an event is, how it is ordered, what it may hold.
export * from './model/index.js';

// The ports: what a provider implements.
export { type Capabilities, type Capability, lacks } from './ports/capabilities.js';
export { Clock, SystemClock } from './ports/clock.js';
export {
  EventStore,
  type Append,
  type AppendOptions,
  type AppendOutcome,
  type AppendResult,
  type EventTimeRange,
  type ReadOptions,
} from './ports/event-store.js';
export { EventFeed, type FeedPage } from './ports/event-feed.js';
export { EventTransport, type TransportItem, type TransportSubscription } from './ports/event-transport.js';
export {
  ViewStore,
  type ChangeRecord,
  type Fields,
  type FindOptions,
  type IndexEntry,
  type StoredChange,
  type StoredContribution,
  type StoredRow,
  type ViewCommit,
  type ViewRef,
} from './ports/view-store.js';
export { SnapshotStore, type Snapshot } from './ports/snapshot-store.js';
export { CheckpointStore, type OwnerRow } from './ports/checkpoint-store.js';
export {
  defaultQuarantineQuota,
  Quarantine,
  type QuarantinedItem,
  type QuarantineInput,
  type QuarantineQuota,
} from './ports/quarantine.js';
export { TransientCache } from './ports/transient-cache.js';
export type {
  Layer,
  LayerContext,
  LayerLogger,
  LayerProvider,
  PersistentPorts,
  PortsBySlot,
  Slot,
} from './ports/layer.js';
