/** How late events may be, which sources there are and how they are counted: checked once, then looked up by stream. */
import { ConfigurationError, InvalidEventError } from '../model/errors.js';
import { checkStreamId } from '../model/identity.js';

/** How sources whose stream matches are counted. What is absent is as `TimeOptions` has it. */
export interface SourcePolicy {
  /** A stream, `*` standing for any run of characters: `carrier-*`. The first policy that matches rules. */
  readonly match: string;
  /** See `TimeOptions.boundMs`. */
  readonly boundMs?: number;
  /** True: as `newSources: 'join'`; false: as `'hold'`. */
  readonly join?: boolean;
  /**
   * The stream numbers its events one by one, so that missing numbers are gaps: from `from` on, or (true) from the lowest
   * number that came. Numbers are of the stream, whichever channels they come through.
   */
  readonly sequenced?: boolean | { readonly from: number };
  /**
   * A source that holds and from which nothing came for longer than this, in processing time of the feed, counts as retired.
   * Absent: never. Events of such a source may then be late: only for sources that may go without a word.
   */
  readonly expireAfterMs?: number;
  /** Streams that must report; each must match. They are silent, and hold, until they do. */
  readonly expected?: readonly string[];
}

/** How time settles in a context. All times in milliseconds. */
export interface TimeOptions {
  /**
   * How far behind the newest event of its source an event may be: less than this and it is never late. 0: each event is newer
   * than all before it; 1: none is older. Default 24 h: what waits in a scanner, a ship or a nightly file comes within a day;
   * a bound that is too long only delays what settles, one that is too short calls good events late.
   */
  readonly boundMs?: number;
  /** An event whose time is later than its processing time by more than this is flagged `future` and moves nothing. Default 60,000: clocks kept by NTP differ by less. */
  readonly maxSkewMs?: number;
  /**
   * How a source that was not known joins: `hold` (default), at its own watermark; or `join`, at the input watermark of
   * that moment. Either way it holds from its first event on, and never takes back what settled.
   */
  readonly newSources?: 'hold' | 'join';
  /** At most 1,000; the first that matches rules. */
  readonly sources?: readonly SourcePolicy[];
  /** Streams that must report, of any policy. */
  readonly expected?: readonly string[];
}

/** How one stream is counted. */
export interface StreamPolicy {
  readonly boundMs: number;
  readonly joins: boolean;
  /** The first number of its sequence; -1: the lowest that came; undefined: not sequenced. */
  readonly sequencedFrom: number | undefined;
  /** Infinity: never. */
  readonly expireAfterMs: number;
}

const DAY_MS = 86_400_000;
/** Ten years: what is later than that is a new history. */
const BOUND_MS_MAX = 3_653 * DAY_MS;
const POLICIES_MAX = 1_000;

function invalid(what: string, fix: string): ConfigurationError {
  return new ConfigurationError('INVALID_OPTION', what, { fix });
}

function milliseconds(name: string, value: unknown, max: number, min = 0): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw invalid(`time.${name} is ${String(value)}.`, `Use whole milliseconds from ${min} to ${max}.`);
}

function streams(name: string, value: unknown): readonly string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalid(`time.${name} is no list.`, 'List stream ids.');
  for (const stream of value) {
    try {
      checkStreamId(stream);
    } catch (cause) {
      const reason = cause instanceof InvalidEventError ? cause.reason : 'It is refused.';
      throw new ConfigurationError('INVALID_OPTION', `time.${name}: ${reason}`, { fix: 'List stream ids.', cause });
    }
  }
  return [...new Set(value as string[])];
}

/** Whether a text matches a pattern in which `*` stands for any run of characters. Linear in text times stars: no expression to blow up. */
export function matches(pattern: string, text: string): boolean {
  const parts = pattern.split('*');
  const first = parts[0]!;
  if (parts.length === 1) return text === first;
  const last = parts.at(-1)!;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (let i = 1; i < parts.length - 1; i++) {
    const found = text.indexOf(parts[i]!, at);
    if (found === -1 || found + parts[i]!.length > end) return false;
    at = found + parts[i]!.length;
  }
  return true;
}

/** `TimeOptions`, checked and completed. */
export class TimePolicies {
  readonly maxSkewMs: number;
  /** Streams that must report. */
  readonly expected: readonly string[];
  private readonly fallback: StreamPolicy;
  private readonly policies: readonly { readonly match: string; readonly policy: StreamPolicy }[];

  /** @throws ConfigurationError `INVALID_OPTION` */
  constructor(options: TimeOptions = {}) {
    const boundMs = milliseconds('boundMs', options.boundMs ?? DAY_MS, BOUND_MS_MAX);
    this.maxSkewMs = milliseconds('maxSkewMs', options.maxSkewMs ?? 60_000, DAY_MS);
    const newSources = options.newSources ?? 'hold';
    if (newSources !== 'hold' && newSources !== 'join') {
      throw invalid(`time.newSources is ${String(newSources)}.`, "Use 'hold' or 'join'.");
    }
    const joins = newSources === 'join';
    this.fallback = { boundMs, joins, sequencedFrom: undefined, expireAfterMs: Number.POSITIVE_INFINITY };
    const sources: unknown = options.sources ?? [];
    if (!Array.isArray(sources) || sources.length > POLICIES_MAX) {
      throw invalid(`time.sources is no list of at most ${POLICIES_MAX}.`, 'Cover many streams by one pattern with *.');
    }
    const expected = new Set(streams('expected', options.expected));
    this.policies = (sources as SourcePolicy[]).map((source, i) => this.read(source, `sources[${i}]`));
    for (const [i, source] of (sources as SourcePolicy[]).entries()) {
      for (const stream of streams(`sources[${i}].expected`, source.expected)) {
        if (this.indexOf(stream) !== i) {
          throw invalid(
            `time.sources[${i}] expects the stream ${JSON.stringify(stream)}, which it does not rule.`,
            'Correct its `match`, or move the policy before the one that matches first.',
          );
        }
        expected.add(stream);
      }
    }
    this.expected = [...expected];
  }

  /** The policy of a stream. Callers keep it with the stream: this goes through all patterns. */
  of(stream: string): StreamPolicy {
    const index = this.indexOf(stream);
    return index === -1 ? this.fallback : this.policies[index]!.policy;
  }

  private indexOf(stream: string): number {
    return this.policies.findIndex(({ match }) => matches(match, stream));
  }

  private read(source: SourcePolicy, where: string): { match: string; policy: StreamPolicy } {
    const { match, sequenced, join, expireAfterMs } = source;
    if (typeof match !== 'string')
      throw invalid(`time.${where}.match is no text.`, 'Give a stream, * for any characters.');
    if (join !== undefined && typeof join !== 'boolean') {
      throw invalid(`time.${where}.join is ${String(join)}.`, 'Use true or false.');
    }
    let sequencedFrom: number | undefined;
    if (typeof sequenced === 'boolean' || sequenced === undefined) sequencedFrom = sequenced === true ? -1 : undefined;
    else if (typeof sequenced === 'object' && sequenced !== null) {
      sequencedFrom = milliseconds(`${where}.sequenced.from`, sequenced.from, Number.MAX_SAFE_INTEGER);
    } else {
      throw invalid(`time.${where}.sequenced is ${String(sequenced)}.`, 'Use true, false or { from: number }.');
    }
    return {
      match,
      policy: {
        boundMs:
          source.boundMs === undefined
            ? this.fallback.boundMs
            : milliseconds(`${where}.boundMs`, source.boundMs, BOUND_MS_MAX),
        joins: join ?? this.fallback.joins,
        sequencedFrom,
        expireAfterMs:
          expireAfterMs === undefined
            ? Number.POSITIVE_INFINITY
            : milliseconds(`${where}.expireAfterMs`, expireAfterMs, BOUND_MS_MAX, 1),
      },
    };
  }
}
