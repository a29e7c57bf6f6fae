/** What several processes maintain together: some views of robots that count every move. */
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

function viewOf(name: string): Type {
  @Injectable()
  @Projection({ name, of: Robot, view: Cell })
  class Moves {
    rows({ moves, farthest }: Robot): Rows<Cell> {
      return [['all', { moves, farthest }]];
    }
  }
  return Moves;
}

/** With the catalogue and the view of sources: six names. */
export const VIEW_NAMES = ['north', 'east', 'south', 'west'];
export const VIEWS = VIEW_NAMES.map(viewOf);
