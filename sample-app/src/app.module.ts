/**
 * The application: two bounded contexts over one embedded store. This is the file to copy: another provider is another
 * line in a slot, and nothing else changes.
 */
import { Global, Module, type DynamicModule } from '@nestjs/common';
import { ConcursusModule } from '@concursus/core';
import { lmdb } from '@concursus/lmdb';
import { BoardModule } from './board/board.module.js';
import { FLIGHTS } from './flights/context.js';
import { FlightsModule } from './flights/flights.module.js';
import { flightsTime } from './flights/time.js';
import { LoadClock } from './load/load-clock.js';
import { PARCELS } from './parcels/context.js';
import { ParcelsModule } from './parcels/parcels.module.js';
import { SETTINGS, type Settings } from './settings.js';

/** A month of nothing but distinct garbage stays within it; what goes beyond is counted. */
const quarantine = { items: 100_000, bytes: 256 * 1_048_576, digests: 1_000_000 };

@Global()
@Module({})
export class AppModule {
  static with(settings: Settings): DynamicModule {
    const path = settings.dataFolder;
    const clock = new LoadClock();
    return {
      module: AppModule,
      imports: [
        ConcursusModule.forRoot({
          context: FLIGHTS,
          persistent: lmdb({ path, quarantine }),
          clock,
          time: flightsTime,
          // The rest begins after a load: see flights/overdue.ts.
          autoStart: 'projections',
          catalogue: false,
        }),
        ConcursusModule.forRoot({ context: PARCELS, persistent: lmdb({ path, quarantine }) }),
        FlightsModule,
        ParcelsModule,
        BoardModule,
      ],
      providers: [
        { provide: SETTINGS, useValue: settings },
        { provide: LoadClock, useValue: clock },
      ],
      exports: [SETTINGS, LoadClock],
    };
  }
}
