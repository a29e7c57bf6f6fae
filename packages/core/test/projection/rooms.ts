/** A view of bulbs by room, with each kind of merge, for the specs that build it anew or look for what is wrong in it. */
import { Count, Latest, Max, SetOf, Sum, type Rows } from '@concursus/core';
import type { Bulb } from './support.js';

export class Cell {
  @Sum() switched = 0;
  @Count() bulbs: number | boolean = 0;
  @Max() most: number | null = null;
  @Latest() last: number | null = null;
  @SetOf() rooms: string[] = [];
}

export class ByRoom {
  rows({ room, switched, wattage }: Bulb): Rows<Cell> {
    return [[room === '' ? '?' : room, { switched, bulbs: 1, most: wattage, last: switched, rooms: [room] }]];
  }
}
