/** The in-memory providers keep the law of every port. */
import { describe, it } from 'vitest';
import { inMemory } from '@concursus/core';
import { eventStoreContract, subjectOf, verifyContract } from '@concursus/testing';

const persistent = subjectOf('in-memory', () => inMemory());
verifyContract(eventStoreContract, persistent, { describe, it });
