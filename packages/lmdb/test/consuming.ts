/** What the children of the specs that kill have in common: handlers or settlings over a folder, until it is killed or told to stop. */
import {
  HandlerRunner,
  SystemClock,
  type ConsumerModel,
  type HandlerConsumer,
  type Layer,
  type WatermarkFactory,
} from '@concursus/core';
import { silent } from './support.js';

/** Prints `ready` once they run. A lease is short, so that a spec need not wait for it. */
export async function consume(
  layer: Layer<'persistent'>,
  watermarks: WatermarkFactory,
  consumers: readonly (HandlerConsumer | ConsumerModel)[],
): Promise<void> {
  const { eventStore, eventFeed, viewStore, checkpointStore } = layer.ports;
  const runner = new HandlerRunner(
    {
      context: 'spec',
      store: eventStore,
      feed: eventFeed,
      views: viewStore,
      checkpoints: checkpointStore,
      clock: new SystemClock(),
      logger: silent,
      process: String(process.pid),
      watermarks,
    },
    consumers,
    { leaseMs: 120, beatMs: 30 },
  );
  await runner.start();
  process.stdout.write('ready\n');
  process.stdin.on('data', () => {
    void runner
      .stop()
      .then(() => layer.close())
      .then(() => process.exit(0));
  });
}
