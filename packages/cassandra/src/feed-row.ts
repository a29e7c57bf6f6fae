/**
 * How the log of a writer is packed. What is logged at once, a unit, is one row, or several in sequence when it is large;
 * it counts when all of its rows are there. Texts are joined by NUL, which is in no field: ids and names cannot hold it,
 * and JSON escapes it.
 */
import { Fact, formatProcessingId, type Metadata, type ProcessingTime } from '@concursus/core';
import { timeOf, timeText } from './processing-times.js';

/** One recorded fact, stamped. */
export interface LoggedFact {
  readonly fact: Fact;
  readonly time: ProcessingTime;
  /** Its place in its append. */
  readonly index: number;
  /** Known to stand behind a later key of its history. */
  readonly late: boolean;
}

/** What a row says without being unpacked. */
export interface Span {
  readonly first: ProcessingTime;
  readonly last: ProcessingTime;
  /** Whoever recorded it had seen everything up to here before: only behind it may somebody have recorded the same. */
  readonly floor: ProcessingTime;
  /** A unit begins with this row. */
  readonly starts: boolean;
  /** The unit goes on in the next row. */
  readonly continues: boolean;
}

export interface FeedRow extends Span {
  readonly seq: number;
  readonly facts: readonly LoggedFact[];
}

/** A row that was not written yet. */
export interface PackedRow {
  readonly span: string;
  readonly facts: string;
}

/** Characters of a row, about. A row of one large fact is larger. */
const ROW_CHARACTERS = 131_072;
const FIELDS = 14;
const SEPARATOR = '\u0000';

export function packSpan(span: Span): string {
  return `${timeText(span.first)} ${timeText(span.last)} ${timeText(span.floor)} ${span.starts ? 1 : 0} ${span.continues ? 1 : 0}`;
}

export function unpackSpan(text: string): Span {
  const [first, last, floor, starts, continues] = text.split(' ') as [string, string, string, string, string];
  return {
    first: timeOf(first),
    last: timeOf(last),
    floor: timeOf(floor),
    starts: starts === '1',
    continues: continues === '1',
  };
}

/** The rows of one unit. @param logged in the order of their ids, not empty */
export function packUnit(logged: readonly LoggedFact[], floor: ProcessingTime): PackedRow[] {
  const rows: PackedRow[] = [];
  let start = 0;
  let fields: string[] = [];
  let characters = 0;
  for (let i = 0; i < logged.length; i++) {
    const { fact, time, index, late } = logged[i]!;
    const before = i === start ? undefined : logged[i - 1]!.time;
    fields.push(
      before !== undefined && before.ms === time.ms && before.tick === time.tick ? '' : timeText(time),
      String(index),
      late ? '1' : '',
      fact.tenant,
      fact.aggregateType,
      fact.aggregateId,
      fact.name,
      fact.version,
      String(fact.eventTime),
      fact.streamId,
      String(fact.sequence),
      String(fact.characteristics),
      fact.content,
      metadataText(fact.metadata) ?? '',
    );
    characters += fact.content.length + fact.aggregateId.length + 100;
    const isLast = i === logged.length - 1;
    if (!isLast && characters < ROW_CHARACTERS) continue;
    const span = packSpan({ first: logged[start]!.time, last: time, floor, starts: start === 0, continues: !isLast });
    rows.push({ span, facts: fields.join(SEPARATOR) });
    start = i + 1;
    fields = [];
    characters = 0;
  }
  return rows;
}

export function unpackRow(node: string, seq: number, spanText: string, text: string): FeedRow {
  const span = unpackSpan(spanText);
  const fields = text.split(SEPARATOR);
  const facts: LoggedFact[] = [];
  let time = span.first;
  for (let i = 0; i + FIELDS <= fields.length; i += FIELDS) {
    if (fields[i] !== '') time = timeOf(fields[i]!);
    const index = Number(fields[i + 1]);
    const fact = new Fact(
      {
        tenant: fields[i + 3]!,
        aggregateType: fields[i + 4]!,
        aggregateId: fields[i + 5]!,
        name: fields[i + 6]!,
        version: fields[i + 7]!,
        eventTime: Number(fields[i + 8]),
        streamId: fields[i + 9]!,
        sequence: Number(fields[i + 10]),
        characteristics: Number(fields[i + 11]),
        content: fields[i + 12]!,
        metadata: metadataOf(fields[i + 13]!),
      },
      formatProcessingId(time, index, node),
      time.ms,
    );
    facts.push({ fact, time, index, late: fields[i + 2] === '1' });
  }
  return { ...span, seq, facts };
}

/** As a column keeps it; undefined when there is none. */
export function metadataText(metadata: Metadata | undefined): string | undefined {
  return metadata === undefined ? undefined : JSON.stringify(metadata);
}

export function metadataOf(text: string | null): Metadata | undefined {
  return text === null || text === '' ? undefined : (JSON.parse(text) as Metadata);
}
