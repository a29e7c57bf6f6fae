/** What the ports of one layer share: the context, the clock and the environment while it is open. */
import type { Clock, LayerContext } from '@concursus/core';
import { closedError } from './errors.js';
import { Environment } from './environment.js';
import { FactLog } from './fact-log.js';

export interface LmdbOptions {
  /** A folder of the environment's own, created with its parents. Local disk only: the file is memory-mapped. */
  readonly path: string;
  /** The file may grow to about this; then appends are refused with `STORE_FULL`. Default: the disk. */
  readonly mapSizeBytes?: number;
  /**
   * From so many events on those in the feed are written into the histories, several of one aggregate at once; until then
   * each process keeps them in memory, and reads them again when it opens the environment. A large event counts as
   * several. Of several users of one context in a process the first decides. Default 16,384.
   */
  readonly indexAfter?: number;
}

/** At some 500 bytes each 8 MB of memory, and tens of milliseconds to read again; large enough that most entries take several events. */
const INDEX_AFTER = 16_384;

export class Session {
  readonly context: string;
  readonly clock: Clock;
  private environment: Environment | undefined;
  private readonly closing: (() => void)[] = [];

  constructor(
    readonly options: LmdbOptions,
    layer: LayerContext,
  ) {
    this.context = layer.context;
    this.clock = layer.clock;
  }

  get isOpen(): boolean {
    return this.environment !== undefined;
  }

  /** @throws UnavailableError `STORE_CLOSED` before `open` and after `close` */
  get env(): Environment {
    if (this.environment === undefined) throw closedError(this.options.path);
    return this.environment;
  }

  /** @throws ConfigurationError `SCHEMA_MISMATCH` @throws UnavailableError `STORE_UNREACHABLE`, `STORE_FULL` */
  open(): void {
    this.environment ??= Environment.acquire(this.options.path, this.options.mapSizeBytes);
  }

  /** The log of this context. @throws UnavailableError `STORE_CLOSED` */
  get log(): FactLog {
    const { context, clock, env } = this;
    return env.share(`log/${context}`, () => new FactLog(env, context, clock, this.options.indexAfter ?? INDEX_AFTER));
  }

  /** Called when the session closes, so that nobody waits for what cannot come. */
  onClose(action: () => void): void {
    this.closing.push(action);
  }

  /** Waits for what was queued. */
  async drain(): Promise<void> {
    await this.environment?.queue.drained();
  }

  /** Refuses new calls at once, waits for those in flight. Idempotent. */
  async close(): Promise<void> {
    const { environment } = this;
    if (environment === undefined) return;
    this.environment = undefined;
    for (const action of this.closing) action();
    await environment.release();
  }
}
