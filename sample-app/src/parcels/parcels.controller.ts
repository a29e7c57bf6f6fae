/** The deck's example over HTTP: report what happened to a parcel, ask where it is, was, or was thought to be. */
import { Controller, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import { ApiBody, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import {
  checkAggregateId,
  EventBus,
  Histories,
  InjectPort,
  InjectView,
  InvalidEventError,
  isForbiddenKey,
  States,
  toHistoryJson,
  type EventInput,
  type HistoryJson,
  type View,
} from '@concursus/core';
import type { Request } from 'express';
import { notFound } from '../web/problem.js';
import { momentOf } from '../web/query.js';
import { readJson, recordOne } from '../web/record-one.js';
import { PARCELS } from './context.js';
import { DepotParcel, depotPrefix, Depots } from './depots.projection.js';
import { Parcel } from './parcel.js';

type Query = Readonly<Record<string, unknown>>;

const FIX =
  'Send { "name", "at", "stream"?, "parameters" }, such as { "name": "receivedAtDepot", "at": "2016-10-12T09:06:31.432Z", "parameters": { "depotId": "Lewisham" } }.';
const KEYS = new Set(['name', 'at', 'stream', 'sequence', 'parameters']);

/** What one parcel's report says. @throws InvalidEventError */
function readParcelEvent(text: string, id: string): EventInput {
  const body: unknown = JSON.parse(text);
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new InvalidEventError('INVALID_EVENT', 'The body is not an object.', { fix: FIX });
  }
  for (const key of Object.keys(body)) {
    if (isForbiddenKey(key)) throw new InvalidEventError('FORBIDDEN_KEY', `The body has the key ${key}.`, { fix: FIX });
    if (!KEYS.has(key)) {
      throw new InvalidEventError(
        'INVALID_EVENT',
        `The body has the unknown key "${key.slice(0, 60).toWellFormed()}".`,
        { fix: FIX },
      );
    }
  }
  const { name, at, stream, sequence, parameters } = body as Record<string, unknown>;
  if (typeof at !== 'string') {
    throw new InvalidEventError('INVALID_TIME', `The field at is ${at === undefined ? 'missing' : 'no ISO time'}.`, {
      fix: FIX,
    });
  }
  if (stream !== undefined && typeof stream !== 'string') {
    throw new InvalidEventError('INVALID_EVENT', 'The field stream is no text.', { fix: FIX });
  }
  if (sequence !== undefined && (!Number.isSafeInteger(sequence) || (sequence as number) < 0)) {
    throw new InvalidEventError('INVALID_SEQUENCE', 'The field sequence is no whole number from 0.', { fix: FIX });
  }
  return {
    aggregateType: 'parcel',
    aggregateId: id,
    name: name as string,
    at,
    streamId: stream ?? '',
    sequence: (sequence as number | undefined) ?? -1,
    parameters: parameters as Record<string, unknown>,
  };
}

@ApiTags('parcels')
@Controller('parcels')
export class ParcelsController {
  constructor(
    @InjectPort(EventBus, PARCELS) private readonly bus: EventBus,
    @InjectPort(States, PARCELS) private readonly states: States,
    @InjectPort(Histories, PARCELS) private readonly histories: Histories,
    @InjectView(Depots) private readonly depots: View<DepotParcel>,
  ) {}

  @Post(':id/events')
  @HttpCode(200)
  @ApiOperation({ summary: 'Report what happened to a parcel. A bad body is answered 400 and kept in the quarantine.' })
  @ApiBody({
    schema: {
      type: 'object',
      example: { name: 'receivedAtDepot', at: '2016-10-12T09:06:31.432Z', parameters: { depotId: 'Lewisham' } },
    },
  })
  async post(@Param('id') id: string, @Req() request: Request): Promise<{ outcome: string }> {
    const raw = await readJson(request, PARCELS);
    return { outcome: await recordOne(this.bus, raw, (text) => readParcelEvent(text, id)) };
  }

  @Get('depots/:depot')
  @ApiOperation({ summary: 'The ids of the parcels in a depot now, sorted.' })
  async depot(@Param('depot') depot: string): Promise<string[]> {
    if (!depot.isWellFormed()) {
      throw new InvalidEventError('INVALID_ID', 'The depot holds a lone surrogate.', { fix: 'Send well-formed text.' });
    }
    const prefix = depotPrefix(depot);
    const ids: string[] = [];
    let after: string | undefined;
    do {
      const page = await this.depots.find({ prefix, limit: 10_000, ...(after === undefined ? {} : { after }) });
      for (const row of page.rows) ids.push(row.key.slice(prefix.length));
      after = page.next;
    } while (after !== undefined);
    return ids;
  }

  @Get(':id')
  @ApiOperation({ summary: 'A parcel now, as of an event time, as known at a processing time.' })
  @ApiQuery({ name: 'asOf', required: false })
  @ApiQuery({ name: 'knownAt', required: false })
  async parcel(@Param('id') id: string, @Query() query: Query): Promise<object> {
    const found = await this.states.get(Parcel, checked(id), momentOf(query));
    if (found === undefined) throw notFound(`parcel ${id.slice(0, 100)}`);
    return { parcel: id, ...found.state, events: found.events, afterTerminal: found.afterTerminal };
  }

  @Get(':id/history')
  @ApiOperation({ summary: 'What was reported about a parcel, in fold order.' })
  @ApiQuery({ name: 'asOf', required: false })
  @ApiQuery({ name: 'knownAt', required: false })
  async history(@Param('id') id: string, @Query() query: Query): Promise<HistoryJson[]> {
    const facts = await this.histories.collect(Parcel, checked(id), { ...momentOf(query), withRepeats: true });
    if (facts.length === 0) throw notFound(`parcel ${id.slice(0, 100)}`);
    return facts.map(toHistoryJson);
  }
}

function checked(id: string): string {
  checkAggregateId(id);
  return id;
}
