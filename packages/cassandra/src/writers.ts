/**
 * Who records into a context: writers that live, with what each promises, and how those before them ended. One look at
 * them says up to where the feed is closed. Whoever looks also watches: a writer whose beat stands still is sealed.
 */
import type { ProcessingTime } from '@concursus/core';
import type { types } from 'cassandra-driver';
import { BEFORE_ALL, isAfter, later, timeOf, timeText } from './processing-times.js';
import type { Session } from './session.js';

/** Conditional writes of one partition hinder each other, and one read asks all partitions: writers are spread over few. */
const WRITER_LANES = 8;
/** Ends of writers in one partition, of some 200 bytes each. */
const SEALS_OF_BLOCK = 1_000;

const lanes = Array.from({ length: WRITER_LANES }, (_, lane) => lane).join(', ');
const COLUMNS = 'lane, node, beat, lease_ms, started, closed, issued, floor, closed_seq, clock, seal';
const LIVE = `SELECT ${COLUMNS} FROM writer WHERE context = ? AND lane IN (${lanes})`;
const ONE = `SELECT ${COLUMNS} FROM writer WHERE context = ? AND lane = ? AND node = ?`;
const REMOVE = 'DELETE FROM writer WHERE context = ? AND lane = ? AND node = ? IF beat = ?';
const SEALS = 'SELECT number, node, seal FROM seal WHERE context = ? AND block = ? AND number >= ?';
const ADD_SEAL = 'INSERT INTO seal (context, block, number, node, seal) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS';

/** How a writer ended: which of its rows count. */
export interface Seal {
  readonly node: string;
  /** All it recorded has a processing time above this. */
  readonly started: ProcessingTime;
  /** The last processing time of what counts. */
  readonly last: ProcessingTime;
  /** At least what it ever promised not to go below. */
  readonly closed: ProcessingTime;
  /** Rows behind this one do not count, nor do the holes before it: they were not there when it was sealed. */
  readonly lastSeq: number;
  readonly holes: readonly number[];
}

/** A row of `writer`. */
export interface LiveWriter {
  readonly node: string;
  readonly lane: number;
  readonly beat: number;
  readonly leaseMs: number;
  readonly started: ProcessingTime;
  /** Nothing at or below is issued any more, and everything at or below is written. */
  readonly closed: ProcessingTime;
  /** The last processing time it gave. */
  readonly issued: ProcessingTime;
  /** It gives nothing at or below. */
  readonly floor: ProcessingTime;
  /** Its rows up to here belong to what is closed, and none of them is missing. */
  readonly closedSeq: number;
  /** Its time of day at its last beat; undefined when it does not trust it. */
  readonly clock: number | undefined;
  /** Set when it was sealed and what it left is being carried out. */
  readonly seal: Seal | undefined;
}

/**
 * So long after its beginning a look still holds: whoever is not in it has recorded nothing. Who joins beside others waits
 * twice as long before it records; the rest is for clocks that go at different rates.
 */
export const trustMsOf = (leaseMs: number): number => Math.min(leaseMs / 16, 300);

/** One look. */
export interface Scene {
  /** When it began, by both of this machine's clocks. */
  readonly begunMs: number;
  readonly begunAt: number;
  readonly live: readonly LiveWriter[];
  /** In which era it was: see `Writers.era`. */
  readonly era: number;
  /** Nothing at or below is recorded any more, and everything at or below is there for every reader. */
  readonly closed: ProcessingTime;
}

interface Watched {
  readonly mark: string;
  readonly sinceMs: number;
}

export class Writers {
  latest: Scene | undefined;
  /** By node. */
  readonly seals = new Map<string, Seal>();
  /** The greatest `closed` of all that ended. */
  sealedClosed: ProcessingTime = BEFORE_ALL;
  /** The greatest `last` of all that ended. */
  sealedLast: ProcessingTime = BEFORE_ALL;
  /** Called with a writer whose beat stood still for its lease. */
  onStanding: (writer: LiveWriter) => void = () => undefined;
  /**
   * Changes whenever a look finds that a writer came or ended since the look before: what is known in one era of what is
   * stored is all that is stored, but for what the others of that era logged meanwhile.
   */
  era = 0;
  /** Writers of the last look but this layer's. */
  private beside: ReadonlySet<string> = new Set();
  private ownNode: string | undefined;
  private count = 0;
  private readonly watched = new Map<string, Watched>();
  private running: Promise<Scene> | undefined;
  private next: Promise<Scene> | undefined;

  constructor(private readonly session: Session) {}

  /** The writer of this layer, which is not watched. */
  get own(): string | undefined {
    return this.ownNode;
  }

  set own(node: string | undefined) {
    this.ownNode = node;
    this.era += 1;
  }

  /** What was known until now is known no more, from the next look on. */
  forget(): void {
    this.era += 1;
  }

  /** A look that began after the call. */
  look(): Promise<Scene> {
    if (this.running === undefined) return this.begin();
    return (this.next ??= this.running.then(
      () => this.begin(),
      () => this.begin(),
    ));
  }

  private begin(): Promise<Scene> {
    this.next = undefined;
    const running = this.lookNow().finally(() => {
      if (this.running === running) this.running = undefined;
    });
    return (this.running = running);
  }

  private async lookNow(): Promise<Scene> {
    const { session } = this;
    const startMs = session.real.monotonicMs();
    const begunAt = session.real.now();
    const live = (await session.rows(LIVE, [session.context])).map(writerOf);
    // Behind the live ones: who is in neither had not begun.
    const endedBefore = this.count;
    await this.readSeals();
    const beside = live.map(({ node }) => node).filter((node) => node !== this.own);
    if (this.count !== endedBefore || beside.some((node) => !this.beside.has(node))) this.era += 1;
    this.beside = new Set(beside);
    this.watch(live, startMs);
    let closed = this.sealedClosed;
    for (const [i, writer] of live.entries()) if (i === 0 || isAfter(closed, writer.closed)) closed = writer.closed;
    // What was closed once stays so: who begins later begins above it.
    if (this.latest !== undefined) closed = later(closed, this.latest.closed);
    return (this.latest = { begunMs: startMs, begunAt, live, era: this.era, closed });
  }

  private async readSeals(): Promise<void> {
    const { session } = this;
    for (;;) {
      const before = this.count;
      const block = Math.floor(before / SEALS_OF_BLOCK);
      for (const row of await session.rows(SEALS, [session.context, block, before])) {
        const number = Number(row['number']);
        if (number !== this.count) continue;
        this.count = number + 1;
        const seal = sealOf(row['node'] as string, row['seal'] as string);
        this.seals.set(seal.node, seal);
        this.sealedClosed = later(this.sealedClosed, seal.closed);
        this.sealedLast = later(this.sealedLast, seal.last);
      }
      // A full block goes on in the next one.
      if (this.count === before || this.count % SEALS_OF_BLOCK !== 0) return;
    }
  }

  private watch(live: readonly LiveWriter[], startMs: number): void {
    const nodes = new Set<string>();
    const nowMs = this.session.real.monotonicMs();
    for (const writer of live) {
      nodes.add(writer.node);
      if (writer.node === this.own) continue;
      const mark = `${writer.beat} ${writer.seal === undefined ? '' : 'sealed'}`;
      const before = this.watched.get(writer.node);
      if (before?.mark !== mark) this.watched.set(writer.node, { mark, sinceMs: nowMs });
      else if (startMs - before.sinceMs >= writer.leaseMs) this.onStanding(writer);
    }
    for (const node of this.watched.keys()) if (!nodes.has(node)) this.watched.delete(node);
  }

  /** One writer as every acknowledged conditional write left it; undefined when it has ended or never was. */
  async read(node: string): Promise<LiveWriter | undefined> {
    const found = await this.session.readSerial(ONE, [this.session.context, laneOf(node), node]);
    const row = found.first();
    return row === null ? undefined : writerOf(row);
  }

  /** How a writer ended, also when what it left is still being carried out; undefined while it lives. */
  async sealOf(node: string): Promise<Seal | undefined> {
    const writer = await this.read(node);
    if (writer !== undefined) return writer.seal;
    await this.look();
    return this.seals.get(node);
  }

  /** Adds an end to the list that all readers know, and takes the writer from those that live. May be done twice. */
  async settle(writer: Pick<LiveWriter, 'node' | 'beat'>, seal: Seal): Promise<void> {
    const { session } = this;
    const { node } = writer;
    const text = sealText(seal);
    await this.look();
    while (!this.seals.has(node)) {
      const number = this.count;
      const key = [session.context, Math.floor(number / SEALS_OF_BLOCK), number];
      await session.conditional({ query: ADD_SEAL, params: [...key, node, text] }, `writer ${node} ended`, async () => {
        await this.look();
        return this.seals.has(node);
      });
      // Whoever had this number: now it is known.
      await this.look();
    }
    await session.conditional(
      { query: REMOVE, params: [session.context, laneOf(node), node, writer.beat] },
      `writer ${node} was removed`,
      async () => (await this.read(node)) === undefined,
    );
  }
}

/** The lane of a writer. */
export function laneOf(node: string): number {
  return Number.parseInt(node.slice(-4), 16) % WRITER_LANES;
}

function writerOf(row: types.Row): LiveWriter {
  const node = row['node'] as string;
  const seal = row['seal'] as string | null;
  const clock = row['clock'] as object | null;
  const time = (column: string): ProcessingTime => timeOf(row[column] as string);
  return {
    node,
    lane: row['lane'] as number,
    beat: Number(row['beat']),
    leaseMs: row['lease_ms'] as number,
    started: time('started'),
    closed: time('closed'),
    issued: time('issued'),
    floor: time('floor'),
    closedSeq: Number(row['closed_seq']),
    clock: clock === null || Number(clock) < 0 ? undefined : Number(clock),
    seal: seal === null ? undefined : sealOf(node, seal),
  };
}

/** True when rows from one to another of a writer that ended count, all of them. */
export function counts(seal: Seal, fromSeq: number, toSeq: number): boolean {
  return toSeq <= seal.lastSeq && !seal.holes.some((hole) => hole >= fromSeq && hole <= toSeq);
}

export function sealText(seal: Seal): string {
  const times = [seal.started, seal.last, seal.closed].map(timeText);
  return JSON.stringify([...times, seal.lastSeq, seal.holes]);
}

function sealOf(node: string, text: string): Seal {
  const [started, last, closed, lastSeq, holes] = JSON.parse(text) as [string, string, string, number, number[]];
  return { node, started: timeOf(started), last: timeOf(last), closed: timeOf(closed), lastSeq, holes };
}
