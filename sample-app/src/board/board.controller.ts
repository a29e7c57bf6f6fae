/** What the board page asks for beyond the API: a summary in one piece, its changes as they come, and late reports to pick from. */
import { Controller, Get, Inject, Query, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { wholeOf } from '../web/query.js';
import { BoardService, type BoardSummary } from './board.service.js';
import { LateReports, type LateReport } from './late-reports.js';

@ApiTags('board')
@Controller('board')
export class BoardController {
  constructor(
    @Inject(BoardService) private readonly board: BoardService,
    @Inject(LateReports) private readonly lateReports: LateReports,
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
