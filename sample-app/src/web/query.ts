/** Reads query parameters strictly: a mistyped one is refused, not ignored. An empty one counts as absent. */
import { InvalidEventError } from '@concursus/core';
import type { HistoryOptions, StateOptions } from '@concursus/core';

/** @throws InvalidEventError `INVALID_ARGUMENT` when it came more than once */
export function oneOf(name: string, value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string') return value;
  throw new InvalidEventError('INVALID_ARGUMENT', `The parameter ${name} came more than once.`, {
    fix: 'Send it once.',
  });
}

/** @throws InvalidEventError `INVALID_ARGUMENT` */
export function wholeOf(name: string, value: unknown, fallback: number, max: number): number {
  const text = oneOf(name, value);
  if (text === undefined) return fallback;
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= 1 && number <= max) return number;
  throw new InvalidEventError('INVALID_ARGUMENT', `The parameter ${name} is "${text.slice(0, 40).toWellFormed()}".`, {
    fix: `Send a whole number from 1 to ${max}.`,
  });
}

/** `?asOf=&knownAt=`; the core refuses what is no time. */
export function momentOf(query: Readonly<Record<string, unknown>>): StateOptions & HistoryOptions {
  const asOf = oneOf('asOf', query['asOf']);
  const knownAt = oneOf('knownAt', query['knownAt']);
  return { ...(asOf === undefined ? {} : { asOf }), ...(knownAt === undefined ? {} : { knownAt }) };
}

/** @throws InvalidEventError `INVALID_ARGUMENT` */
export function flagOf(name: string, value: unknown): boolean {
  const text = oneOf(name, value);
  if (text === undefined || text === 'false') return false;
  if (text === 'true') return true;
  throw new InvalidEventError('INVALID_ARGUMENT', `The parameter ${name} is "${text.slice(0, 40).toWellFormed()}".`, {
    fix: 'Send true or false.',
  });
}
