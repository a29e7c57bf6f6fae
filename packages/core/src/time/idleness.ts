/**
 * Who reads a channel proves that it is idle: that nothing waits in it. A silence alone proves nothing, as whoever
 * stopped reading hears nothing:
 *
 *     the reader pauses · a producer writes · the timeout passes · "idle": the watermark goes on · the reader resumes: good events are late
 */
import { ConfigurationError } from '../model/errors.js';
import type { EventInput } from '../model/event-input.js';
import { checkStreamId } from '../model/identity.js';
import type { Clock } from '../ports/clock.js';
import { sourceFacts } from './source-facts.js';

/** What a readable channel (a partition, a file, a queue) says of itself. */
export interface ChannelProbe {
  /** Whether everything that is in the channel has been handed on; asked of the channel, not remembered. */
  atEnd(): Promise<boolean>;
  /** Reading is stopped. */
  readonly paused: boolean;
  /** What was read waits: it is not recorded yet, or may not be handed on. */
  readonly backPressured: boolean;
}

/** What is known when idleness is decided. */
export interface IdleObservation {
  /** Since the last event, by a clock that never steps back. */
  readonly quietForMs: number;
  readonly idleTimeoutMs: number;
  /** The channel answered so, at the check whose time the proof bears. */
  readonly atEnd: boolean;
  /** Paused or back-pressured at any time since the last event. */
  readonly blockedSinceLastEvent: boolean;
}

/** The one place where idleness is decided. All three, always: each of them alone has lost events somewhere. */
export function isProvenIdle(seen: IdleObservation): boolean {
  return seen.quietForMs >= seen.idleTimeoutMs && seen.atEnd && !seen.blockedSinceLastEvent;
}

export interface IdleProverOptions {
  readonly stream: string;
  /** Absent: `''`. */
  readonly channel?: string;
  readonly probe: ChannelProbe;
  readonly clock: Clock;
  /** Records the proof: `EventBus.record`. */
  readonly record: (input: EventInput) => Promise<unknown>;
  /** How long nothing came before the channel is asked, milliseconds. */
  readonly idleTimeoutMs: number;
  /** A proof is given again after this long, so that a later time is proven. Default 60,000: 1,440 facts an idle channel and day at most. */
  readonly proveEveryMs?: number;
  /** Told what went wrong in `run`; it goes on. */
  readonly onError?: (error: unknown) => void;
}

const NO_PROOF = Number.NEGATIVE_INFINITY;

/**
 * Watches one channel. Its reader calls `received` for each event, and `blocked` when it pauses or is held up: what happens between
 * two looks is not seen otherwise.
 */
export class IdleProver {
  private lastEventAt: number;
  private events = 0;
  private wasBlocked = false;
  private provenAt = NO_PROOF;
  private readonly proveEveryMs: number;

  /** @throws ConfigurationError `INVALID_OPTION` · InvalidEventError `INVALID_ID`, `LIMIT_EXCEEDED` (stream or channel) */
  constructor(private readonly options: IdleProverOptions) {
    const { idleTimeoutMs, proveEveryMs = 60_000 } = options;
    for (const [name, value] of Object.entries({ idleTimeoutMs, proveEveryMs })) {
      if (Number.isSafeInteger(value) && value > 0) continue;
      throw new ConfigurationError('INVALID_OPTION', `${name} is ${String(value)}.`, {
        fix: 'Use whole milliseconds from 1.',
      });
    }
    checkStreamId(options.stream);
    checkStreamId(options.channel ?? '');
    this.proveEveryMs = proveEveryMs;
    this.lastEventAt = options.clock.monotonicMs();
  }

  /** An event came through the channel: it is not idle, and everything begins anew. */
  received(): void {
    this.events++;
    this.lastEventAt = this.options.clock.monotonicMs();
    this.wasBlocked = false;
    this.provenAt = NO_PROOF;
  }

  /** The reader paused, or is held up, just now: there is no proof before the next event, or `readToEnd`. */
  blocked(): void {
    this.wasBlocked = true;
    this.provenAt = NO_PROOF;
  }

  /**
   * The reader went on after it was blocked, and its next read found the end: nothing was held back. It counts like an event, so that
   * a channel whose last events filled a buffer need not hold for ever.
   */
  readToEnd(): void {
    this.received();
  }

  /**
   * Looks once. Resolves to the wall time of the check when the channel is proven idle; the proof is recorded, unless one less
   * than `proveEveryMs` old stands. Otherwise undefined.
   * @throws what the probe or recording throws; nothing is then proven
   */
  async check(): Promise<number | undefined> {
    const { clock, probe, idleTimeoutMs, stream, channel } = this.options;
    this.look();
    const { events } = this;
    const provenAt = clock.now(); // before the question: of what comes while it is answered nothing is said
    const atEnd = await probe.atEnd();
    this.look();
    const quietForMs = events === this.events ? clock.monotonicMs() - this.lastEventAt : 0;
    if (!isProvenIdle({ quietForMs, idleTimeoutMs, atEnd, blockedSinceLastEvent: this.wasBlocked })) return undefined;
    if (provenAt - this.provenAt < this.proveEveryMs) return provenAt;
    await this.options.record(sourceFacts.idle(stream, { channel: channel ?? '', provenAt }));
    // An event that came meanwhile stands before or behind the proof in the feed; either way the next silence needs a new one.
    if (events === this.events && !this.wasBlocked) this.provenAt = provenAt;
    return provenAt;
  }

  /** Looks four times a timeout until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, idleTimeoutMs, onError } = this.options;
    const everyMs = Math.max(1, Math.floor(idleTimeoutMs / 4));
    while (!signal.aborted) {
      try {
        this.look();
        // Only saves asking: `check` decides.
        if (clock.monotonicMs() - this.lastEventAt >= idleTimeoutMs) await this.check();
      } catch (error) {
        onError?.(error);
      }
      await clock.sleep(everyMs, signal);
    }
  }

  private look(): void {
    const { probe } = this.options;
    if (probe.paused || probe.backPressured) this.blocked();
  }
}
