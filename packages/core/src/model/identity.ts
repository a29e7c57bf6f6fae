/**
 * What names and ids may be, checked once at the border (`receive`, the registry at boot), and the texts of an
 * identity: aggregate, event time, stream, sequence and name say which fact it is (law 3).
 *
 * Ids and streams come from elsewhere and may hold anything but NUL, which separates parts of keys, and lone
 * surrogates, which UTF-8 cannot express. Names are ours: control characters in them are always a mistake.
 */
import { isForbiddenKey } from './canonical-json.js';
import { InvalidEventError } from './errors.js';
import type { Fact, Metadata } from './event.js';
import { limits } from './limits.js';
import { utf8Length } from './text.js';
import { formatTime } from './time.js';

/** What a name names, as messages call it. */
export type NameKind = 'aggregate type' | 'event name' | 'version' | 'tenant' | 'context';

/** The beginning of a text that is refused, fit to be shown. */
function shown(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}

function checkText(what: string, value: unknown, bytesMax: number, allowed: 'id' | 'name'): asserts value is string {
  if (typeof value !== 'string') {
    throw new InvalidEventError(
      'INVALID_ID',
      `The ${what} is ${value === null ? 'null' : `a ${typeof value}`}, not text.`,
      {
        fix: 'Send it as text.',
      },
    );
  }
  if (value.length > bytesMax) tooLong(what, value, bytesMax);
  const first = allowed === 'id' ? 0x01 : 0x20;
  let ascii = true;
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i);
    if (c < first || (c === 0x7f && allowed === 'name')) {
      const code = `U+${c.toString(16).toUpperCase().padStart(4, '0')}`;
      throw new InvalidEventError('INVALID_ID', `The ${what} ${shown(value)} holds the control character ${code}.`, {
        fix: allowed === 'id' ? 'Remove it: NUL separates the parts of stored keys.' : 'Remove it.',
      });
    }
    if (c > 0x7e) ascii = false;
  }
  if (ascii) return;
  if (!value.isWellFormed()) {
    throw new InvalidEventError('INVALID_ID', `The ${what} ${shown(value)} holds a lone surrogate.`, {
      fix: 'Send well-formed Unicode text: UTF-8 cannot express half a character.',
    });
  }
  if (value.length * 3 > bytesMax && utf8Length(value) > bytesMax) tooLong(what, value, bytesMax);
}

function tooLong(what: string, value: string, bytesMax: number): never {
  const bytes = utf8Length(value);
  throw new InvalidEventError(
    'LIMIT_EXCEEDED',
    `The ${what} ${shown(value)} has ${bytes} bytes; ${bytesMax} are allowed.`,
    {
      fix: 'Shorten it, or use a digest of it and keep the whole in the parameters.',
      details: { bytes, bytesMax },
    },
  );
}

function refuseEmpty(what: string, value: string): void {
  if (value !== '') return;
  throw new InvalidEventError('INVALID_ID', `The ${what} is empty.`, { fix: 'Give it at least one character.' });
}

/**
 * An aggregate type, event name or version: 1 to 128 bytes of UTF-8 without control characters; a tenant or context: 0 to 64.
 * @throws InvalidEventError `INVALID_ID`, `LIMIT_EXCEEDED`
 */
export function checkName(kind: NameKind, value: unknown): asserts value is string {
  const free = kind === 'tenant' || kind === 'context';
  checkText(kind, value, free ? limits.contextBytes : limits.nameBytes, 'name');
  if (!free) refuseEmpty(kind, value);
}

/** 1 to 512 bytes of UTF-8 without NUL. @throws InvalidEventError `INVALID_ID`, `LIMIT_EXCEEDED` */
export function checkAggregateId(value: unknown): asserts value is string {
  checkText('aggregate id', value, limits.idBytes, 'id');
  refuseEmpty('aggregate id', value);
}

/** 1 to 512 bytes of UTF-8 without NUL. @throws InvalidEventError `INVALID_ID`, `LIMIT_EXCEEDED` */
export function checkCommandId(value: unknown): asserts value is string {
  checkText('command id', value, limits.idBytes, 'id');
  refuseEmpty('command id', value);
}

/** 0 to 256 bytes of UTF-8 without NUL; `''` means no source. @throws InvalidEventError `INVALID_ID`, `LIMIT_EXCEEDED` */
export function checkStreamId(value: unknown): asserts value is string {
  checkText('stream id', value, limits.streamBytes, 'id');
}

/** `''` means none. @throws InvalidEventError `INVALID_ID`, `LIMIT_EXCEEDED` */
export function checkTenant(value: unknown): asserts value is string {
  checkName('tenant', value);
}

/** `''` is the default context. @throws InvalidEventError `INVALID_ID`, `LIMIT_EXCEEDED` */
export function checkContext(value: unknown): asserts value is string {
  checkName('context', value);
}

/** A source's own number: a safe integer from 0, or -1 when it gives none. @throws InvalidEventError `INVALID_SEQUENCE` */
export function checkSequence(value: unknown): asserts value is number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= -1) return;
  const what = typeof value === 'number' ? String(value) : value === null ? 'null' : `a ${typeof value}`;
  throw new InvalidEventError('INVALID_SEQUENCE', `The sequence is ${what}, not a whole number from 0 to 2^53 − 1.`, {
    fix: 'Send the source’s own number, or leave it out.',
  });
}

/**
 * At most 16 entries of text, each at most 1,024 bytes under a name of 1 to 128.
 * @throws InvalidEventError `INVALID_EVENT` (not text), `LIMIT_EXCEEDED`, `FORBIDDEN_KEY`, `INVALID_TEXT`, `INVALID_ID` (of an entry's name)
 */
export function checkMetadata(value: unknown): asserts value is Metadata {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidEventError('INVALID_EVENT', 'The metadata is no object of texts.', {
      fix: 'Send { name: text }.',
    });
  }
  const names = Object.keys(value);
  if (names.length > limits.metadataEntries) {
    throw new InvalidEventError(
      'LIMIT_EXCEEDED',
      `The metadata has ${names.length} entries; ${limits.metadataEntries} are allowed.`,
      { fix: 'Keep what belongs to the fact in the parameters.' },
    );
  }
  for (const name of names) {
    if (isForbiddenKey(name)) {
      throw new InvalidEventError(
        'FORBIDDEN_KEY',
        `metadata.${name} is a key that could change an object’s prototype.`,
        {
          fix: 'Rename or remove the key.',
        },
      );
    }
    const what = 'name of a metadata entry';
    checkText(what, name, limits.nameBytes, 'name');
    refuseEmpty(what, name);
    const text: unknown = (value as Record<string, unknown>)[name];
    if (typeof text !== 'string') {
      throw new InvalidEventError('INVALID_EVENT', `metadata.${name} is no text.`, { fix: 'Send each entry as text.' });
    }
    if (text.length > limits.metadataValueBytes) tooLong(`metadata.${name}`, text, limits.metadataValueBytes);
    if (!text.isWellFormed()) {
      throw new InvalidEventError('INVALID_TEXT', `metadata.${name} holds a lone surrogate.`, {
        fix: 'Send well-formed Unicode text.',
      });
    }
    if (utf8Length(text) > limits.metadataValueBytes) tooLong(`metadata.${name}`, text, limits.metadataValueBytes);
  }
}

/** For people and change records: `parcel/p1@2016-10-12T09:00:00.123Z#loadedOntoTruck`. Two identities may share it; `identityKey` tells them apart. */
export function identityText(
  fact: Pick<Fact, 'aggregateType' | 'aggregateId' | 'eventTime' | 'name'> & Partial<Pick<Fact, 'amends'>>,
): string {
  if (fact.amends !== undefined) return identityText(fact.amends);
  return `${fact.aggregateType}/${fact.aggregateId}@${formatTime(fact.eventTime)}#${fact.name}`;
}

/** A map key for an identity: two facts of one context share it exactly when they are one identity, as NUL is in none of its parts. Not an order. */
export function identityKey(
  fact: Pick<Fact, 'tenant' | 'aggregateType' | 'aggregateId' | 'eventTime' | 'streamId' | 'sequence' | 'name'>,
): string {
  return `${fact.tenant}\u0000${fact.aggregateType}\u0000${fact.aggregateId}\u0000${fact.eventTime}\u0000${fact.streamId}\u0000${fact.sequence}\u0000${fact.name}`;
}
