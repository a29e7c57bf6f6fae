/** The deck's parcels, as the mapping specs declare them; and facts made by hand. */
import { IsIn, IsInt, IsOptional, IsString, Max, Min } from 'class-validator';
import * as classValidator from 'class-validator';
import { Aggregate, Event, EventHandler, Thread } from '../../src/mapping/decorators.js';
import { EventRegistry } from '../../src/mapping/event-registry.js';
import type { EventContext } from '../../src/mapping/event-context.js';
import { canonicalJson } from '../../src/model/canonical-json.js';
import { Fact, INITIAL, TERMINAL } from '../../src/model/event.js';

@Event({ initial: true })
export class ReceivedAtDepot {
  constructor(readonly depotId: string) {}
}

@Event()
export class LoadedOntoTruck {
  @IsString() @Thread('truck') readonly truckId!: string;
  @IsOptional() @IsInt() @Min(0) @Max(9) readonly bay?: number;
}

@Event()
export class DeliveryFailed {
  @IsIn(['nobody home', 'address unknown']) readonly reason!: string;
}

@Event({ terminal: true })
export class Delivered {
  constructor(readonly destinationId: string) {}
}

@Aggregate('parcel')
export class Parcel {
  static readonly events = { ReceivedAtDepot, LoadedOntoTruck, DeliveryFailed, Delivered };
  status: 'expected' | 'at depot' | 'on truck' | 'failed' | 'delivered' = 'expected';
  trucks: string[] = [];
  lastAt = -1;

  @EventHandler(ReceivedAtDepot) received(_event: ReceivedAtDepot) {
    this.status = 'at depot';
  }

  @EventHandler(LoadedOntoTruck) loaded(event: LoadedOntoTruck, context: EventContext) {
    this.status = 'on truck';
    this.trucks.push(event.truckId);
    this.lastAt = context.at;
  }

  @EventHandler(Delivered) delivered() {
    this.status = 'delivered';
  }
}

export const registry = new EventRegistry('', [Parcel], { classValidator });

const BITS: Readonly<Record<string, number>> = { receivedAtDepot: INITIAL, delivered: TERMINAL };

export interface FactParts {
  readonly type?: string;
  readonly id?: string;
  readonly version?: string;
  readonly stream?: string;
  readonly sequence?: number;
  readonly characteristics?: number;
}

export function fact(name: string, eventTime: number, parameters: object = {}, parts: FactParts = {}): Fact {
  return new Fact({
    tenant: '',
    aggregateType: parts.type ?? 'parcel',
    aggregateId: parts.id ?? 'p1',
    name,
    version: parts.version ?? '0',
    eventTime,
    streamId: parts.stream ?? '',
    sequence: parts.sequence ?? -1,
    characteristics: parts.characteristics ?? BITS[name] ?? 0,
    content: canonicalJson(parameters),
  });
}
