/**
 * The two tables of the original Concursus (release 0.6, 2016), exactly: what it wrote can be taken in here (`deck-source.ts`),
 * and what is recorded here can be handed on to it (`deck-relay.ts`). One context a keyspace.
 */
import { ConfigurationError } from '@concursus/core';
import { types, type Client } from 'cassandra-driver';
import { translated } from './errors.js';
import { changeSchema, type SchemaOptions } from './schema.js';
import type { CassandraOptions } from './session.js';

/** Where the tables are, and how many lanes the list of aggregates has. */
export interface DeckOptions extends Omit<CassandraOptions, 'keyspace'> {
  /** A keyspace of the original, or one in its form. Never that of `cassandra()`, whose tables have the same names and another form. */
  readonly keyspace: string;
}

/** Name, type and kind of each column. */
const columnsOf: Readonly<Record<'event' | 'catalogue', readonly string[]>> = {
  event: [
    'aggregateid text partition_key none',
    'aggregatetype text partition_key none',
    'characteristics int regular none',
    'eventtimestamp timestamp clustering desc',
    'name text regular none',
    'parameters map<text, text> regular none',
    'processingid timeuuid regular none',
    'streamid text clustering asc',
    'version text regular none',
  ],
  catalogue: [
    'aggregateid text clustering desc',
    'aggregatetype text partition_key none',
    'bucket int partition_key none',
  ],
};

const TABLES = [
  `CREATE TABLE IF NOT EXISTS event (
    aggregatetype text, aggregateid text, eventtimestamp timestamp, streamid text,
    characteristics int, name text, processingid timeuuid, version text, parameters map<text, text>,
    PRIMARY KEY ((aggregatetype, aggregateid), eventtimestamp, streamid))
    WITH CLUSTERING ORDER BY (eventtimestamp DESC, streamid ASC)`,
  `CREATE TABLE IF NOT EXISTS catalogue (
    aggregatetype text, bucket int, aggregateid text,
    PRIMARY KEY ((aggregatetype, bucket), aggregateid))
    WITH CLUSTERING ORDER BY (aggregateid DESC)`,
];

const COLUMNS =
  'SELECT column_name, type, kind, clustering_order FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?';

/**
 * Makes the tables where they are missing, or with `createSchema: false` only looks.
 * @throws ConfigurationError `SCHEMA_MISMATCH` when they are not those of the original
 */
export async function openDeckTables(
  keyspace: string,
  options: SchemaOptions,
  connect: (keyspace: string | undefined) => Client,
): Promise<void> {
  const client = connect(undefined);
  try {
    await client.connect();
    // Looked at before anything is made: what has another form is not added to.
    const mayMake = options.createSchema !== false;
    if (await areThere(client, keyspace, mayMake)) return;
    await changeSchema(client, keyspace, options, TABLES);
    await areThere(client, keyspace, false);
  } catch (error) {
    throw translated(error);
  } finally {
    await client.shutdown().catch(() => undefined);
  }
}

/** Whether both tables are there; one that has another form is refused, and a missing one unless it may be made. */
async function areThere(client: Client, keyspace: string, mayMake: boolean): Promise<boolean> {
  let there = true;
  for (const table of ['event', 'catalogue'] as const) {
    const found = await client.execute(COLUMNS, [keyspace, table], {
      prepare: true,
      consistency: types.consistencies.localOne,
      isIdempotent: true,
    });
    const columns = found.rows.map((row) =>
      ['column_name', 'type', 'kind', 'clustering_order'].map((column) => row[column] as string).join(' '),
    );
    if (columns.length === 0 && mayMake) there = false;
    else if (columns.sort().join() !== [...columnsOf[table]].sort().join()) throw notTheDecks(keyspace, table, columns);
  }
  return there;
}

function notTheDecks(keyspace: string, table: string, columns: readonly string[]): ConfigurationError {
  const what = columns.length === 0 ? 'is not there' : `has other columns: ${columns.join(', ')}`;
  return new ConfigurationError('SCHEMA_MISMATCH', `The table "${keyspace}.${table}" of the original ${what}.`, {
    fix: 'Name the keyspace that the original wrote, or one of its own that is empty.',
    details: { keyspace, table },
  });
}

/** The lane of an id in the original's list: Java's hash of the text, whose least value stays negative. */
export function laneInCatalogue(id: string, lanes: number): number {
  let hash = 0;
  for (let i = 0; i < id.length; i++) hash = (Math.imul(hash, 31) + id.charCodeAt(i)) | 0;
  return ((hash === -2_147_483_648 ? hash : Math.abs(hash)) % lanes) | 0;
}
