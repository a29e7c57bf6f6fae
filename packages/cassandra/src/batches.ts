/** Sends many plain writes as small batches of one partition each, side by side. Together they are no unit: a head makes them one. */
import type { Session, Statement } from './session.js';
import type { timestampOf } from './view-head.js';
import { settled } from './view-records.js';

/** Bytes and statements of one batch: Cassandra warns of batches above 5 kB. */
const BATCH_BYTES = 4_000;
const BATCH_STATEMENTS = 64;
/** A batch's cost a statement beside its text. */
const STATEMENT_BYTES = 60;

/** @throws what the first of them threw that failed, when all have ended */
export async function sendAll(
  session: Session,
  statements: readonly Statement[],
  timestamp: ReturnType<typeof timestampOf>,
): Promise<void> {
  const byPartition = new Map<string, Statement[]>();
  for (const statement of statements) {
    const partition = partitionOf(statement);
    const same = byPartition.get(partition);
    if (same === undefined) byPartition.set(partition, [statement]);
    else same.push(statement);
  }
  const sent: Promise<void>[] = [];
  for (const same of byPartition.values()) {
    let batch: Statement[] = [];
    let bytes = 0;
    for (const statement of same) {
      const size = sizeOf(statement);
      if (batch.length > 0 && (bytes + size > BATCH_BYTES || batch.length >= BATCH_STATEMENTS)) {
        sent.push(session.batch(batch, { timestamp }));
        batch = [];
        bytes = 0;
      }
      batch.push(statement);
      bytes += size;
    }
    sent.push(session.batch(batch, { timestamp }));
  }
  await settled(sent);
}

/** Partition keys of both tables: `view_record` (context, view_id, part), `view_change` (context, view_id, reset, block). */
function partitionOf({ query, params }: Statement): string {
  return query.includes('view_change') ? `${String(params[2])}:${String(params[3])}` : String(params[2]);
}

function sizeOf({ params }: Statement): number {
  let bytes = STATEMENT_BYTES;
  for (const value of params.slice(3)) if (typeof value === 'string') bytes += value.length;
  return bytes;
}
