/**
 * Cuts a body into lines, one `StreamBatch` a chunk, so that a line costs no promise and the memory of one chunk. Blank
 * lines are counted and left out; a line over the limit is hashed while it passes, and only its beginning is kept.
 */
import { createHash, type Hash } from 'node:crypto';
import { InvalidEventError, limits, StreamBatch, type RawInput } from '@concursus/core';

const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** A line too long to hold: what is kept of it. */
class LongLine {
  readonly hash: Hash = createHash('sha256');
  readonly head: Buffer[] = [];
  headBytes = 0;
  bytes = 0;

  add(part: Buffer): void {
    this.hash.update(part);
    this.bytes += part.length;
    if (this.headBytes >= limits.quarantineBytes) return;
    // A copy: the chunk it is part of must not stay in memory with it.
    const kept = Buffer.from(part.subarray(0, limits.quarantineBytes - this.headBytes));
    this.head.push(kept);
    this.headBytes += kept.length;
  }
}

function isBlank(line: Uint8Array): boolean {
  for (let i = 0; i < line.length; i++) {
    const byte = line[i]!;
    if (byte !== 0x20 && byte !== 0x09 && byte !== RETURN) return false;
  }
  return true;
}

export class LineSplitter {
  private line = 0;
  private held: Buffer[] = [];
  private heldBytes = 0;
  private long: LongLine | undefined;

  /** @param source names the sender for the quarantine */
  constructor(private readonly source: string) {}

  /** The lines that end in this chunk. */
  push(chunk: Buffer): RawInput[] {
    const lines: RawInput[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      this.endLine(chunk.subarray(start, end), lines);
      start = end + 1;
    }
    if (start < chunk.length) this.hold(chunk.subarray(start));
    return lines;
  }

  /** The last line, when no newline ended it. */
  flush(): RawInput[] {
    const lines: RawInput[] = [];
    if (this.heldBytes > 0 || this.long !== undefined) this.endLine(Buffer.alloc(0), lines);
    return lines;
  }

  private hold(part: Buffer): void {
    if (this.long !== undefined) {
      this.long.add(part);
      return;
    }
    this.held.push(part);
    this.heldBytes += part.length;
    // One more byte than allowed may be the return of a line that is just short enough.
    if (this.heldBytes <= limits.inputBytes + 1) return;
    this.long = new LongLine();
    for (const each of this.held) this.long.add(each);
    this.held = [];
    this.heldBytes = 0;
  }

  private endLine(end: Buffer, lines: RawInput[]): void {
    this.line++;
    let whole = end;
    if (this.long !== undefined || this.heldBytes > 0) {
      this.hold(end);
      if (this.long !== undefined) {
        lines.push(this.refused(this.long));
        this.long = undefined;
        return;
      }
      whole = this.held.length === 1 ? this.held[0]! : Buffer.concat(this.held, this.heldBytes);
      this.held = [];
      this.heldBytes = 0;
    }
    if (whole.length > 0 && whole[whole.length - 1] === RETURN) whole = whole.subarray(0, whole.length - 1);
    if (whole.length === 0 || (whole[0]! <= 0x20 && isBlank(whole))) return;
    if (whole.length > limits.inputBytes) {
      const long = new LongLine();
      long.add(whole);
      lines.push(this.refused(long));
      return;
    }
    lines.push({ bytes: whole, line: this.line, source: this.source });
  }

  private refused(long: LongLine): RawInput {
    return {
      bytes: Buffer.concat(long.head, long.headBytes),
      line: this.line,
      source: this.source,
      sizeBytes: long.bytes,
      digest: long.hash.digest('hex'),
      error: new InvalidEventError(
        'LIMIT_EXCEEDED',
        `The line has ${long.bytes} bytes; ${limits.inputBytes} are allowed.`,
        {
          fix: 'Send one report a line; the beginning of this one is kept in the quarantine.',
        },
      ),
    };
  }
}

/** All lines of a body. When the body fails, so does this, after every complete line before the break; the cut one is left out. */
export async function* ndjsonLines(
  chunks: AsyncIterable<Buffer>,
  source: string,
): AsyncGenerator<StreamBatch<RawInput>> {
  const splitter = new LineSplitter(source);
  for await (const chunk of chunks) {
    const lines = splitter.push(chunk);
    if (lines.length > 0) yield new StreamBatch(lines);
  }
  const last = splitter.flush();
  if (last.length > 0) yield new StreamBatch(last);
}
