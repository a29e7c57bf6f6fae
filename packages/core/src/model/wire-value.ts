/** What an event's content is made of, and nothing else. */

/** A value in wire form: what JSON can hold. Dates, bigints and bytes travel through declared codecs. */
export type WireValue = string | number | boolean | null | readonly WireValue[] | { readonly [key: string]: WireValue };
/** The parameters of an event in wire form. */
export type Parameters = { readonly [name: string]: WireValue };
