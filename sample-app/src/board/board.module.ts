/** The board and the quarantine's list: readers of both contexts. */
import { Module } from '@nestjs/common';
import { FlightsModule } from '../flights/flights.module.js';
import { LoadModule } from '../load/load.module.js';
import { BoardController } from './board.controller.js';
import { BoardService } from './board.service.js';
import { LateReports } from './late-reports.js';
import { QuarantineController } from './quarantine.controller.js';
import { TimeLapse } from './time-lapse.js';

@Module({
  imports: [FlightsModule, LoadModule],
  controllers: [BoardController, QuarantineController],
  providers: [BoardService, LateReports, TimeLapse],
})
export class BoardModule {}
