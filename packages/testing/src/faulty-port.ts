/**
 * Ports that fail on purpose: on the n-th call of a method, before or after the work is done, once or for good. What a
 * pipeline promises about crashes is tested by letting each call of each port fail in turn.
 */
import { UnavailableError, type Clock } from '@concursus/core';

/**
 * - `fail`: not done, refused with `STORE_UNREACHABLE`.
 * - `drop-ack`: done, but answered as if it had failed: the caller cannot know.
 * - `repeat`: done twice, as a driver that retries does.
 * - `delay`: done after `delayMs` of the clock.
 * - `crash`: not done, and from now on no port of these faults answers any call: the process is gone.
 * - `crash-after`: done, and then the same.
 */
export type FaultKind = 'fail' | 'drop-ack' | 'repeat' | 'delay' | 'crash' | 'crash-after';

export interface Fault {
  /** Of the port: `append`, `commit`, `read` … */
  readonly method: string;
  /** Which call of it, from 1, over all wrapped ports; `'every'` for each. */
  readonly call: number | 'every';
  readonly kind: FaultKind;
  /** Of `delay`. Default 1,000 ms. */
  readonly delayMs?: number;
}

type Method = (...args: unknown[]) => unknown;

/** One plan of faults for the ports of one process. */
export class Faults {
  private readonly counts = new Map<string, number>();
  private dead = false;

  constructor(
    private readonly clock: Clock,
    private readonly faults: readonly Fault[],
  ) {}

  /** Whether a crash has come. */
  get crashed(): boolean {
    return this.dead;
  }

  /** How often a method was called. */
  calls(method: string): number {
    return this.counts.get(method) ?? 0;
  }

  /** The port, failing as planned. Its methods that return no promise and no iterable are left alone. */
  wrap<P extends object>(port: P): P {
    return new Proxy(port, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function' || typeof name !== 'string') return value;
        return (...args: unknown[]) => this.call(name, () => (value as Method).apply(target, args));
      },
    });
  }

  private call(method: string, work: () => unknown): unknown {
    const count = this.calls(method) + 1;
    this.counts.set(method, count);
    const fault = this.faults.find((each) => each.method === method && (each.call === count || each.call === 'every'));
    if (fault === undefined && !this.dead) return work();
    if (!this.dead && (fault?.kind === 'repeat' || fault?.kind === 'delay')) return this.slowly(fault, work);
    if (this.dead || fault?.kind === 'fail' || fault?.kind === 'crash') {
      if (fault?.kind === 'crash') this.dead = true;
      return new Refusal(this.dead);
    }
    return this.unacknowledged(fault!, work);
  }

  private async slowly(fault: Fault, work: () => unknown): Promise<unknown> {
    if (fault.kind === 'delay') await this.clock.sleep(fault.delayMs ?? 1_000);
    else await work();
    return work();
  }

  private async unacknowledged(fault: Fault, work: () => unknown): Promise<never> {
    await work();
    if (fault.kind === 'crash-after') this.dead = true;
    throw unreachable(this.dead);
  }
}

function unreachable(dead: boolean): UnavailableError {
  return new UnavailableError(
    'STORE_UNREACHABLE',
    dead ? 'The process crashed on purpose.' : 'The call failed on purpose.',
    { fix: 'Try again, or look at the faults this test planned.' },
  );
}

/** A rejected promise that is also an async iterable which refuses: callers await it or iterate it. */
class Refusal extends Promise<never> {
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  constructor(dead: boolean) {
    super((_, reject) => reject(unreachable(dead)));
    // Who iterates never awaits it: then nobody else would hear of the rejection.
    this.catch(() => undefined);
  }

  [Symbol.asyncIterator](): AsyncIterator<never> {
    return { next: async (): Promise<IteratorResult<never>> => await (this as Promise<never>) };
  }
}
