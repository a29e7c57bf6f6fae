/** The law of EventStore: what it keeps, what it answers, how it stamps. The cases stand in six files, by what they are about. */
import type { Contract } from './contract.js';
import { appendingCases } from './event-store-appending.cases.js';
import { decidingCases } from './event-store-deciding.cases.js';
import { identityCases } from './event-store-identity.cases.js';
import { lateCases } from './event-store-late.cases.js';
import { lawCases } from './event-store-laws.cases.js';
import { readingCases } from './event-store-reading.cases.js';

/** What every EventStore promises; needs a subject of the persistent slot. */
export const eventStoreContract: Contract<'persistent'> = {
  name: 'EventStore',
  cases: [...identityCases, ...readingCases, ...appendingCases, ...decidingCases, ...lateCases, ...lawCases],
};
