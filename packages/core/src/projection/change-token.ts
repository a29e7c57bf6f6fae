/**
 * A place in the changes of a view, to go on from: the sequence of the last change, of a view that is kept in shares one for
 * each share, joined by dots. A number that a reader kept is the token of a view that is one piece.
 */
import { InvalidEventError } from '../model/errors.js';

/** @throws InvalidEventError `INVALID_ARGUMENT` for what is no place in the changes of so many shares; 0 is the beginning of any */
export function sequencesOf(from: number | string, shares: number): number[] {
  if (from === 0 || from === '0') return new Array<number>(shares).fill(0);
  const sequences = String(from).split('.').map(Number);
  if (sequences.length === shares && sequences.every((one) => Number.isSafeInteger(one) && one >= 0)) return sequences;
  throw new InvalidEventError(
    'INVALID_ARGUMENT',
    `"${String(from).slice(0, 100)}" is no place in the changes of a view of ${shares === 1 ? 'one piece' : `${shares} shares`}.`,
    { fix: 'Go on from the `token` of a change of this view, or from `lastToken()`.' },
  );
}

export function tokenOf(sequences: readonly number[]): string {
  return sequences.join('.');
}

/** Changes up to a place. */
export function countOf(token: string): number {
  return token.split('.').reduce((sum, one) => sum + Number(one), 0);
}

/** Whether all changes up to the other place are up to this one. */
export function covers(token: string, other: string): boolean {
  const parts = token.split('.');
  return other.split('.').every((one, i) => Number(parts[i] ?? 0) >= Number(one));
}
