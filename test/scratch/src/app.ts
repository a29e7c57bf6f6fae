/**
 * The app that pack.spec.ts compiles and runs outside the repository: it imports the module, annotates classes, and swaps
 * the provider in one line. Its last line of output is `ok`.
 */
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Aggregate,
  at,
  type Batch,
  type BatchMiddleware,
  ConcursusModule,
  Event,
  EventBus,
  EventHandler,
  inMemory,
  type LayerProvider,
  Middleware,
  Projection,
  Projections,
  type Rows,
  States,
  Sum,
} from '@concursus/core';
import { lmdb } from '@concursus/lmdb';
import { Inject, Injectable, type INestApplicationContext, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

@Event({ initial: true })
class ReceivedAtDepot {
  constructor(readonly depot: string) {}
}

@Event({ terminal: true })
class Delivered {
  constructor(readonly to: string) {}
}

@Aggregate('parcel')
class Parcel {
  static readonly events = { ReceivedAtDepot, Delivered };
  depot = 'unknown';
  delivered = 0;

  @EventHandler(ReceivedAtDepot)
  received(event: ReceivedAtDepot): void {
    this.depot = event.depot;
  }

  @EventHandler(Delivered)
  deliver(_event: Delivered): void {
    this.delivered = 1;
  }
}

class Depot {
  @Sum() parcels = 0;
  @Sum() delivered = 0;
}

@Projection({ name: 'depots', of: Parcel, view: Depot })
class Depots {
  rows(parcel: Parcel): Rows<Depot> {
    return [[parcel.depot, { parcels: 1, delivered: parcel.delivered }]];
  }
}

@Injectable()
class Counter {
  batches = 0;
}

@Injectable()
@Middleware({ stage: 'receive' })
class CountsBatches implements BatchMiddleware {
  constructor(@Inject(Counter) private readonly counter: Counter) {}

  async handle(_batch: Batch, next: () => Promise<void>): Promise<void> {
    this.counter.batches += 1;
    await next();
  }
}

function appOn(persistent: LayerProvider<'persistent'>): Promise<INestApplicationContext> {
  @Module({
    imports: [ConcursusModule.forRoot({ persistent })],
    providers: [Depots, Counter, CountsBatches],
  })
  class AppModule {}
  return NestFactory.createApplicationContext(AppModule, { logger: false });
}

async function story(app: INestApplicationContext): Promise<void> {
  const parcel = app.get(EventBus).for(Parcel, 'p-1');
  const late = await parcel.record(at('2016-10-12T15:00:31.322Z', new Delivered('Catford')));
  const first = await parcel.record(at('2016-10-12T09:06:32.106Z', new ReceivedAtDepot('Lewisham')));
  const again = await parcel.record(at('2016-10-12T09:06:32.106Z', new ReceivedAtDepot('Lewisham')));
  assert.deepEqual([late.recorded, first.recorded, again.recorded, again.repeated], [1, 1, 0, 1]);
  assert.equal(app.get(Counter).batches, 3);
}

async function figures(app: INestApplicationContext): Promise<void> {
  const depots = app.get(Projections).view<Depot>('depots');
  const found = await depots.find();
  assert.deepEqual(
    found.rows.map((row) => [row.key, { ...row.value }]),
    [['Lewisham', { parcels: 1, delivered: 1 }]],
  );
  const noon = await app.get(States).get(Parcel, 'p-1', { asOf: '2016-10-12T12:00:00.000Z' });
  assert.deepEqual({ ...noon?.state }, { depot: 'Lewisham', delivered: 0 });
}

async function caughtUp(app: INestApplicationContext): Promise<void> {
  const recorded = await app
    .get(EventBus)
    .for(Parcel, 'p-1')
    .record(at('2016-10-12T15:00:31.322Z', new Delivered('Catford')));
  assert.equal(recorded.repeated, 1);
  await app.get(Projections).view<Depot>('depots').caughtUp(recorded);
}

const folder = mkdtempSync(join(tmpdir(), 'concursus-scratch-'));
try {
  for (const provider of [inMemory(), lmdb({ path: folder })]) {
    const app = await appOn(provider);
    await story(app);
    await caughtUp(app);
    await figures(app);
    await app.close();
  }
  const again = await appOn(lmdb({ path: folder }));
  await caughtUp(again);
  await figures(again);
  await again.close();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write('ok\n');
