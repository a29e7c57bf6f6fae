/** Goal: a start that failed loses nobody. Method: a store whose owner rows cannot be read at first, and a second call of `start()`. */
import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Faults, ManualClock } from '@concursus/testing';
import { expect, it } from 'vitest';
import {
  Aggregate,
  at,
  Concursus,
  ConcursusModule,
  Event,
  EventBus,
  EventHandler,
  inMemory,
  type LayerProvider,
} from '../../src/index.js';

@Event()
class Rung {}

@Aggregate('door')
class Door {
  static readonly events = { Rung };
}

const heard: string[] = [];

@Injectable()
class Notify {
  @EventHandler(Rung, { schedule: 'durable', name: 'notify', from: 'beginning' })
  rung(): void {
    heard.push('rung');
  }
}

it('a start that the store refused goes on with the next call, handlers included', async () => {
  const faults = new Faults(new ManualClock(), [{ method: 'readOwner', call: 1, kind: 'fail' }]);
  const memory = inMemory();
  const persistent: LayerProvider<'persistent'> = {
    ...memory,
    async create(context) {
      const layer = await memory.create(context);
      return { ...layer, ports: { ...layer.ports, checkpointStore: faults.wrap(layer.ports.checkpointStore) } };
    },
  };
  const app = await Test.createTestingModule({
    imports: [ConcursusModule.forRoot({ persistent, autoStart: false }), ConcursusModule.forFeature([Door])],
    providers: [Notify],
  }).compile();
  await app.init();
  const concursus = app.get(Concursus);
  await expect(concursus.start()).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
  await app.get(EventBus).for(Door, 'd').record(at('2026-11-26T10:00:00Z', new Rung()));
  await Promise.all([concursus.start(), concursus.start()]);
  await expect.poll(() => heard, { timeout: 10_000 }).toEqual(['rung']);
  await app.close();
});
