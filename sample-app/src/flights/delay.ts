/** Delays in whole minutes, as the carriers publish them. */
import { parseEventTime } from '@concursus/core';

const MS_PER_MINUTE = 60_000;

/** From the scheduled time to the actual one, negative when early; undefined while one of them is unknown. */
export function minutesBetween(scheduled: string | null, actual: number | null): number | undefined {
  if (scheduled === null || actual === null) return undefined;
  return Math.trunc((actual - parseEventTime(scheduled)) / MS_PER_MINUTE);
}
