/** Which parcels are in which depot: a row a parcel, so that a depot may hold any number. */
import { Count, Projection, type Rows, type RowsContext } from '@concursus/core';
import { Parcel } from './parcel.js';

export class DepotParcel {
  @Count() here = 0;
}

@Projection({ name: 'depots', of: Parcel, view: DepotParcel })
export class Depots {
  rows(parcel: Parcel, { id }: RowsContext): Rows<DepotParcel> {
    return parcel.status === 'at depot' && parcel.depotId !== null
      ? [[depotPrefix(parcel.depotId) + id, { here: 1 }]]
      : [];
  }
}

/**
 * What the keys of a depot's rows begin with: a depot's name holds no bare slash here, so it ends at the first. Nothing
 * else is escaped, so that the longest name and id still make a row key.
 */
export const depotPrefix = (depot: string): string => `${depot.replaceAll('%', '%25').replaceAll('/', '%2F')}/`;
