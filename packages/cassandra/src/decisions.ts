/**
 * Decisions: one conditional write moves the head of an aggregate, keeps its answer and carries its events; behind it these
 * are recorded like any other facts, and then marked as copied.
 *
 *   process 1   head 4 -> 5, with its events | dies
 *   process 2                                  reads head 5, copied 4: records the events, marks 5, answers "head 5"
 *
 * Nobody is told a head before the events up to it are recorded, so who decides on it has read a history that has them. The next
 * decision overwrites the events in the head: on one that was not told here it is made only after these were looked for.
 * What is recorded twice counts once.
 */
import {
  aggregateKeyText,
  answerBefore,
  Fact,
  UNDECIDED,
  type AggregateKey,
  type Append,
  type AppendResult,
  type DecisionAnswer,
  type DecisionAppend,
  type DecisionState,
  type Metadata,
} from '@concursus/core';
import type { types } from 'cassandra-driver';
import { BEFORE_ALL, TimePosition } from './processing-times.js';
import type { Session } from './session.js';

const OWNER = 'context = ? AND tenant = ? AND type = ? AND id = ?';
const READ_HEAD = `SELECT head, epoch, facts FROM decision WHERE ${OWNER} LIMIT 1`;
const READ_ANSWER = `SELECT head, epoch, facts, result, attempt FROM decision WHERE ${OWNER} AND command = ?`;
const FIRST = `UPDATE decision SET head = ?, epoch = ?, facts = ? WHERE ${OWNER} IF head = null`;
const NEXT = `UPDATE decision SET head = ?, epoch = ?, facts = ? WHERE ${OWNER} IF head = ? AND epoch <= ?`;
const ANSWER = `INSERT INTO decision (context, tenant, type, id, command, result, attempt)
  VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS`;
const READ_COPIED = `SELECT head FROM decision_copied WHERE ${OWNER}`;
const MARK_COPIED = 'INSERT INTO decision_copied (context, tenant, type, id, head) VALUES (?, ?, ?, ?, ?)';

const ATTEMPT_BYTES = 12;
/** Of some 150 bytes each. */
const TOLD_MAX = 10_000;

/** As a row keeps it, with the events of the last decision. */
interface StoredState extends DecisionState {
  readonly facts: string;
}

const NONE: StoredState = { ...UNDECIDED, facts: '' };

export interface DecisionParts {
  readonly session: Session;
  /** Records facts, as `EventStore.append` does. */
  readonly record: (append: Append) => Promise<AppendResult>;
}

export class Decisions {
  private readonly underWay = new Set<Promise<unknown>>();
  /** The head that was told last of an aggregate, the longest ago first. */
  private readonly told = new Map<string, number>();

  constructor(private readonly parts: DecisionParts) {}

  /** @param decision checked. See `EventStore.decide`. */
  decide(decision: DecisionAppend): Promise<DecisionAnswer> {
    const text = textOfKey(decision.aggregate);
    // Those of one process would only hinder each other.
    return this.follow(
      this.parts.session.lanes.run(`decide/${text}`, async () => {
        if (decision.head > 0 && this.told.get(text) !== decision.head) await this.readCopied(decision.aggregate);
        const answer = await this.make(decision);
        this.note(text, answer.head);
        return answer;
      }),
    );
  }

  /** Resolves when what was asked is answered: a decision that was made is not left uncopied without need. */
  async drained(): Promise<void> {
    while (this.underWay.size > 0) await Promise.allSettled(this.underWay);
  }

  private async follow<T>(work: Promise<T>): Promise<T> {
    this.underWay.add(work);
    try {
      return await work;
    } finally {
      this.underWay.delete(work);
    }
  }

  private async make(decision: DecisionAppend): Promise<DecisionAnswer> {
    const { session, record } = this.parts;
    const { aggregate, commandId, epoch = 0, facts, result, receivedAt } = decision;
    const key = this.keyOf(aggregate);
    const attempt = Buffer.from(session.real.randomBytes(ATTEMPT_BYTES)).toString('hex');
    const next = decision.head + 1;
    const values = [next, epoch, textOf(facts), ...key];
    const head =
      decision.head === 0
        ? { query: FIRST, params: values }
        : { query: NEXT, params: [...values, decision.head, epoch] };
    const { applied } = await session.conditional(
      [head, { query: ANSWER, params: [...key, commandId, result, attempt] }],
      `"${commandId}" was decided`,
      // Somebody else may have brought the same command: only this attempt is ours.
      async () => (await this.readAnswer(key, commandId))?.['attempt'] === attempt,
    );
    if (!applied) return this.answerInstead(decision, key);
    const made = { outcome: 'decided', result, head: next } as const;
    if (facts.length === 0) return { ...made, position: new TimePosition(BEFORE_ALL) };
    const { position } = await record({ facts, receivedAt });
    await this.mark(key, next);
    return { ...made, position };
  }

  /** Why a decision was not made. The head first: that its command was not decided then holds for that head. */
  private async answerInstead(decision: DecisionAppend, key: readonly unknown[]): Promise<DecisionAnswer> {
    const { aggregate, commandId } = decision;
    const state = stateOf((await this.parts.session.readSerial(READ_HEAD, key)).first());
    const row = await this.readAnswer(key, commandId);
    const now = row === undefined ? state : stateOf(row);
    await this.copy(aggregate, key, now);
    const answer = answerBefore(decision, now, row?.['result'] as string | undefined);
    // One that is as expected only now was not there yet when it was asked for.
    return answer ?? { outcome: 'stale', head: now.head };
  }

  /** See `EventStore.readHead`. */
  readHead(aggregate: AggregateKey): Promise<number> {
    return this.follow(this.readCopied(aggregate));
  }

  private async readCopied(aggregate: AggregateKey): Promise<number> {
    const key = this.keyOf(aggregate);
    const state = stateOf((await this.parts.session.readSerial(READ_HEAD, key)).first());
    await this.copy(aggregate, key, state);
    this.note(textOfKey(aggregate), state.head);
    return state.head;
  }

  private note(text: string, head: number): void {
    this.told.delete(text);
    this.told.set(text, head);
    if (this.told.size > TOLD_MAX) for (const [oldest] of this.told) return void this.told.delete(oldest);
  }

  /** Records the events of the last decision unless they are known to be. */
  private async copy(aggregate: AggregateKey, key: readonly unknown[], { head, facts }: StoredState): Promise<void> {
    if (facts === '') return;
    const { session, record } = this.parts;
    const found = (await session.execute(READ_COPIED, key)).first() as types.Row | null;
    if (found !== null && Number(found['head']) >= head) return;
    await record({ facts: factsOf(aggregate, facts), receivedAt: session.clock.now() });
    await this.mark(key, head);
  }

  private mark(key: readonly unknown[], head: number): Promise<void> {
    return this.parts.session.batch([{ query: MARK_COPIED, params: [...key, head] }], { timestamp: head });
  }

  private async readAnswer(key: readonly unknown[], commandId: string): Promise<types.Row | undefined> {
    const found = await this.parts.session.readSerial(READ_ANSWER, [...key, commandId]);
    return (found.first() as types.Row | null) ?? undefined;
  }

  private keyOf({ tenant, type, id }: AggregateKey): readonly unknown[] {
    return [this.parts.session.context, tenant, type, id];
  }
}

function textOfKey({ tenant, type, id }: AggregateKey): string {
  return aggregateKeyText(tenant, type, id);
}

function stateOf(row: types.Row | null): StoredState {
  if (row === null) return NONE;
  return { head: Number(row['head']), epoch: Number(row['epoch']), facts: (row['facts'] as string | null) ?? '' };
}

/** A fact without its aggregate; metadata only where there are any. */
type Packed = readonly [
  name: string,
  version: string,
  eventTime: number,
  streamId: string,
  sequence: number,
  characteristics: number,
  content: string,
  metadata?: Metadata,
];

function textOf(facts: readonly Fact[]): string {
  if (facts.length === 0) return '';
  const packed = facts.map((fact): Packed => {
    const { name, version, eventTime, streamId, sequence, characteristics, content, metadata } = fact;
    const parts = [name, version, eventTime, streamId, sequence, characteristics, content] as const;
    return metadata === undefined ? parts : [...parts, metadata];
  });
  return JSON.stringify(packed);
}

/** Reads what `textOf` wrote: facts not yet logged. */
function factsOf({ tenant, type, id }: AggregateKey, text: string): Fact[] {
  return (JSON.parse(text) as Packed[]).map(
    ([name, version, eventTime, streamId, sequence, characteristics, content, metadata]) =>
      new Fact({
        tenant,
        aggregateType: type,
        aggregateId: id,
        name,
        version,
        eventTime,
        streamId,
        sequence,
        characteristics,
        content,
        metadata,
      }),
  );
}
