/**
 * The tables of a keyspace: made or verified when a layer connects. Changes are a list that only grows; how far a keyspace
 * is stands in its row of `schema_version`, so that no version works on tables of another.
 */
import { SystemClock } from '@concursus/core';
import { errors, types, type Client } from 'cassandra-driver';
import { schemaMismatch, translated } from './errors.js';
import { decisionTables } from './decision-schema.js';
import { eventTables } from './event-schema.js';
import { viewTables } from './view-schema.js';

/** What `openSchema` needs to know of the layer's options. */
export interface SchemaOptions {
  readonly createSchema?: boolean;
  readonly replication?: Readonly<Record<string, string | number>>;
}

/** Each step of a keyspace's life: statements that may be carried out again. A step that was published is never changed. */
const steps: readonly (readonly string[])[] = [[...eventTables, ...viewTables], decisionTables];

const ROW_OF_THE_STORE = 'concursus';
const VERSION_TABLE = 'CREATE TABLE IF NOT EXISTS schema_version (name text PRIMARY KEY, version int)';
const DEFAULT_REPLICATION = { class: 'SimpleStrategy', replication_factor: 1 };
/** A schema change waits for all nodes to agree, which takes seconds on a busy cluster. */
const STATEMENT_MS = 30_000;
/** While others change the schema, a server may fail on tables that it has heard of and not opened yet. */
const CHANGING_MS = 30_000;
const CHANGING_PAUSE_MS = 100;

/**
 * Makes what is missing, or with `createSchema: false` only looks. Several processes may do it at once.
 * @throws ConfigurationError `SCHEMA_MISMATCH` @throws UnavailableError `STORE_UNREACHABLE`, `TIMEOUT`
 */
export async function openSchema(
  keyspace: string,
  options: SchemaOptions,
  connect: (keyspace: string | undefined) => Client,
): Promise<void> {
  if (!/^[A-Za-z]\w{0,47}$/.test(keyspace)) throw schemaMismatch(keyspace, 'is no name Cassandra takes.');
  const client = connect(undefined);
  try {
    await client.connect();
    await whileChanging(() => makeOrLook(client, keyspace, options));
  } catch (error) {
    throw translated(error);
  } finally {
    await client.shutdown().catch(() => undefined);
  }
}

/** Every part of it may be done again. */
async function makeOrLook(client: Client, keyspace: string, options: SchemaOptions): Promise<void> {
  const found = await versionOf(client, keyspace);
  if (found === steps.length) return;
  if (found !== undefined && found > steps.length) {
    throw schemaMismatch(keyspace, `has version ${found}; this package knows versions up to ${steps.length}.`);
  }
  if (options.createSchema === false) {
    throw schemaMismatch(
      keyspace,
      found === undefined
        ? 'has no tables of this package, and createSchema is false.'
        : `has version ${found} and not ${steps.length}, and createSchema is false.`,
    );
  }
  await create(client, keyspace, options, found ?? 0);
}

/** Again while the server only stumbles, which is what it does when several processes make the same tables. */
async function whileChanging(work: () => Promise<void>): Promise<void> {
  const clock = new SystemClock();
  const untilMs = clock.monotonicMs() + CHANGING_MS;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const stumbled =
        error instanceof errors.ResponseError && error.code === Number(types.responseErrorCodes.serverError);
      if (!stumbled || clock.monotonicMs() >= untilMs) throw error;
    }
    await clock.sleep(CHANGING_PAUSE_MS);
  }
}

/** How far a keyspace is; undefined when it, or its version, is not there. */
async function versionOf(client: Client, keyspace: string): Promise<number | undefined> {
  const tables = await client.execute(
    'SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?',
    [keyspace, 'schema_version'],
    { prepare: true, consistency: types.consistencies.localOne, isIdempotent: true },
  );
  if (tables.rowLength === 0) return undefined;
  try {
    const rows = await client.execute(
      `SELECT version FROM "${keyspace}".schema_version WHERE name = ?`,
      [ROW_OF_THE_STORE],
      { prepare: true, consistency: types.consistencies.localSerial, isIdempotent: true },
    );
    return (rows.first() as types.Row | null)?.get('version') as number | undefined;
  } catch (error) {
    // A table that another process is making right now is listed a moment before it can be asked.
    if (error instanceof errors.ResponseError && error.code === Number(types.responseErrorCodes.invalid))
      return undefined;
    throw error;
  }
}

async function create(client: Client, keyspace: string, options: SchemaOptions, from: number): Promise<void> {
  await changeSchema(client, keyspace, options, [VERSION_TABLE, ...steps.slice(from).flat()]);
  // Conditional, so that a process of an older version, slower than one of a newer, does not set it back.
  const set = { prepare: true, isIdempotent: false, serialConsistency: types.consistencies.localSerial };
  const table = `"${keyspace}".schema_version`;
  if (from === 0) {
    await client.execute(
      `INSERT INTO ${table} (name, version) VALUES (?, ?) IF NOT EXISTS`,
      [ROW_OF_THE_STORE, steps.length],
      set,
    );
  } else {
    await client.execute(
      `UPDATE ${table} SET version = ? WHERE name = ? IF version = ?`,
      [steps.length, ROW_OF_THE_STORE, from],
      set,
    );
  }
  const found = await versionOf(client, keyspace);
  if (found !== steps.length) {
    throw schemaMismatch(keyspace, `got version ${found ?? 'none'} from another process, not ${steps.length}.`);
  }
}

/** Makes a keyspace and tables in it, where they are not there yet. @param tables `CREATE TABLE IF NOT EXISTS` without a keyspace */
export async function changeSchema(
  client: Client,
  keyspace: string,
  options: SchemaOptions,
  tables: readonly string[],
): Promise<void> {
  const replication = Object.entries(options.replication ?? DEFAULT_REPLICATION)
    .map(([key, value]) => `'${quoted(key)}': '${quoted(String(value))}'`)
    .join(', ');
  const change = (statement: string): Promise<types.ResultSet> =>
    client.execute(statement, [], { prepare: false, isIdempotent: true, readTimeout: STATEMENT_MS });
  await change(`CREATE KEYSPACE IF NOT EXISTS "${keyspace}" WITH replication = { ${replication} }`);
  for (const table of tables) await change(inKeyspace(table, keyspace));
}

/** `CREATE TABLE IF NOT EXISTS name` in a keyspace. */
function inKeyspace(statement: string, keyspace: string): string {
  return statement.replace(/^(CREATE TABLE IF NOT EXISTS )(\w+)/, `$1"${keyspace}".$2`);
}

function quoted(text: string): string {
  return text.replaceAll("'", "''");
}
