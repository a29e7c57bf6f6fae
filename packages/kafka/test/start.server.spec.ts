/**
 * Goal: processes that start at the same moment, on topics that nobody made yet, all start; what does not pass is said, with
 * its reason. Method: the real broker. What it answers in the moment in which it has not heard of a topic yet cannot be
 * forced, so its refusals stand in front of its own answers, one step at a time.
 */
import { SystemClock, type Layer, type LayerLogger } from '@concursus/core';
import { serverOf } from '@concursus/test/servers';
import kafkajs, { type Admin } from 'kafkajs';
import { afterEach, describe, expect, it } from 'vitest';
import { kafka } from '../src/index.js';
import { KafkaClient } from '../src/client.js';
import { ensureTopics } from '../src/topics.js';
import { administer, fresh } from './support.js';

const { brokers } = serverOf('kafka');
const PROCESSES = 5;
const logger: LayerLogger = { log: () => undefined, warn: () => undefined, error: () => undefined };
const layers: Layer<'durable'>[] = [];

afterEach(async () => {
  for (const layer of layers.splice(0)) await layer.close();
});

/** Sleeps in no time, and knows for how long. */
class HurriedClock extends SystemClock {
  sleptMs = 0;

  override sleep(ms: number): Promise<void> {
    this.sleptMs += ms;
    return Promise.resolve();
  }

  override monotonicMs(): number {
    return this.sleptMs;
  }
}

/** As the client makes it of a broker's answer; its types leave that out. */
function answer(type: string, retriable: boolean): Error {
  const { KafkaJSProtocolError } = kafkajs as unknown as { KafkaJSProtocolError: new (answer: object) => Error };
  return new KafkaJSProtocolError({ type, retriable, code: 3, message: `answered ${type}` });
}

/** The real one, but that the first answers to one question are refusals: the broker has done what it was asked by then. */
function refusing(admin: Admin, step: keyof Admin, refusals: number, refusal: Error): Admin {
  let left = refusals;
  return new Proxy(admin, {
    get(target, name: keyof Admin) {
      const method = target[name];
      if (name !== step) return method;
      return async (...values: unknown[]) => {
        const result = await (method as (...given: unknown[]) => Promise<unknown>).apply(target, values);
        if (left-- > 0) throw refusal;
        return result;
      };
    },
  });
}

async function ensure(topic: string, admin: (real: Admin) => Admin, clock = new HurriedClock()): Promise<void> {
  const needs = { topic, purpose: 'a spec', partitions: 3, eventTimes: false, written: true };
  await administer(brokers, (real) =>
    ensureTopics(new KafkaClient({ brokers }, logger), admin(real), { clock, logger }, [needs]),
  );
}

describe('a start', () => {
  it.each<keyof Admin>(['listTopics', 'createTopics', 'fetchTopicOffsets', 'fetchTopicMetadata', 'describeConfigs'])(
    'asks again when %s meets a broker that has not heard of the topic yet',
    async (step) => {
      const topic = fresh('young');
      const clock = new HurriedClock();
      await ensure(topic, (real) => refusing(real, step, 3, answer('UNKNOWN_TOPIC_OR_PARTITION', true)), clock);
      // Created once, it is not created again; the broker itself may refuse a few times more.
      expect(clock.sleptMs).toBeGreaterThanOrEqual(step === 'createTopics' ? 50 : 50 + 100 + 200);
      expect(await administer(brokers, (admin) => admin.fetchTopicOffsets(topic))).toHaveLength(3);
    },
  );

  it('ends with the reason when that does not pass', async () => {
    const clock = new HurriedClock();
    const refusal = answer('LEADER_NOT_AVAILABLE', true);
    const starting = ensure(fresh('young'), (real) => refusing(real, 'describeConfigs', 1_000, refusal), clock);
    await expect(starting).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', retryable: true, cause: refusal });
    await expect(starting).rejects.toThrow(/for \d+ ms: answered LEADER_NOT_AVAILABLE/);
    expect(clock.sleptMs).toBeGreaterThanOrEqual(30_000);
    expect(clock.sleptMs).toBeLessThan(32_000);
  });

  it('ends at once with what does not pass by itself', async () => {
    const clock = new HurriedClock();
    const refusal = answer('TOPIC_AUTHORIZATION_FAILED', false);
    const starting = ensure(fresh('denied'), (real) => refusing(real, 'createTopics', 1, refusal), clock);
    await expect(starting).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', cause: refusal });
    expect(clock.sleptMs).toBe(0);
  });

  it('of several processes at one moment, on topics nobody made yet, is one of all of them', async () => {
    const topic = fresh('together');
    await Promise.all(
      Array.from({ length: PROCESSES }, async () => {
        const clock = new SystemClock();
        const layer = (await kafka({ brokers, topic, partitions: 3, heartbeatMs: 200 }).create({
          context: 'start',
          clock,
          logger,
        })) as Layer<'durable'>;
        layers.push(layer);
        await layer.connect();
        await layer.ports.eventTransport.subscribe('g', async () => undefined);
      }),
    );
    const members = await administer(brokers, (admin) => admin.describeGroups([`${topic}.g`]));
    expect(members.groups[0]?.members).toHaveLength(PROCESSES);
  });
});
