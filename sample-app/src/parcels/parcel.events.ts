/** What happens to a parcel on its way. class-validator checks what a sender gives. */
import { Event } from '@concursus/core';
import { IsNotEmpty, IsString, MaxLength } from 'class-validator';

/** A depot's name is part of a row's key. */
const NAME_MAX = 100;

@Event()
export class ReceivedAtDepot {
  @IsString() @IsNotEmpty() @MaxLength(NAME_MAX) depotId!: string;
}

@Event()
export class LoadedOntoTruck {
  @IsString() @IsNotEmpty() @MaxLength(NAME_MAX) truckId!: string;
}

@Event({ terminal: true })
export class Delivered {
  @IsString() @IsNotEmpty() @MaxLength(NAME_MAX) destinationId!: string;
}

/** Nobody was in, say: the parcel stays on its truck. */
@Event()
export class DeliveryFailed {}
