/** What is known about flights: figures from the views, states and histories from the events. Fixed routes stand before `:flight`. */
import { Controller, Get, Inject, Param, Query } from '@nestjs/common';
import { ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { formatTime, Histories, InjectPort, InjectView, States, type HistoryJson, type View } from '@concursus/core';
import { notFound } from '../web/problem.js';
import { isoOf } from '../web/iso.js';
import { flagOf, momentOf } from '../web/query.js';
import { CarrierCell, Carriers } from './carriers.projection.js';
import { completenessJson } from './completeness-json.js';
import { FLIGHTS } from './context.js';
import { carrierOf, checkCarrier, checkDay, checkFlightId, checkOrigin, dayOf, originOf } from './flight-id.js';
import { Flight, flightStatuses, type FlightStatus } from './flight.js';
import { FlightStatuses, StatusCell } from './flight-status.projection.js';
import { historyJson } from './history-json.js';
import { OriginDay, OriginDayCell, originDayKey } from './origin-day.projection.js';
import { Overdue } from './overdue.js';

type Query = Readonly<Record<string, unknown>>;

@ApiTags('flights')
@Controller('flights')
export class FlightsController {
  constructor(
    @InjectView(FlightStatuses) private readonly statuses: View<StatusCell>,
    @InjectView(OriginDay) private readonly originDays: View<OriginDayCell>,
    @InjectView(Carriers) private readonly carriers: View<CarrierCell>,
    @Inject(Overdue) private readonly late: Overdue,
    @InjectPort(States, FLIGHTS) private readonly states: States,
    @InjectPort(Histories, FLIGHTS) private readonly histories: Histories,
  ) {}

  @Get('status')
  @ApiOperation({ summary: 'How many flights are in each status now.' })
  status(): Promise<Record<FlightStatus, number>> {
    return readStatuses(this.statuses);
  }

  @Get('origins/:origin/days/:day')
  @ApiOperation({ summary: 'What left an airport on a day.' })
  async originDay(@Param('origin') origin: string, @Param('day') day: string): Promise<OriginDayCell> {
    checkOrigin(origin);
    checkDay(day);
    const row = await this.originDays.get(originDayKey(origin, day));
    if (row === undefined) throw notFound(`flights out of ${origin} on ${day}`);
    return row.value;
  }

  @Get('carriers/:carrier')
  @ApiOperation({ summary: 'How punctual a carrier’s arrived flights were.' })
  async carrier(@Param('carrier') carrier: string): Promise<CarrierCell> {
    checkCarrier(carrier);
    const row = await this.carriers.get(carrier);
    if (row === undefined) throw notFound(`carrier ${carrier}`);
    return row.value;
  }

  @Get('settled')
  @ApiOperation({
    summary: 'Up to which event time the days of each origin are settled, and what holds or is missing.',
  })
  async settled(): Promise<{ settledUpTo: string | null; completeness: object }> {
    const completeness = await this.originDays.completeness();
    return { settledUpTo: isoOf(completeness.settledUpTo), completeness: completenessJson(completeness) };
  }

  @Get('overdue')
  @ApiOperation({
    summary:
      'The ids of flights, sorted, that departed and neither arrived, nor were cancelled or diverted, within 20 hours, as far as is settled.',
  })
  overdue(): Promise<string[]> {
    return this.late.flights();
  }

  @Get(':flight')
  @ApiOperation({ summary: 'A flight now, as of an event time, as known at a processing time.' })
  @ApiQuery({ name: 'asOf', required: false })
  @ApiQuery({ name: 'knownAt', required: false })
  async flight(@Param('flight') id: string, @Query() query: Query): Promise<object> {
    checkFlightId(id);
    const found = await this.states.get(Flight, id, momentOf(query));
    if (found === undefined) throw notFound(`flight ${id}`);
    const { status, departedAt, arrivedAt, ...rest } = found.state;
    return {
      flight: id,
      status,
      carrier: carrierOf(id),
      origin: originOf(id),
      day: dayOf(id),
      ...rest,
      departedAt: departedAt === null ? null : formatTime(departedAt),
      arrivedAt: arrivedAt === null ? null : formatTime(arrivedAt),
      events: found.events,
      incomplete: found.incomplete,
      extraInitial: found.extraInitial,
      afterTerminal: found.afterTerminal,
    };
  }

  @Get(':flight/history')
  @ApiOperation({
    summary:
      'What was reported about a flight, in fold order, with how often each report was repeated: as it was corrected, or as it was recorded.',
  })
  @ApiQuery({ name: 'asOf', required: false })
  @ApiQuery({ name: 'knownAt', required: false })
  @ApiQuery({ name: 'recorded', required: false, enum: ['true', 'false'] })
  async history(@Param('flight') id: string, @Query() query: Query): Promise<HistoryJson[]> {
    checkFlightId(id);
    const recorded = flagOf('recorded', query['recorded']);
    const facts = await this.histories.collect(Flight, id, { ...momentOf(query), withRepeats: true, recorded });
    if (facts.length === 0) throw notFound(`flight ${id}`);
    return historyJson(facts);
  }
}

/** All five, zeros included. */
export async function readStatuses(view: View<StatusCell>): Promise<Record<FlightStatus, number>> {
  const rows = await view.getMany(flightStatuses);
  const counts = {} as Record<FlightStatus, number>;
  flightStatuses.forEach((status, i) => (counts[status] = rows[i]?.value.flights ?? 0));
  return counts;
}
