/** Numbers by which data was spread when it was written: kept beside it, and refused when a process has others. */
import { schemaMismatch } from './errors.js';
import type { Session } from './session.js';

const READ = 'SELECT value FROM layout WHERE context = ? AND name = ?';
const WRITE = 'INSERT INTO layout (context, name, value) VALUES (?, ?, ?) IF NOT EXISTS';

/**
 * Keeps `value` under `name` for the session's context, or finds it there.
 * @throws ConfigurationError `SCHEMA_MISMATCH` when another value is kept
 */
export async function keepLayout(session: Session, name: string, value: string): Promise<void> {
  const key = [session.context, name];
  const read = async (): Promise<string | undefined> =>
    ((await session.readSerial(READ, key)).first()?.get('value') as string | undefined) ?? undefined;
  let found = await read();
  if (found === undefined) {
    const wrote = { query: WRITE, params: [...key, value] };
    const outcome = await session.conditional(
      wrote,
      `the layout of ${name} was kept`,
      async () => (await read()) === value,
    );
    found = outcome.applied ? value : await read();
  }
  if (found === value) return;
  throw schemaMismatch(session.keyspace, `keeps ${name} of context "${session.context}" as ${found}, not as ${value}.`);
}
