/**
 * The tables of views, owner rows, snapshots and quarantine. Rows that are written conditionally (`owned`, `view_owner`,
 * `quarantine_source`, `quarantine_digest`, `quarantine_last`, `layout`) are written in no other way: the two kinds of
 * writes order themselves by different clocks.
 */

/** Slots of a record: a reader stays consistent while its record is committed three times. */
export const SLOTS = ['a', 'b', 'c', 'd'] as const;

const slots = SLOTS.map((slot) => `${slot} text`).join(', ');

/** Statements without a keyspace. */
export const viewTables: readonly string[] = [
  // Numbers that decide where things stand, and so never change in a keyspace.
  `CREATE TABLE IF NOT EXISTS layout (
    context text, name text, value text,
    PRIMARY KEY ((context, name)))`,
  // One partition a name: who owns it, its checkpoint, and the heads of the views that it commits. So that one condition can
  // hold for the owner's epoch and for a head at once.
  `CREATE TABLE IF NOT EXISTS owned (
    context text, name text, view_id text,
    owner text static, epoch int static, beat int static, value text static,
    version text, state text,
    PRIMARY KEY ((context, name), view_id))`,
  // Under which name each view is committed; written once.
  `CREATE TABLE IF NOT EXISTS view_owner (
    context text, name text, version int, slice int, owner text,
    PRIMARY KEY ((context, name), version, slice))`,
  // Every keyed record of a view, by kind and hash in parts; versions in slots, each "run.n|text".
  `CREATE TABLE IF NOT EXISTS view_record (
    context text, view_id text, part text, key text, ${slots},
    PRIMARY KEY ((context, view_id, part), key))`,
  // Changes by the sequence of the first in an entry, in blocks; "run.n|text".
  `CREATE TABLE IF NOT EXISTS view_change (
    context text, view_id text, reset int, block int, first bigint, entry text,
    PRIMARY KEY ((context, view_id, reset, block), first))`,
  // Where the runs before those in a head ended.
  `CREATE TABLE IF NOT EXISTS view_seal (
    context text, view_id text, number int, seals text,
    PRIMARY KEY ((context, view_id), number))`,
  `CREATE TABLE IF NOT EXISTS snapshot (
    context text, tenant text, type text, id text, reducer int, fold_key text, content text,
    PRIMARY KEY ((context, tenant, type, id, reducer), fold_key))
    WITH CLUSTERING ORDER BY (fold_key DESC)`,
  `CREATE TABLE IF NOT EXISTS quarantine_last (
    context text PRIMARY KEY, last bigint)`,
  `CREATE TABLE IF NOT EXISTS quarantine_source (
    context text, source text, usage text,
    PRIMARY KEY ((context, source)))`,
  // The truth of an item: its head, and how often it came.
  `CREATE TABLE IF NOT EXISTS quarantine_digest (
    context text, source text, digest text, id text, head text, count bigint, last_at bigint,
    PRIMARY KEY ((context, source, digest)))`,
  // Where an id's item is; one without an item is a put that did not get far.
  `CREATE TABLE IF NOT EXISTS quarantine_item (
    context text, block int, id text, source text, digest text,
    PRIMARY KEY ((context, block), id))`,
  `CREATE TABLE IF NOT EXISTS quarantine_body (
    context text, id text, bytes blob,
    PRIMARY KEY ((context, id)))`,
];
