/**
 * `POST /flights/reports`: a body of any size, a line a report, recorded as it comes in. Nothing of it is held but the
 * lines on their way: a body is read as fast as its lines reach the disk, and waits in its socket else.
 */
import { Controller, HttpCode, Inject, Post, Req, Res, type BeforeApplicationShutdown } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  Clock,
  ConcursusError,
  EventBus,
  EventTransport,
  InjectPort,
  Quarantine,
  summaryOf,
  type BatchReport,
  type RecordCounts,
  type Rejection,
} from '@concursus/core';
import type { Request, Response } from 'express';
import { Loader } from '../load/loader.js';
import { Body, type BrokenBody } from '../web/body.js';
import { checkMedia } from '../web/media-type.js';
import { Problem, problemOf, type ProblemBody } from '../web/problem.js';
import { FLIGHTS, REPORTS } from './context.js';
import { readReport } from './flight-report.js';
import { ndjsonLines } from './ndjson-lines.js';

/** Posts under way at once; with more the sender is asked to come again. Each holds a chunk and a batch or two. */
const POSTS_MAX = 256;
/** Lines stored together, and reported by one running total: one wait for the disk, some 300 kB on their way. */
const LINES_MAX = 1_024;
/** How long the rest of a refused body is let pass unread. */
const LINGER_MS = 5_000;
const NDJSON = 'application/x-ndjson';

interface Counts {
  readonly received: number;
  readonly recorded: number;
  readonly repeated: number;
  readonly conflicting: number;
  readonly rejected: number;
  /** Only with a broker in front of the store: held by it, and recorded, repeated or in conflict later. */
  readonly buffered?: number;
}

interface Answer extends Counts {
  readonly rejections: readonly { readonly line: number; readonly code: string; readonly reason: string }[];
}

const COUNTS = ['received', 'recorded', 'repeated', 'conflicting', 'rejected'] as const;
const COUNT = { type: 'integer', minimum: 0 };

/** As the API's description shows it. */
const ANSWER_SCHEMA = {
  type: 'object',
  required: [...COUNTS, 'rejections'],
  properties: {
    ...Object.fromEntries(COUNTS.map((name) => [name, COUNT])),
    buffered: {
      ...COUNT,
      description: 'Only with a broker in front of the store: held by it, and recorded, repeated or in conflict later.',
    },
    rejections: {
      type: 'array',
      items: {
        type: 'object',
        properties: { line: COUNT, code: { type: 'string' }, reason: { type: 'string' } },
      },
    },
  },
};

const NOTHING: RecordCounts = {
  received: 0,
  recorded: 0,
  repeated: 0,
  conflicting: 0,
  rejected: 0,
  buffered: 0,
  dropped: 0,
  added: 0,
};

@ApiTags('flights')
@Controller('flights/reports')
export class ReportsController implements BeforeApplicationShutdown {
  private posts = 0;
  private idle: (() => void) | undefined;

  constructor(
    @InjectPort(EventBus, FLIGHTS) private readonly bus: EventBus,
    @InjectPort(Quarantine, FLIGHTS) private readonly quarantine: Quarantine,
    @InjectPort(EventTransport, FLIGHTS) private readonly transport: EventTransport | null,
    @InjectPort(Clock, FLIGHTS) private readonly clock: Clock,
    @Inject(Loader) private readonly loader: Loader,
  ) {}

  @Post()
  @HttpCode(200)
  @ApiOperation({
    summary: 'Record reports, one JSON object a line; with accept: application/x-ndjson running totals.',
  })
  @ApiConsumes(NDJSON)
  @ApiBody({ schema: { type: 'string' } })
  @ApiOkResponse({
    description: '`received` is the sum of the other counts.',
    schema: ANSWER_SCHEMA,
  })
  async post(@Req() request: Request, @Res() response: Response): Promise<void> {
    const running = (request.headers.accept ?? '').includes(NDJSON);
    const reply = new Reply(request, response, this.clock, { running, buffered: this.transport !== null });
    let encoding: 'gzip' | 'identity';
    try {
      encoding = checkMedia(request, NDJSON, ['identity', 'gzip']);
      if (this.posts >= POSTS_MAX) {
        throw new Problem(503, 'OVERLOADED', `${POSTS_MAX} posts are under way.`, 'Send this one again in a moment.');
      }
    } catch (error) {
      reply.refuse(problemOf(error));
      return;
    }
    this.posts++;
    try {
      await this.record(request, encoding, reply);
    } finally {
      if (--this.posts === 0) this.idle?.();
    }
  }

  /** Answers under way are given before the sockets close. */
  async beforeApplicationShutdown(): Promise<void> {
    if (this.posts > 0) await new Promise<void>((resolve) => (this.idle = resolve));
  }

  private async record(request: Request, encoding: 'gzip' | 'identity', reply: Reply): Promise<void> {
    const gone = new AbortController();
    reply.response.once('close', () => gone.abort());
    const body = new Body(request, encoding);
    try {
      await this.loader.loaded(gone.signal);
      const summary = await this.bus.record(ndjsonLines(body.chunks(), REPORTS), {
        decode: readReport,
        batchSizeMax: LINES_MAX,
        source: REPORTS,
        signal: gone.signal,
        onBatch: (report) => reply.total(report),
      });
      reply.end(summary, summary.rejections);
    } catch (error) {
      const summary = summaryOf(error);
      const broken = body.failure;
      if (broken?.code === 'BROKEN_GZIP') await this.keepBroken(body, broken);
      const problem = broken === undefined ? problemOf(error) : brokenProblem(broken);
      reply.fail(problem, summary ?? NOTHING, summary?.rejections);
      // Not an error of the sender, and not told by our own kind: somebody should look at it.
      if (broken === undefined && !ConcursusError.isInstance(error)) throw error;
    }
  }

  /** A body that does not decompress is kept by its beginning, like any other bad input. */
  private async keepBroken(body: Body, broken: BrokenBody): Promise<void> {
    const at = this.clock.now();
    await this.quarantine.put([
      {
        source: REPORTS,
        bytes: body.beginning(),
        sizeBytes: body.bytes,
        digest: body.digest(),
        line: 0,
        code: 'INVALID_EVENT',
        reason: broken.message,
        at,
      },
    ]);
  }
}

function brokenProblem(broken: BrokenBody): ProblemBody {
  return {
    statusCode: 400,
    code: broken.code,
    message: broken.message,
    fix: 'Send the body again: lines recorded already are answered as repeated.',
  };
}

/** One answer, whole or as running totals. A sender that has gone is told nothing. */
class Reply {
  private line = 0;

  constructor(
    private readonly request: Request,
    readonly response: Response,
    private readonly clock: Clock,
    private readonly options: { readonly running: boolean; readonly buffered: boolean },
  ) {}

  /** Sent when a batch is on disk. A sender that does not read them yet misses some: the next one says as much. */
  total(report: BatchReport): void {
    this.line = report.line;
    if (!this.options.running || this.response.destroyed) return;
    this.start();
    if (!this.response.writableNeedDrain) this.write({ line: report.line, ...this.countsOf(report.totals) });
  }

  end(counts: RecordCounts, rejections: readonly Rejection[]): void {
    if (this.response.destroyed) return;
    const answer = this.answerOf(counts, rejections);
    if (!this.options.running) {
      this.response.json(answer);
      return;
    }
    this.start();
    this.write({ line: this.line, ...answer });
    this.response.end();
  }

  fail(problem: ProblemBody, counts: RecordCounts, rejections: readonly Rejection[] = []): void {
    if (this.response.destroyed || this.response.socket?.destroyed === true) return;
    const answer = this.answerOf(counts, rejections);
    if (!this.response.headersSent) {
      this.refuse(problem, answer);
      return;
    }
    this.write({ ...problem, line: this.line, ...answer });
    this.response.end();
    this.leaveUnread();
  }

  /** Answers before, or in the middle of, the body. */
  refuse(problem: ProblemBody, answer?: Answer): void {
    // What broke off cannot be followed by another request.
    if (problem.code === 'BROKEN_BODY') this.response.setHeader('connection', 'close');
    if (problem.statusCode === 503) this.response.setHeader('retry-after', '1');
    this.response.status(problem.statusCode).json({ ...problem, ...answer });
    this.leaveUnread();
  }

  /** Closing at once would reset the connection before a busy sender reads the answer: the rest is let pass for a while. */
  private leaveUnread(): void {
    this.request.resume();
    void this.clock.sleep(LINGER_MS).then(() => {
      if (!this.request.complete) this.request.destroy();
    });
  }

  private countsOf(counts: RecordCounts): Counts {
    const { received, recorded, repeated, conflicting, rejected, buffered } = counts;
    return {
      received,
      recorded,
      repeated,
      conflicting,
      rejected,
      ...(this.options.buffered ? { buffered } : {}),
    };
  }

  private answerOf(counts: RecordCounts, rejections: readonly Rejection[]): Answer {
    return {
      ...this.countsOf(counts),
      rejections: rejections.map(({ line, code, reason }) => ({ line, code, reason })),
    };
  }

  private start(): void {
    if (this.response.headersSent) return;
    this.response.status(200).setHeader('content-type', NDJSON).setHeader('cache-control', 'no-store');
  }

  private write(value: object): void {
    this.response.write(`${JSON.stringify(value)}\n`);
  }
}
