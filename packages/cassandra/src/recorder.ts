/**
 * Records appends, in groups: what waits while others are written goes together. A group reads what is known of its
 * histories, decides, goes to the log, and only then into the histories; then its callers are answered.
 *
 *   look -> read -> decide, give times -> log -> still alive? -> look, and rows -> answer
 *
 * Histories of one aggregate are recorded one group after the other, so that two calls of this process never miss each
 * other. Two processes may: then both log the fact, its least id counts, and readers of the feed pass over the other.
 */
import { aggregateKeyOf, compareIdentity, type Fact, type Append, type AppendResult } from '@concursus/core';
import { decide, textOf, unstamp, type Decision } from './append-decision.js';
import { bothOf, eachBounded } from './bounded.js';
import type { ClockAgreement } from './clock-agreement.js';
import type { Epoch, Unit } from './epoch.js';
import { checkAppendSize, notInTimeError, overloadedError } from './errors.js';
import type { Directory } from './bucket-growth.js';
import type { EventRows } from './event-rows.js';
import type { FeedLog } from './feed-log.js';
import { packUnit, type LoggedFact, type PackedRow } from './feed-row.js';
import type { HistoryEnds } from './history-ends.js';
import type { KnownFacts, KnownHistory } from './known-facts.js';
import type { Placement } from './placement.js';
import { later } from './processing-times.js';
import type { RepeatCounts } from './repeat-counts.js';
import { isPassing, type Session } from './session.js';
import type { Writer } from './writer.js';
import { counts, type Scene, type Writers } from './writers.js';

/** Groups under way at once. */
const GROUPS_MAX = 8;
const GROUP_CALLS = 256;
const GROUP_FACTS = 2_000;
const GROUP_CHARACTERS = 524_288;
/** Calls looked at for one group: behind these, a free aggregate waits its turn. */
const SCAN_MAX = 1_024;
/** Facts that may wait, some 500 bytes each. */
const WAITING_FACTS_MAX = 200_000;
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

interface Call {
  readonly appends: readonly Append[];
  readonly aggregates: readonly string[];
  readonly facts: number;
  readonly characters: number;
  readonly resolve: (results: readonly AppendResult[]) => void;
  readonly reject: (error: unknown) => void;
}

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
  readonly repeats: RepeatCounts;
  /** Called when something was acknowledged. */
  readonly onRecorded: () => void;
}

export class Recorder {
  private waiting: Call[] = [];
  private waitingFacts = 0;
  private groups = 0;
  private readonly busy = new Set<string>();
  private planned = false;
  private idle: (() => void)[] = [];

  constructor(private readonly parts: RecorderParts) {}

  /** @throws InvalidEventError `LIMIT_EXCEEDED` @throws UnavailableError */
  append(appends: readonly Append[]): Promise<readonly AppendResult[]> {
    return new Promise((resolve, reject) => {
      let facts = 0;
      let characters = 0;
      const aggregates = new Set<string>();
      for (const append of appends) {
        checkAppendSize(append.facts.length);
        facts += append.facts.length;
        for (const fact of append.facts) {
          characters += fact.content.length;
          aggregates.add(textOf(fact));
        }
      }
      if (facts === 0) return resolve([]);
      if (this.waitingFacts + facts > WAITING_FACTS_MAX && this.waitingFacts > 0)
        throw overloadedError(this.waitingFacts);
      this.waiting.push({ appends, aggregates: [...aggregates], facts, characters, resolve, reject });
      this.waitingFacts += facts;
      this.plan();
    });
  }

  /** Resolves when everything that was accepted is answered. */
  async drained(): Promise<void> {
    while (this.groups > 0 || this.waiting.length > 0) await new Promise<void>((resolve) => this.idle.push(resolve));
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
    while (this.groups < GROUPS_MAX && this.waiting.length > 0) {
      const group = this.take();
      if (group.length === 0) break;
      this.groups += 1;
      void this.run(group);
    }
    if (this.groups === 0 && this.waiting.length === 0) for (const wake of this.idle.splice(0)) wake();
  }

  /** Calls whose aggregates nobody is at, none of which overtakes another of one aggregate. */
  private take(): Call[] {
    const group: Call[] = [];
    const passed = new Set<string>();
    const left: Call[] = [];
    // Alone a group would wait for its log while nothing is written: two take turns.
    const callsMax = this.groups === 0 ? Math.ceil(this.waiting.length / 2) : GROUP_CALLS;
    let facts = 0;
    let characters = 0;
    let i = 0;
    for (; i < this.waiting.length && i < SCAN_MAX; i++) {
      const call = this.waiting[i]!;
      const full =
        group.length > 0 &&
        (group.length >= Math.min(callsMax, GROUP_CALLS) ||
          facts + call.facts > GROUP_FACTS ||
          characters + call.characters > GROUP_CHARACTERS);
      if (full) break;
      if (call.aggregates.some((text) => this.busy.has(text) || passed.has(text))) {
        for (const text of call.aggregates) passed.add(text);
        left.push(call);
        continue;
      }
      group.push(call);
      facts += call.facts;
      characters += call.characters;
    }
    if (group.length === 0) return group;
    this.waiting = left.length === 0 ? this.waiting.slice(i) : [...left, ...this.waiting.slice(i)];
    this.waitingFacts -= facts;
    for (const call of group) for (const text of call.aggregates) this.busy.add(text);
    return group;
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
      for (const call of group) for (const text of call.aggregates) this.busy.delete(text);
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
    const { session, writer, writers, clocks } = this.parts;
    const before = writers.latest ?? (await writers.look());
    const { histories, remembered } = await this.patiently(() => this.readKnown(group, before, epoch), READ_MS);
    await epoch.room(rowsOf(group));
    if (epoch.lost || !clocks.isTrusted) return undefined;
    // From here to `begin` nothing is waited for: times and sequences are given in one order.
    const decision = decide(
      group.map((call) => call.appends),
      histories,
      epoch,
    );
    const directories = new Map<string, Directory>();
    for (const [text, history] of histories) directories.set(text, history.directory);
    if (decision.logged.length === 0) {
      await this.patiently(() => this.parts.repeats.write(decision.counted, directories), LOG_MS);
      return decision.results;
    }
    const packed = packUnit(decision.logged, before.closed);
    const first = decision.logged[0]!.time;
    const last = decision.logged.at(-1)!.time;
    const unit = epoch.begin(first, last, packed.length);
    let ended = true;
    try {
      const alive = (await this.log(epoch, unit, packed)) && (await writer.prove(epoch));
      if (!alive && !(await this.counted(epoch, unit))) {
        unstamp(decision.logged);
        return undefined;
      }
      // From here on it is recorded, whoever writes the rest: until that is done nothing is closed above it.
      ended = false;
      const forever = Number.POSITIVE_INFINITY;
      const write = (unsure: boolean): Promise<void> =>
        this.patiently(() => this.parts.rows.write(decision.logged, { unsure, directories }), forever);
      // Who was alone almost always still is, so the rows do not wait for the look. Beside others nothing is remembered.
      const wasAlone = isAlone(before, before, epoch);
      const look = (): Promise<Scene> => this.patiently(() => writer.seen(), forever);
      const [after] = await bothOf(wasAlone ? look() : before, write(!wasAlone));
      if (wasAlone && !isAlone(before, after, epoch)) {
        if (remembered) await this.patiently(() => this.judgeAgain(group, decision, epoch), forever);
        await write(true);
      } else if (wasAlone) this.noteEnds(decision.logged, histories, after.era);
      ended = true;
      await this.patiently(() => this.parts.repeats.write(decision.counted, directories), LOG_MS);
      epoch.acknowledged = later(epoch.acknowledged, last);
      return decision.results;
    } finally {
      if (ended || !session.isOpen) epoch.end(unit);
    }
  }

  private async readKnown(group: readonly Call[], { era, live }: Scene, epoch: Epoch): Promise<Known> {
    const { known, ends, placement } = this.parts;
    // Beside others it cannot be told what stands behind what, so it is not asked.
    const withEnds = live.every((each) => each.node === epoch.node);
    const histories = new Map<string, KnownHistory>();
    const unknown: [string, readonly Fact[]][] = [];
    const byAggregate = factsByAggregate(group);
    for (const [text, facts] of byAggregate) {
      const found = ends.find(text, facts[0]!.aggregateType, facts, era);
      if (found === undefined) unknown.push([text, facts]);
      else histories.set(text, found);
    }
    await eachBounded(unknown, READS_AT_ONCE, async ([text, facts]) => {
      const last = ends.lastOf(text, era);
      const history = await known.read(aggregateKeyOf(facts[0]!), facts, withEnds && last === undefined);
      if (last !== undefined) history.reach(placement.bucketOf(facts[0]!.aggregateType, last.eventTime), last);
      histories.set(text, history);
    });
    return { histories, remembered: unknown.length < byAggregate.size };
  }

  /** Somebody else came in meanwhile: what he recorded before was not remembered, so it is read now, beside what was just written. */
  private async judgeAgain(
    group: readonly Call[],
    { logged, answers, counted }: Decision,
    { node }: Epoch,
  ): Promise<void> {
    const histories = new Map<string, KnownHistory>();
    await eachBounded([...factsByAggregate(group)], READS_AT_ONCE, async ([text, facts]) => {
      histories.set(text, await this.parts.known.read(aggregateKeyOf(facts[0]!), facts, false, node));
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

  private noteEnds(logged: readonly LoggedFact[], histories: ReadonlyMap<string, KnownHistory>, era: number): void {
    const lasts = new Map<string, LoggedFact>();
    for (const each of logged) {
      const { fact } = each;
      const text = textOf(fact);
      const last = lasts.get(text);
      if (last === undefined || compareIdentity(last.fact, fact) < 0) lasts.set(text, each);
    }
    for (const [text, { fact, late }] of lasts) {
      // Behind a late one stands something else.
      this.parts.ends.note(text, histories.get(text)!.directory, late ? undefined : fact, era);
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

/** True when nobody else can have recorded into the same histories at the same time. */
function isAlone(before: Scene, after: Scene, epoch: Epoch): boolean {
  return before.era === after.era && after.live.every((each) => each.node === epoch.node);
}

function factsByAggregate(group: readonly Call[]): Map<string, Fact[]> {
  const byAggregate = new Map<string, Fact[]>();
  for (const call of group) {
    for (const { facts } of call.appends) {
      for (const fact of facts) {
        const text = textOf(fact);
        const of = byAggregate.get(text);
        if (of === undefined) byAggregate.set(text, [fact]);
        else of.push(fact);
      }
    }
  }
  return byAggregate;
}

/** Rows of a group's unit, at most: each but the last is full. */
function rowsOf(group: readonly Call[]): number {
  let characters = 0;
  for (const call of group) characters += call.characters + call.facts * 1_500;
  return Math.ceil(characters / 131_072) + 1;
}
