/** Goal: the durable layer and the relay on Kafka keep what every provider of them promises. Method: enrolment in the contracts, each case on topics of its own, read with the bare client. */
import { type PublishedEvent } from '@concursus/core';
import {
  eventRelayContract,
  eventTransportContract,
  relaySubjectOf,
  subjectOf,
  verifyContract,
} from '@concursus/testing';
import { serverOf } from '@concursus/test/servers';
import { describe, it } from 'vitest';
import { eventHeaders, kafka, kafkaRelay } from '../src/index.js';
import { fresh, readTopics } from './support.js';

const { brokers } = serverOf('kafka');
const runner = { describe, it };

verifyContract(
  eventTransportContract,
  subjectOf('kafka', () => kafka({ brokers, topic: fresh('contract'), partitions: 3 })),
  runner,
);

const relay = relaySubjectOf('kafka', () => {
  const prefix = fresh('relay');
  const topicOf = (type: string): string => `${prefix}.${type}`;
  const provider = kafkaRelay({ brokers, topic: topicOf, partitions: 3 });
  return {
    provider,
    async received({ context, aggregateTypes }) {
      const read = await readTopics(brokers, aggregateTypes.map(topicOf));
      return read.map(({ topic, message }): PublishedEvent => {
        const [tenant, aggregateId] = [
          ...(message.key!.includes(0) ? [] : ['']),
          ...message.key!.toString().split('\u0000'),
        ];
        return {
          context,
          key: message.headers![eventHeaders.key]!.toString(),
          tenant: tenant!,
          aggregateType: topic.slice(prefix.length + 1),
          aggregateId: aggregateId!,
          json: message.value!.toString(),
        };
      });
    },
  };
});
verifyContract(eventRelayContract, relay, runner);
