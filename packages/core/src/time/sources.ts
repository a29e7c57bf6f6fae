/** What an application says about its sources, and what it asks: the service that records facts about them and lists them. */
import { ConfigurationError, InvalidEventError } from '../model/errors.js';
import type { EventInput } from '../model/event-input.js';
import { formatTime, parseEventTime } from '../model/time.js';
import type { Clock } from '../ports/clock.js';
import type { Gaps } from './sequence-gaps.js';
import { sourceFacts } from './source-facts.js';
import type { SourceTable } from './source-table.js';
import type { SourceView } from './source.js';

type Time = number | string | Date;

export interface SourcesOptions {
  /** A heartbeat is recorded when its time is this much after the last one recorded here. Default 10,000: 8,640 facts a source and day at most. */
  readonly heartbeatEveryMs?: number;
  /** As in `TimeOptions`: what is further ahead of the clock would move nothing, and is refused. Default 60,000. */
  readonly maxSkewMs?: number;
}

/** A source, what is missing of its stream where that is sequenced, and how often events of its stream came again or with other content. */
export type ListedSource = SourceView & {
  readonly gaps?: Gaps;
  readonly repeated: number;
  readonly conflicting: number;
};

/** What is read to list sources. */
export interface SourcesRead {
  /** With statistics. */
  readonly table: SourceTable;
  /** By stream. */
  readonly counts: ReadonlyMap<string, { readonly repeated: number; readonly conflicting: number }>;
}

/** Sources whose last heartbeat is remembered, at most; one forgotten costs one fact more. */
const HEARTBEATS_KEPT = 10_000;

interface OfChannel {
  /** The receiving channel; absent: the one without a name, or all of a stream that has only named ones. */
  readonly channel?: string;
}

/**
 * Says what is known of sources. Each call resolves when its fact is as durable as any event recorded by the same road, and takes
 * effect when a reader of the feed comes to it. All may be repeated.
 *
 * Each throws `InvalidEventError`: `INVALID_TIME` (no time, or too far ahead of the clock), `INVALID_ID`, `LIMIT_EXCEEDED`,
 * `INVALID_EVENT`, and whatever recording throws.
 */
export class Sources {
  private readonly beats = new Map<string, number>();
  private readonly heartbeatEveryMs: number;
  private readonly maxSkewMs: number;

  /**
   * @param read what is known of sources now
   * @throws ConfigurationError `INVALID_OPTION`
   */
  constructor(
    private readonly record: (input: EventInput) => Promise<unknown>,
    private readonly clock: Clock,
    private readonly read: () => Promise<SourcesRead>,
    options: SourcesOptions = {},
  ) {
    this.heartbeatEveryMs = options.heartbeatEveryMs ?? 10_000;
    this.maxSkewMs = options.maxSkewMs ?? 60_000;
    if (!Number.isSafeInteger(this.heartbeatEveryMs) || this.heartbeatEveryMs < 1) {
      throw new ConfigurationError('INVALID_OPTION', `time.heartbeatEveryMs is ${this.heartbeatEveryMs}.`, {
        fix: 'Use whole milliseconds from 1.',
      });
    }
  }

  /** Nothing of this source at or before `upTo` comes any more. `lastSequence`: the last number it gave until then. */
  async complete(stream: string, upTo: Time, of: OfChannel & { readonly lastSequence?: number } = {}): Promise<void> {
    await this.say(sourceFacts.complete(stream, { ...of, upTo: this.notAhead(upTo) }));
  }

  /**
   * The source lives: what it sends from now on is at most its bound older than `at` (absent: now). May be called as often as
   * is convenient: true when it was recorded, false when the last one recorded here is less than `heartbeatEveryMs` before.
   */
  async heartbeat(stream: string, of: OfChannel & { readonly at?: Time } = {}): Promise<boolean> {
    const at = this.notAhead(of.at ?? this.clock.now());
    const fact = sourceFacts.heartbeat(stream, { ...of, at });
    const key = `${stream}\u0000${of.channel ?? ''}`;
    const last = this.beats.get(key);
    if (last !== undefined && at - last < this.heartbeatEveryMs) return false;
    this.beats.delete(key);
    this.beats.set(key, at);
    if (this.beats.size > HEARTBEATS_KEPT) this.beats.delete(this.beats.keys().next().value as string);
    try {
      await this.say(fact);
    } catch (error) {
      if (this.beats.get(key) === at) this.beats.delete(key);
      throw error;
    }
    return true;
  }

  /** The source must report: from now on it holds what settles, also before its first event. */
  async declare(stream: string, of: OfChannel = {}): Promise<void> {
    await this.say(sourceFacts.declare(stream, { ...of, at: this.clock.now() }));
  }

  /** The source reports no more and holds nothing; `upTo`: it was complete up to then. It rejoins at its next event, or by `rejoin`. */
  async retire(stream: string, of: OfChannel & { readonly upTo?: Time } = {}): Promise<void> {
    const upTo = of.upTo === undefined ? {} : { upTo: this.notAhead(of.upTo) };
    await this.say(sourceFacts.retire(stream, { ...of, ...upTo, at: this.clock.now() }));
  }

  /** A retired source reports again: it holds from the input watermark on. */
  async rejoin(stream: string, of: OfChannel = {}): Promise<void> {
    await this.say(sourceFacts.rejoin(stream, { ...of, at: this.clock.now() }));
  }

  /** All sources with state, watermark, lateness, rate, counts and gaps, ordered by stream and channel; empty before anything was read. Any process may ask. */
  async list(): Promise<readonly ListedSource[]> {
    const { table, counts } = await this.read();
    const gaps = new Map(table.gaps().map(({ stream, ...missing }) => [stream, missing]));
    return table.sources().map((source) => {
      const missing = gaps.get(source.stream);
      const counted = counts.get(source.stream) ?? { repeated: 0, conflicting: 0 };
      return { ...source, ...counted, ...(missing === undefined ? {} : { gaps: missing }) };
    });
  }

  private async say(fact: EventInput): Promise<void> {
    const answer = await this.record(fact);
    const rejection = rejectionIn(answer);
    if (rejection === undefined) return;
    throw new InvalidEventError('REFUSED', `${fact.name} of a source was refused: ${rejection}`, {
      fix: 'See the reason; a middleware that refuses events lets those of type $source pass.',
    });
  }

  private notAhead(time: Time): number {
    const ms = parseEventTime(time);
    if (ms <= this.clock.now() + this.maxSkewMs) return ms;
    throw new InvalidEventError('INVALID_TIME', `${formatTime(ms)} is ahead of the clock, and would move nothing.`, {
      fix: 'Say what is complete already, or correct the clock.',
    });
  }
}

/** The reason of the first rejection in a record summary. */
function rejectionIn(answer: unknown): string | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined;
  const { rejections } = answer as { rejections?: readonly { readonly reason?: unknown }[] };
  return Array.isArray(rejections) && rejections.length > 0 ? String(rejections[0]?.reason) : undefined;
}
