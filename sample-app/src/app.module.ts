/**
 * The application: two bounded contexts over the same slots. Which providers fill these is said in `profiles.ts`, and
 * nothing else changes with them.
 */
import { Global, Module, type DynamicModule } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { ConcursusModule } from '@concursus/core';
import { concursusHealthIndicator } from '@concursus/core/terminus';
import { BoardModule } from './board/board.module.js';
import { FLIGHTS } from './flights/context.js';
import { FlightsModule } from './flights/flights.module.js';
import { flightsTime } from './flights/time.js';
import { LoadClock } from './load/load-clock.js';
import { PARCELS } from './parcels/context.js';
import { ParcelsModule } from './parcels/parcels.module.js';
import { slotsOf } from './profiles.js';
import { SETTINGS, type Settings } from './settings.js';
import { FLIGHTS_HEALTH, HealthController, PARCELS_HEALTH } from './web/health.controller.js';

@Global()
@Module({})
export class AppModule {
  static with(settings: Settings): DynamicModule {
    const slots = slotsOf(settings);
    const clock = new LoadClock();
    return {
      module: AppModule,
      imports: [
        ConcursusModule.forRoot({
          context: FLIGHTS,
          ...slots,
          clock,
          time: flightsTime,
          // The rest begins after a load: see flights/overdue.ts.
          autoStart: 'projections',
          catalogue: false,
        }),
        ConcursusModule.forRoot({ context: PARCELS, ...slots }),
        FlightsModule,
        ParcelsModule,
        BoardModule,
        TerminusModule.forRoot({ logger: false }),
      ],
      controllers: [HealthController],
      providers: [
        concursusHealthIndicator(FLIGHTS, FLIGHTS_HEALTH),
        concursusHealthIndicator(PARCELS, PARCELS_HEALTH),
        { provide: SETTINGS, useValue: settings },
        { provide: LoadClock, useValue: clock },
      ],
      exports: [SETTINGS, LoadClock],
    };
  }
}
