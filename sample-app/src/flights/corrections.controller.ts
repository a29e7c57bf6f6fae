/** `POST /flights/:flight/corrections`: withdraw a report, amend it, or let it count again. What was known before stays known. */
import { Controller, HttpCode, Inject, Param, Post, Req, Res } from '@nestjs/common';
import { ApiBody, ApiOperation, ApiTags } from '@nestjs/swagger';
import { EventBus, InjectPort } from '@concursus/core';
import type { Request, Response } from 'express';
import { Loader } from '../load/loader.js';
import { goneOf } from '../web/gone.js';
import { readJson, recordOne } from '../web/record-one.js';
import { FLIGHTS, REPORTS } from './context.js';
import { readCorrectionOf } from './flight-report.js';

@ApiTags('flights')
@Controller('flights')
export class CorrectionsController {
  constructor(
    @InjectPort(EventBus, FLIGHTS) private readonly bus: EventBus,
    @Inject(Loader) private readonly loader: Loader,
  ) {}

  @Post(':flight/corrections')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Retract, amend or reinstate a report. A bad body is answered 400 and kept in the quarantine.',
  })
  @ApiBody({
    schema: {
      type: 'object',
      example: {
        kind: 'amend',
        target: { at: '2013-01-01T10:17:00.000Z', source: 'airport:EWR', type: 'departed' },
        decidedAt: '2013-01-03T08:00:00.000Z',
        source: 'desk',
        at: '2013-01-01T10:27:00.000Z',
      },
    },
  })
  async post(
    @Param('flight') flight: string,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<{ outcome: string }> {
    const raw = await readJson(request, REPORTS);
    await this.loader.loaded(goneOf(response));
    return { outcome: await recordOne(this.bus, raw, (text) => readCorrectionOf(flight, text)) };
  }
}
