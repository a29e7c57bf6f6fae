/** What the ports of one layer share: the context, the clock and the environment while it is open. */
import type { Clock, LayerContext } from '@concursus/core';
import { closedError } from './errors.js';
import { Environment } from './environment.js';

export interface LmdbOptions {
  /** A folder of the environment's own, created with its parents. Local disk only: the file is memory-mapped. */
  readonly path: string;
  /** The file may grow to about this; then appends are refused with `STORE_FULL`. Default: the disk. */
  readonly mapSizeBytes?: number;
}

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
