/**
 * Bare part: a change needs its reason in the same commit. What a careful user of the driver would write into the tables of
 * our store: an event's row in its history, its history's entries in directory and list when it is the first, and one row of
 * a log for all events of a call; prepared, at LOCAL_QUORUM, side by side. It looks for no repeats and proves nothing.
 */
import { createHash } from 'node:crypto';
import cassandraDriver, { type Client } from 'cassandra-driver';
import type { ServerAddresses } from '../case.js';
import { TYPE, recordOf } from '../model.js';

const { Client: CassandraClient, types } = cassandraDriver;

const CONTEXT = 'bare';
const YEAR_MS = 31_536_000_000;
const BLOCK = 1_024;
const LANES = 256;
/** Requests under way at once: as many as our store's session lets through. */
export const REQUESTS_MAX = 256;

const EVENT = `INSERT INTO event (context, tenant, type, id, bucket, shard, event_time, stream, sequence, name, digest,
  processing_id, version, characteristics, content, metadata) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const BUCKET = 'INSERT INTO event_bucket (context, tenant, type, id, bucket) VALUES (?, ?, ?, ?, ?)';
const LIST = 'INSERT INTO aggregate_list (context, lane, tenant, type, id) VALUES (?, ?, ?, ?, ?)';
const LOG = 'INSERT INTO feed_log (context, node, block, seq, span, facts) VALUES (?, ?, ?, ?, ?, ?)';
const HISTORY = `SELECT event_time, stream, sequence, name, processing_id, version, characteristics, content, metadata
  FROM event WHERE context = ? AND tenant = ? AND type = ? AND id = ? AND bucket = ? AND shard = ?`;

/** An event as it goes to the driver. */
interface Row {
  readonly id: string;
  readonly bucket: number;
  readonly params: readonly unknown[];
  readonly logged: string;
}

export class RawCassandra {
  private readonly client: Client;
  private readonly begun = new Set<string>();
  private seq = 0;

  /** @param keyspace with our tables in it */
  constructor(
    address: NonNullable<ServerAddresses['cassandra']>,
    private readonly keyspace: string,
  ) {
    this.client = new CassandraClient({
      contactPoints: [...address.contactPoints],
      localDataCenter: address.localDataCenter,
      protocolOptions: { port: address.port },
      queryOptions: { consistency: types.consistencies.localQuorum, prepare: true },
      encoding: { useUndefinedAsUnset: true },
      keyspace,
    });
  }

  connect(): Promise<void> {
    return this.client.connect();
  }

  /**
   * Events `from` to `to - 1`, the i-th of aggregate `aggregateOf(i)`: rows one by one, or one batch for each history.
   * @param atOnce so many requests under way, where calls are side by side each has its share
   */
  async append(
    from: number,
    to: number,
    aggregateOf: (i: number) => number,
    grouped: boolean,
    atOnce = REQUESTS_MAX,
  ): Promise<void> {
    const rows: Row[] = [];
    for (let i = from; i < to; i++) rows.push(rowOf(i, aggregateOf(i)));
    const writes: (() => Promise<unknown>)[] = [() => this.log(rows)];
    if (grouped) {
      for (const of of historiesOf(rows).values()) writes.push(() => this.write(of));
    } else {
      for (const row of rows) writes.push(() => this.write([row]));
    }
    await allOf(writes, atOnce);
  }

  /** One event's rows without the log. */
  async appendOne(i: number, aggregate: number): Promise<void> {
    await this.write([rowOf(i, aggregate)]);
  }

  /** The row of the log for events that are appended one by one. */
  async logOf(from: number, to: number, aggregateOf: (i: number) => number): Promise<void> {
    const rows: Row[] = [];
    for (let i = from; i < to; i++) rows.push(rowOf(i, aggregateOf(i)));
    await this.log(rows);
  }

  /** Rows of one history; a new one's entries go with its first. */
  private async write(rows: readonly Row[]): Promise<void> {
    const { id, bucket } = rows[0]!;
    const isNew = !this.begun.has(id);
    const options = { isIdempotent: true, logged: false };
    if (!isNew && rows.length === 1) {
      await this.client.execute(EVENT, [...rows[0]!.params], options);
      return;
    }
    const statements = rows.map(({ params }) => ({ query: EVENT, params: [...params] }));
    if (isNew) {
      this.begun.add(id);
      statements.push({ query: BUCKET, params: [CONTEXT, '', TYPE, id, bucket] });
      statements.push({ query: LIST, params: [CONTEXT, this.begun.size % LANES, '', TYPE, id] });
    }
    await this.client.batch(statements, options);
  }

  private async log(rows: readonly Row[]): Promise<void> {
    const seq = this.seq++;
    const facts = rows.map(({ logged }) => logged).join('\u0000');
    const params = [CONTEXT, 'bare', Math.floor(seq / BLOCK), seq, `${seq} ${rows.length}`, facts];
    await this.client.execute(LOG, params, { isIdempotent: true });
  }

  /** All events of one history, decoded: how many have a wattage. */
  async read(id: string, bucket: number, fetchSize: number): Promise<number> {
    let events = 0;
    let pageState: string | undefined;
    do {
      const page: cassandraDriver.types.ResultSet = await this.client.execute(
        HISTORY,
        [CONTEXT, '', TYPE, id, bucket, 0],
        { fetchSize, isIdempotent: true, ...(pageState === undefined ? {} : { pageState }) },
      );
      for (const row of page.rows) {
        const event = {
          at: (row['event_time'] as Date).getTime(),
          stream: row['stream'] as string,
          sequence: Number(row['sequence']),
          name: row['name'] as string,
          processingId: String(row['processing_id']),
          version: row['version'] as string,
          parameters: JSON.parse(row['content'] as string) as { readonly wattage: number },
        };
        if (event.parameters.wattage > 0) events++;
      }
      pageState = (page.pageState as string | null | undefined) ?? undefined;
    } while (pageState !== undefined);
    return events;
  }

  async dropKeyspace(): Promise<void> {
    await this.client.execute(`DROP KEYSPACE ${this.keyspace}`);
  }

  close(): Promise<void> {
    return this.client.shutdown();
  }
}

export const bucketOf = (at: number): number => Math.floor(at / YEAR_MS);

function rowOf(i: number, aggregate: number): Row {
  const record = recordOf(i, aggregate);
  const { aggregateId: id, eventTimestamp: at, streamId, name, version } = record;
  const bucket = bucketOf(at);
  const content = JSON.stringify(record.parameters);
  const digest = createHash('sha256').update(content).digest();
  const processingId = types.TimeUuid.now();
  return {
    id,
    bucket,
    params: [
      ...[CONTEXT, '', TYPE, id, bucket, 0, at, streamId, -1, name, digest],
      ...[processingId, version, undefined, content, undefined],
    ],
    logged: [String(processingId), TYPE, id, name, version, String(at), streamId, content].join('\u0000'),
  };
}

function historiesOf(rows: readonly Row[]): Map<string, Row[]> {
  const histories = new Map<string, Row[]>();
  for (const row of rows) {
    const of = histories.get(row.id);
    if (of === undefined) histories.set(row.id, [row]);
    else of.push(row);
  }
  return histories;
}

/** So many at once. */
export async function allOf(works: readonly (() => Promise<unknown>)[], atOnce: number): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < works.length) await works[next++]!();
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, works.length) }, lane));
}
