/** `@concursus/core/model`: the framework-free model, shared with pages and other runtimes. */
export {
  aggregateKeyOf,
  aggregateKeyText,
  Fact,
  INITIAL,
  sameContent,
  TERMINAL,
  type AggregateKey,
  type FactInit,
  type Metadata,
  type Parameters,
  type WireValue,
} from './event.js';
export type { EventConsumer, EventInput } from './event-input.js';
export {
  causeText,
  correctionEvent,
  correctionName,
  correctionOf,
  correctionText,
  CORRECTION,
  CORRECTION_PREFIX,
  effectTimeOf,
  isCorrection,
  reachTimeOf,
  readCorrection,
  type Correction,
  type CorrectionInput,
  type CorrectionKind,
  type CorrectionTarget,
} from './correction.js';
export {
  amended,
  compareEffective,
  compareRuling,
  effectiveFacts,
  isPlain,
  Rulings,
  type ConflictPolicy,
  type Ruling,
} from './effective-facts.js';
export { canonicalJson, isForbiddenKey } from './canonical-json.js';
export { digestOf } from './digest.js';
export {
  compareFold,
  compareIdentity,
  compareKey,
  RANK_INITIAL,
  RANK_PLAIN,
  RANK_TERMINAL,
  type IdentityKey,
  type RankOf,
} from './event-order.js';
export {
  compareProcessingIds,
  compareProcessingTime,
  formatProcessingId,
  isProcessingId,
  nextProcessingTime,
  parseProcessingId,
  processingIdPrefix,
  randomNode,
  type IdStamp,
  type ProcessingTime,
} from './processing-id.js';
export { OrdinalPosition, type Position } from './position.js';
export { compareText, utf8Length } from './text.js';
export { SLICES, sliceOf } from './slices.js';
export { formatTime, parseEventTime, parseProcessingBound, TimeRange } from './time.js';
export {
  checkAggregateId,
  checkContext,
  checkMetadata,
  checkName,
  checkSequence,
  checkStreamId,
  checkTenant,
  identityKey,
  identityText,
  type NameKind,
} from './identity.js';
export {
  fromEventJson,
  fromEventsJson,
  toEventJson,
  toEventsJson,
  toHistoryJson,
  type EventFromJson,
  type HistoryJson,
} from './event-json.js';
export { bigintCodec, bytesCodec, dateCodec, epochMsCodec, listCodec, nullableCodec, type Codec } from './codecs.js';
export { fromBase64, toBase64 } from './base64.js';
export { limits } from './limits.js';
export {
  ConcursusError,
  ConfigurationError,
  ConflictError,
  HandlerError,
  InvalidEventError,
  UnavailableError,
  UnsupportedError,
  type ConfigurationCode,
  type ConflictCode,
  type ErrorCode,
  type ErrorOptions,
  type HandlerCode,
  type InvalidEventCode,
  type UnavailableCode,
  type UnsupportedCode,
} from './errors.js';
