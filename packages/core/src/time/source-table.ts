/**
 * What is known of sources, derived from the feed fact by fact: each one's watermark, and the input watermark of all.
 * A pure function of the facts taken, in order; a reader saves what changed in the transaction of its own rows.
 * Over 400 lines, and one subject: the rules by which event time advances, in one place.
 *
 * W(source) = the greatest of newest event time − bound − 1 ms, heartbeat − bound − 1 ms, and marker. It never falls. The
 * millisecond is that of Flink's bounded out-of-orderness: an event exactly its bound behind the newest is still in time.
 *
 * The input watermark is the least W of all active sources, and never falls either:
 * - An idle source is left out until its next event. Where no source is active and some are idle, these count with what they
 *   say (W) or prove: nothing at or before `provenAt` − bound is on its way. A proof never goes beyond the greatest event time seen.
 * - When every source is retired, it is the greatest event time seen. Without any source, nothing settles.
 * - A retired source rejoins at its next event, at the input watermark.
 */
import { CORRECTION, effectTimeOf } from '../model/correction.js';
import type { Fact, WireValue } from '../model/event.js';
import { SequenceGaps, type Gaps } from './sequence-gaps.js';
import { channelOfFact, stretchesOf, type Stretch } from './page-sources.js';
import { isReserved, readSourceFact, type SourceFact } from './source-facts.js';
import {
  channelOf,
  channelsOf,
  compare,
  gapsNoteOf,
  idleWatermark,
  isKept,
  isKnown,
  keyOf,
  NEVER,
  noteOf,
  OF_SOURCE,
  OF_STREAM,
  orNull,
  Source,
  SOURCE_NOTES,
  sourceOf,
  statisticsNoteOf,
  viewOf,
  type SourceNote,
  type SourceView,
  type StatisticsNote,
  type Stream,
  type TimeNote,
} from './source.js';
import { SourceHeap } from './source-heap.js';
import { SourceStatistics } from './source-statistics.js';
import { TimePolicies, type TimeOptions } from './time-options.js';

export interface SourceTableOptions {
  /** Also count lateness, rates and gaps: some 60 ns a fact more. Only tables with it keep statistics. */
  readonly statistics?: boolean;
}

export class SourceTable {
  readonly maxSkewMs: number;
  private readonly policies: TimePolicies;
  private readonly expected: ReadonlySet<string>;
  private readonly streams = new Map<string, Stream>();
  private readonly heap = new SourceHeap<Source>();
  private input = NEVER;
  private greatest = NEVER;
  private inputSaved = NEVER;
  private greatestSaved = NEVER;
  /** The source of the last fact: most facts come in runs. */
  private last: Source | undefined = undefined;
  /** The active source with the least watermark. */
  private holder: Source | undefined = undefined;
  /** Up to this processing time no source that counts expires, whatever comes; it only grows while none begins to count. */
  private noneExpiresUpTo = NEVER;
  private dirty: Source[] = [];
  private dirtyGaps: Stream[] = [];
  private readonly removed = new Set<string>();
  private readonly withStatistics: boolean;

  /**
   * @param notes of a former table, as `load` takes them
   * @throws ConfigurationError `INVALID_OPTION`
   */
  constructor(
    time: TimeOptions | TimePolicies = {},
    options: SourceTableOptions = {},
    notes: readonly TimeNote[] = [],
  ) {
    this.policies = time instanceof TimePolicies ? time : new TimePolicies(time);
    this.maxSkewMs = this.policies.maxSkewMs;
    this.expected = new Set(this.policies.expected);
    this.withStatistics = options.statistics === true;
    this.restore(notes);
    for (const stream of this.expected) this.await(this.entryOf(stream));
    this.settle();
  }

  /**
   * A table as its notes have it, under these options: what settled stays settled, whatever the options say now.
   * @param notes in any order, all whose keys begin with `SOURCE_NOTES` or (for statistics) `SOURCE_STATISTICS_NOTES`
   * @throws ConfigurationError `INVALID_OPTION`
   */
  static load(
    time: TimeOptions | TimePolicies,
    notes: readonly TimeNote[],
    options: SourceTableOptions = {},
  ): SourceTable {
    return new SourceTable(time, options, notes);
  }

  /** Nothing at or before it is expected any more; -Infinity before anything. Never falls, never +Infinity. */
  get inputWatermark(): number {
    return this.input;
  }

  /** The greatest event time seen, those that are future left out; -Infinity before any. */
  get greatestEventTime(): number {
    return this.greatest;
  }

  /**
   * W(stream): the least of its active channels; without an active one, of its idle ones, as far as they prove or say; otherwise what
   * its retired ones said last. -Infinity for a stream that is not known.
   */
  watermarkOf(stream: string): number {
    const entry = this.streams.get(stream);
    if (entry === undefined) return NEVER;
    const channels = [...channelsOf(entry)];
    const active = channels.filter(({ counts }) => counts).map(({ w }) => w);
    if (active.length > 0) return Math.min(...active);
    const idle = channels.filter(({ idle }) => idle).map((one) => idleWatermark(one, this.greatest));
    if (idle.length > 0) return Math.min(...idle);
    return Math.max(NEVER, ...channels.filter(({ retired }) => retired).map(({ w }) => w));
  }

  /** Whether a fact's time is too far ahead of the clock that recorded it: it is kept, and moves nothing. */
  isFuture(fact: Fact): boolean {
    return effectTimeOf(fact) > fact.processedAt + this.maxSkewMs;
  }

  /**
   * Takes the next fact of the feed, of whatever kind. Once for each, in feed order; whoever cannot commit what it took
   * loads the table again.
   */
  take(fact: Fact): void {
    if (isReserved(fact.aggregateType)) {
      this.takeReserved(fact);
      return;
    }
    const { streamId, processedAt } = fact;
    const channel = channelOfFact(fact);
    let source = this.last;
    if (source === undefined || source.stream !== streamId || source.channel !== channel) {
      source = this.find(streamId, channel);
    }
    const plain = (fact.characteristics & CORRECTION) === 0;
    const time = plain ? fact.eventTime : effectTimeOf(fact);
    const future = time > processedAt + this.maxSkewMs;
    if (source === undefined || !source.counts || future) {
      source = this.takeUncommon(source, fact, channel, future, plain);
      if (source === undefined) {
        this.takeNumber(fact);
        return;
      }
    }
    this.last = source;
    const { statistics } = source;
    if (statistics !== undefined) {
      statistics.take(processedAt, time, future, time <= this.input);
      if (source.entry.gaps !== undefined) this.takeNumber(fact, source.entry);
    }
    if (!source.dirty) this.touch(source);
    if (future || !source.counts) return;
    source.reported = true;
    if (processedAt > source.eventAt) {
      source.eventAt = processedAt;
      if (processedAt > source.seenAt) source.seenAt = processedAt;
    }
    // Not within: a correction makes a source newer, and is no event that was seen.
    if (plain && time > this.greatest) this.greatest = time;
    if (time > source.newest) {
      source.newest = time;
      const w = time - source.reachMs;
      if (w > source.w) {
        source.w = w;
        if (source === this.holder) this.settle();
      }
    }
    const { holder } = this;
    if (holder !== undefined && processedAt - holder.seenAt > holder.expireAfterMs) this.expire(processedAt);
  }

  /**
   * Takes the next facts of the feed, as `take` of each does. Only at the end of them is the input watermark that of all:
   * what several tables take of one page is looked through once.
   */
  takePage(facts: readonly Fact[]): void {
    for (const stretch of this.withStatistics ? [] : stretchesOf(facts)) {
      if (stretch.sources !== undefined && this.takeStretch(stretch.sources, stretch)) continue;
      for (let i = stretch.from; i < stretch.to; i++) this.take(facts[i]!);
    }
    // Lateness and gaps are counted fact by fact.
    if (this.withStatistics) for (let i = 0; i < facts.length; i++) this.take(facts[i]!);
  }

  /**
   * Events of sources that all count: nothing but the newest of each matters, in whatever order they came. False, and nothing
   * taken, when an event may be ahead of the clock, a source may come or return, or one may expire on the way.
   */
  private takeStretch(stretches: NonNullable<Stretch['sources']>, { aheadMs, processedAt }: Stretch): boolean {
    if (aheadMs > this.maxSkewMs || this.mayExpire(processedAt)) return false;
    const found: Source[] = [];
    for (const { stream, channel } of stretches) {
      const source = this.find(stream, channel);
      if (source === undefined || !source.counts) return false;
      found.push(source);
    }
    for (let i = 0; i < found.length; i++) {
      const source = found[i]!;
      const { newest, processedAt: at } = stretches[i]!;
      this.touch(source);
      source.reported = true;
      if (at > source.eventAt) {
        source.eventAt = at;
        if (at > source.seenAt) source.seenAt = at;
      }
      if (newest > this.greatest) this.greatest = newest;
      if (newest <= source.newest) continue;
      source.newest = newest;
      source.w = Math.max(source.w, newest - source.reachMs);
    }
    this.settle();
    return true;
  }

  /** Whether some source may go without a word for longer than its policy allows, up to then. */
  private mayExpire(processedAt: number): boolean {
    if (processedAt <= this.noneExpiresUpTo) return false;
    let upTo = Number.POSITIVE_INFINITY;
    for (const { counts, seenAt, expireAfterMs } of this.all()) {
      if (counts && expireAfterMs !== Number.POSITIVE_INFINITY) upTo = Math.min(upTo, seenAt + expireAfterMs);
    }
    this.noneExpiresUpTo = upTo;
    return processedAt > upTo;
  }

  /** All sources, ordered by stream and channel. */
  sources(): readonly SourceView[] {
    const views: SourceView[] = [];
    const someActive = this.holder !== undefined;
    for (const source of this.all()) views.push(this.viewOf(source, someActive));
    return views.sort((a, b) => compare(a.stream, b.stream) || compare(a.channel, b.channel));
  }

  /** What is missing of each sequenced stream, ordered by stream; empty without statistics. */
  gaps(): readonly ({ readonly stream: string } & Gaps)[] {
    const found: ({ readonly stream: string } & Gaps)[] = [];
    for (const { stream, gaps } of this.streams.values()) {
      if (gaps !== undefined) found.push({ stream, ...gaps.read() });
    }
    return found.sort((a, b) => compare(a.stream, b.stream));
  }

  /** What changed since the last `saved()`, for the transaction that commits what was taken; null removes. Equal for equal feeds and savings. */
  changes(): readonly TimeNote[] {
    const notes: TimeNote[] = [];
    if (this.input !== this.inputSaved || this.greatest !== this.greatestSaved) notes.push(this.noteOfTable());
    for (const key of this.removed) {
      notes.push({ key: SOURCE_NOTES + key, value: null });
      if (this.withStatistics) notes.push({ key: OF_SOURCE + key, value: null });
    }
    for (const source of this.dirty) {
      if (source.gone) continue;
      notes.push(noteOf(source));
      if (source.statistics?.dirty === true) notes.push(statisticsNoteOf(source, source.statistics));
    }
    for (const entry of this.dirtyGaps) notes.push(gapsNoteOf(entry));
    return notes;
  }

  /** What `changes` gave was committed, and nothing was taken since. */
  saved(): void {
    this.inputSaved = this.input;
    this.greatestSaved = this.greatest;
    for (const entry of this.dirtyGaps) entry.gapsDirty = false;
    this.dirtyGaps = [];
    for (const source of this.dirty) {
      source.dirty = false;
      if (source.statistics !== undefined) source.statistics.dirty = false;
    }
    this.dirty = [];
    this.removed.clear();
  }

  /** Everything, as `changes` would give it for the whole table, ordered by key. */
  notes(): readonly TimeNote[] {
    const notes: TimeNote[] = [this.noteOfTable()];
    for (const source of this.all()) {
      if (!isKept(source)) continue;
      notes.push(noteOf(source));
      if (source.statistics !== undefined) notes.push(statisticsNoteOf(source, source.statistics));
    }
    for (const entry of this.streams.values()) if (entry.gaps !== undefined) notes.push(gapsNoteOf(entry));
    return notes.sort((a, b) => compare(a.key, b.key));
  }

  // How sources come, go and return.

  /** An event of a source that is new, idle, retired or ahead of the clock. Undefined: it says nothing of sources. */
  private takeUncommon(
    known: Source | undefined,
    fact: Fact,
    channel: string,
    future: boolean,
    plain: boolean,
  ): Source | undefined {
    // Who corrects the past may never have reported, and may never do so again: a correction makes and rejoins no source.
    if (known === undefined && !plain) return undefined;
    if (future) {
      // Of a stream that is awaited this is no sign of life.
      const source = known ?? this.awaitedOf(fact.streamId) ?? this.add(fact.streamId, channel);
      source.future++;
      return source;
    }
    if (known !== undefined && (known.counts || (!plain && !known.idle))) return known;
    const source = known ?? this.add(fact.streamId, channel);
    const isNew = !source.counts && !source.idle && !source.retired;
    if (source.retired || (isNew && source.entry.policy.joins)) source.w = Math.max(source.w, this.input);
    source.reported = true;
    this.activate(source);
    const time = effectTimeOf(fact);
    source.w = Math.max(source.w, time - source.reachMs);
    source.newest = Math.max(source.newest, time);
    if (plain) this.greatest = Math.max(this.greatest, time);
    this.settle();
    return source;
  }

  /** Its number came, whoever it is of: also a correction's, whose stream has sent no event yet. */
  private takeNumber(fact: Fact, known?: Stream): void {
    const { streamId, sequence } = fact;
    if (!this.withStatistics || sequence === -1) return;
    if (known === undefined && this.policies.of(streamId).sequencedFrom === undefined) return;
    const entry = known ?? this.entryOf(streamId);
    if (entry.gaps?.add(sequence) === true) this.touchGaps(entry);
  }

  private takeReserved(fact: Fact): void {
    const said = readSourceFact(fact);
    if (said === undefined) return;
    const future = Math.max(said.at, said.upTo ?? NEVER) > fact.processedAt + this.maxSkewMs;
    for (const source of this.spokenOf(said)) {
      this.touch(source);
      if (future) source.future++;
      else this.hear(source, said, fact.processedAt);
    }
    this.settle();
  }

  /** A fact without a channel speaks, where only named channels of its stream are known, of all of these. */
  private spokenOf({ stream, channel }: SourceFact): Source[] {
    const entry = this.streams.get(stream);
    const known = entry === undefined ? undefined : channelOf(entry, channel);
    if (known !== undefined) return [known];
    if (channel === '' && entry?.first !== undefined) return [...channelsOf(entry)];
    return [this.add(stream, channel)];
  }

  private hear(source: Source, said: SourceFact, processedAt: number): void {
    const fresh = !source.counts && !source.idle && !source.retired;
    source.seenAt = Math.max(source.seenAt, processedAt);
    switch (said.kind) {
      case 'complete':
      case 'heartbeat': {
        if (fresh && source.entry.policy.joins) source.w = Math.max(source.w, this.input);
        source.reported = true;
        if (said.kind === 'heartbeat') source.heartbeat = Math.max(source.heartbeat, said.at);
        else source.marker = Math.max(source.marker, said.at);
        source.w = Math.max(source.w, source.marker, source.heartbeat - source.reachMs);
        const { gaps } = source.entry;
        if (said.lastSequence !== -1 && gaps?.expect(said.lastSequence) === true) this.touchGaps(source.entry);
        if (fresh) this.activate(source);
        return;
      }
      case 'idle':
        // The proof is of the time it was made: an event that came since refutes it.
        if (source.retired || said.at <= source.eventAt) return;
        source.provenAt = Math.max(source.provenAt, said.at);
        source.idle = true;
        source.counts = false;
        return;
      case 'declare':
        source.declared = true;
        if (fresh) this.activate(source);
        return;
      case 'retire':
        source.retired = true;
        source.idle = false;
        source.counts = false;
        if (said.upTo !== undefined) source.marker = Math.max(source.marker, said.upTo);
        source.w = Math.max(source.w, source.marker);
        return;
      case 'rejoin':
        if (!source.retired && !fresh) return;
        source.w = Math.max(source.w, this.input);
        source.declared = true;
        this.activate(source);
    }
  }

  private activate(source: Source): void {
    source.idle = false;
    source.retired = false;
    source.counts = true;
    this.noneExpiresUpTo = NEVER;
    this.heap.add(source);
    this.holder = this.heap.top;
  }

  /** The holder went without a word for longer than its policy allows. */
  private expire(processedAt: number): void {
    for (let holder = this.holder; holder !== undefined; holder = this.holder) {
      if (processedAt - holder.seenAt <= holder.expireAfterMs) return;
      // One that never reported waits from the first fact that finds it holding.
      if (holder.seenAt === NEVER) holder.seenAt = processedAt;
      else {
        holder.counts = false;
        holder.retired = true;
      }
      this.touch(holder);
      this.settle();
    }
  }

  /** Brings the input watermark up to what the sources say now. */
  private settle(): void {
    const holder = this.heap.settle();
    this.holder = holder;
    const w = holder === undefined ? this.withoutActive() : holder.w;
    if (w > this.input) this.input = w;
  }

  /** Rare, so it looks at all: no source is active. */
  private withoutActive(): number {
    let least = Number.POSITIVE_INFINITY;
    let known = false;
    for (const source of this.all()) {
      if (source.retired || source.idle) known = true;
      if (source.idle) least = Math.min(least, idleWatermark(source, this.greatest));
    }
    if (!known) return NEVER;
    return least === Number.POSITIVE_INFINITY ? this.greatest : least;
  }

  // Where sources are kept.

  private find(stream: string, channel: string): Source | undefined {
    const entry = this.streams.get(stream);
    if (entry === undefined) return undefined;
    const { first } = entry;
    return first !== undefined && first.channel === channel ? first : entry.more?.get(channel);
  }

  private add(stream: string, channel: string): Source {
    const entry = this.entryOf(stream);
    const awaited = this.awaitedOf(stream);
    const statistics = awaited?.statistics ?? (this.withStatistics ? new SourceStatistics() : undefined);
    const source = new Source(entry, stream, channel, statistics);
    if (awaited !== undefined) {
      // The stream was awaited, through whichever channel: this is it.
      source.declared = awaited.declared;
      source.seenAt = awaited.seenAt;
      source.future = awaited.future;
      awaited.gone = true;
      awaited.counts = false;
      if (isKept(awaited)) this.removed.add(keyOf(awaited));
      if (this.last === awaited) this.last = undefined;
      if (entry.first === awaited) entry.first = undefined;
      else entry.more?.delete('');
    }
    this.place(source);
    if (awaited !== undefined) this.activate(source);
    return source;
  }

  private place(source: Source): void {
    const { entry } = source;
    this.removed.delete(keyOf(source));
    if (entry.first === undefined) entry.first = source;
    else (entry.more ??= new Map()).set(source.channel, source);
  }

  /** The source that stands for a stream that must report and did not, through any channel. */
  private awaitedOf(stream: string): Source | undefined {
    const source = this.find(stream, '');
    if (source === undefined || source.reported || source.retired) return undefined;
    return source.declared || source.entry.expected ? source : undefined;
  }

  /** What options expect is silent, and holds, from the start. */
  private await(entry: Stream): void {
    for (const source of channelsOf(entry)) if (isKnown(source)) return;
    this.activate(this.find(entry.stream, '') ?? this.add(entry.stream, ''));
  }

  private entryOf(stream: string): Stream {
    let entry = this.streams.get(stream);
    if (entry === undefined) {
      const policy = this.policies.of(stream);
      const { sequencedFrom } = policy;
      const gaps = this.withStatistics && sequencedFrom !== undefined ? new SequenceGaps(sequencedFrom) : undefined;
      entry = {
        stream,
        policy,
        expected: this.expected.has(stream),
        first: undefined,
        more: undefined,
        gaps,
        gapsDirty: false,
      };
      this.streams.set(stream, entry);
    }
    return entry;
  }

  private *all(): IterableIterator<Source> {
    for (const entry of this.streams.values()) yield* channelsOf(entry);
  }

  private touchGaps(entry: Stream): void {
    if (entry.gapsDirty) return;
    entry.gapsDirty = true;
    this.dirtyGaps.push(entry);
  }

  private touch(source: Source): void {
    if (source.dirty) return;
    source.dirty = true;
    this.dirty.push(source);
  }

  private viewOf(source: Source, someActive: boolean): SourceView {
    const holds = source.counts
      ? source.w <= this.input
      : !someActive && source.idle && idleWatermark(source, this.greatest) <= this.input && this.input < this.greatest;
    return viewOf(source, holds);
  }

  // What is saved.

  private noteOfTable(): TimeNote {
    return { key: SOURCE_NOTES, value: { input: orNull(this.input), greatest: orNull(this.greatest) } };
  }

  private restore(notes: readonly TimeNote[]): void {
    for (const { key, value } of notes) {
      if (value === null) continue;
      if (key === SOURCE_NOTES) {
        const { input, greatest } = value as { input: number | null; greatest: number | null };
        this.input = this.inputSaved = input ?? NEVER;
        this.greatest = this.greatestSaved = greatest ?? NEVER;
      } else if (key.startsWith(SOURCE_NOTES)) this.restoreSource(value as unknown as SourceNote);
    }
    if (!this.withStatistics) return;
    for (const { key, value } of notes) {
      if (value === null) continue;
      if (key.startsWith(OF_SOURCE)) {
        const { stream, channel, of } = value as unknown as StatisticsNote;
        const source = this.find(stream, channel);
        if (source !== undefined) source.statistics = SourceStatistics.from(of);
      } else if (key.startsWith(OF_STREAM)) {
        const { stream, of } = value as unknown as { stream: string; of: WireValue };
        const entry = this.entryOf(stream);
        if (entry.gaps !== undefined) entry.gaps = SequenceGaps.from(entry.policy.sequencedFrom!, of);
      }
    }
  }

  private restoreSource(note: SourceNote): void {
    const entry = this.entryOf(note.stream);
    const source = sourceOf(entry, note, this.withStatistics ? new SourceStatistics() : undefined);
    this.place(source);
    if (!source.idle && !source.retired && isKnown(source)) this.activate(source);
  }
}
