/** How every refusal of this app looks over HTTP: `{ statusCode, code, message, fix }`. */
import { Catch, HttpException, Logger, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { ConcursusError } from '@concursus/core';
import type { Response } from 'express';

export interface ProblemBody {
  readonly statusCode: number;
  readonly code: string;
  readonly message: string;
  readonly fix: string;
}

/** An answer other than 200, with what more the sender should know. */
export class Problem extends HttpException {
  constructor(
    statusCode: number,
    code: string,
    message: string,
    fix: string,
    more: Readonly<Record<string, unknown>> = {},
  ) {
    super({ statusCode, code, message, fix, ...more }, statusCode);
  }
}

export function notFound(what: string): Problem {
  return new Problem(
    404,
    'NOT_FOUND',
    `Nothing has been reported about ${what}.`,
    'Check the name, or report it first.',
  );
}

/** What is the sender's mistake is 400, what is gone 410, what may work later 503, the rest is ours. */
function statusOf(error: ConcursusError): number {
  if (error.name === 'InvalidEventError') return 400;
  if (error.code === 'CHANGES_TRIMMED') return 410;
  if (error.retryable) return 503;
  return error.name === 'ConflictError' ? 409 : 500;
}

/** The body for any error. */
export function problemOf(error: unknown): ProblemBody {
  if (ConcursusError.isInstance(error)) {
    const statusCode = statusOf(error);
    return { statusCode, code: error.code, message: error.reason, fix: error.fix };
  }
  if (error instanceof HttpException) {
    const body = error.getResponse();
    if (typeof body === 'object' && 'code' in body) return body as ProblemBody;
    const statusCode = error.getStatus();
    // A failed health check says in its own form what does not answer.
    if (typeof body === 'object' && statusCode === 503) {
      return { statusCode, code: 'UNHEALTHY', message: error.message, fix: 'See what does not answer.', ...body };
    }
    return statusCode === 404
      ? { statusCode, code: 'NOT_FOUND', message: error.message, fix: 'See /api for what there is.' }
      : { statusCode, code: 'BAD_REQUEST', message: error.message, fix: 'See /api for what is expected.' };
  }
  // Express refuses a path that is not valid percent-encoding with such an error.
  if (error instanceof URIError || (error instanceof Error && 'status' in error && error.status === 400)) {
    return {
      statusCode: 400,
      code: 'INVALID_ID',
      message: 'The path is not valid percent-encoding.',
      fix: 'Encode ids with encodeURIComponent.',
    };
  }
  return {
    statusCode: 500,
    code: 'INTERNAL',
    message: 'Something in this application failed.',
    fix: 'Its log says what; try again once that is mended.',
  };
}

@Catch()
export class ProblemFilter implements ExceptionFilter {
  private readonly logger = new Logger('Http');

  catch(error: unknown, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<Response>();
    const body = problemOf(error);
    if (body.statusCode >= 500 && body.code === 'INTERNAL') {
      this.logger.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    if (response.headersSent) {
      response.destroy();
      return;
    }
    if (body.statusCode === 503) response.setHeader('retry-after', '1');
    response.status(body.statusCode).json(body);
  }
}
