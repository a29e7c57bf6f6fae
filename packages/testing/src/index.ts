/** `@concursus/testing`: contracts for providers, a clock moved by hand, and messy deliveries. */
export {
  eventually,
  failures,
  refused,
  relaySubjectOf,
  soon,
  subjectOf,
  verifyContract,
  type Contract,
  type ContractCase,
  type Failure,
  type Opened,
  type PortsUnderTest,
  type Runner,
  type Subject,
  type Testable,
  type World,
} from './contract.js';
export { ManualClock } from './manual-clock.js';
export {
  aggregateIds,
  delivered,
  deliveredTwice,
  deliveryOf,
  eventTimes,
  factOf,
  facts,
  histories,
  initOf,
  messes,
  messyDeliveries,
  parameters,
  sequences,
  streamIds,
  texts,
  type Delivery,
  type FactSketch,
  type Mess,
} from './event-arbitraries.js';
export { eventStoreContract } from './event-store.contract.js';
export { eventFeedContract } from './event-feed.contract.js';
export { viewStoreContract } from './view-store.contract.js';
export {
  checkpointStoreContract,
  quarantineContract,
  quarantineQuotaContract,
  smallQuota,
  snapshotStoreContract,
  transientCacheContract,
} from './coordination.contract.js';
export { eventTransportContract, smallItemsMax, transportBoundContract } from './event-transport.contract.js';
export { eventRelayContract } from './event-relay.contract.js';
export { Faults, type Fault, type FaultKind } from './faulty-port.js';
export { scenario, Scenario, type ScenarioContext } from './scenario.js';
export { MemoryContext, type Part, type ProjectionClass } from './memory-context.js';
export { OrderSensitiveError, provesOrderInsensitive, type EventAbout, type OrderProofOptions } from './order-proof.js';
export {
  allFeatures,
  plansOf,
  planText,
  runSettlingWorld,
  runWorld,
  shrinkPlan,
  simulate,
  Violation,
  type Action,
  type CallPoint,
  type CorrectionDraft,
  type Draft,
  type EventDraft,
  type Features,
  type Finding,
  type Outcome,
  type Plan,
  type SettlingOutcome,
  type Shrunk,
  type SimulateOptions,
  type Simulated,
} from './simulation/index.js';
