/**
 * Ends writers that do not end themselves. What is in the log of a dead one, at a quorum, counts from then on, and only
 * that; what it had logged and not carried out is carried out; then it leaves those that live, and the feed goes on.
 */
import type { ProcessingTime } from '@concursus/core';
import { textOf } from './append-decision.js';
import type { EventRows } from './event-rows.js';
import type { FeedLog, SpanAt } from './feed-log.js';
import type { LoggedSince } from './logged-since.js';
import { justBefore, later } from './processing-times.js';
import { isPassing, type Session } from './session.js';
import { counts, laneOf, sealText, type LiveWriter, type Seal, type Writers } from './writers.js';

const SEAL = 'UPDATE writer SET seal = ? WHERE context = ? AND lane = ? AND node = ? IF beat = ? AND seal = null';
/** Rows of one page while what is left is carried out. */
const REDO_PAGE = 32;

export class Sealer {
  /** Nodes whose end is under way here. */
  private readonly busy = new Map<string, Promise<void>>();
  private stopped = false;

  constructor(
    private readonly session: Session,
    private readonly writers: Writers,
    private readonly log: FeedLog,
    private readonly rows: EventRows,
    private readonly loggedSince: LoggedSince,
  ) {
    writers.onStanding = (writer) => void this.seal(writer).catch((error: unknown) => this.report(writer, error));
  }

  private report(writer: LiveWriter, error: unknown): void {
    if (this.stopped || isPassing(error)) return;
    this.session.logger.error(
      `Writer ${writer.node} of context "${this.session.context}" stands still and cannot be replaced yet: ${String(error)}`,
    );
  }

  /** Ends a writer as it was read; without effect when it has beaten since. Many callers, one work. */
  seal(writer: LiveWriter): Promise<void> {
    if (this.stopped) return Promise.resolve();
    const { node } = writer;
    let work = this.busy.get(node);
    if (work === undefined) {
      work = this.sealNow(writer).finally(() => this.busy.delete(node));
      this.busy.set(node, work);
    }
    return work;
  }

  private async sealNow(writer: LiveWriter): Promise<void> {
    let { seal } = writer;
    if (seal === undefined) {
      const found = await this.log.spansFrom(writer.node, writer.closedSeq + 1);
      seal = sealFor(writer, found);
      if (!(await this.write(writer, seal))) return;
      this.session.logger.warn(
        `Writer ${writer.node} of context "${this.session.context}" stood still for ${writer.leaseMs} ms and was sealed; ${found.length} rows are carried out.`,
      );
    }
    await this.redo(seal, writer.closedSeq + 1);
    await this.writers.settle(writer, seal);
  }

  /** Ends a writer that left nothing to carry out. */
  async sealAs(writer: Pick<LiveWriter, 'node' | 'beat'>, seal: Seal): Promise<void> {
    if (await this.write(writer, seal)) await this.writers.settle(writer, seal);
  }

  private async write({ node, beat }: Pick<LiveWriter, 'node' | 'beat'>, seal: Seal): Promise<boolean> {
    const text = sealText(seal);
    const outcome = await this.session.conditional(
      { query: SEAL, params: [text, this.session.context, laneOf(node), node, beat] },
      `writer ${node} was sealed`,
      async () => {
        const found = (await this.writers.read(node))?.seal;
        return found !== undefined && sealText(found) === text;
      },
    );
    return outcome.applied;
  }

  /**
   * Writes again what rows of the log stand for, and lists what others recorded above it to the same histories, as their writer
   * would have. May be done by several, and twice.
   */
  private async redo(seal: Seal, fromSeq: number): Promise<void> {
    const aggregates = new Set<string>();
    let first: ProcessingTime | undefined;
    for await (const page of this.log.rows(seal.node, fromSeq, seal.lastSeq, REDO_PAGE)) {
      for (const row of page) {
        if (!counts(seal, row.seq, row.seq)) continue;
        await this.rows.write(row.facts, { unsure: true });
        first ??= row.first;
        for (const { fact } of row.facts) aggregates.add(textOf(fact));
      }
    }
    if (first === undefined) return;
    // Who logged before these rows were there did not see them, and the one who would have seen his is dead.
    const scene = await this.writers.look();
    await this.rows.list(await this.loggedSince.read(scene, aggregates, justBefore(first), seal.node));
  }

  /** Starts no new work; what is under way ends by itself, or the next watcher goes on with it. */
  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.allSettled(this.busy.values());
  }
}

/** What counts of a writer, by the rows found behind what it had closed. A unit counts when all its rows are there. */
export function sealFor(writer: LiveWriter, found: readonly SpanAt[]): Seal {
  const { node, started, closedSeq } = writer;
  let last = closedSeq < 0 ? started : later(started, writer.closed);
  let lastSeq = closedSeq;
  const bySeq = new Map(found.map((span) => [span.seq, span]));
  const end = found.at(-1)?.seq ?? closedSeq;
  const holes: number[] = [];
  let unit: number[] = [];
  for (let seq = closedSeq + 1; seq <= end; seq++) {
    const span = bySeq.get(seq);
    if (span === undefined) {
      holes.push(...unit, seq);
      unit = [];
    } else if (unit.length === 0 && !span.starts) {
      holes.push(seq);
    } else {
      unit.push(seq);
      if (span.continues) continue;
      unit = [];
      lastSeq = seq;
      last = later(last, span.last);
    }
  }
  const closed = later(later(writer.closed, last), later(writer.issued, writer.floor));
  return { node, started, last, closed, lastSeq, holes: holes.filter((hole) => hole < lastSeq) };
}
