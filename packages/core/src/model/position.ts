/**
 * A place in the feed: opaque, versioned, serialisable, partially ordered. One number on single-writer stores,
 * one processing time on Cassandra, offsets on Kafka: so only `covers` and `join` may be asked.
 */
import { InvalidEventError } from './errors.js';

export interface Position {
  /** True when everything before `other` is also before this. Not both ways round: two positions may be incomparable. */
  covers(other: Position): boolean;
  /** The least position that covers both. */
  join(other: Position): Position;
  /** The stored form, with its version in front. `EventFeed.parsePosition` reads it back. */
  toString(): string;
}

/** The position of stores with one writer at a time: how many facts of the context come before it. */
export class OrdinalPosition implements Position {
  constructor(readonly ordinal: number) {}

  covers(other: Position): boolean {
    return this.ordinal >= OrdinalPosition.of(other).ordinal;
  }

  join(other: Position): Position {
    return this.covers(other) ? this : other;
  }

  toString(): string {
    return `o1:${this.ordinal}`;
  }

  static of(position: Position): OrdinalPosition {
    if (position instanceof OrdinalPosition) return position;
    return OrdinalPosition.parse(position.toString());
  }

  /** @throws InvalidEventError `INVALID_POSITION` when the text is not a position of this kind. */
  static parse(text: string): OrdinalPosition {
    const match = /^o1:(0|[1-9]\d{0,15})$/.exec(text);
    const ordinal = match === null ? Number.NaN : Number(match[1]);
    if (!Number.isSafeInteger(ordinal)) {
      throw new InvalidEventError('INVALID_POSITION', `"${text.slice(0, 80)}" is not a position of this store.`, {
        fix: 'Pass a position that this store returned; positions of one store mean nothing to another.',
      });
    }
    return new OrdinalPosition(ordinal);
  }
}
