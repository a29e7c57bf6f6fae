/**
 * Order-preserving keys: LMDB compares bytes, so a key spells its parts in their order. Texts end in NUL, which ids and
 * names cannot hold; numbers are big endian with the sign flipped. One writer is reused: a key that is viewed allocates nothing.
 */
import { KEY_BYTES_MAX, keyTooLongError } from './errors.js';

const TWO_32 = 4_294_967_296;

export class KeyWriter {
  // Room for a text checked by its length in UTF-16 units: at most three bytes a unit.
  private readonly bytes = Buffer.allocUnsafeSlow(KEY_BYTES_MAX * 4 + 64);
  private at = 0;
  /** By length: a view shows whatever is written, so one of each length is enough. */
  private readonly views: Buffer[] = [];

  /** Forgets the key in hand; `view`s of it become invalid. */
  start(): this {
    this.at = 0;
    return this;
  }

  /** Goes back to a length taken before, to write another end to the same beginning. */
  backTo(length: number): this {
    this.at = length;
    return this;
  }

  get length(): number {
    return this.at;
  }

  /** A text that something follows. It holds no NUL. */
  text(value: string): this {
    this.tail(value);
    this.bytes[this.at++] = 0;
    return this;
  }

  /** A text that something follows and that may hold NUL: 0 becomes 1 1, 1 becomes 1 2, which keeps the order. */
  anyText(value: string): this {
    if (!/[\u0000\u0001]/.test(value)) return this.text(value);
    return this.text(value.replace(/[\u0000\u0001]/g, (c) => (c === '\u0000' ? '\u0001\u0001' : '\u0001\u0002')));
  }

  /** The last text of a key. @throws InvalidEventError `LIMIT_EXCEEDED` */
  tail(value: string): this {
    const length = value.length;
    if (this.at + length > KEY_BYTES_MAX) throw keyTooLongError(`"${value.slice(0, 40)}…"`);
    const { bytes } = this;
    const start = this.at;
    if (length > 48) {
      this.at += bytes.write(value, start, 'utf8');
      return this;
    }
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) {
        this.at = start + bytes.write(value, start, 'utf8');
        return this;
      }
      bytes[start + i] = code;
    }
    this.at = start + length;
    return this;
  }

  /** A safe integer of any sign, 8 bytes. */
  signed(value: number): this {
    const high = Math.floor(value / TWO_32);
    this.bytes.writeUInt32BE((high ^ 0x8000_0000) >>> 0, this.at);
    this.bytes.writeUInt32BE(value - high * TWO_32, this.at + 4);
    this.at += 8;
    return this;
  }

  /** A safe integer from 0, 8 bytes. */
  ordinal(value: number): this {
    const high = Math.floor(value / TWO_32);
    this.bytes.writeUInt32BE(high, this.at);
    this.bytes.writeUInt32BE(value - high * TWO_32, this.at + 4);
    this.at += 8;
    return this;
  }

  uint32(value: number): this {
    this.bytes.writeUInt32BE(value, this.at);
    this.at += 4;
    return this;
  }

  /** Bytes written in hex, such as a digest. */
  hex(value: string): this {
    this.at += this.bytes.write(value, this.at, 'hex');
    return this;
  }

  /** The key, valid until the writer is used again. @throws InvalidEventError `LIMIT_EXCEEDED` */
  view(): Buffer {
    if (this.at > KEY_BYTES_MAX) throw keyTooLongError(`"${this.bytes.toString('utf8', 0, 40)}…"`);
    return (this.views[this.at] ??= this.bytes.subarray(0, this.at));
  }

  /** The key, to keep. @throws InvalidEventError `LIMIT_EXCEEDED` */
  copy(): Buffer {
    return Buffer.from(this.view());
  }
}

/** What `anyText` wrote, without its end. */
export function anyTextOf(written: string): string {
  if (!written.includes('\u0001')) return written;
  return written.replace(/\u0001([\u0001\u0002])/g, (_, second) => (second === '\u0001' ? '\u0000' : '\u0001'));
}

/** The least key above every key that begins with `prefix`. A prefix of 0xff bytes only does not occur. */
export function after(prefix: Uint8Array): Buffer {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  const next = Buffer.from(prefix.subarray(0, length));
  next[length - 1]!++;
  return next;
}

export function readOrdinal(bytes: Uint8Array, at = 0): number {
  const view = bytes as Buffer;
  return view.readUInt32BE(at) * TWO_32 + view.readUInt32BE(at + 4);
}
