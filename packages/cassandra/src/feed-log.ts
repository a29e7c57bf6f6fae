/**
 * The log of one writer, which is the truth of the feed: rows by sequence, in blocks. A row is there before anything else
 * of its unit is written, so who finds a row can carry out the rest.
 */
import type { ProcessingTime } from '@concursus/core';
import { unpackRow, unpackSpan, type FeedRow, type PackedRow, type Span } from './feed-row.js';
import { isAfter, later } from './processing-times.js';
import type { Session } from './session.js';

/** Rows of a partition, of some 128 kB each at most but for large facts: 32 MiB, as a load fills its rows. */
const BLOCK = 256;
/** Rows under way at once, from the first that is not there yet: what a reader must look at behind the last row it sees. */
export const ROWS_UNDER_WAY_MAX = 512;

/** Blocks that one read of a tail asks for: all in which rows can be under way. */
const TAIL_BLOCKS = 3;

const WRITE = 'INSERT INTO feed_log (context, node, block, seq, span, facts) VALUES (?, ?, ?, ?, ?, ?)';
const READ = 'SELECT seq, span, facts FROM feed_log WHERE context = ? AND node = ? AND block = ? AND seq >= ?';
const TAIL = 'SELECT seq, span, facts FROM feed_log WHERE context = ? AND node = ? AND block IN (?, ?, ?) AND seq >= ?';
const SPANS = 'SELECT seq, span FROM feed_log WHERE context = ? AND node = ? AND block = ? AND seq >= ?';
const FIRST = `${SPANS} LIMIT 1`;

/** Rows of a page of a tail: 4 MiB at most but for large facts. */
const TAIL_PAGE = 32;

/** Where a row stands, and what it says without its facts. */
export interface SpanAt extends Span {
  readonly seq: number;
}

export class FeedLog {
  constructor(private readonly session: Session) {}

  /** May be called again with the same row. */
  async write(node: string, seq: number, row: PackedRow): Promise<void> {
    await this.session.execute(WRITE, [this.session.context, node, blockOf(seq), seq, row.span, row.facts]);
  }

  /** Rows from `fromSeq` up to `toSeq`, in pages of at most `fetchSize`. */
  async *rows(node: string, fromSeq: number, toSeq: number, fetchSize: number): AsyncGenerator<readonly FeedRow[]> {
    const { session } = this;
    for (let block = blockOf(fromSeq); block <= blockOf(toSeq); block++) {
      const params = [session.context, node, block, fromSeq];
      for await (const page of session.pages(READ, params, { fetchSize })) {
        const rows: FeedRow[] = [];
        for (const row of page) {
          const seq = Number(row['seq']);
          if (seq > toSeq) break;
          rows.push(unpackRow(node, seq, row['span'] as string, row['facts'] as string));
        }
        if (rows.length > 0) yield rows;
      }
    }
  }

  /** The same rows with their facts, in no order: one read unless very much came. Some may be told twice. */
  async *tail(node: string, fromSeq: number): AsyncGenerator<FeedRow> {
    let last = fromSeq - 1;
    for (let block = blockOf(fromSeq); block <= blockOf(last + ROWS_UNDER_WAY_MAX); block += TAIL_BLOCKS) {
      const params = [this.session.context, node, block, block + 1, block + 2, fromSeq];
      for await (const page of this.session.pages(TAIL, params, { fetchSize: TAIL_PAGE })) {
        for (const row of page) {
          const seq = Number(row['seq']);
          last = Math.max(last, seq);
          yield unpackRow(node, seq, row['span'] as string, row['facts'] as string);
        }
      }
    }
  }

  /** Every row from `fromSeq` on that can be seen, however far a live writer has come. */
  async spansFrom(node: string, fromSeq: number): Promise<readonly SpanAt[]> {
    const found: SpanAt[] = [];
    let last = fromSeq - 1;
    for (let block = blockOf(fromSeq); block <= blockOf(last + ROWS_UNDER_WAY_MAX); block++) {
      for (const row of await this.session.rows(SPANS, [this.session.context, node, block, fromSeq])) {
        last = Number(row['seq']);
        found.push({ seq: last, ...unpackSpan(row['span'] as string) });
      }
    }
    return found;
  }

  /** The last processing time of any row from `fromSeq` on; `otherwise` when there is none. */
  async lastFrom(node: string, fromSeq: number, otherwise: ProcessingTime): Promise<ProcessingTime> {
    let last = otherwise;
    for (const span of await this.spansFrom(node, fromSeq)) last = later(last, span.last);
    return last;
  }

  /** The first row up to `toSeq` that holds something recorded after `time`; `toSeq + 1` when none does. Rows may be missing. */
  async seqAfter(node: string, toSeq: number, time: ProcessingTime): Promise<number> {
    // Rows ascend in time. First the last block that begins at or before the time, then the row within it.
    let low = 0;
    let high = blockOf(toSeq);
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      const first = await this.firstOf(node, middle);
      if (first !== undefined && !isAfter(first.first, time)) low = middle;
      else high = middle - 1;
    }
    const rows = await this.session.rows(SPANS, [this.session.context, node, low, low * BLOCK]);
    for (const row of rows) {
      const seq = Number(row['seq']);
      if (seq > toSeq) break;
      if (isAfter(unpackSpan(row['span'] as string).last, time)) return seq;
    }
    return Math.min((low + 1) * BLOCK, toSeq + 1);
  }

  private async firstOf(node: string, block: number): Promise<Span | undefined> {
    const found = await this.session.execute(FIRST, [this.session.context, node, block, block * BLOCK]);
    const row = found.first();
    return row === null ? undefined : unpackSpan(row['span'] as string);
  }
}

function blockOf(seq: number): number {
  return Math.floor(seq / BLOCK);
}
