/**
 * What the board said at any moment: all its views as known at P, for every P at once. `View.replay` builds one view for one
 * P from all histories; a slider asks for hundreds. So here each flight's history is folded once at each moment at which
 * something of it was recorded, and what that moved in each row is a step: an answer is the sum of the steps up to P. The rows
 * are those that the projections themselves make; all their fields are sums. A spec compares the answers with `replay`.
 *
 * The past is closed before it is read, so no answer changes ever: what is recorded later only adds steps at the end.
 */
import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import {
  compareKey,
  effectiveFacts,
  compareFold,
  EventFeed,
  EventRegistry,
  Histories,
  InjectPort,
  InjectView,
  isCorrection,
  parseEventTime,
  UnavailableError,
  type AggregateModel,
  type Fact,
  type Position,
  type Rows,
  type RowsContext,
} from '@concursus/core';
import { Carriers } from '../flights/carriers.projection.js';
import { FLIGHTS } from '../flights/context.js';
import { Flight, flightStatuses, type FlightStatus } from '../flights/flight.js';
import { FlightStatuses } from '../flights/flight-status.projection.js';
import { OriginDay } from '../flights/origin-day.projection.js';
import { isoOf } from '../web/iso.js';
import { SettledThen } from './settled-then.js';
import { Steps } from './steps.js';

export interface BoardThen {
  readonly status: Record<FlightStatus, number>;
  readonly origins: readonly { readonly origin: string; readonly day: string }[];
  readonly carriers: readonly { readonly carrier: string }[];
  /** Reports and corrections known by then. */
  readonly recorded: number;
  /** ISO event time up to which nothing more was expected, by what was known then; null when nothing was settled yet. */
  readonly settledUpTo: string | null;
}

/** Answers are of whole minutes: nobody moves a slider finer, and reports come some a minute. */
const MINUTE_MS = 60_000;
const FEED_PAGE = 1_000;
/** Histories read at once: some milliseconds, then whoever else waits for this thread goes first. */
const FLIGHTS_AT_ONCE = 250;
/** 160 MB; the month has some 500,000. */
const STEPS_MAX = 8_000_000;

type Fields = Readonly<Record<string, number>>;
/** What one flight adds: per row its fields. */
type Contribution = ReadonlyMap<string, Fields>;

/** How a row's key begins, by view. */
const ORIGIN_DAY = 'd ';
const CARRIER = 'c ';
const STATUS = 's ';
/** How many flights contribute to a row: at 0 there is none. */
const CONTRIBUTORS = '';
const RECORDED = 0;

@Injectable()
export class TimeLapse implements OnModuleDestroy {
  private readonly steps = new Steps();
  private readonly settled = new SettledThen();
  /** The columns of each row, by field. */
  private readonly rows = new Map<string, Map<string, number>>();
  private columns = RECORDED + 1;
  private position: Position | undefined;
  /** Everything recorded at or before it, epoch ms, is in the steps. */
  private through = Number.NEGATIVE_INFINITY;
  /** Flights of which something was recorded behind `through` already. */
  private ahead = new Set<string>();
  private reading: Promise<void> | undefined;
  private stopped = false;

  constructor(
    @InjectView(FlightStatuses) private readonly statuses: FlightStatuses,
    @InjectView(OriginDay) private readonly originDays: OriginDay,
    @InjectView(Carriers) private readonly carriers: Carriers,
    @InjectPort(EventFeed, FLIGHTS) private readonly feed: EventFeed,
    @InjectPort(EventRegistry, FLIGHTS) private readonly registry: EventRegistry,
    @InjectPort(Histories, FLIGHTS) private readonly histories: Histories,
  ) {}

  onModuleDestroy(): void {
    this.stopped = true;
  }

  /** The whole minute at or before a time that answers are of. */
  static minuteOf(knownAt: number): number {
    return Math.floor(knownAt / MINUTE_MS) * MINUTE_MS;
  }

  /** The board as known at a whole minute that has passed, epoch ms. */
  async at(minute: number): Promise<BoardThen> {
    await this.readThrough(minute);
    const sums = this.steps.at(minute, this.columns);
    const rows = new Map<string, Fields>();
    for (const [key, columns] of this.rows) {
      if (sums[columns.get(CONTRIBUTORS)!] === 0) continue;
      const fields: Record<string, number> = {};
      for (const [field, column] of columns) if (field !== CONTRIBUTORS) fields[field] = sums[column]!;
      rows.set(key, fields);
    }
    const under = (prefix: string): [string, Fields][] =>
      [...rows]
        .filter(([key]) => key.startsWith(prefix))
        .map(([key, fields]): [string, Fields] => [key.slice(prefix.length), fields])
        .sort(([a], [b]) => (a < b ? -1 : 1));
    const status = {} as Record<FlightStatus, number>;
    for (const name of flightStatuses) status[name] = rows.get(STATUS + name)?.['flights'] ?? 0;
    return {
      status,
      origins: under(ORIGIN_DAY).map(([key, cell]) => ({ origin: key.slice(0, 3), day: key.slice(4), ...cell })),
      carriers: under(CARRIER).map(([carrier, cell]) => ({ carrier, ...cell })),
      recorded: sums[RECORDED]!,
      settledUpTo: isoOf(this.settled.at(minute)),
    };
  }

  /** Moments worth a stop: the ends of periods in which something was recorded, at most `most`, the last one now. */
  async stops(now: number, most: number): Promise<number[]> {
    await this.readThrough(TimeLapse.minuteOf(now));
    for (let every = 60 * MINUTE_MS; ; every *= 2) {
      const found = this.steps.grid(every).filter((moment) => moment <= now);
      if (found.length <= most) return found;
    }
  }

  /** Whoever asks meanwhile shares the reading. */
  private async readThrough(minute: number): Promise<void> {
    while (this.through < minute) {
      this.reading ??= this.read().finally(() => (this.reading = undefined));
      await this.reading;
    }
  }

  private async read(): Promise<void> {
    const through = parseEventTime(await this.histories.pin());
    const touched = this.ahead;
    const ahead = new Set<string>();
    try {
      await this.settled.follow(this.feed, () => this.rest());
      let position = this.position ?? this.feed.start();
      for (;;) {
        const page = await this.feed.read(position, FEED_PAGE);
        for (const fact of page.facts) {
          if (fact.aggregateType !== 'flight') continue;
          touched.add(fact.aggregateId);
          if (fact.processedAt > through) ahead.add(fact.aggregateId);
        }
        position = page.next;
        if (page.atEnd || page.facts.length === 0) break;
        await this.rest();
      }
      const ids = [...touched];
      for (let i = 0; i < ids.length; i += FLIGHTS_AT_ONCE) {
        const some = ids.slice(i, i + FLIGHTS_AT_ONCE);
        const histories = await this.histories.preload(Flight, some, { recorded: true, knownAt: through });
        for (const [id, facts] of histories) this.stepsOf(id, facts);
        await this.rest();
      }
      this.steps.order();
      this.position = position;
      this.ahead = ahead;
      this.through = through;
    } catch (error) {
      this.steps.drop();
      throw error;
    }
  }

  private async rest(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (this.stopped) {
      throw new UnavailableError('SHUTTING_DOWN', 'The application is shutting down.', {
        fix: 'Ask the next instance.',
      });
    }
    if (this.steps.count > STEPS_MAX) {
      throw new UnavailableError('OVERLOADED', 'More was recorded than the time-lapse keeps in memory.', {
        fix: 'Ask about one flight with knownAt, or replay a view.',
      });
    }
  }

  /** One flight at each moment at which something of it was recorded after what is in the steps. */
  private stepsOf(id: string, recorded: readonly Fact[]): void {
    const model = this.registry.aggregate(Flight);
    const facts = [...recorded].sort(compareKey);
    const moments = [...new Set(facts.map((fact) => fact.processedAt))].sort((a, b) => a - b);
    const first = moments.findIndex((moment) => moment > this.through);
    if (first === -1) return;
    let before: Contribution =
      first === 0 ? new Map() : this.contribution(model, id, knownAt(facts, moments[first - 1]!));
    for (let i = first; i < moments.length; i++) {
      const minute = Math.ceil(moments[i]! / MINUTE_MS) * MINUTE_MS;
      // Of several moments of one minute the last says it all.
      if (i + 1 < moments.length && moments[i + 1]! <= minute) continue;
      const after = this.contribution(model, id, knownAt(facts, moments[i]!));
      for (const [key, fields] of before) this.move(minute, key, fields, -1);
      for (const [key, fields] of after) this.move(minute, key, fields, 1);
      before = after;
    }
    for (const fact of facts) {
      if (fact.processedAt > this.through)
        this.steps.add(Math.ceil(fact.processedAt / MINUTE_MS) * MINUTE_MS, RECORDED, 1);
    }
  }

  private contribution(model: AggregateModel, id: string, known: readonly Fact[]): Contribution {
    const rows = new Map<string, Fields>();
    const counting = effectiveFacts(known, model.conflicts).filter((fact) => !isCorrection(fact));
    if (counting.length === 0) return rows;
    let state = model.newState();
    let initials = 0;
    for (const fact of counting.toSorted(compareFold((one) => model.rankOf(one)))) {
      state = model.apply(state, fact);
      if (fact.name === 'scheduled') initials++;
    }
    const flight = state as Flight;
    const context: RowsContext = { tenant: '', id, incomplete: initials === 0, events: counting.length };
    take(rows, ORIGIN_DAY, this.originDays.rows(flight, context));
    take(rows, CARRIER, this.carriers.rows(flight, context));
    take(rows, STATUS, this.statuses.rows(flight));
    return rows;
  }

  private move(moment: number, key: string, fields: Fields, sign: 1 | -1): void {
    let columns = this.rows.get(key);
    if (columns === undefined) {
      columns = new Map([[CONTRIBUTORS, this.columns++]]);
      this.rows.set(key, columns);
    }
    this.steps.add(moment, columns.get(CONTRIBUTORS)!, sign);
    for (const field in fields) {
      let column = columns.get(field);
      if (column === undefined) {
        column = this.columns++;
        columns.set(field, column);
      }
      this.steps.add(moment, column, sign * fields[field]!);
    }
  }
}

function take(into: Map<string, Fields>, prefix: string, rows: Rows<object>): void {
  for (const [key, fields] of rows) into.set(prefix + key, fields as Fields);
}

/** In key order, like all of them. */
function knownAt(facts: readonly Fact[], moment: number): readonly Fact[] {
  return facts.filter((fact) => fact.processedAt <= moment);
}
