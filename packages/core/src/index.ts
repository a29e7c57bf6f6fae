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

// In-memory providers: the reference.
export { inMemory, inMemoryCache, inMemoryTransport, type InMemoryOptions } from './memory/in-memory.provider.js';

// Pipeline: the road from a caller to the store.
export { EventBus, type EventBusOptions } from './pipeline/event-bus.js';
export {
  StreamBatch,
  summaryOf,
  type BatchReport,
  type Decode,
  type ItemOutcome,
  type RawInput,
  type RecordCounts,
  type RecordOptions,
  type RecordSummary,
  type Rejection,
  type StreamItem,
} from './pipeline/record.js';
export { decodeKeptEvent, decodeWireJson } from './pipeline/receiver.js';
export { Batch, BatchItem, type BatchOutcome } from './pipeline/batch.js';
export {
  Middleware,
  middlewareMetaOf,
  type BatchMiddleware,
  type MiddlewareMeta,
  type MiddlewareOptions,
  type Stage,
} from './pipeline/middleware.js';
export { Deduplicator, incarnationOf, type DeduplicatorOptions } from './pipeline/deduplicator.js';
export { Publisher, type FactConsumer, type TransientHandler } from './pipeline/publisher.js';
export {
  QuarantineService,
  type QuarantinePage,
  type RetryOptions,
  type RetryResult,
} from './pipeline/quarantine-service.js';
