/**
 * How late the flights' reports may be, by what the bundled month shows: half of all come within 15 minutes, 1 % take a
 * day, and the latest of 83,005 came 72.14 hours after what it tells of, yet never more than 71.98 hours behind the newest
 * report of its own source.
 */
import type { TimeOptions } from '@concursus/core';

const HOUR_MS = 3_600_000;
/** Three days: a shorter bound would call good reports of the month late, a longer one would only delay what settles. */
const REPORTED_WITHIN_MS = 72 * HOUR_MS;
/**
 * Some airports see one flight a week, and one saw one in the month: they go without a word for days. What they tell of
 * comes within three days, so one that was silent for longer has nothing on its way that others would not wait for too.
 */
const SILENT_AT_MOST_MS = REPORTED_WITHIN_MS + HOUR_MS;

export const flightsTime: TimeOptions = {
  boundMs: REPORTED_WITHIN_MS,
  // An airport that is heard of for the first time in the middle of the month must not stop what others have settled.
  newSources: 'join',
  sources: [
    // None of the month's sources numbers its reports. One that does shows which numbers are missing.
    { match: 'airport:*', sequenced: true, expireAfterMs: SILENT_AT_MOST_MS },
    { match: 'airline:*', sequenced: true, expireAfterMs: SILENT_AT_MOST_MS },
    // Whoever else reports is not known to pause: it holds until it reports again, says it is complete, or is retired.
    { match: '*', sequenced: true },
  ],
};
