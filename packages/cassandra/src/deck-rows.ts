/**
 * An event as a row of the original, both ways. There each parameter is a text of JSON of its own, and none at all is null;
 * tenant, sequence, metadata and corrections have no column, and one row holds one event of a time and stream.
 */
import { canonicalJson, InvalidEventError, isCorrection, utf8Length, type Fact, type RawInput } from '@concursus/core';
import type { types } from 'cassandra-driver';

/** What a key of a map may have at most. */
const MAP_KEY_BYTES_MAX = 65_535;

/** Why a row of the original cannot hold an event, whatever stands there already; undefined when it can. */
export function whyNotInDeck(fact: Fact): string | undefined {
  if (fact.tenant !== '') return `it is of the tenant "${fact.tenant}", and the tables know no tenants`;
  if (isCorrection(fact)) return 'it is a correction, which only readers of today understand';
  if (fact.sequence !== -1) return `it has the sequence ${fact.sequence}, for which there is no column`;
  for (const name of Object.keys(fact.parameters)) {
    if (utf8Length(name) > MAP_KEY_BYTES_MAX) return `the name of a parameter has more than ${MAP_KEY_BYTES_MAX} bytes`;
  }
  return undefined;
}

/** The column `parameters`: undefined, which writes nothing, when there are none. */
export function deckParameters(fact: Fact): Record<string, string> | undefined {
  const entries = Object.entries(fact.parameters);
  if (entries.length === 0) return undefined;
  return Object.fromEntries(entries.map(([name, value]) => [name, canonicalJson(value)]));
}

/** Whether a row holds this event: the same name and content, however its JSON is written. */
export function holdsFact(row: types.Row, fact: Fact): boolean {
  if (row['name'] !== fact.name || row['version'] !== fact.version) return false;
  try {
    const parameters = Object.entries(parametersOf(row)).map(([name, text]) => [name, JSON.parse(text) as unknown]);
    return canonicalJson(Object.fromEntries(parameters)) === fact.content;
  } catch {
    return false;
  }
}

/**
 * A row as an input of the road: wire JSON, in which each parameter stands as it was written, so that whatever is refused is
 * kept to the digit. What holds no JSON comes with its error, and as the row was.
 */
export function rawInputOf(row: types.Row, line: number, source: string): RawInput {
  const fields = {
    aggregateType: row['aggregatetype'] as string,
    aggregateId: row['aggregateid'] as string,
    name: row['name'] as string | null,
    version: row['version'] as string | null,
    eventTimestamp: (row['eventtimestamp'] as Date).getTime(),
    streamId: row['streamid'] as string,
    processingId: row['processingid'] === null ? '' : String(row['processingid']),
    characteristics: (row['characteristics'] as number | null) ?? 0,
  };
  const written = parametersOf(row);
  for (const [name, text] of Object.entries(written)) {
    try {
      JSON.parse(text);
    } catch (cause) {
      const error = new InvalidEventError(
        'INVALID_JSON',
        `The parameter "${name}" of ${fields.aggregateType} ${fields.aggregateId} holds no JSON.`,
        { fix: 'Correct the row, or record the event as it was meant; the row is kept in the quarantine.', cause },
      );
      return { bytes: Buffer.from(JSON.stringify({ ...fields, parameters: written })), line, source, error };
    }
  }
  // Each text is one whole value, so they may stand side by side.
  const parameters = Object.entries(written).map(([name, text]) => `${JSON.stringify(name)}:${text}`);
  const text = `${JSON.stringify(fields).slice(0, -1)},"parameters":{${parameters.join(',')}}}`;
  return { bytes: Buffer.from(text), line, source };
}

function parametersOf(row: types.Row): Readonly<Record<string, string>> {
  return (row['parameters'] as Record<string, string> | null) ?? {};
}
