/** The parcels' bounded context, and the quarantine's source of what is sent to it. */
export const PARCELS = 'parcels';
