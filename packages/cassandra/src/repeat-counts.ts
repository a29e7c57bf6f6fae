/**
 * How often facts came again, and what was counted of sources. A counter that cannot be written twice would count wrong
 * after any doubt; so each writer keeps its own sums, of facts and of sources, and writes them whole.
 */
import { aggregateKeyOf, aggregateKeyText, type AggregateKey, type Fact, type SourceCounts } from '@concursus/core';
import { eachBounded } from './bounded.js';
import type { Directory } from './bucket-growth.js';
import { digestText, identityOf, identityText } from './event-columns.js';
import { shardCount, shardIn, spreadOf, type Placement } from './placement.js';
import type { Session, Statement } from './session.js';

const REPEAT = `INSERT INTO event_repeat
  (context, tenant, type, id, bucket, shard, event_time, stream, sequence, name, digest, node, number, count)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const REPEATS = `SELECT event_time, stream, sequence, name, digest, count FROM event_repeat
  WHERE context = ? AND tenant = ? AND type = ? AND id = ? AND bucket = ? AND shard = ?`;
const SOURCE =
  'INSERT INTO source_count (context, lane, stream, node, repeated, conflicting) VALUES (?, ?, ?, ?, ?, ?)';
const OWN = 'SELECT repeated, conflicting FROM source_count WHERE context = ? AND lane = ? AND stream = ? AND node = ?';
const SOURCES = 'SELECT stream, repeated, conflicting FROM source_count WHERE context = ? AND lane = ?';

const SOURCE_LANES = 16;
/** Sums kept at hand, of some 200 bytes each; of others the stored ones are read first. */
const SUMS_MAX = 10_000;
const WRITES_AT_ONCE = 32;
const READS_AT_ONCE = 64;

interface Sums {
  repeated: number;
  conflicting: number;
}

/** The row of a fact that came again: rewritten while it is at hand, so it stays in its shard. */
interface RepeatRow {
  readonly number: number;
  readonly shard: number;
  readonly count: number;
}

/** What one group of appends found: facts that came again, with how often, and conflicts. */
export class Counted {
  readonly repeats = new Map<string, { readonly fact: Fact; count: number }>();
  readonly sources = new Map<string, Sums>();
  /** What is written of them; made once, so that it is counted once. */
  rows: readonly { readonly fact: Fact; readonly row: RepeatRow }[] | undefined;

  repeated(fact: Fact): void {
    const text = `${fact.tenant}\u0000${fact.aggregateType}\u0000${fact.aggregateId}\u0000${identityText(fact)}\u0000${fact.digest}`;
    const found = this.repeats.get(text);
    if (found === undefined) this.repeats.set(text, { fact, count: 1 });
    else found.count += 1;
    this.sourceOf(fact).repeated += 1;
  }

  conflicting(fact: Fact): void {
    this.sourceOf(fact).conflicting += 1;
  }

  private sourceOf({ streamId }: Fact): Sums {
    let sums = this.sources.get(streamId);
    if (sums === undefined) this.sources.set(streamId, (sums = { repeated: 0, conflicting: 0 }));
    return sums;
  }
}

export class RepeatCounts {
  /** A name of this layer's own, under which nobody else counts. */
  private readonly node: string;
  private number = 0;
  /** Rows of facts that came again, the longest unused first; one that comes after it was forgotten gets another row. */
  private readonly repeats = new Map<string, RepeatRow>();
  /** Sums of this layer by stream, the longest unused first. */
  private readonly sums = new Map<string, Sums>();

  constructor(
    private readonly session: Session,
    private readonly placement: Placement,
  ) {
    this.node = Buffer.from(session.real.randomBytes(9)).toString('base64url');
  }

  /**
   * Resolves when all of it is written. May be called again after an error, with the same.
   * @param directories of all aggregates whose facts came again
   */
  async write(counted: Counted, directories: ReadonlyMap<string, Directory>): Promise<void> {
    const { session } = this;
    counted.rows ??= this.rowsOf(counted, directories);
    const statements: Statement[] = [];
    for (const { fact, row } of counted.rows) {
      const key = aggregateKeyOf(fact);
      const bucket = this.placement.bucketOf(key.type, fact.eventTime);
      const place = [fact.eventTime, fact.streamId, fact.sequence, fact.name, Buffer.from(fact.digest, 'hex')];
      const owner = [session.context, key.tenant, key.type, key.id, bucket, row.shard];
      statements.push({ query: REPEAT, params: [...owner, ...place, this.node, row.number, row.count] });
    }
    await Promise.all([
      eachBounded(statements, WRITES_AT_ONCE, (statement) => session.batch([statement])),
      eachBounded([...counted.sources], WRITES_AT_ONCE, async ([stream, more]) => {
        await this.addTo(stream, more);
        counted.sources.delete(stream);
      }),
    ]);
  }

  /** Groups of one aggregate come one after the other, so the greater count is written last. */
  private rowsOf(counted: Counted, directories: ReadonlyMap<string, Directory>): NonNullable<Counted['rows']> {
    const rows: { fact: Fact; row: RepeatRow }[] = [];
    for (const [text, { fact, count }] of counted.repeats) {
      const before = this.repeats.get(text);
      let row: RepeatRow;
      if (before === undefined) {
        const { tenant, aggregateType, aggregateId, eventTime } = fact;
        const directory = directories.get(aggregateKeyText(tenant, aggregateType, aggregateId));
        const width = directory?.get(this.placement.bucketOf(aggregateType, eventTime))?.width ?? 1;
        row = { number: this.number++, shard: shardIn(width, spreadOf(fact)), count };
      } else {
        row = { ...before, count: before.count + count };
      }
      this.repeats.delete(text);
      this.repeats.set(text, row);
      rows.push({ fact, row });
    }
    for (const [oldest] of this.repeats) {
      if (this.repeats.size <= SUMS_MAX) break;
      this.repeats.delete(oldest);
    }
    return rows;
  }

  /** Of one stream one after the other, so that the greater sum is written last. */
  private addTo(stream: string, more: Sums): Promise<void> {
    const { session, node } = this;
    return session.lanes.run(`source_count ${stream}`, async () => {
      const key = [session.context, laneOf(stream), stream, node];
      const sums = this.sums.get(stream) ?? (await this.readOwn(key));
      const next = { repeated: sums.repeated + more.repeated, conflicting: sums.conflicting + more.conflicting };
      await session.execute(SOURCE, [...key, next.repeated, next.conflicting]);
      this.sums.delete(stream);
      this.sums.set(stream, next);
      if (this.sums.size > SUMS_MAX) for (const [oldest] of this.sums) return void this.sums.delete(oldest);
    });
  }

  private async readOwn(key: readonly unknown[]): Promise<Sums> {
    if (this.sums.size < SUMS_MAX) return { repeated: 0, conflicting: 0 };
    const row = (await this.session.execute(OWN, key)).first();
    return { repeated: Number(row?.['repeated'] ?? 0), conflicting: Number(row?.['conflicting'] ?? 0) };
  }

  /** Of each fact of a bucket that came again, by `identityText` and digest, how often. @param width of its last tier */
  async repeatsOf(key: AggregateKey, bucket: number, width: number): Promise<ReadonlyMap<string, number>> {
    const counts = new Map<string, number>();
    const shards = Array.from({ length: shardCount(width) }, (_, shard) => shard);
    await eachBounded(shards, READS_AT_ONCE, async (shard) => {
      const owner = [this.session.context, key.tenant, key.type, key.id, bucket, shard];
      for await (const page of this.session.pages(REPEATS, owner)) {
        for (const row of page) {
          const text = identityText(identityOf(row)) + digestText(row);
          counts.set(text, (counts.get(text) ?? 0) + (row['count'] as number));
        }
      }
    });
    return counts;
  }

  async readSources(): Promise<readonly SourceCounts[]> {
    const { session } = this;
    const all = new Map<string, Sums>();
    await Promise.all(
      Array.from({ length: SOURCE_LANES }, async (_, lane) => {
        for await (const page of session.pages(SOURCES, [session.context, lane])) {
          for (const row of page) {
            const stream = row['stream'] as string;
            let sums = all.get(stream);
            if (sums === undefined) all.set(stream, (sums = { repeated: 0, conflicting: 0 }));
            sums.repeated += Number(row['repeated']);
            sums.conflicting += Number(row['conflicting']);
          }
        }
      }),
    );
    return [...all].map(([streamId, sums]) => ({ streamId, ...sums }));
  }
}

function laneOf(stream: string): number {
  let hash = 0;
  for (let i = 0; i < stream.length; i++) hash = (Math.imul(hash, 31) + stream.charCodeAt(i)) | 0;
  return (hash >>> 0) % SOURCE_LANES;
}
