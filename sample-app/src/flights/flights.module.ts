/** The flights context: its aggregate, its projections and its doors. */
import { Module } from '@nestjs/common';
import { ConcursusModule } from '@concursus/core';
import { LoadModule } from '../load/load.module.js';
import { Carriers } from './carriers.projection.js';
import { ChangesController } from './changes.controller.js';
import { FLIGHTS } from './context.js';
import { CorrectionsController } from './corrections.controller.js';
import { Flight } from './flight.js';
import { FlightStatuses } from './flight-status.projection.js';
import { FlightsController } from './flights.controller.js';
import { OriginDay } from './origin-day.projection.js';
import { Overdue } from './overdue.js';
import { ReportsController } from './reports.controller.js';
import { SourcesController } from './sources.controller.js';

@Module({
  imports: [ConcursusModule.forFeature([Flight], { context: FLIGHTS }), LoadModule],
  // Fixed routes stand before those with a flight in them.
  controllers: [ReportsController, ChangesController, CorrectionsController, FlightsController, SourcesController],
  providers: [FlightStatuses, OriginDay, Carriers, Overdue],
  exports: [FlightStatuses, OriginDay, Carriers],
})
export class FlightsModule {}
