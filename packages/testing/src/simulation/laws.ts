/**
 * The laws, checked on the disk at any moment and at the end: what the store, the views and the mirrors hold equals what
 * the plain model says of the facts that were recorded by then.
 */
import {
  CATALOGUE,
  type AggregateState,
  type Clock,
  type Fact,
  type PersistentPorts,
  type ViewRow,
} from '@concursus/core';
import { KEPT, type Thing } from './domain.js';
import type { Mirror } from './mirror.js';
import { sameText } from './mirror.js';
import { historiesOf, isPoisoned, livingOf, reachedOf, rowsOf, stateOf, VIEWS, type Counted } from './model.js';
import type { Plan, ViewName } from './plan.js';
import { EPOCH_MS } from './sim-clock.js';
import { SimProcess } from './sim-process.js';
import { SKEW_MS } from './tide.js';
import { ordinalOf, type Truth } from './truth.js';
import { violated } from './violation.js';

/** A question about the past, in epoch milliseconds or with an exact id. */
export interface Question {
  readonly id: string;
  readonly asOf: number | undefined;
  readonly knownAt: number | string | undefined;
}

type Row = Readonly<Record<string, unknown>>;

const ALL = { limit: 10_000 };

export class Inspector {
  /** Looks at the disk itself: nothing of it is delayed or fails. */
  private readonly eye: SimProcess;
  private histories: { readonly place: number; readonly known: ReadonlyMap<string, readonly Counted[]> } | undefined;
  /** How far each view was settled when it was looked at last: also over a building anew, this never falls. */
  private readonly settled = new Map<string, number>();
  private readonly asked: { readonly question: Question; readonly answer: string }[] = [];

  constructor(
    private readonly ports: PersistentPorts,
    private readonly truth: Truth,
    clock: Clock,
    private readonly mirrors: readonly Mirror[],
    private readonly plan: Pick<Plan, 'policy' | 'shares'>,
    /** The version of each projection that whoever starts now has. */
    private readonly versionOf: (view: string) => number,
  ) {
    this.eye = new SimProcess('inspector', ports, undefined, clock, {
      leaseMs: 2_000,
      sharing: false,
      shares: plan.shares,
      pageSize: 1_000,
      snapshots: false,
      policy: plan.policy,
    });
  }

  /** Law 6 and 7 at any moment: each view equals the model of what stands before its checkpoint. */
  async inspect(): Promise<void> {
    for (const view of VIEWS) await this.checkView(view);
    await this.checkCatalogue();
  }

  /** What is still to come, in words; undefined when everything recorded is everywhere. */
  async lag(others: readonly string[]): Promise<string | undefined> {
    const { log } = this.truth;
    if (log.length === 0) return undefined;
    for (const view of KEPT) {
      const at = await this.placeOf(view);
      if (at < log.length) return `the view "${view}" stands at ${at} of ${log.length}`;
      const asked = await this.eye.projections.rebuilding(view);
      // What a process of another version asked for waits for the next such process.
      if (asked?.version === this.versionOf(view)) return `the view "${view}" is being built anew`;
    }
    for (const other of others) {
      const checkpoint = await this.ports.viewStore.readCheckpoint({ name: other, version: 1, slice: -1 });
      const at = checkpoint === undefined ? 0 : ordinalOf(checkpoint);
      if (at < log.length) return `"${other}" stands at ${at} of ${log.length}`;
    }
    for (const mirror of this.mirrors) {
      const last = await this.eye.projections.view(mirror.view).lastChange();
      if (mirror.sequence < last)
        return `the mirror of "${mirror.view}" stands at change ${mirror.sequence} of ${last}`;
    }
    return undefined;
  }

  /** Everything that must hold when all is done. */
  async finish(): Promise<void> {
    await this.checkFeed();
    await this.checkHistories();
    await this.inspect();
    for (const mirror of this.mirrors) {
      const rows = await this.liveRows(mirror.view);
      same(6, `the mirror of "${mirror.view}"`, Object.fromEntries(mirror.rows), rows);
    }
    await this.checkParked();
    const view = VIEWS[this.truth.log.length % VIEWS.length]!;
    const { differences } = await this.eye.projections.audit(view);
    if (differences.length > 0) violated(6, `"${view}" differs from its rebuild: ${sameText(differences[0])}`);
  }

  /** Asks a process, and remembers the answer when it is about a closed past. */
  async ask(process: SimProcess, question: Question): Promise<void> {
    const answer = await answerOf(process, question);
    if (question.knownAt !== undefined) {
      this.judge(question, answer);
      this.asked.push({ question, answer });
    }
  }

  /** Law 5: the same questions again, now that everything has come. */
  async askAgain(process: SimProcess): Promise<void> {
    for (const { question, answer } of this.asked) {
      const now = await answerOf(process, question);
      if (now !== answer) violated(5, `${JSON.stringify(question)} was answered ${answer}, and now ${now}`);
    }
    for (const { question, answer } of this.asked) this.judge(question, answer);
    // Without bounds, at the end: all that is recorded.
    for (const id of this.historiesAt(this.truth.log.length).keys()) {
      const question = { id, asOf: undefined, knownAt: undefined };
      this.judge(question, await answerOf(process, question));
    }
  }

  private judge(question: Question, answer: string): void {
    const { id, asOf, knownAt } = question;
    const facts = knownAt === undefined ? this.truth.upTo(Infinity) : this.truth.knownAt(knownAt);
    const events = historiesOf(
      facts.filter((fact) => fact.id === id),
      this.plan.policy,
    ).get(id);
    const seen = (events ?? []).filter((event) => asOf === undefined || EPOCH_MS + event.time <= asOf);
    const must = sameText({ state: shown(stateOf(seen)), events: seen.map(eventText) });
    if (answer !== must)
      violated(knownAt === undefined ? 2 : 5, `${JSON.stringify(question)} was answered ${answer}; it is ${must}`);
  }

  /** The log only grows, so what stood before a place is judged once. */
  private historiesAt(place: number): ReadonlyMap<string, readonly Counted[]> {
    if (this.histories?.place !== place)
      this.histories = { place, known: historiesOf(this.truth.upTo(place), this.plan.policy) };
    return this.histories.known;
  }

  /** Where the generation stands that is read; of a view in shares the one that is furthest behind. */
  private async placeOf(view: string): Promise<number> {
    return Math.min(...(await this.placesOf(view)));
  }

  private async placesOf(view: string): Promise<readonly number[]> {
    const live = (await this.eye.projections.generations(view)).filter(({ state }) => state === 'live');
    const places = live.map(({ position }) => (position === undefined ? 0 : ordinalOf(position)));
    // What holds nothing yet is not listed.
    return places.length < (view === CATALOGUE ? 1 : this.plan.shares) ? [0, ...places] : places;
  }

  /** Shares that stand at different places, or are of different versions, hold what no one moment had. */
  private async isOfOneMoment(view: ViewName): Promise<boolean> {
    const live = (await this.eye.projections.generations(view)).filter(({ state }) => state === 'live');
    return new Set(await this.placesOf(view)).size === 1 && new Set(live.map(({ version }) => version)).size <= 1;
  }

  private async liveRows(view: string): Promise<Record<string, Row>> {
    const { rows } = (await this.eye.projections.view(view).find(ALL)) as { readonly rows: readonly ViewRow<Row>[] };
    return Object.fromEntries(rows.map((row) => [row.key, row.value]));
  }

  private async checkView(view: ViewName): Promise<void> {
    if (!(await this.isOfOneMoment(view))) return;
    const place = await this.placeOf(view);
    if (place > this.truth.log.length) violated(7, `"${view}" stands at ${place}, behind all ${this.truth.log.length}`);
    const histories = this.historiesAt(place);
    const parked = new Set((await this.eye.projections.parked(view)).map((one) => one.aggregate.id));
    for (const [id, events] of histories) {
      if (isPoisoned(view, events) && !parked.has(id))
        violated(7, `"${view}" did not park ${id}, which it cannot handle`);
    }
    same(2, `"${view}" at ${place}`, await this.liveRows(view), rowsOf(view, histories, parked));
    await this.checkProvisional(view, place, reachedOf(view, histories, parked));
  }

  /**
   * Law 9: a row is provisional as long as something that counts in it is not settled. What was moved or withdrawn may keep it
   * so until what is settled passes where it was, but not where that was far ahead.
   */
  private async checkProvisional(view: ViewName, place: number, reached: ReadonlyMap<string, number>): Promise<void> {
    const known = this.eye.projections.view(view);
    const settled = (await known.settledUpTo()) - EPOCH_MS;
    const before = this.settled.get(view) ?? settled;
    if (settled < before) violated(9, `"${view}" was settled up to ${before}, and is now up to ${settled}`);
    this.settled.set(view, settled);
    const near = this.nearAt(place);
    for (const { key, provisional } of (await known.find(ALL)).rows) {
      const time = reached.get(key)!;
      if (time > settled ? provisional : !provisional || near > settled) continue;
      violated(
        9,
        `the row "${key}" of "${view}" at ${place} is ${provisional ? '' : 'not '}provisional; it holds ${time}, settled is ${settled}`,
      );
    }
  }

  /** The latest time that a fact before a place bears on, but for those that are far ahead of their recording. */
  private nearAt(place: number): number {
    let near = Number.NEGATIVE_INFINITY;
    for (const { draft, processedAtMs } of this.truth.log.slice(0, place)) {
      const time = draft.kind === 'correction' ? Math.max(draft.target.time, draft.time ?? 0) : draft.time;
      if (EPOCH_MS + time <= processedAtMs + SKEW_MS) near = Math.max(near, time);
    }
    return near;
  }

  private async checkCatalogue(): Promise<void> {
    const place = await this.placeOf(CATALOGUE);
    const { ids } = await this.eye.catalogue.list('thing');
    same(2, `the catalogue at ${place}`, ids, livingOf(this.historiesAt(place)));
  }

  /** After a retry: parked is exactly what cannot be handled. */
  private async checkParked(): Promise<void> {
    const histories = this.historiesAt(this.truth.log.length);
    for (const view of VIEWS) {
      const parked = (await this.eye.projections.parked(view)).map((one) => one.aggregate.id).sort();
      const must = [...histories]
        .filter(([, events]) => isPoisoned(view, events))
        .map(([id]) => id)
        .sort();
      same(7, `parked in "${view}"`, parked, must);
    }
  }

  /** Law 7: the feed is what was recorded, once and in order, however it is cut into pages. */
  private async checkFeed(): Promise<void> {
    const feed = this.ports.eventFeed;
    const { log } = this.truth;
    const found: string[] = [];
    for (let from = feed.start(); ;) {
      const page = await feed.read(from, 1 + (found.length % 5));
      found.push(...page.facts.map((fact) => fact.processingId));
      if (from.covers(page.next)) break;
      from = page.next;
    }
    same(
      7,
      'the feed',
      found,
      log.map((entry) => entry.processingId),
    );
  }

  /** Law 4 and 1: each history holds what was recorded of it, in key order as stored. */
  private async checkHistories(): Promise<void> {
    const { log } = this.truth;
    const ids = [...new Set(log.flatMap(({ draft }) => (draft.kind === 'marker' ? [] : [draft.id])))];
    const stored = await this.ports.eventStore.readMany(ids.map((id) => ({ tenant: '', type: 'thing', id })));
    for (const [i, id] of ids.entries()) {
      const must = log.filter((entry) => entry.draft.id === id).map((entry) => entry.processingId);
      same(1, `the history of ${id}`, stored[i]!.map((fact) => fact.processingId).sort(), must.sort());
    }
  }
}

function same(law: number, what: string, found: unknown, must: unknown): void {
  const a = sameText(found);
  const b = sameText(must);
  if (a !== b) violated(law, `${what} is ${a}; it must be ${b}`);
}

/** State and history of one question, as text. */
async function answerOf(process: SimProcess, { id, asOf, knownAt }: Question): Promise<string> {
  const bounds = { ...(asOf === undefined ? {} : { asOf }), ...(knownAt === undefined ? {} : { knownAt }) };
  const state = await process.states.get('thing', id, bounds);
  const facts = await process.histories.collect('thing', id, bounds);
  return sameText({ state: stateText(state), events: facts.map(factText) });
}

function stateText(found: AggregateState<object> | undefined): unknown {
  if (found === undefined) return null;
  const { events, incomplete, extraInitial, afterTerminal, lastEventTime } = found;
  const { path, total } = found.state as Thing;
  return {
    path,
    total: total === 0 ? 0 : total,
    events,
    incomplete,
    extraInitial,
    afterTerminal,
    lastEventTime,
  };
}

const shown = (state: unknown): unknown => state ?? null;

function factText(fact: Fact): string {
  return `${fact.name}@${fact.eventTime} ${fact.streamId} ${fact.sequence} ${fact.digest}`;
}

function eventText(event: Counted): string {
  return `${event.name}@${EPOCH_MS + event.time} ${event.stream} ${event.sequence} ${event.digest}`;
}
