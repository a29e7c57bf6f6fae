/**
 * An application that records parcels until it is killed: `topology-child <topology> <folder> <brokers> <context> <first>`.
 * It prints `ready`, then each number that was acknowledged. On a line of input it stops recording, waits until everything
 * is stored and published, prints `settled` and ends.
 */
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  Aggregate,
  Concursus,
  ConcursusModule,
  Event,
  EventBus,
  EventFeed,
  EventTransport,
  getPortToken,
  type ConcursusOptions,
} from '@concursus/core';
import { kafka, kafkaRelay } from '@concursus/kafka';
import { lmdb } from '@concursus/lmdb';

@Event()
class Scanned {
  readonly n!: number;
}

@Aggregate('parcel')
class Parcel {
  static readonly events = { Scanned };
}

const [topology, path, addresses, context, first] = process.argv.slice(2) as [string, string, string, string, string];
const brokers = addresses.split(',');
const store = { persistent: lmdb({ path }), leaseMs: 500 };
// The shortest a broker allows: who follows a killed process waits that long.
const durable = kafka({ brokers, partitions: 4, sessionTimeoutMs: 6_000, heartbeatMs: 300 });
const publish = [kafkaRelay({ brokers, partitions: 4 })];
const topologies: Readonly<Record<string, ConcursusOptions>> = {
  store,
  'store-relay': { ...store, publish },
  buffer: { ...store, durable },
  both: { ...store, durable, publish },
};

@Module({ imports: [ConcursusModule.forRoot({ context, ...topologies[topology] })], providers: [] })
class App {}

@Module({ imports: [App, ConcursusModule.forFeature([Parcel], { context })] })
class Root {}

const app = await NestFactory.createApplicationContext(Root, { logger: ['error', 'warn'] });
const bus = app.get<EventBus>(getPortToken(EventBus, context));
process.stdout.write('ready\n');

let recording = true;
process.stdin.once('data', () => {
  recording = false;
});
let n = Number(first);
async function record(): Promise<void> {
  while (recording) {
    const numbers = [n++, n++, n++];
    await bus.record(
      numbers.map((number) => ({
        aggregateType: 'parcel',
        aggregateId: `p${number % 23}`,
        name: 'scanned',
        // Late and early ones among them: recorded order is not their order in time.
        at: 1_700_000_000_000 + ((number * 7_919) % 1_000_000),
        sequence: number,
        parameters: { n: number },
      })),
    );
    process.stdout.write(`${numbers.join('\n')}\n`);
  }
}
await Promise.all([record(), record(), record()]);

const wait = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));
const transport = app.get<EventTransport | null>(getPortToken(EventTransport, context));
while (transport !== null && (await transport.lag('concursus.log')) > 0) await wait();
const end = await app.get<EventFeed>(getPortToken(EventFeed, context)).end();
const concursus = app.get<Concursus>(getPortToken(Concursus, context));
while (!concursus.relays().every(({ position }) => position?.covers(end) === true)) await wait();
process.stdout.write('settled\n');
await app.close();
process.exit(0);
