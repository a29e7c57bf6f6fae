/** A flight's id, `yyyy-mm-dd/<carrier><number>/<origin>-<hhmm>`: what it says, and what is refused as one. */
import { InvalidEventError, parseEventTime } from '@concursus/core';

const FLIGHT_ID = /^\d{4}-\d\d-\d\d\/(?:[A-Z][A-Z0-9]|\d[A-Z])\d{1,5}\/[A-Z]{3}-(?:[01]\d|2[0-3])[0-5]\d$/;
const DAY = /^\d{4}-\d\d-\d\d$/;
const ORIGIN = /^[A-Z]{3}$/;
const CARRIER = /^(?:[A-Z][A-Z0-9]|\d[A-Z])$/;

/** Days seen to exist; a month of reports names some 31 of them, and a hostile one at most this many. */
const KNOWN_DAYS_MAX = 4_096;
const knownDays = new Set<string>();

function shown(text: string): string {
  return `"${text.slice(0, 60).toWellFormed()}${text.length > 60 ? '…' : ''}"`;
}

function isDay(text: string): boolean {
  if (knownDays.has(text)) return true;
  try {
    parseEventTime(`${text}T00:00:00Z`);
  } catch {
    return false;
  }
  if (knownDays.size >= KNOWN_DAYS_MAX) knownDays.clear();
  knownDays.add(text);
  return true;
}

/** @throws InvalidEventError `INVALID_ID` */
export function checkFlightId(id: string): void {
  if (FLIGHT_ID.test(id) && isDay(id.slice(0, 10))) return;
  throw new InvalidEventError('INVALID_ID', `${shown(id)} is no flight id.`, {
    fix: 'Write yyyy-mm-dd/<carrier><number>/<origin>-<hhmm>, such as 2013-01-01/UA1545/EWR-0515.',
  });
}

/** @throws InvalidEventError `INVALID_TIME` */
export function checkDay(day: string): void {
  if (DAY.test(day) && isDay(day)) return;
  throw new InvalidEventError('INVALID_TIME', `${shown(day)} is no day.`, { fix: 'Write yyyy-mm-dd.' });
}

/** @throws InvalidEventError `INVALID_ID` */
export function checkOrigin(origin: string): void {
  if (ORIGIN.test(origin)) return;
  throw new InvalidEventError('INVALID_ID', `${shown(origin)} is no airport code.`, {
    fix: 'Write three capital letters, such as EWR.',
  });
}

/** @throws InvalidEventError `INVALID_ID` */
export function checkCarrier(carrier: string): void {
  if (CARRIER.test(carrier)) return;
  throw new InvalidEventError('INVALID_ID', `${shown(carrier)} is no carrier code.`, {
    fix: 'Write two capital letters or a letter and a digit, such as UA or B6.',
  });
}

/** The parts of a checked id that views are about. */
export const dayOf = (id: string): string => id.slice(0, 10);
export const carrierOf = (id: string): string => id.slice(11, 13);
export const originOf = (id: string): string => id.slice(-8, -5);
