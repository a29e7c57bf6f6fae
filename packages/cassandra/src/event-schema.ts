/** The tables of histories and feed, as `CREATE TABLE IF NOT EXISTS` statements without a keyspace. */
export const eventTables: readonly string[] = [];
