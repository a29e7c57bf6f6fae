/** What is known of the sources of reports, and the doors by which they, or people for them, say how far they are. */
import { Controller, Get, HttpCode, Inject, Param, Post, Req, Res } from '@nestjs/common';
import { ApiBody, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { formatTime, InjectPort, InjectView, InvalidEventError, parseEventTime, Sources, View } from '@concursus/core';
import type { ListedSource } from '@concursus/core';
import type { Request, Response } from 'express';
import { Loader } from '../load/loader.js';
import { goneOf } from '../web/gone.js';
import { isoOf } from '../web/iso.js';
import { readSmall, timeIn } from '../web/small-json.js';
import { FLIGHTS } from './context.js';
import { OriginDay, OriginDayCell } from './origin-day.projection.js';

const COMPLETE = 'Send { "upTo": "2013-02-04T00:00:00.000Z" }, and "lastSequence" if the source numbers its reports.';
const HEARTBEAT = 'Send nothing, or { "at": "2013-02-04T00:00:00.000Z" }.';
const RETIRE = 'Send nothing, or { "upTo": "2013-02-04T00:00:00.000Z" }.';

/** A source as JSON: as the library lists it, with ISO times, and whether nothing came from it for long. */
function sourceOf(source: ListedSource, silent: boolean): object {
  const { statistics } = source;
  return {
    ...source,
    silent,
    watermark: isoOf(source.watermark),
    newestEventTime: isoOf(source.newestEventTime),
    marker: isoOf(source.marker),
    heartbeat: isoOf(source.heartbeat),
    idleProvenAt: isoOf(source.idleProvenAt),
    lastProcessedAt: isoOf(source.lastProcessedAt),
    ...(statistics === undefined
      ? {}
      : {
          statistics: {
            ...statistics,
            firstProcessedAt: isoOf(statistics.firstProcessedAt),
            lastProcessedAt: isoOf(statistics.lastProcessedAt),
            newestEventTime: isoOf(statistics.newestEventTime),
          },
        }),
  };
}

const nameOf = ({ stream, channel }: { readonly stream: string; readonly channel: string }): string =>
  `${stream}\u0000${channel}`;

@ApiTags('sources')
@Controller('sources')
export class SourcesController {
  constructor(
    @InjectPort(Sources, FLIGHTS) private readonly sources: Sources,
    @InjectView(OriginDay) private readonly originDays: View<OriginDayCell>,
    @Inject(Loader) private readonly loader: Loader,
  ) {}

  @Get()
  @ApiOperation({
    summary:
      'All sources: state, watermark, lateness in ms, reports an hour, gaps, repeats, conflicts, and who is silent.',
  })
  async list(): Promise<object[]> {
    const [sources, { silent }] = await Promise.all([this.sources.list(), this.originDays.completeness()]);
    const quiet = new Set(silent.map(nameOf));
    return sources.map((source) => sourceOf(source, quiet.has(nameOf(source))));
  }

  @Post(':source/complete')
  @HttpCode(200)
  @ApiOperation({ summary: 'Nothing of this source at or before `upTo` comes any more.' })
  @ApiParam({ name: 'source', example: 'airport:EWR' })
  @ApiBody({ schema: { type: 'object', example: { upTo: '2013-02-04T00:00:00.000Z' } } })
  async complete(
    @Param('source') source: string,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<object> {
    const body = await readSmall(request, ['upTo', 'lastSequence'], COMPLETE);
    const upTo = timeIn(body, 'upTo', COMPLETE);
    if (upTo === undefined) {
      throw new InvalidEventError('INVALID_TIME', 'The field upTo is missing.', { fix: COMPLETE });
    }
    const { lastSequence } = body;
    if (lastSequence !== undefined && !(Number.isSafeInteger(lastSequence) && (lastSequence as number) >= 0)) {
      throw new InvalidEventError('INVALID_SEQUENCE', 'The field lastSequence is no whole number from 0.', {
        fix: COMPLETE,
      });
    }
    await this.loader.loaded(goneOf(response));
    const last = lastSequence === undefined ? {} : { lastSequence: lastSequence as number };
    await this.sources.complete(source, upTo, last);
    return { source, upTo: formatTime(parseEventTime(upTo)), ...last };
  }

  @Post(':source/heartbeat')
  @HttpCode(200)
  @ApiOperation({ summary: 'The source lives. `recorded` is false when the last heartbeat is less than 10 s before.' })
  @ApiParam({ name: 'source', example: 'airport:EWR' })
  @ApiBody({ required: false, schema: { type: 'object', example: { at: '2013-02-04T00:00:00.000Z' } } })
  async heartbeat(
    @Param('source') source: string,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<object> {
    const at = timeIn(await readSmall(request, ['at'], HEARTBEAT), 'at', HEARTBEAT);
    await this.loader.loaded(goneOf(response));
    return { source, recorded: await this.sources.heartbeat(source, at === undefined ? {} : { at }) };
  }

  @Post(':source/retire')
  @HttpCode(200)
  @ApiOperation({ summary: 'The source reports no more and holds nothing, until its next report.' })
  @ApiParam({ name: 'source', example: 'airport:EYW' })
  @ApiBody({ required: false, schema: { type: 'object', example: {} } })
  async retire(
    @Param('source') source: string,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<object> {
    const upTo = timeIn(await readSmall(request, ['upTo'], RETIRE), 'upTo', RETIRE);
    await this.loader.loaded(goneOf(response));
    await this.sources.retire(source, upTo === undefined ? {} : { upTo });
    return { source, state: 'retired' };
  }
}
