/** `@concursus/core`: the public API, in the order of the walk (ARCHITECTURE.md). */

// The model: what an event is, how it is ordered, what it may hold.
export * from './model/index.js';

// Mapping: how classes declare, emit and handle events.
export {
  Aggregate,
  aggregateMetaOf,
  Coded,
  CorrectionHandler,
  correctionHandlersOf,
  Event,
  EventHandler,
  eventMetaOf,
  fieldsOf,
  handlersOf,
  Indexed,
  Initial,
  Ordered,
  Terminal,
  Thread,
  WireName,
  type AggregateMeta,
  type AggregateOptions,
  type CorrectionHandlerOptions,
  type CorrectionMeta,
  type EffectHandlerOptions,
  type EventHandlerOptions,
  type EventMeta,
  type EventOptions,
  type FieldMeta,
  type HandlerDecorator,
  type HandlerMeta,
  type RetryPolicy,
} from './mapping/decorators.js';
export type {
  AggregateClass,
  AggregateLike,
  EventClass,
  EventOf,
  EventRecord,
  EventsOf,
  FoldAggregate,
  PayloadOf,
  StateOf,
} from './mapping/event-class.js';
export { contextOf, type CorrectionContext, type EffectContext, type EventContext } from './mapping/event-context.js';
export {
  Deadline,
  OnCorrected,
  OnSettled,
  OnWithdrawn,
  session,
  settlingsOf,
  sliding,
  tumbling,
  type CorrectedContext,
  type DeadlineDecorator,
  type DeadlineOptions,
  type OnSettledOptions,
  type SettledContext,
  type SettledSpan,
  type SettlingContext,
  type SettlingMeta,
  type SettlingOptions,
  type SettlingRef,
  type SettlingWindow,
} from './mapping/settling.js';
export { AggregateModel, type FoldInfo, type FoldState } from './mapping/aggregate-model.js';
export { EventModel } from './mapping/event-model.js';
export { EventRegistry, type EventRegistryOptions } from './mapping/event-registry.js';
export { defineAggregate, type FoldCases, type HandlerCases } from './mapping/fold-aggregate.js';
export { handlerFor, when, type WhenCases } from './mapping/handler-map.js';
export {
  at,
  emitEach,
  emitterFor,
  make,
  type Emit,
  type EmitDetails,
  type Decision,
  type EmitterOptions,
  type EventsConsumer,
  type Target,
  type TimedEvent,
  type TypedEmitter,
} from './mapping/typed-emitter.js';
export { Upcast, upcastsOf, type UpcastFunction, type UpcastMeta, type UpcastOptions } from './mapping/upcaster.js';
export { loadClassValidator } from './class-validator.js';
export type { ClassValidator, InvalidParameters, ValidationResult, ValidParameters } from './mapping/validation.js';

// The ports: what a provider implements.
export { Bell } from './ports/bell.js';
export { type Capabilities, type Capability, lacks, noStore } from './ports/capabilities.js';
export { Clock, SystemClock } from './ports/clock.js';
export {
  EventStore,
  type Append,
  type AppendOptions,
  type AppendOutcome,
  type AppendResult,
  type EventTimeRange,
  type KnownOptions,
  type Beside,
  type HistoryPages,
  type ReadOptions,
  type SourceCounts,
} from './ports/event-store.js';
export {
  answerBefore,
  checkDecision,
  UNDECIDED,
  type DecisionAnswer,
  type DecisionAppend,
  type DecisionState,
} from './ports/decision.js';
export { ReadyPages } from './ports/ready-pages.js';
export { EventFeed, type FeedPage } from './ports/event-feed.js';
export { EventTransport, type TransportItem, type TransportSubscription } from './ports/event-transport.js';
export {
  EventRelay,
  relayKey,
  relayKeyText,
  type RelayContext,
  type RelayProvider,
  type RelaySelection,
  type RelayTarget,
} from './ports/event-relay.js';
export {
  packRow,
  unpackRow,
  ViewStore,
  type AheadReach,
  type ChangeRecord,
  type Fields,
  type FindOptions,
  type IndexRange,
  type IndexedField,
  type IndexEntry,
  type PackedRow,
  type StoredChange,
  type StoredContribution,
  type StoredRow,
  type ViewCommit,
  type ViewRef,
} from './ports/view-store.js';
export { SnapshotStore, type Snapshot } from './ports/snapshot-store.js';
export { checkpointMoved, CheckpointStore, leaseLost, type OwnerRow } from './ports/checkpoint-store.js';
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
export {
  inMemoryRelay,
  type InMemoryRelayOptions,
  type InMemoryRelayProvider,
  type PublishedEvent,
} from './memory/in-memory-relay.js';

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
export { EventInlet, InletRunner, type InletContext, type InletProvider } from './pipeline/inlet.js';
export type { BufferState } from './pipeline/buffer.js';
export { relayRow, RelayRunner, type RelayRunnerParts, type RelayState } from './pipeline/relay.js';
export type { RelayWork } from './pipeline/relay-selection.js';
export { selectionOf, type Selection } from './pipeline/relay-selection.js';
export {
  QuarantineService,
  type QuarantinePage,
  type RetryOptions,
  type RetryResult,
} from './pipeline/quarantine-service.js';

// Projections: views that put themselves right.
export {
  Projection,
  projectionMetaOf,
  type ProjectionMeta,
  type ProjectionModel,
  type ProjectionOptions,
  type Rows,
  type RowsContext,
} from './projection/projection.js';
export { Count, Earliest, Latest, Max, Min, SetOf, Sum, type FieldModel, type Merge } from './projection/merge.js';
export {
  View,
  type ReplayedView,
  type ViewChange,
  type ViewFind,
  type ViewPage,
  type ViewRow,
} from './projection/view.js';
export type { ReplayOptions } from './projection/replay.js';
export { sharesOf } from './projection/shares.js';
export type { Share } from './projection/projection.js';
export { ViewMirror } from './projection/view-mirror.js';
export { Projections, type ViewAudit, type ViewDifference, type ViewGeneration } from './projection/projections.js';
export type { Generation, RebuildRequest } from './projection/generations.js';
export type { RebuildOptions, RebuildProgress } from './projection/rebuild.js';
export { Auditor, type AuditOptions, type AuditState, type ContinuousAuditOptions } from './projection/auditor.js';
export type {
  AuditFinding,
  AuditFindingKind,
  AuditProgress,
  AuditReport,
  ViewAuditCounts,
} from './projection/audit-report.js';
export type { RebuildDifference, RebuildReport } from './projection/adoption.js';
export { projectionModel } from './projection/projection-model.js';
export { ProjectionRunner, type RunnerOptions, type RunnerParts } from './projection/projection-runner.js';
export type { ParkedAggregate } from './projection/track.js';

// Processing: side effects, and who may run a consumer.
export {
  HandlerRunner,
  type HandlerRunnerOptions,
  type HandlerRunnerParts,
  type HandlerState,
} from './processing/handler-runner.js';
export type { CorrectionMethod, HandlerConsumer, HandlerMethod } from './processing/handlers.js';
export {
  ParkedEvents,
  type DiscardDecision,
  type ParkedAggregateRef,
  type ParkedListOptions,
  type ParkedPage,
} from './processing/parked-events.js';
export type { EntryKind } from './processing/entry.js';
export type { DiscardedEvent, ParkedError, ParkedEvent } from './processing/parking.js';
export { FeedPages, type FeedReader } from './processing/feed-pages.js';
export type { WatermarkFactory, WatermarkSource } from './processing/watermark-source.js';
export { ConsumerModel, type ConsumerOptions, type Schedule } from './processing/consumer-model.js';
export { WorkModel, type Work, type WorkParts } from './processing/work-model.js';
export { FairShares, type FairSharesOptions, type Holder, type Holding } from './processing/fair-shares.js';
export { Ownership, type OwnershipOptions, type Sharing } from './processing/ownership.js';

// Time: how far sources are, and what is settled.
export {
  isReserved,
  readSourceFact,
  SOURCE_TYPE,
  sourceFactOf,
  sourceFacts,
  type SourceFact,
  type SourceFactKind,
} from './time/source-facts.js';
export { TimePolicies, type SourcePolicy, type StreamPolicy, type TimeOptions } from './time/time-options.js';
export { SourceTable, type SourceTableOptions } from './time/source-table.js';
export {
  SOURCE_NOTES,
  SOURCE_STATISTICS_NOTES,
  type SourceState,
  type SourceView,
  type TimeNote,
} from './time/source.js';
export type { Gaps } from './time/sequence-gaps.js';
export type { Lateness, SourceStatisticsView } from './time/source-statistics.js';
export { Settlement, SETTLEMENT_NOTES, type SettlementHold } from './time/settlement.js';
export {
  completenessOf,
  type Completeness,
  type CompletenessOptions,
  type HoldingSource,
  type ParkedHold,
  type SilentSource,
  type SourceName,
} from './time/completeness.js';
export { Sources, type ListedSource, type SourcesOptions } from './time/sources.js';
export {
  IdleProver,
  isProvenIdle,
  type ChannelProbe,
  type IdleObservation,
  type IdleProverOptions,
} from './time/idleness.js';
// Queries: what is, what was, what was known.
export {
  Histories,
  type AggregateRef,
  type Conflict,
  type HistoryOptions,
  type TimeInput,
} from './query/event-source.js';
export {
  States,
  type AggregateState,
  type Changed,
  type Learned,
  type StateOptions,
} from './query/state-repository.js';
export { foldFrom, Snapshots, type FoldedState, type SnapshotOptions, type SnapshotParts } from './query/snapshots.js';
export { type FoldBounds, type FoldedHistory } from './query/fold-history.js';
export { Catalogue, CATALOGUE, catalogueModel, type CataloguePage } from './query/catalogue.js';

// Settling: what happens when time settles.
export { settlingItems, type Settling, type SettlingItem } from './time/settled-items.js';
export { SettlingModel } from './settling/settling-model.js';
export { viewOfSettling, type SettlingConsumer } from './settling/settling-name.js';
export {
  Deadlines,
  SettledItems,
  type OpenDeadline,
  type OutdatedItem,
  type SettlingListOptions,
  type SettlingPage,
} from './settling/deadlines.js';

// The module.
export { ConcursusModule } from './concursus.module.js';
export {
  ConcursusHealth,
  type HealthOptions,
  type HealthParts,
  type HandlerHealth,
  type HealthReport,
  type ViewHealth,
} from './concursus.health.js';
export { Concursus } from './concursus.runtime.js';
export {
  DEFAULT_CONTEXT,
  type ConcursusAsyncOptions,
  type ConcursusOptions,
  type ConcursusOptionsFactory,
  type ConcursusRootOptions,
} from './concursus.options.js';
export { getPortToken, InjectPort, InjectView } from './tokens.js';
