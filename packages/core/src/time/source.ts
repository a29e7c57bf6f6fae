/** One source as the table holds it, as readers see it, and as it is kept. The rules are the table's. */
import { sha256Hex } from '../model/digest.js';
import type { WireValue } from '../model/event.js';
import type { SequenceGaps } from './sequence-gaps.js';
import type { Held } from './source-heap.js';
import type { SourceStatistics, SourceStatisticsView } from './source-statistics.js';
import type { StreamPolicy } from './time-options.js';

/** Before anything. */
export const NEVER = Number.NEGATIVE_INFINITY;
/** How the notes begin that watermarks need. */
export const SOURCE_NOTES = 'source/';
/** How the notes of statistics begin. */
export const SOURCE_STATISTICS_NOTES = 'source-statistics/';
export const OF_SOURCE = `${SOURCE_STATISTICS_NOTES}s/`;
export const OF_STREAM = `${SOURCE_STATISTICS_NOTES}g/`;
/** Longer keys of notes are shortened by a digest: stores hold keys of some hundred bytes. */
const KEY_LENGTH_MAX = 300;

/** `active`: it counts · `idle`: proven to have nothing, left out until its next event · `retired`: left out until it rejoins. */
export type SourceState = 'active' | 'idle' | 'retired';

/** One source, plain data; times in epoch milliseconds, null for what never was. */
export interface SourceView {
  readonly stream: string;
  readonly channel: string;
  readonly state: SourceState;
  /** W(source): nothing at or before it is expected any more. */
  readonly watermark: number | null;
  /** Whether the input watermark cannot go on without it. */
  readonly holds: boolean;
  /** Whether an event, marker or heartbeat of it ever came. */
  readonly reported: boolean;
  /** Whether options or a declaration say that it must report. */
  readonly expected: boolean;
  readonly newestEventTime: number | null;
  readonly marker: number | null;
  readonly heartbeat: number | null;
  readonly idleProvenAt: number | null;
  /** Processing time of what came last from it. */
  readonly lastProcessedAt: number | null;
  /** Facts whose time was too far ahead of the clock: they moved nothing. */
  readonly future: number;
  readonly statistics?: SourceStatisticsView;
}

/** A note as view stores keep them; null removes it. */
export interface TimeNote {
  readonly key: string;
  readonly value: WireValue;
}

/** One stream: its policy, and its channels, of which nearly all have one. */
export interface Stream {
  readonly stream: string;
  readonly policy: StreamPolicy;
  /** Options say that it must report. */
  readonly expected: boolean;
  first: Source | undefined;
  more: Map<string, Source> | undefined;
  gaps: SequenceGaps | undefined;
  gapsDirty: boolean;
}

/** All fields set in one place: the engine sees one shape. */
export class Source implements Held {
  w = NEVER;
  /** Active: not idle, not retired, and reported, declared or expected. */
  counts = false;
  key = NEVER;
  queued = false;
  idle = false;
  retired = false;
  /** Something counted came: event, marker or heartbeat. */
  reported = false;
  /** A fact said that it must report. */
  declared = false;
  /** It stood for a stream that was awaited, and another channel took its place. */
  gone = false;
  newest = NEVER;
  marker = NEVER;
  heartbeat = NEVER;
  provenAt = NEVER;
  /** Processing time of its last event. */
  eventAt = NEVER;
  /** Processing time of the last fact of it or about it. */
  seenAt = NEVER;
  future = 0;
  dirty = false;
  statistics: SourceStatistics | undefined;
  /** How far behind its newest event the watermark stands: one more than the bound, so that what is exactly that late is in time. */
  readonly reachMs: number;
  readonly expireAfterMs: number;

  constructor(
    readonly entry: Stream,
    readonly stream: string,
    readonly channel: string,
    statistics: SourceStatistics | undefined,
  ) {
    this.reachMs = entry.policy.boundMs + 1;
    this.expireAfterMs = entry.policy.expireAfterMs;
    this.statistics = statistics;
  }
}

/** A source as it is kept: what never was is absent. */
export interface SourceNote {
  readonly stream: string;
  readonly channel?: string;
  readonly state?: 'idle' | 'retired';
  readonly w?: number;
  readonly newest?: number;
  readonly marker?: number;
  readonly heartbeat?: number;
  readonly provenAt?: number;
  readonly eventAt?: number;
  readonly seenAt?: number;
  readonly future?: number;
  readonly reported?: true;
  readonly declared?: true;
}

export interface StatisticsNote {
  readonly stream: string;
  readonly channel: string;
  readonly of: WireValue;
}

/** A source as its note has it, under the policy of its stream now. Its watermark does not fall by a longer bound. */
export function sourceOf(entry: Stream, note: SourceNote, statistics: SourceStatistics | undefined): Source {
  const source = new Source(entry, note.stream, note.channel ?? '', statistics);
  source.newest = note.newest ?? NEVER;
  source.marker = note.marker ?? NEVER;
  source.heartbeat = note.heartbeat ?? NEVER;
  source.provenAt = note.provenAt ?? NEVER;
  source.eventAt = note.eventAt ?? NEVER;
  source.seenAt = note.seenAt ?? NEVER;
  source.future = note.future ?? 0;
  source.reported = note.reported === true;
  source.declared = note.declared === true;
  source.idle = note.state === 'idle';
  source.retired = note.state === 'retired';
  const { reachMs } = source;
  source.w = Math.max(note.w ?? NEVER, source.newest - reachMs, source.heartbeat - reachMs, source.marker);
  return source;
}

/** A source for readers. */
export function viewOf(source: Source, holds: boolean): SourceView {
  return {
    stream: source.stream,
    channel: source.channel,
    state: source.retired ? 'retired' : source.idle ? 'idle' : 'active',
    watermark: orNull(source.w),
    holds,
    reported: source.reported,
    expected: source.declared || source.entry.expected,
    newestEventTime: orNull(source.newest),
    marker: orNull(source.marker),
    heartbeat: orNull(source.heartbeat),
    idleProvenAt: orNull(source.provenAt),
    lastProcessedAt: orNull(source.seenAt),
    future: source.future,
    ...(source.statistics === undefined ? {} : { statistics: source.statistics.read() }),
  };
}

export function noteOf(source: Source): TimeNote {
  const value: Record<string, WireValue> = { stream: source.stream };
  if (source.channel !== '') value['channel'] = source.channel;
  if (source.idle) value['state'] = 'idle';
  if (source.retired) value['state'] = 'retired';
  if (source.w !== NEVER) value['w'] = source.w;
  if (source.newest !== NEVER) value['newest'] = source.newest;
  if (source.marker !== NEVER) value['marker'] = source.marker;
  if (source.heartbeat !== NEVER) value['heartbeat'] = source.heartbeat;
  if (source.provenAt !== NEVER) value['provenAt'] = source.provenAt;
  if (source.eventAt !== NEVER) value['eventAt'] = source.eventAt;
  if (source.seenAt !== NEVER) value['seenAt'] = source.seenAt;
  if (source.future > 0) value['future'] = source.future;
  if (source.reported) value['reported'] = true;
  if (source.declared) value['declared'] = true;
  return { key: SOURCE_NOTES + keyOf(source), value };
}

export function statisticsNoteOf(source: Source, statistics: SourceStatistics): TimeNote {
  const { stream, channel } = source;
  return { key: OF_SOURCE + keyOf(source), value: { stream, channel, of: statistics.toNote() } };
}

export function gapsNoteOf({ stream, gaps }: Stream): TimeNote {
  return { key: OF_STREAM + stream, value: { stream, of: gaps?.toNote() ?? null } };
}

/** A stream never holds NUL, so two sources never share a key. */
export function keyOf({ stream, channel }: Source): string {
  const key = `${stream}\u0000${channel}`;
  return key.length > KEY_LENGTH_MAX ? sha256Hex(key) : key;
}

/** Whether anything is known of a source beside what options and clocks gone wrong say. */
export function isKnown(source: Source): boolean {
  return source.reported || source.declared || source.idle || source.retired;
}

/** Whether there is anything to keep: not of a source that is only expected. */
export function isKept(source: Source): boolean {
  return isKnown(source) || source.future > 0 || source.seenAt !== NEVER;
}

/** What an idle source says or proves, when no other speaks. What it proves of a time beyond all events is left to markers and heartbeats. */
export function idleWatermark(source: Source, greatest: number): number {
  return Math.max(source.w, Math.min(source.provenAt - source.reachMs, greatest));
}

export function channelOf(entry: Stream, channel: string): Source | undefined {
  return entry.first?.channel === channel ? entry.first : entry.more?.get(channel);
}

export function* channelsOf(entry: Stream): IterableIterator<Source> {
  if (entry.first !== undefined) yield entry.first;
  if (entry.more !== undefined) yield* entry.more.values();
}

export function orNull(time: number): number | null {
  return time === NEVER ? null : time;
}

/** By UTF-16 units: an order, the same everywhere. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
