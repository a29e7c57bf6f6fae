/**
 * Records appends, in groups: what waits while others are written goes together. A group reads what is known of its
 * histories, decides, goes to the log, and only then into the histories; then its callers are answered.
 *
 *   look -> read -> decide, give times -> log -> still alive? -> look, and rows -> answer
 *
 * Histories of one aggregate are recorded one group after the other, so that two calls of this process never miss each
 * other. Two processes may: then both log the fact, its least id counts, and readers of the feed pass over the other.
 * Beside others their logs are read ahead of the decision and again behind the log (`others.ts`).
 */
import { aggregateKeyOf, type Fact, type Append, type AppendResult, type ProcessingTime } from '@concursus/core';
import { decide, textOf, unstamp, type Decision } from './append-decision.js';
import { bothOf, eachBounded } from './bounded.js';
import { CallQueue, factsByAggregate, rowsOf, type Call } from './call-queue.js';
import type { ClockAgreement } from './clock-agreement.js';
import type { Epoch, Unit } from './epoch.js';
import { notInTimeError } from './errors.js';
import type { Directory } from './bucket-growth.js';
import type { EventRows } from './event-rows.js';
import type { FeedLog } from './feed-log.js';
import { packUnit, type LoggedFact, type PackedRow } from './feed-row.js';
import type { HistoryEnds } from './history-ends.js';
import type { KnownFacts, KnownHistory } from './known-facts.js';
import type { LoggedSince } from './logged-since.js';
import type { Others, OthersWatch } from './others.js';
import type { Placement } from './placement.js';
import { justBefore, later } from './processing-times.js';
import type { RepeatCounts } from './repeat-counts.js';
import { isPassing, type Session } from './session.js';
import type { Writer } from './writer.js';
import { counts, type Scene, type Writers } from './writers.js';

/** Groups under way at once. */
const GROUPS_MAX = 8;
const READS_AT_ONCE = 64;
const ROWS_AT_ONCE = 16;
/** Before anything is logged, trouble of the store is told to callers after so long. */
const READ_MS = 5_000;
/** A row of the log that is not in by then is given up with its epoch. */
const LOG_MS = 10_000;
/** Callers are told to try again by then; what is in the log is carried out all the same. */
const ANSWER_MS = 30_000;
const PAUSE_MIN_MS = 20;
const PAUSE_MAX_MS = 1_000;

/** What is known of a group's histories. */
interface Known {
  readonly histories: ReadonlyMap<string, KnownHistory>;
  /** Some of it was not read, as nobody else recorded since it was known. */
  readonly remembered: boolean;
}

export interface RecorderParts {
  readonly session: Session;
  readonly writers: Writers;
  readonly writer: Writer;
  readonly clocks: ClockAgreement;
  readonly log: FeedLog;
  readonly rows: EventRows;
  readonly placement: Placement;
  readonly known: KnownFacts;
  readonly ends: HistoryEnds;
  readonly others: Others;
  readonly loggedSince: LoggedSince;
  readonly repeats: RepeatCounts;
  /** Called when something was acknowledged. */
  readonly onRecorded: () => void;
}

export class Recorder {
  private readonly queue = new CallQueue();
  private groups = 0;
  private planned = false;
  private idle: (() => void)[] = [];

  constructor(private readonly parts: RecorderParts) {}

  /** @throws InvalidEventError `LIMIT_EXCEEDED` @throws UnavailableError */
  append(appends: readonly Append[]): Promise<readonly AppendResult[]> {
    const answer = this.queue.add(appends);
    this.plan();
    return answer;
  }

  /** Resolves when everything that was accepted is answered. */
  async drained(): Promise<void> {
    while (this.groups > 0 || !this.queue.isEmpty) await new Promise<void>((resolve) => this.idle.push(resolve));
  }

  /** At the end of this turn, so that calls that come together go together. */
  private plan(): void {
    if (this.planned) return;
    this.planned = true;
    queueMicrotask(() => {
      this.planned = false;
      this.start();
    });
  }

  private start(): void {
    while (this.groups < GROUPS_MAX && !this.queue.isEmpty) {
      const group = this.queue.take(this.groups === 0);
      if (group.length === 0) break;
      this.groups += 1;
      void this.run(group);
    }
    if (this.groups === 0 && this.queue.isEmpty) for (const wake of this.idle.splice(0)) wake();
  }

  private async run(group: readonly Call[]): Promise<void> {
    let answered = false;
    const fail = (error: unknown): void => {
      if (!answered) for (const call of group) call.reject(error);
      answered = true;
    };
    const stop = new AbortController();
    void this.parts.session.real.sleep(ANSWER_MS, stop.signal).then(() => {
      if (!stop.signal.aborted) fail(notInTimeError(ANSWER_MS));
    });
    try {
      const results = await this.record(group);
      if (!answered) for (const [i, call] of group.entries()) call.resolve(results[i]!);
      answered = true;
      this.parts.onRecorded();
    } catch (error) {
      fail(error);
    } finally {
      stop.abort();
      this.queue.done(group);
      this.groups -= 1;
      this.start();
    }
  }

  /** Until the group is recorded under an epoch that was alive when its log was written. */
  private async record(group: readonly Call[]): Promise<Decision['results']> {
    const { writer } = this.parts;
    for (;;) {
      const epoch = await this.patiently(() => writer.ready(), READ_MS);
      const results = await this.recordIn(epoch, group);
      if (results !== undefined) return results;
    }
  }

  /** Undefined when the epoch was lost, or the clock jumped, before what was logged could count. */
  private async recordIn(epoch: Epoch, group: readonly Call[]): Promise<Decision['results'] | undefined> {
    const { writers, others } = this.parts;
    const latest = writers.latest ?? (await writers.look());
    // Who was alone almost always still is, so the look comes behind.
    const before = isAlone(latest, latest, epoch) ? latest : await this.patiently(() => others.catchUp(), READ_MS);
    const facts = factsByAggregate(group);
    const watch = others.watch(new Set(facts.keys()));
    try {
      return await this.recordBeside(epoch, group, before, facts, watch);
    } finally {
      watch.stop();
    }
  }

  private async recordBeside(
    epoch: Epoch,
    group: readonly Call[],
    before: Scene,
    facts: ReadonlyMap<string, readonly Fact[]>,
    watch: OthersWatch,
  ): Promise<Decision['results'] | undefined> {
    const { session, writer, others, clocks, rows, repeats } = this.parts;
    const { histories, remembered } = await this.patiently(() => this.readKnown(facts, before, watch), READ_MS);
    await epoch.room(rowsOf(group));
    if (epoch.lost || !clocks.isTrusted) return undefined;
    // From here to `begin` nothing is waited for: times and sequences are given in one order, behind what was seen.
    epoch.raise(others.last);
    for (const { newest } of histories.values()) epoch.raise(newest);
    const decision = decide(
      group.map((call) => call.appends),
      histories,
      epoch,
    );
    const { logged, counted } = decision;
    const directories = new Map<string, Directory>();
    for (const [text, history] of histories) directories.set(text, history.directory);
    if (logged.length === 0) {
      await this.patiently(() => repeats.write(counted, directories), LOG_MS);
      return decision.results;
    }
    const packed = packUnit(logged, before.closed);
    const first = logged[0]!.time;
    const last = logged.at(-1)!.time;
    const unit = epoch.begin(first, last, packed.length);
    let ended = true;
    try {
      const alive = (await this.log(epoch, unit, packed)) && (await writer.prove(epoch));
      if (!alive && !(await this.counted(epoch, unit))) {
        unstamp(logged);
        return undefined;
      }
      // From here on it is recorded, whoever writes the rest: until that is done nothing is closed above it.
      ended = false;
      const forever = Number.POSITIVE_INFINITY;
      const beside = !isAlone(before, before, epoch);
      const write = (all: boolean): Promise<void> =>
        this.patiently(() => rows.write(logged, { unsure: all, directories, beside: beside || all }), forever);
      const look = async (): Promise<Scene> => {
        const scene = await writer.seen();
        return beside ? others.catchUp() : scene;
      };
      // The rows do not wait for the look: mostly nobody came, nor recorded to the same histories.
      const [after] = await bothOf(this.patiently(look, forever), write(false));
      if (before.era !== after.era || (!beside && !isAlone(before, after, epoch))) {
        if (remembered) await this.patiently(() => this.judgeAgain(facts, decision, epoch), forever);
        await write(true);
        const missed = (): Promise<void> => this.listMissed(after, new Set(facts.keys()), first, epoch, directories);
        await this.patiently(missed, forever);
      } else {
        const met = metBy(logged, watch);
        if (met.length > 0) await this.patiently(() => rows.list(met, directories), forever);
        this.noteEnds(logged, directories, watch, after.era);
      }
      ended = true;
      await this.patiently(() => repeats.write(counted, directories), LOG_MS);
      epoch.acknowledged = later(epoch.acknowledged, last);
      return decision.results;
    } finally {
      if (ended || !session.isOpen) epoch.end(unit);
    }
  }

  private async readKnown(
    facts: ReadonlyMap<string, readonly Fact[]>,
    { era }: Scene,
    watch: OthersWatch,
  ): Promise<Known> {
    const { known, ends, placement } = this.parts;
    const histories = new Map<string, KnownHistory>();
    const unknown: [string, readonly Fact[]][] = [];
    for (const [text, of] of facts) {
      const found = ends.find(text, of[0]!.aggregateType, of, era);
      if (found !== undefined) {
        histories.set(text, found);
        continue;
      }
      unknown.push([text, of]);
      watch.addOpen(text);
    }
    await eachBounded(unknown, READS_AT_ONCE, async ([text, of]) => {
      // What others just logged may be the end that is known, and never count: what is behind it is listed, not called late.
      const last = watch.open.has(text) ? undefined : ends.lastOf(text, era);
      const history = await known.read(aggregateKeyOf(of[0]!), of, last === undefined);
      if (last !== undefined) history.reach(placement.bucketOf(of[0]!.aggregateType, last.eventTime), last);
      histories.set(text, history);
    });
    return { histories, remembered: unknown.length < facts.size };
  }

  /** Somebody else came in meanwhile: what he recorded before was not remembered, so it is read now, beside what was just written. */
  private async judgeAgain(
    facts: ReadonlyMap<string, readonly Fact[]>,
    { logged, answers, counted }: Decision,
    { node }: Epoch,
  ): Promise<void> {
    const histories = new Map<string, KnownHistory>();
    await eachBounded([...facts], READS_AT_ONCE, async ([text, of]) => {
      histories.set(text, await this.parts.known.read(aggregateKeyOf(of[0]!), of, false, node));
    });
    for (const [i, { fact }] of logged.entries()) {
      const { outcomes, index } = answers[i]!;
      if (outcomes[index] === 'repeated' || histories.get(textOf(fact))!.contentsOf(fact)?.has(fact.digest) !== true) {
        continue;
      }
      outcomes[index] = 'repeated';
      counted.repeated(fact);
    }
  }

  /**
   * Of who came or went meanwhile nothing was followed: what others recorded to the same histories above what was just
   * recorded, and could not see yet, is listed for them.
   */
  private async listMissed(
    scene: Scene,
    aggregates: ReadonlySet<string>,
    first: ProcessingTime,
    { node }: Epoch,
    directories: ReadonlyMap<string, Directory>,
  ): Promise<void> {
    const missed = await this.parts.loggedSince.read(scene, aggregates, justBefore(first), node);
    await this.parts.rows.list(missed, directories);
  }

  /** Histories end with what was recorded, or behind it with what others were seen to record meanwhile. */
  private noteEnds(
    logged: readonly LoggedFact[],
    directories: ReadonlyMap<string, Directory>,
    watch: OthersWatch,
    era: number,
  ): void {
    const { ends } = this.parts;
    ends.noteAll(logged, directories, era);
    for (const [text, facts] of [...watch.open, ...watch.seen]) {
      for (const { fact } of facts) ends.learn(text, fact.aggregateType, fact, era);
    }
  }

  /** Writes the rows of a unit; false when the epoch had to be given up, as it is not known whether all of them are there. */
  private async log(epoch: Epoch, unit: Unit, packed: readonly PackedRow[]): Promise<boolean> {
    const { log } = this.parts;
    try {
      for (let i = 0; i < packed.length; i += ROWS_AT_ONCE) {
        await eachBounded(packed.slice(i, i + ROWS_AT_ONCE), ROWS_AT_ONCE, (row, k) =>
          this.patiently(() => log.write(epoch.node, unit.fromSeq + i + k, row), LOG_MS),
        );
        epoch.logged(unit, Math.min(unit.fromSeq + i + ROWS_AT_ONCE, unit.toSeq + 1));
      }
      return true;
    } catch (error) {
      if (!isPassing(error)) throw error;
      await this.patiently(() => this.parts.writer.giveUp(epoch), LOG_MS);
      return false;
    }
  }

  /** Whether a unit of an epoch that has ended counts. */
  private async counted(epoch: Epoch, unit: Unit): Promise<boolean> {
    const seal = await this.patiently(() => this.parts.writers.sealOf(epoch.node), LOG_MS);
    return seal !== undefined && counts(seal, unit.fromSeq, unit.toSeq);
  }

  /** Again and again while the store only cannot be reached now, for so long. */
  private async patiently<T>(work: () => Promise<T>, ms: number): Promise<T> {
    const { real } = this.parts.session;
    const startMs = real.monotonicMs();
    for (let pauseMs = PAUSE_MIN_MS; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS)) {
      try {
        return await work();
      } catch (error) {
        if (!isPassing(error) || real.monotonicMs() - startMs >= ms) throw error;
      }
      await real.sleep(pauseMs);
    }
  }
}

/**
 * Facts of histories to which others were recording, but those of ours that are late, which are listed as such. Theirs that
 * were seen ahead of the decision were recorded before ours, so ours make none of them late.
 */
function metBy(logged: readonly LoggedFact[], { seen, open }: OthersWatch): readonly LoggedFact[] {
  if (seen.size === 0 && open.size === 0) return [];
  const met = logged.filter(({ fact, late }) => {
    const text = textOf(fact);
    return !late && (seen.has(text) || open.has(text));
  });
  return [...met, ...[...seen.values()].flat()];
}

/** True when nobody else can have recorded into the same histories at the same time. */
function isAlone(before: Scene, after: Scene, epoch: Epoch): boolean {
  return before.era === after.era && after.live.every((each) => each.node === epoch.node);
}
