/**
 * The tables of histories and feed. Rows of `writer` and `seal` are written conditionally and in no other way; all others
 * plainly, each time with the same values, so that writing one again changes nothing.
 */

/** One fact as a row keeps it, beside its key. */
const factColumns = 'version text, characteristics int, content text, metadata text';

/** `CREATE TABLE IF NOT EXISTS` statements without a keyspace. */
export const eventTables: readonly string[] = [
  // A history: buckets of event time, each over shards of bounded size, in key order. Of two ids of one content the lesser counts.
  `CREATE TABLE IF NOT EXISTS event (
    context text, tenant text, type text, id text, bucket int, shard int,
    event_time timestamp, stream text, sequence bigint, name text, digest blob, processing_id timeuuid,
    ${factColumns},
    PRIMARY KEY ((context, tenant, type, id, bucket, shard), event_time, stream, sequence, name, digest, processing_id))`,
  // Which buckets a history has, how wide the last tier of shards of each is, and the last of its facts that is in event_late.
  // Both only grow: the write timestamp of a width is the width, that of an id its time.
  `CREATE TABLE IF NOT EXISTS event_bucket (
    context text, tenant text, type text, id text, bucket int, width int, listed timeuuid,
    PRIMARY KEY ((context, tenant, type, id), bucket))`,
  // Some of the facts of each tier, with how many rows and bytes each of them stands for: how full the tier is.
  `CREATE TABLE IF NOT EXISTS event_mark (
    context text, tenant text, type text, id text, bucket int, width int, processing_id timeuuid, rows double, bytes double,
    PRIMARY KEY ((context, tenant, type, id, bucket), width, processing_id))`,
  // All aggregates, in lanes, each in the order of their keys.
  `CREATE TABLE IF NOT EXISTS aggregate_list (
    context text, lane int, tenant text, type text, id text,
    PRIMARY KEY ((context, lane), tenant, type, id))`,
  // Facts that were recorded behind a later key, and corrections, in recorded order; and, without their content, those
  // that were recorded while others recorded, so that it cannot be told.
  `CREATE TABLE IF NOT EXISTS event_late (
    context text, tenant text, type text, id text, bucket int, shard int, processing_id timeuuid,
    event_time timestamp, stream text, sequence bigint, name text, ${factColumns},
    PRIMARY KEY ((context, tenant, type, id, bucket, shard), processing_id))`,
  // Read whole, so one partition.
  `CREATE TABLE IF NOT EXISTS event_correction (
    context text, tenant text, type text, id text,
    event_time timestamp, stream text, sequence bigint, name text, digest blob, processing_id timeuuid,
    ${factColumns},
    PRIMARY KEY ((context, tenant, type, id), event_time, stream, sequence, name, digest, processing_id))`,
  // The slices that have corrections: one row read tells of thousands of aggregates that they have none.
  `CREATE TABLE IF NOT EXISTS corrected_slice (
    context text, part int, slice int,
    PRIMARY KEY ((context, part), slice))`,
  // How often facts came again: a row for each that a process brought again, beside the facts.
  `CREATE TABLE IF NOT EXISTS event_repeat (
    context text, tenant text, type text, id text, bucket int, shard int,
    event_time timestamp, stream text, sequence bigint, name text, digest blob, node text, number bigint, count int,
    PRIMARY KEY ((context, tenant, type, id, bucket, shard), event_time, stream, sequence, name, digest, node, number))`,
  // What each writer counted of each source, over all of its time.
  `CREATE TABLE IF NOT EXISTS source_count (
    context text, lane int, stream text, node text, repeated bigint, conflicting bigint,
    PRIMARY KEY ((context, lane), stream, node))`,
  // Writers that live, or whose end is not settled: see writer.ts.
  `CREATE TABLE IF NOT EXISTS writer (
    context text, lane int, node text,
    beat bigint, lease_ms int, started text, closed text, issued text, floor text, closed_seq bigint, clock bigint, seal text,
    PRIMARY KEY ((context, lane), node))
    WITH gc_grace_seconds = 86400`,
  // How each former writer ended, numbered without a gap in the order in which that was settled.
  `CREATE TABLE IF NOT EXISTS seal (
    context text, block int, number bigint, node text, seal text,
    PRIMARY KEY ((context, block), number))`,
  // What each writer recorded, in the order in which it did: the feed is these logs merged.
  `CREATE TABLE IF NOT EXISTS feed_log (
    context text, node text, block bigint, seq bigint, span text, facts text,
    PRIMARY KEY ((context, node, block), seq))`,
];
