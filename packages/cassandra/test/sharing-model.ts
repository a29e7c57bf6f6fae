/** What several processes maintain together: two views of robots that count every move, and one more kept in four shares. */
import { Injectable, type Type } from '@nestjs/common';
import { Aggregate, Event, EventHandler, Max, Projection, Sum, type Rows } from '@concursus/core';

@Event()
export class Moved {
  readonly to!: number;
}

@Aggregate('robot')
export class Robot {
  static readonly events = { Moved };
  moves = 0;
  farthest = 0;
  @EventHandler(Moved) moved({ to }: Moved): void {
    this.moves++;
    this.farthest = Math.max(this.farthest, to);
  }
}

export class Cell {
  @Sum() moves = 0;
  @Max() farthest: number | null = null;
}

function viewOf(name: string, shares: number): Type {
  @Injectable()
  @Projection({ name, of: Robot, view: Cell, shares })
  class Moves {
    rows({ moves, farthest }: Robot): Rows<Cell> {
      return [['all', { moves, farthest }]];
    }
  }
  return Moves;
}

export const SHARES = 4;
export const VIEW_NAMES = ['north', 'east', 'spread'];
export const VIEWS = VIEW_NAMES.map((name) => viewOf(name, name === 'spread' ? SHARES : 1));
