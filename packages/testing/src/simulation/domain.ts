/** What the simulated worlds are about: an aggregate whose state depends on order, and projections that use every merge. */
import {
  Aggregate,
  CATALOGUE,
  Count,
  Earliest,
  Event,
  EventHandler,
  Latest,
  Max,
  Min,
  Projection,
  SetOf,
  Sum,
  type EventContext,
  type Fact,
  type Rows,
  type RowsContext,
} from '@concursus/core';
import { VIEWS } from './model.js';

@Event({ initial: true })
export class Begun {
  constructor(readonly who: string) {}
}
@Event({ order: 1 })
export class Prepared {
  constructor(readonly who: string) {}
}
@Event()
export class Moved {
  constructor(
    readonly who: string,
    readonly amount: number,
  ) {}
}
@Event({ terminal: true })
export class Ended {
  constructor(readonly who: string) {}
}

/** Everything that is kept as a view, and can be built anew. */
export const KEPT: readonly string[] = [...VIEWS, CATALOGUE];

/** Another order of its events gives another path, and another total. */
@Aggregate('thing')
export class Thing {
  static readonly events = { Begun, Prepared, Moved, Ended };
  path = '';
  total = 0;
  @EventHandler(Begun) begun(event: Begun): void {
    this.path += `B${event.who}`;
  }
  @EventHandler(Prepared) prepared(event: Prepared): void {
    this.path += `P${event.who}`;
  }
  @EventHandler(Moved) moved(event: Moved): void {
    this.path += `M${event.who}`;
    this.total += event.amount * this.path.length;
  }
  @EventHandler(Ended) ended(event: Ended): void {
    this.path += `E${event.who}`;
  }
}

/** The same, of which a contested event does not count. */
@Aggregate('thing', { conflicts: 'neither' })
export class Undisputed extends Thing {}

/** The same, of whose contested events those with the greatest `who` count. */
@Aggregate('thing', { conflicts: greatest })
export class Disputed extends Thing {}

function greatest(contents: readonly Fact[]): readonly Fact[] {
  const whoOf = (fact: Fact): string => fact.parameters['who'] as string;
  const most = contents.map(whoOf).reduce((a, b) => (a > b ? a : b));
  return contents.filter((fact) => whoOf(fact) === most);
}

/** A row with a field of each merge. */
export class Cell {
  @Count() things = 0;
  @Sum() total = 0;
  @Min() least: string | null = null;
  @Max() greatest: number | null = null;
  @Latest() last: string | null = null;
  @Earliest() first: string | null = null;
  @SetOf() paths: string[] = [];
}

/** Where several tenants share a view, each has rows of its own. */
const rowOf = ({ tenant }: { readonly tenant: string }, row: string): string =>
  tenant === '' ? row : `${tenant}/${row}`;

/** What a state adds. Whole and incomplete things stand in one row each, so that a late initial event moves one. */
@Projection({ name: 'by-state', of: Thing, view: Cell })
export class ByState {
  rows(thing: Thing, context: RowsContext): Rows<Cell> {
    const { path, total } = thing;
    const value = { things: 1, total, least: path, greatest: total, last: path, first: path, paths: [path] };
    return [
      [rowOf(context, context.incomplete ? 'incomplete' : 'whole'), value as never],
      [rowOf(context, `length ${path.length}`), { things: 1 }],
    ];
  }
}

/** What each event adds. Throws for an event with a `!`, so that its thing is parked. */
@Projection({ name: 'by-event', of: Thing, view: Cell })
export class ByEvent {
  @EventHandler(Moved) moved(event: Moved, context: EventContext): Rows<Cell> {
    if (event.who === '!') throw new Error('this projection cannot handle a "!"');
    const value = {
      things: 1,
      total: event.amount,
      least: context.aggregateId,
      greatest: event.amount,
      last: `${event.amount}`,
      first: `${event.amount}`,
      paths: [context.streamId],
    };
    return [[rowOf(context, event.who), value as never]];
  }
}

/** Throws for things that a `!` touched, so that those are parked. */
@Projection({ name: 'fragile', of: Thing, view: Cell })
export class Fragile {
  rows(thing: Thing, context: RowsContext): Rows<Cell> {
    if (thing.path.includes('!')) throw new Error('this projection cannot handle a "!"');
    return [[rowOf(context, `total ${thing.total}`), { things: 1, paths: [thing.path] } as never]];
  }
}
