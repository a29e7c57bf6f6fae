/** `@concursus/kafka`: the public API. */
export { kafka, type KafkaGroupOptions, type KafkaOptions } from './kafka.provider.js';
export { kafkaRelay, type KafkaRelayOptions } from './kafka-relay.js';
export { kafkaSource, type KafkaSourceOptions, type SourceMessage } from './kafka-source.js';
export { eventHeaders, messageKey, type ValueForm } from './wire.js';
export { deadLetterHeaders } from './dead-letters.js';
export { partitionOf } from './partitions.js';
export type { KafkaConnectionOptions } from './client.js';
export type { TopicOptions } from './topics.js';
