/**
 * How a process asks the one that runs a handler about parked events: a value of the checkpoint store, changed by
 * compare-and-set, that the owner looks at twice a second. A request stays until it is answered, so it survives the owner;
 * one that was done and not answered is done again, which finds nothing left to do.
 */
import { ConcursusError, ConflictError, UnavailableError } from '../model/errors.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { Clock } from '../ports/clock.js';
import type { ParkedSelection } from './parked-retry.js';

/** What may be asked. */
export interface ParkedRequest {
  readonly kind: 'retry' | 'discard';
  readonly which: ParkedSelection;
  readonly by: string;
  readonly reason: string;
}

interface Answer {
  readonly id: string;
  readonly count?: number;
  readonly error?: string;
}

interface Box {
  readonly requests: readonly (ParkedRequest & { readonly id: string })[];
  readonly answers: readonly Answer[];
}

/** Requests that may wait for one handler name, and answers kept for those who asked. */
const BOX_MAX = 100;
const POLL_MS = 200;
const TRIES = 100;

export class Mailbox {
  constructor(
    private readonly checkpoints: CheckpointStore,
    private readonly clock: Clock,
  ) {}

  /**
   * Leaves a request and waits for its answer.
   * @throws UnavailableError `OVERLOADED` (100 requests wait), `TIMEOUT` (the request is withdrawn unless it was begun)
   */
  async ask(handler: string, request: ParkedRequest, timeoutMs: number): Promise<number> {
    const id = [...this.clock.randomBytes(8)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    await this.change(handler, ({ requests, answers }) => {
      if (requests.length >= BOX_MAX) {
        throw new UnavailableError('OVERLOADED', `${BOX_MAX} requests wait for the handler "${handler}".`, {
          fix: 'See that a process runs it, and ask again.',
        });
      }
      return { requests: [...requests, { ...request, id }], answers };
    });
    const until = this.clock.monotonicMs() + timeoutMs;
    for (;;) {
      await this.clock.sleep(POLL_MS);
      const [, { answers }] = await this.read(handler);
      const answer = answers.find((one) => one.id === id);
      if (answer?.count !== undefined) return answer.count;
      if (answer === undefined && this.clock.monotonicMs() < until) continue;
      await this.change(handler, ({ requests, answers: kept }) => ({
        requests: requests.filter((one) => one.id !== id),
        answers: kept,
      }));
      const why = answer?.error ?? `nobody answered within ${timeoutMs} ms`;
      throw new UnavailableError('TIMEOUT', `The handler "${handler}" is run by another process: ${why}.`, {
        fix: 'See that a process runs it, list what is parked, and ask again.',
      });
    }
  }

  /** Answers what is asked; requests that cannot be served stay for the next owner. */
  async attend(handler: string, serve: (request: ParkedRequest) => Promise<number> | undefined): Promise<void> {
    const [, box] = await this.read(handler);
    for (const request of box.requests) {
      const serving = serve(request);
      if (serving === undefined) return;
      let answer: Answer;
      try {
        answer = { id: request.id, count: await serving };
      } catch (error) {
        if (ConcursusError.isInstance(error)) return; // given up meanwhile: the next owner finds it here
        answer = { id: request.id, error: String(error) };
      }
      await this.change(handler, ({ requests, answers }) => ({
        requests: requests.filter((one) => one.id !== request.id),
        answers: [...answers, answer].slice(-BOX_MAX),
      }));
    }
  }

  private async read(handler: string): Promise<readonly [string | undefined, Box]> {
    const text = await this.checkpoints.read(nameOf(handler));
    return [text, text === undefined ? { requests: [], answers: [] } : (JSON.parse(text) as Box)];
  }

  private async change(handler: string, change: (box: Box) => Box): Promise<void> {
    for (let tries = 1; ; tries++) {
      const [expected, box] = await this.read(handler);
      try {
        // Nobody owns a name of this kind: the epoch is that of a row that does not exist.
        await this.checkpoints.save(nameOf(handler), JSON.stringify(change(box)), { epoch: 0, expected });
        return;
      } catch (error) {
        if (!(error instanceof ConflictError) || tries >= TRIES) throw error;
      }
    }
  }
}

function nameOf(handler: string): string {
  return `handler-requests:${handler}`;
}
