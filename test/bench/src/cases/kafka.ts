/** The buffer on a real Kafka: in, acknowledged by all in-sync replicas, and out, decoded and committed, beside the bare client. */
import { randomBytes } from 'node:crypto';
import type { Layer, TransportItem } from '@concursus/core';
import { kafka } from '@concursus/kafka';
import { allOf } from '../bare/raw-cassandra.js';
import { RawKafka } from '../bare/raw-kafka.js';
import type { BenchCase, CaseContext, Round, ServerAddresses, Side } from '../case.js';
import { recordOf, TYPE } from '../model.js';
import { clock, quiet } from '../road.js';

const PARTITIONS = 12;
/** A round's messages stand in the topic before it begins, which takes longer than a round. */
const SESSION_MS = 60_000;
const SEND_SIZE = 1_000;

interface Shape {
  readonly title: string;
  readonly size: number;
  readonly atOnce: number;
}

const SHAPES: readonly Shape[] = [
  { title: 'batch=100', size: 100, atOnce: 1 },
  { title: 'batch=1000', size: 1_000, atOnce: 1 },
  { title: 'single, 100 in flight', size: 1, atOnce: 100 },
];

function kafkaOf({ servers }: CaseContext): NonNullable<ServerAddresses['kafka']> {
  if (servers.kafka === undefined) throw new Error('There is no Kafka: start it through npm run bench:servers.');
  return servers.kafka;
}

function newName(): string {
  return `bench-${randomBytes(6).toString('hex')}`;
}

async function durableLayer(context: CaseContext): Promise<Layer<'durable'>> {
  const provider = kafka({ ...kafkaOf(context), partitions: PARTITIONS, sessionTimeoutMs: SESSION_MS });
  const layer = await provider.create({ context: newName(), clock, logger: quiet });
  await layer.connect();
  return layer;
}

async function rawKafka(context: CaseContext): Promise<RawKafka> {
  const raw = new RawKafka(kafkaOf(context), newName());
  await raw.connect(PARTITIONS);
  return raw;
}

/** The bytes of the i-th event's wire form, near enough, and the key of its aggregate. */
function encoded(i: number): { readonly key: string; readonly bytes: Buffer } {
  const record = recordOf(i);
  return { key: `\u0000${TYPE}\u0000${record.aggregateId}`, bytes: Buffer.from(JSON.stringify(record)) };
}

type Publish = (from: number, to: number) => Promise<void>;

function publishOf(layer: Layer<'durable'>): Publish {
  return (from, to) => {
    const items: TransportItem[] = [];
    for (let i = from; i < to; i++) items.push({ ...encoded(i), acceptedAt: clock.now() });
    return layer.ports.eventTransport.publish(items);
  };
}

function sendOf(raw: RawKafka): Publish {
  return (from, to) => {
    const messages = [];
    for (let i = from; i < to; i++) {
      const { key, bytes } = encoded(i);
      messages.push({ key: Buffer.from(key), value: bytes, timestamp: String(clock.now()) });
    }
    return raw.send(messages);
  };
}

function published(name: string, part: Side['part'], shape: Shape, publish: Publish, close: () => unknown): Side {
  let at = 0;
  return {
    name,
    part,
    close,
    round(operations): Round {
      const count = Math.max(shape.atOnce, Math.round(operations / shape.size));
      const works: (() => Promise<void>)[] = [];
      for (let i = 0; i < count; i++, at += shape.size) {
        const from = at;
        works.push(() => publish(from, from + shape.size));
      }
      return { operations: count * shape.size, run: () => allOf(works, shape.atOnce) };
    },
  };
}

async function publishing(context: CaseContext, shape: Shape): Promise<Side[]> {
  const layer = await durableLayer(context);
  const raw = await rawKafka(context);
  return [
    published('ours', 'ours', shape, publishOf(layer), () => layer.close()),
    published('bare kafkajs', 'bare', shape, sendOf(raw), () => raw.close()),
  ];
}

/** Held back between rounds, and told when a round's messages are through. */
class Counter {
  private left = 0;
  private open: Promise<void> = Promise.resolve();
  private release: () => void = () => undefined;
  private through: () => void = () => undefined;

  constructor() {
    this.hold();
  }

  /** Resolves while a round runs. */
  readonly held = (): Promise<void> => this.open;

  readonly take = (values: readonly Uint8Array[]): void => {
    for (const value of values) {
      const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString();
      const event = JSON.parse(text) as { readonly parameters: { readonly wattage: number } };
      if (event.parameters.wattage > 0) this.left--;
    }
    if (this.left === 0) this.through();
  };

  async run(count: number): Promise<void> {
    this.left = count;
    const through = new Promise<void>((resolve) => (this.through = resolve));
    this.release();
    await through;
    this.hold();
  }

  private hold(): void {
    this.open = new Promise((resolve) => (this.release = resolve));
  }
}

function consumed(name: string, part: Side['part'], counter: Counter, publish: Publish, close: () => unknown): Side {
  let at = 0;
  return {
    name,
    part,
    close,
    async round(operations): Promise<Round> {
      const count = Math.max(SEND_SIZE, operations);
      // The first alone: a fetch that begins meanwhile finds little, and what is measured are full ones.
      await publish(at, at + 1);
      for (let from = at + 1; from < at + count; from += SEND_SIZE) {
        await publish(from, Math.min(from + SEND_SIZE, at + count));
      }
      at += count;
      return { operations: count, run: () => counter.run(count) };
    },
  };
}

async function consuming(context: CaseContext): Promise<Side[]> {
  const layer = await durableLayer(context);
  const ours = new Counter();
  await layer.ports.eventTransport.subscribe('bench', async (items) => {
    await ours.held();
    ours.take(items.map(({ bytes }) => bytes));
  });
  const raw = await rawKafka(context);
  const bare = new Counter();
  await raw.consume(newName(), bare.held, bare.take);
  return [
    consumed('ours', 'ours', ours, publishOf(layer), () => layer.close()),
    consumed('bare kafkajs', 'bare', bare, sendOf(raw), () => raw.close()),
  ];
}

export const kafkaCases: readonly BenchCase[] = [
  ...SHAPES.map((shape): BenchCase => ({
    id: `kafka-in/${shape.title}`,
    operation: `put an event into the buffer, ${shape.size} a call, ${shape.atOnce} in flight, held by all in-sync replicas`,
    server: 'kafka',
    sides: (context) => publishing(context, shape),
  })),
  {
    id: 'kafka-out/consume',
    operation: 'take an event out of the buffer, decoded, and committed behind it',
    server: 'kafka',
    sides: consuming,
  },
];
