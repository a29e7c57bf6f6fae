/** Names that the parts of the flights context share. */

/** The bounded context. */
export const FLIGHTS = 'flights';
/** The quarantine's source: reports are one source by whatever way they come, so equal bytes are one item. */
export const REPORTS = 'reports';
