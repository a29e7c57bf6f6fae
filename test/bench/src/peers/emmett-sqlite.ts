/** emmett's SQLite store, driven as its documentation shows. Its calls share one connection that each of them closes: nothing can be in flight. */
import { join } from 'node:path';
import { AGGREGATES, idAt, recordOf } from '../model.js';
import { load } from './peer.js';

interface EmmettSqlite {
  getSQLiteEventStore(options: { readonly fileName: string }): {
    appendToStream(id: string, events: readonly object[]): Promise<unknown>;
  };
}

export interface SqlitePeer {
  /** Events `from` to `to - 1` of one aggregate. */
  append(from: number, to: number): Promise<unknown>;
}

export async function emmettSqlite(folder: string): Promise<SqlitePeer> {
  const library = await load<EmmettSqlite>('emmett-sqlite');
  const store = library.getSQLiteEventStore({ fileName: join(folder, 'emmett.db') });
  return {
    append: (from, to) => {
      const events = Array.from({ length: to - from }, (_, i) => {
        const record = recordOf(from + i);
        return { type: record.name, data: record.parameters, metadata: { ts: record.eventTimestamp } };
      });
      return store.appendToStream(`lightbulb-${idAt(Math.floor(from / (to - from)) % AGGREGATES)}`, events);
    },
  };
}
