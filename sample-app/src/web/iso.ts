/** Times as answers show them. */
import { formatTime } from '@concursus/core';

/** ISO in UTC; null for what never was. */
export function isoOf(ms: number | null): string | null {
  return ms === null || !Number.isFinite(ms) ? null : formatTime(ms);
}
