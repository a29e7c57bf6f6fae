/**
 * Commits a view as fast as it can until it is killed or loses its owner row: commit n adds one to some rows, says so in a note
 * and in changes. Says each commit that was acknowledged on its output. Arguments: keyspace, context, a name of its own.
 */
import { ConflictError, UnavailableError, type ViewCommit } from '@concursus/core';
import { CassandraCheckpointStore } from '../src/cassandra-checkpoint-store.js';
import { CassandraViewStore } from '../src/cassandra-view-store.js';
import { Session } from '../src/session.js';
import { KILLED_VIEW, KILLS_OWNER, rowsOfCommit } from './kills-model.js';
import { contextOf, specOptions } from './support.js';

const [keyspace = '', context = '', name = ''] = process.argv.slice(2);
const session = new Session(specOptions({ keyspace }), contextOf(context));
await session.connect();
const views = new CassandraViewStore(session, 1_000_000);
const checkpoints = new CassandraCheckpointStore(session);

let row;
while (row === undefined) {
  row = await checkpoints.claim(KILLS_OWNER, name, await checkpoints.readOwner(KILLS_OWNER));
}
const { epoch } = row;
let expected = await views.readCheckpoint(KILLED_VIEW);
let n = expected === undefined ? 0 : Number(expected);
process.stdout.write(`owner ${epoch}\n`);
try {
  for (;;) {
    n += 1;
    const keys = rowsOfCommit(n);
    const before = await views.readRows(KILLED_VIEW, keys);
    const [sum] = await views.readNotes(KILLED_VIEW, 'sum');
    const rows = keys.map((key, i) => ({
      key,
      revision: (before[i]?.revision ?? 0) + 1,
      contributors: 1,
      fields: { count: ((before[i]?.fields['count'] as number | undefined) ?? 0) + 1, by: name },
    }));
    const commit: ViewCommit = {
      view: KILLED_VIEW,
      owner: KILLS_OWNER,
      epoch,
      expected,
      checkpoint: String(n),
      rows,
      contributions: [{ aggregate: { tenant: '', type: 'commit', id: String(n) }, value: keys.length }],
      // Added and removed in turn, so that removed records take part.
      forget: n % 3 === 0 ? [{ tenant: '', type: 'commit', id: String(n - 1) }] : [],
      indexAdd: keys.map((key) => ({ row: key, field: 'n', order: 'last', value: n })),
      indexRemove: [],
      changes: rows.map(({ key, revision, fields }, i) => ({
        key,
        revision,
        retract: before[i]?.fields ?? null,
        assert: fields,
        cause: [],
      })),
      notes: [{ key: 'sum', value: ((sum?.value as number | undefined) ?? 0) + keys.length }],
    };
    await views.commit(commit);
    expected = commit.checkpoint;
    process.stdout.write(`done ${n}\n`);
  }
} catch (error) {
  // Whoever was paused for longer than a request may take finds its requests timed out.
  if (!(error instanceof ConflictError || error instanceof UnavailableError)) throw error;
  process.stdout.write(`${error.code} ${n}\n`);
}
await session.close();
