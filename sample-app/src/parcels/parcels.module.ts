/** The parcels context. */
import { Module } from '@nestjs/common';
import { ConcursusModule } from '@concursus/core';
import { PARCELS } from './context.js';
import { Depots } from './depots.projection.js';
import { Parcel } from './parcel.js';
import { ParcelsController } from './parcels.controller.js';

@Module({
  imports: [ConcursusModule.forFeature([Parcel], { context: PARCELS })],
  controllers: [ParcelsController],
  providers: [Depots],
})
export class ParcelsModule {}
