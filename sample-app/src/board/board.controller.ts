/** What the board page asks for beyond the API: a summary in one piece, its changes as they come, and late reports to pick from. */
import { Controller, Get, Inject, Query, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { Clock, formatTime, InjectPort, InvalidEventError, parseEventTime } from '@concursus/core';
import type { Request, Response } from 'express';
import { FLIGHTS } from '../flights/context.js';
import { Loader } from '../load/loader.js';
import { goneOf } from '../web/gone.js';
import { oneOf, wholeOf } from '../web/query.js';
import { BoardService, type BoardSummary } from './board.service.js';
import { LateReports, type LateReport } from './late-reports.js';
import { TimeLapse, type BoardThen } from './time-lapse.js';

/** A slider has no more places than a wide screen has pixels. */
const STOPS_MAX = 2_000;

@ApiTags('board')
@Controller('board')
export class BoardController {
  constructor(
    @Inject(BoardService) private readonly board: BoardService,
    @Inject(LateReports) private readonly lateReports: LateReports,
    @Inject(TimeLapse) private readonly timeLapse: TimeLapse,
    @Inject(Loader) private readonly loader: Loader,
    @InjectPort(Clock, FLIGHTS) private readonly clock: Clock,
  ) {}

  @Get('summary')
  @ApiOperation({ summary: 'All figures of the board.' })
  summary(): Promise<BoardSummary> {
    return this.board.summary();
  }

  @Get('late')
  @ApiOperation({ summary: 'The reports that came longest after what they tell of.' })
  @ApiQuery({ name: 'limit', required: false })
  late(@Query() query: Readonly<Record<string, unknown>>): Promise<LateReport[]> {
    return this.lateReports.list(wholeOf('limit', query['limit'], 20, 100));
  }

  @Get('at')
  @ApiOperation({ summary: 'What the board said at a moment: all figures as known then, to the whole minute.' })
  @ApiQuery({ name: 'knownAt', example: '2013-01-15T12:00:00.000Z' })
  async at(
    @Query() query: Readonly<Record<string, unknown>>,
    @Res({ passthrough: true }) response: Response,
  ): Promise<{ knownAt: string } & BoardThen> {
    const text = oneOf('knownAt', query['knownAt']);
    if (text === undefined) {
      throw new InvalidEventError('INVALID_ARGUMENT', 'The parameter knownAt is missing.', {
        fix: 'Send an ISO time that has passed; /board/moments lists those at which something was learned.',
      });
    }
    const minute = TimeLapse.minuteOf(parseEventTime(text));
    // The load’s clock would be stopped where it is by closing the past.
    await this.loader.loaded(goneOf(response));
    const now = this.clock.now();
    if (minute > now) {
      throw new InvalidEventError('NOT_YET_KNOWN', `What is known at ${formatTime(minute)} is still to come.`, {
        fix: 'Ask for a time that has passed.',
      });
    }
    return { knownAt: formatTime(minute), ...(await this.timeLapse.at(minute)) };
  }

  @Get('moments')
  @ApiOperation({
    summary: 'Moments at which the board had learned something, hours apart or more: stops of a slider.',
  })
  async moments(@Res({ passthrough: true }) response: Response): Promise<string[]> {
    await this.loader.loaded(goneOf(response));
    return (await this.timeLapse.stops(this.clock.now(), STOPS_MAX)).map((moment) => formatTime(moment));
  }

  @Get('stream')
  @ApiOperation({ summary: 'The summary as server-sent events, whenever it changes.' })
  stream(@Req() request: Request, @Res() response: Response): void {
    response.status(200).setHeader('content-type', 'text/event-stream').setHeader('cache-control', 'no-store');
    response.flushHeaders();
    const stop = this.board.listen((summary) => {
      // Who does not read fast enough gets the next one: each says everything.
      if (!response.writableNeedDrain) response.write(`event: summary\ndata: ${JSON.stringify(summary)}\n\n`);
    });
    const end = (): void => {
      stop();
      this.board.stopped.removeEventListener('abort', end);
      response.end();
    };
    request.once('close', end);
    this.board.stopped.addEventListener('abort', end, { once: true });
  }
}
