/**
 * Values that JSON cannot hold, through declared codecs: how a property of an event class is written on the wire and
 * read back. An event without a codec for such a value is refused with the path (`canonicalJson`).
 */
import { fromBase64, toBase64 } from './base64.js';
import { InvalidEventError } from './errors.js';
import type { WireValue } from './event.js';
import { formatTime, parseEventTime, whyNoTime } from './time.js';

/**
 * One kind of value. `fromWire(toWire(v))` equals `v`, and `toWire` gives equal values one text, so that they have one
 * digest. Both refuse what they do not know with `PARAMETER_TYPE` and the path; neither keeps what it was given.
 */
export interface Codec<T> {
  /** As it is called in messages. */
  readonly name: string;
  /** @throws InvalidEventError `PARAMETER_TYPE` */
  toWire(value: T, path: string): WireValue;
  /** @throws InvalidEventError `PARAMETER_TYPE` */
  fromWire(wire: WireValue, path: string): T;
}

/** 4,096 digits: more than any key or currency needs, and read in microseconds. */
const BIGINT_DIGITS_MAX = 4_096;
const DECIMAL = /^(?:0|-?[1-9]\d*)$/;

function refuse(path: string, what: string, fix: string): never {
  throw new InvalidEventError('PARAMETER_TYPE', `${path} ${what}.`, { fix, details: { path } });
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : `of type ${typeof value}`;
}

/** A Date as ISO text in UTC, 2016-10-12T09:00:00.123Z; reads any date-time that `parseEventTime` takes as text. */
export const dateCodec: Codec<Date> = {
  name: 'date',
  toWire(value, path) {
    if (!(value instanceof Date)) refuse(path, `is ${kindOf(value)}, not a Date`, 'Pass a Date.');
    const why = whyNoTime(value);
    if (why !== undefined) refuse(path, `is refused: ${why}`, 'Pass a Date of the years 1 to 9999.');
    return formatTime(value.getTime());
  },
  fromWire(wire, path) {
    const why = typeof wire === 'string' ? whyNoTime(wire) : `it is ${kindOf(wire)}, not text`;
    if (why !== undefined) refuse(path, `is refused: ${why}`, 'Send a date-time such as 2013-01-01T10:15:00.000Z.');
    return new Date(parseEventTime(wire as string));
  },
};

/** A Date as whole epoch milliseconds. */
export const epochMsCodec: Codec<Date> = {
  name: 'epochMs',
  toWire(value, path) {
    if (!(value instanceof Date)) refuse(path, `is ${kindOf(value)}, not a Date`, 'Pass a Date.');
    const why = whyNoTime(value);
    if (why !== undefined) refuse(path, `is refused: ${why}`, 'Pass a Date of the years 1 to 9999.');
    return value.getTime();
  },
  fromWire(wire, path) {
    const why = typeof wire === 'number' ? whyNoTime(wire) : `it is ${kindOf(wire)}, not a number`;
    if (why !== undefined) refuse(path, `is refused: ${why}`, 'Send whole epoch milliseconds.');
    return new Date(wire as number);
  },
};

/** A bigint as decimal text, without leading zeros; also reads safe integers, as the original writes its small ones. */
export const bigintCodec: Codec<bigint> = {
  name: 'bigint',
  toWire(value, path) {
    if (typeof value !== 'bigint') refuse(path, `is ${kindOf(value)}, not a bigint`, 'Pass a bigint.');
    const text = value.toString();
    if (text.length > BIGINT_DIGITS_MAX) refuse(path, `has more than ${BIGINT_DIGITS_MAX} digits`, 'Send it as bytes.');
    return text;
  },
  fromWire(wire, path) {
    if (typeof wire === 'number' && Number.isSafeInteger(wire)) return BigInt(wire);
    if (typeof wire !== 'string')
      refuse(path, `is ${kindOf(wire)}, not decimal text`, 'Send it as text: "9007199254740993".');
    if (wire.length > BIGINT_DIGITS_MAX) refuse(path, `has more than ${BIGINT_DIGITS_MAX} digits`, 'Send it as bytes.');
    if (!DECIMAL.test(wire))
      refuse(path, 'is no decimal integer', 'Send digits, with - in front when negative: "-12".');
    return BigInt(wire);
  },
};

/** Bytes as base64: standard alphabet, padded, nothing else. */
export const bytesCodec: Codec<Uint8Array> = {
  name: 'bytes',
  toWire(value, path) {
    if (!(value instanceof Uint8Array)) refuse(path, `is ${kindOf(value)}, not bytes`, 'Pass a Uint8Array.');
    return toBase64(value);
  },
  fromWire(wire, path) {
    const bytes = typeof wire === 'string' ? fromBase64(wire) : undefined;
    return (
      bytes ?? refuse(path, 'is no base64 text', 'Send base64 with the standard alphabet (+ and /) and = padding.')
    );
  },
};

/** Each element through another codec. */
export function listCodec<T>(element: Codec<T>): Codec<readonly T[]> {
  return {
    name: `list of ${element.name}`,
    toWire(value, path) {
      if (!Array.isArray(value)) refuse(path, `is ${kindOf(value)}, not an array`, 'Pass an array.');
      return value.map((one: T, i) => element.toWire(one, `${path}[${i}]`));
    },
    fromWire(wire, path) {
      if (!Array.isArray(wire)) refuse(path, `is ${kindOf(wire)}, not an array`, 'Send an array.');
      return wire.map((one: WireValue, i) => element.fromWire(one, `${path}[${i}]`));
    },
  };
}

/** Null stays null, on both sides; everything else goes through another codec. */
export function nullableCodec<T>(value: Codec<T>): Codec<T | null> {
  return {
    name: `${value.name} or null`,
    toWire: (one, path) => (one === null ? null : value.toWire(one, path)),
    fromWire: (wire, path) => (wire === null ? null : value.fromWire(wire, path)),
  };
}
