/**
 * Events that others write elsewhere come in: an inlet reads them there, and acknowledges there only what is recorded here.
 * It is the first stop of the road for those who send nothing themselves.
 */
import { ConcursusError } from '../model/errors.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { Clock } from '../ports/clock.js';
import type { LayerContext, LayerLogger } from '../ports/layer.js';
import type { RecordOptions, RecordSummary, StreamItem } from './record.js';

export abstract class EventInlet {
  /** @throws ConfigurationError (the other side is not fit: it ends the start) · UnavailableError (tried again; the start goes on) */
  abstract connect(): Promise<void>;
  /** Begins to read; resolves when it does. What is recorded is acknowledged there; what is not comes again. @throws UnavailableError (tried again) */
  abstract start(): Promise<void>;
  /** Reads no more; resolves when what is in hand is acknowledged or given back. Idempotent, also before `start`. */
  abstract stop(): Promise<void>;
  /** Ends the connection. Idempotent. */
  abstract close(): Promise<void>;
}

/** What an inlet is told of its context, and where it puts what it reads. */
export interface InletContext extends LayerContext {
  /** `EventBus.record` of a stream: resolves when everything is as durable as the context promises, or quarantined. */
  record(stream: AsyncIterable<StreamItem>, options?: RecordOptions): Promise<RecordSummary>;
  /** For those whose other side keeps no place of its readers: theirs is kept here, as `inlet/<name>`. */
  readonly checkpoints: CheckpointStore;
}

/** An inlet of `ConcursusModule.forRoot({ consume: […] })`: a value, from which each context makes its own. */
export interface InletProvider {
  readonly slot: 'consume';
  /** It may stand once in a context. */
  readonly name: string;
  /** Makes the inlet of one context; opens nothing. */
  create(context: InletContext): EventInlet;
}

const BACK_OFF_MS = 100;
const BACK_OFF_MAX_MS = 30_000;

/** Connects, starts and stops the inlets of one context. */
export class InletRunner {
  private readonly stopping = new AbortController();
  private starting: Promise<void>[] = [];

  constructor(
    private readonly inlets: readonly { readonly name: string; readonly inlet: EventInlet }[],
    private readonly clock: Clock,
    private readonly logger: LayerLogger,
  ) {}

  /** One whose other side does not answer yet is connected later. @throws ConfigurationError of one that is wired wrongly */
  async connect(): Promise<void> {
    await Promise.all(
      this.inlets.map(async ({ name, inlet }) => {
        try {
          await inlet.connect();
        } catch (error) {
          if (!passes(error)) throw error;
          this.logger.warn(`The inlet "${name}" is not connected yet: ${String(error)}`);
        }
      }),
    );
  }

  /** Starts those whose other side answers; the others are tried again behind its back. */
  async start(): Promise<void> {
    const first = this.inlets.map((one) => this.tryStart(one));
    this.starting = first.map(async (started, i) => {
      if (!(await started)) await this.startLater(this.inlets[i]!);
    });
    await Promise.all(first);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.inlets.map(({ inlet }) => inlet.stop()));
    await Promise.all(this.starting);
  }

  async close(): Promise<void> {
    await Promise.all(this.inlets.map(({ inlet }) => inlet.close()));
  }

  private async tryStart({ name, inlet }: { readonly name: string; readonly inlet: EventInlet }): Promise<boolean> {
    try {
      await inlet.connect();
      await inlet.start();
      return true;
    } catch (error) {
      if (!this.stopping.signal.aborted) this.logger.warn(`The inlet "${name}" could not start yet: ${String(error)}`);
      return false;
    }
  }

  private async startLater(one: { readonly name: string; readonly inlet: EventInlet }): Promise<void> {
    for (let failures = 0; !this.stopping.signal.aborted; failures++) {
      await this.clock.sleep(
        Math.min(BACK_OFF_MS * 2 ** Math.min(failures, 10), BACK_OFF_MAX_MS),
        this.stopping.signal,
      );
      if (this.stopping.signal.aborted || (await this.tryStart(one))) return;
    }
  }
}

function passes(error: unknown): boolean {
  return ConcursusError.isInstance(error) && error.retryable;
}
