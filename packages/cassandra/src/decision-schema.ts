/**
 * The tables of decisions. Rows of `decision` are written conditionally and in no other way, those of `decision_copied`
 * plainly, with the head as their write timestamp: so a mark never goes back, whoever writes it last.
 */

/** Statements without a keyspace. */
export const decisionTables: readonly string[] = [
  // One partition an aggregate, so that one condition holds for all of it: how its decisions stand, with the events of the
  // last of them until the next, and a row for each command that was decided.
  `CREATE TABLE IF NOT EXISTS decision (
    context text, tenant text, type text, id text, command text,
    head bigint static, epoch bigint static, facts text static,
    result text, attempt text,
    PRIMARY KEY ((context, tenant, type, id), command))`,
  // Up to which decision the events are in the history.
  `CREATE TABLE IF NOT EXISTS decision_copied (
    context text, tenant text, type text, id text, head bigint,
    PRIMARY KEY ((context, tenant, type, id)))`,
];
