/** What the committing child does, known to it and to the spec that kills it. */
import type { ViewRef } from '@concursus/core';

export const KILLED_VIEW: ViewRef = { name: 'killed', version: 1, slice: -1 };
export const KILLS_OWNER = 'projection:killed';
export const ROWS = 40;

/** Some rows, others each time: 1 to 25 of them. */
export function rowsOfCommit(n: number): string[] {
  const count = 1 + ((n * 7) % 25);
  return Array.from({ length: count }, (_, i) => `row ${(n * 13 + i) % ROWS}`);
}
