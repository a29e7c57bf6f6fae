/**
 * Whether this process's clock agrees with those of the other writers. A clock far ahead would drag the processing times of
 * all into the future, as everybody goes on above what was given; one far behind is as wrong.
 *
 * Writers publish their clocks with their beats. Before the first append, and whenever the clock jumped against the time that
 * went by, this one is compared: it agrees when one of the others is near it, or when none lives. Which of two is wrong
 * nobody can tell, so it is the one that comes, or jumps, that is refused.
 */
import { UnavailableError } from '@concursus/core';
import type { Session } from './session.js';
import type { LiveWriter, Writers } from './writers.js';

/** Beats of another since we began to compare: the second was made after that. */
const BEATS = 2;
/** Others either make these beats meanwhile, or are replaced. */
const LEASES = 3;

export interface ClockOptions {
  readonly maxSkewMs: number;
  readonly leaseMs: number;
  readonly beatMs: number;
}

export class ClockAgreement {
  /** Time of day less the time that went by, when it was last found right. */
  private offsetMs: number | undefined;
  private comparing: Promise<void> | undefined;
  private told = false;

  constructor(
    private readonly session: Session,
    private readonly writers: Writers,
    private readonly options: ClockOptions,
  ) {}

  /** True as long as the clock went on as time did since it was found right. */
  get isTrusted(): boolean {
    return this.offsetMs !== undefined && Math.abs(this.offsetNow() - this.offsetMs) <= this.options.maxSkewMs;
  }

  /** What this writer tells others of its clock; undefined while it may be wrong. */
  get published(): number | undefined {
    return this.isTrusted ? this.session.clock.now() : undefined;
  }

  private offsetNow(): number {
    return this.session.clock.now() - this.session.real.monotonicMs();
  }

  /**
   * Resolves when the clock can be trusted: at once, unless it is new or jumped. Many callers, one work.
   * @throws UnavailableError `CLOCK_SKEW` when it is more than `maxSkewMs` from those of all other writers
   */
  agree(): Promise<void> {
    if (this.isTrusted) return Promise.resolve();
    return (this.comparing ??= this.compare().finally(() => (this.comparing = undefined)));
  }

  private async compare(): Promise<void> {
    const { session, writers, options } = this;
    const startMs = session.real.monotonicMs();
    const beats = new Map<string, { beat: number; count: number }>();
    for (;;) {
      const { live } = await writers.look();
      const nowMs = session.clock.now();
      const offsetMs = this.offsetNow();
      const others = live.filter(
        (each) => each.node !== writers.own && each.seal === undefined && each.clock !== undefined,
      );
      const wrong = others.filter((each) => Math.abs(nowMs - each.clock!) > options.maxSkewMs);
      if (wrong.length < others.length || others.length === 0) {
        this.offsetMs = offsetMs;
        return;
      }
      for (const { node, beat } of others) {
        const seen = beats.get(node);
        if (seen === undefined) beats.set(node, { beat, count: 0 });
        else if (seen.beat !== beat) beats.set(node, { beat, count: seen.count + 1 });
      }
      const living = others.find((each) => beats.get(each.node)!.count >= BEATS);
      if (living !== undefined) throw this.refusal(nowMs, living);
      const leaseMs = Math.max(options.leaseMs, ...others.map((each) => each.leaseMs));
      if (session.real.monotonicMs() - startMs > leaseMs * LEASES) throw this.refusal(nowMs, others[0]!);
      await session.real.sleep(options.beatMs);
      session.checkOpen();
    }
  }

  /** As `agree`, for beats, which have nobody to throw at: it is told once when the clock is wrong, and when it is right again. */
  async watch(): Promise<void> {
    const { logger, context } = this.session;
    try {
      await this.agree();
      if (this.told)
        logger.log(`The clock of this process agrees with the other writers of context "${context}" again.`);
      this.told = false;
    } catch (error) {
      if (this.told || !(error instanceof UnavailableError) || error.code !== 'CLOCK_SKEW') return;
      this.told = true;
      logger.error(error.message);
    }
  }

  private refusal(nowMs: number, { node, clock }: LiveWriter): UnavailableError {
    const { maxSkewMs } = this.options;
    const skewMs = nowMs - clock!;
    const place = skewMs > 0 ? 'ahead of' : 'behind';
    return new UnavailableError(
      'CLOCK_SKEW',
      `The clock of this process is ${Math.abs(skewMs)} ms ${place} that of writer ${node} of context "${this.session.context}"; maxSkewMs is ${maxSkewMs}.`,
      {
        fix: 'Set the clocks of both machines right, by NTP say: this process records again by itself once they agree.',
        details: { writer: node, skewMs, maxSkewMs },
      },
    );
  }
}
