/** What is complete, and what is missing: sources that hold, silent ones, gaps, wrong clocks, parked aggregates. Plain data, beside every view. */
import type { AggregateKey } from '../model/event.js';
import type { Gaps } from './sequence-gaps.js';
import type { Settlement } from './settlement.js';
import type { SourceTable } from './source-table.js';
import type { SourceView } from './source.js';

/** Which source. */
export interface SourceName {
  readonly stream: string;
  readonly channel: string;
}

/** A source from which nothing came: never, or since `since` (processing time, epoch milliseconds). */
export interface SilentSource extends SourceName {
  /** Null: it never reported. */
  readonly since: number | null;
}

/** A source without which the input watermark cannot go on. */
export interface HoldingSource extends SourceName {
  /**
   * `never reported`: it must report and did not · `silent`: nothing came since `since` · `idle`: no source is active, and its proof of
   * idleness reaches no further · `watermark`: it reports, and is this far.
   */
  readonly why: 'never reported' | 'silent' | 'idle' | 'watermark';
  readonly watermark: number | null;
  /** Processing time of what came last from it; null: nothing ever. */
  readonly since: number | null;
}

/** An aggregate that its projection could not handle: it contributes nothing meanwhile. */
export interface ParkedHold {
  readonly aggregate: AggregateKey;
  /** `settledUpTo` stands before this event time until it is released; null when it does not hold. */
  readonly holdsAt: number | null;
  /** The earliest of its events that came too late to be waited for; null when there is none. */
  readonly stragglerAt: number | null;
}

/** The completeness of a view; times in epoch milliseconds, null before anything. */
export interface Completeness {
  /** Every event at or before it that was recorded by then is applied, stragglers apart. */
  readonly settledUpTo: number | null;
  /** What the sources alone would allow. */
  readonly inputWatermark: number | null;
  readonly holding: readonly HoldingSource[];
  readonly silent: readonly SilentSource[];
  /** Sequenced streams of which numbers are missing. */
  readonly gaps: readonly ({ readonly stream: string } & Gaps)[];
  /** Sources whose clock was too far ahead, and how often. */
  readonly future: readonly (SourceName & { readonly count: number })[];
  readonly parked: readonly ParkedHold[];
  /** Stragglers that are not applied: those of parked aggregates. */
  readonly stragglers: readonly ParkedHold[];
  readonly idle: readonly (SourceName & { readonly provenAt: number | null })[];
  readonly retired: readonly SourceName[];
  /** Sources that must report, by options or declaration. */
  readonly expected: readonly (SourceName & { readonly reported: boolean })[];
}

export interface CompletenessOptions {
  /** The clock's reading. Without it only sources that never reported are silent: silence is a matter of the clock. */
  readonly now?: number;
  /** An active source is silent when nothing came from it for this long. Default 15 minutes: longer than usual pauses, shorter than a shift. It only names; it decides nothing. */
  readonly silentAfterMs?: number;
}

const SILENT_AFTER_MS = 900_000;

/** What a view's table and settlement say together. Gaps only from a table with statistics. */
export function completenessOf(
  table: SourceTable,
  settlement: Settlement,
  options: CompletenessOptions = {},
): Completeness {
  const sources = table.sources();
  const { now } = options;
  const silentAfterMs = options.silentAfterMs ?? SILENT_AFTER_MS;
  const isSilent = (one: SourceView): boolean =>
    one.state === 'active' &&
    ((!one.reported && one.expected) ||
      (now !== undefined && one.lastProcessedAt !== null && now - one.lastProcessedAt >= silentAfterMs));
  const since = (one: SourceView): number | null => (one.reported ? one.lastProcessedAt : null);
  const parked = settlement
    .parked()
    .map((hold) => ({ ...hold, aggregate: keyOf(hold.aggregate) }) satisfies ParkedHold);
  return {
    settledUpTo: orNull(settlement.settledUpTo),
    inputWatermark: orNull(table.inputWatermark),
    holding: sources
      .filter((one) => one.holds)
      .map((one) => ({
        ...name(one),
        why: one.state === 'idle' ? 'idle' : !one.reported ? 'never reported' : isSilent(one) ? 'silent' : 'watermark',
        watermark: one.watermark,
        since: since(one),
      })),
    silent: sources.filter(isSilent).map((one) => ({ ...name(one), since: since(one) })),
    gaps: table.gaps().filter(({ count }) => count > 0),
    future: sources.filter((one) => one.future > 0).map((one) => ({ ...name(one), count: one.future })),
    parked,
    stragglers: parked.filter(({ stragglerAt }) => stragglerAt !== null),
    idle: sources.filter(({ state }) => state === 'idle').map((one) => ({ ...name(one), provenAt: one.idleProvenAt })),
    retired: sources.filter(({ state }) => state === 'retired').map(name),
    expected: sources.filter(({ expected }) => expected).map((one) => ({ ...name(one), reported: one.reported })),
  };
}

function name({ stream, channel }: SourceView): SourceName {
  return { stream, channel };
}

/** Of a key text, whose parts hold no NUL. */
function keyOf(text: string): AggregateKey {
  const [tenant = '', type = '', id = ''] = text.split('\u0000');
  return { tenant, type, id };
}

function orNull(time: number): number | null {
  return time === Number.NEGATIVE_INFINITY ? null : time;
}
