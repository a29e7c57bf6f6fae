/** `GET /flights/changes`: each change of a view as a server-sent event, from any point that is still kept. */
import { Controller, Get, Query, Req, Res, type OnModuleDestroy } from '@nestjs/common';
import { ApiHeader, ApiOperation, ApiProduces, ApiQuery, ApiTags } from '@nestjs/swagger';
import {
  Clock,
  InjectPort,
  InjectView,
  InvalidEventError,
  UnavailableError,
  type View,
  type ViewChange,
} from '@concursus/core';
import type { Request, Response } from 'express';
import { Problem } from '../web/problem.js';
import { oneOf } from '../web/query.js';
import { Carriers } from './carriers.projection.js';
import { FLIGHTS } from './context.js';
import { FlightStatuses } from './flight-status.projection.js';
import { OriginDay } from './origin-day.projection.js';

/** Each holds a socket and a page of 500 changes: some 10 MB for all. */
const LISTENERS_MAX = 64;
/** Proxies close what is silent for a minute. */
const ALIVE_MS = 15_000;
/** The sequences of one view. */
const DIGITS_MAX = 15;

const VIEWS = { 'origin-day': 'originDays', carriers: 'carriers', status: 'statuses' } as const;
type ViewName = keyof typeof VIEWS;

@ApiTags('flights')
@Controller('flights/changes')
export class ChangesController implements OnModuleDestroy {
  /** One for each open stream. */
  private readonly streams = new Set<AbortController>();

  constructor(
    @InjectView(OriginDay) private readonly originDays: View<object>,
    @InjectView(Carriers) private readonly carriers: View<object>,
    @InjectView(FlightStatuses) private readonly statuses: View<object>,
    @InjectPort(Clock, FLIGHTS) private readonly clock: Clock,
  ) {}

  /** Streams end with the app; their readers come again with the last id they saw. */
  onModuleDestroy(): void {
    for (const stream of this.streams) stream.abort();
  }

  @Get()
  @ApiOperation({
    summary:
      'Every change of a view after `from` (or the header Last-Event-ID), then those to come, as server-sent events.',
  })
  @ApiQuery({ name: 'from', required: false, description: 'A sequence, 0 for the first that is kept.' })
  @ApiQuery({ name: 'view', required: false, enum: Object.keys(VIEWS) })
  @ApiHeader({ name: 'last-event-id', required: false })
  @ApiProduces('text/event-stream')
  async changes(
    @Query() query: Readonly<Record<string, unknown>>,
    @Req() request: Request,
    @Res() response: Response,
  ): Promise<void> {
    const name = viewOf(query['view']);
    const view = this[VIEWS[name]];
    // A browser that lost its stream asks for the same address again, and says in the header how far it came.
    const seen = request.headers['last-event-id'];
    const from = seen === undefined ? sequenceOf('from', query['from']) : sequenceOf('Last-Event-ID', seen);
    if (this.streams.size >= LISTENERS_MAX) {
      throw new Problem(503, 'OVERLOADED', `${LISTENERS_MAX} streams are open.`, 'Come again in a moment.');
    }
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    this.streams.add(gone);
    try {
      await this.follow(name, view, from, response, gone.signal);
    } finally {
      this.streams.delete(gone);
      gone.abort();
    }
  }

  private async follow(
    name: ViewName,
    view: View<object>,
    from: number,
    response: Response,
    gone: AbortSignal,
  ): Promise<void> {
    const last = await view.lastChange();
    if (from > last) {
      throw new UnavailableError(
        'CHANGES_TRIMMED',
        `The view has ${last} changes, and those after ${from} were asked for.`,
        {
          fix: 'Read the view whole, then follow from its last change.',
        },
      );
    }
    const changes = view.changes({ from, signal: gone })[Symbol.asyncIterator]();
    // What is trimmed is told as a refusal, which needs the first answer before the headers.
    let next = changes.next();
    if (from < last) await next;
    response.status(200).setHeader('content-type', 'text/event-stream').setHeader('cache-control', 'no-store');
    response.flushHeaders();
    response.write(': following\n\n');
    const alive = this.keepAlive(response, gone);
    try {
      for (let step = await next; step.done !== true; step = await next) {
        if (!response.write(eventOf(name, step.value))) await drained(response, gone);
        if (gone.aborted) break;
        next = changes.next();
      }
    } catch (error) {
      // Whoever reads this slowly comes again with the last id it saw, and is told then.
      if (!(error instanceof UnavailableError)) throw error;
    } finally {
      response.end();
      next.catch(() => undefined);
      await changes.return?.();
      await alive;
    }
  }

  private async keepAlive(response: Response, gone: AbortSignal): Promise<void> {
    for (;;) {
      await this.clock.sleep(ALIVE_MS, gone);
      if (gone.aborted || response.writableEnded) return;
      if (!response.writableNeedDrain) response.write(': alive\n\n');
    }
  }
}

function eventOf(view: ViewName, { sequence, key, revision, retract, assert, cause }: ViewChange<object>): string {
  return `id: ${sequence}\ndata: ${JSON.stringify({ view, key, revision, retract, assert, cause })}\n\n`;
}

async function drained(response: Response, gone: AbortSignal): Promise<void> {
  if (gone.aborted) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      gone.removeEventListener('abort', done);
      resolve();
    };
    response.on('drain', done);
    gone.addEventListener('abort', done);
  });
}

function viewOf(given: unknown): ViewName {
  const name = oneOf('view', given) ?? 'origin-day';
  if (Object.hasOwn(VIEWS, name)) return name as ViewName;
  throw new InvalidEventError('INVALID_ARGUMENT', `The parameter view is "${name.slice(0, 40).toWellFormed()}".`, {
    fix: `Send one of ${Object.keys(VIEWS).join(', ')}, or leave it out for the days of each origin.`,
  });
}

function sequenceOf(name: string, given: unknown): number {
  const text = oneOf(name, given) ?? '0';
  if (text.length <= DIGITS_MAX && /^\d+$/.test(text)) return Number(text);
  throw new InvalidEventError('INVALID_ARGUMENT', `${name} is "${text.slice(0, 40).toWellFormed()}".`, {
    fix: 'Send the id of the last change you know, or 0 for the first that is kept.',
  });
}
