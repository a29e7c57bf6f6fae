/** Cases of EventStore: laws 2 to 5 over generated histories and messy deliveries. */
import assert from 'node:assert/strict';
import { compareKey, Fact, type AppendOutcome, type ProcessingTime } from '@concursus/core';
import fc from 'fast-check';
import { type ContractCase } from './contract.js';
import { delivered, deliveredTwice, histories } from './event-arbitraries.js';
import {
  record,
  readAll,
  contents,
  meaningOf,
  keyFrom,
  latest,
  inTenant,
  nextTenant,
  deliver,
} from './history-checks.js';

export const lawCases: readonly ContractCase<'persistent'>[] = [
  {
    name: 'law 2: any two deliveries of the same facts come to the same histories',
    async run(opened, { runs }) {
      await fc.assert(
        fc.asyncProperty(deliveredTwice(histories()), async ({ items, one, other }) => {
          for (const delivery of [one, other]) {
            const tenant = nextTenant();
            await deliver(
              opened,
              delivery.map((batch) => inTenant(batch, tenant)),
            );
            for (const [text, expected] of meaningOf(inTenant(items, tenant))) {
              const read = await readAll(opened.ports.eventStore, keyFrom(text));
              assert.deepEqual(contents(read), contents(expected));
            }
          }
        }),
        { numRuns: runs },
      );
    },
  },
  {
    name: 'law 3: of any delivery each distinct fact is stored once, each repeat is counted, each conflict is told',
    async run(opened, { runs }) {
      await fc.assert(
        fc.asyncProperty(delivered(histories()), async ({ items, batches }) => {
          const tenant = nextTenant();
          const outcomes = await deliver(
            opened,
            batches.map((batch) => inTenant(batch, tenant)),
          );
          let distinct = 0;
          let identities = 0;
          let repeats = 0;
          for (const [text, expected] of meaningOf(inTenant(items, tenant))) {
            distinct += expected.length;
            identities += new Set(
              expected.map((fact) => JSON.stringify([fact.eventTime, fact.streamId, fact.sequence, fact.name])),
            ).size;
            const read = await readAll(opened.ports.eventStore, keyFrom(text), { withRepeats: true });
            assert.equal(read.length, expected.length);
            for (const fact of read) repeats += fact.repeats;
          }
          const count = (outcome: AppendOutcome): number => outcomes.filter((each) => each === outcome).length;
          assert.equal(count('recorded'), identities);
          assert.equal(count('conflicting'), distinct - identities);
          assert.equal(count('repeated'), outcomes.length - distinct);
          assert.equal(repeats, count('repeated'));
        }),
        { numRuns: runs },
      );
    },
  },
  {
    name: 'law 4: key order is total and free of arrival, whatever page size and direction',
    async run(opened, { runs }) {
      const pageSizes = fc.integer({ min: 1, max: 5 });
      await fc.assert(
        fc.asyncProperty(
          delivered(histories({ id: 'one', lengthMax: 20 })),
          pageSizes,
          async ({ batches }, pageSize) => {
            const tenant = nextTenant();
            await deliver(
              opened,
              batches.map((batch) => inTenant(batch, tenant)),
            );
            const key = { tenant, type: 'parcel', id: 'one' };
            const read = await readAll(opened.ports.eventStore, key, { pageSize });
            for (let i = 1; i < read.length; i++) assert.ok(compareKey(read[i - 1]!, read[i]!) < 0);
            const down = await readAll(opened.ports.eventStore, key, { pageSize, descending: true });
            assert.deepEqual(contents(down), contents(read.toReversed()));
          },
        ),
        { numRuns: runs },
      );
    },
  },
  {
    name: 'law 5: what was known at a processing time stays, whatever arrives later',
    needs: 'knownAt',
    async run(opened, { runs }) {
      await fc.assert(
        fc.asyncProperty(delivered(histories({ id: 'one' })), async ({ batches }) => {
          const tenant = nextTenant();
          const key = { tenant, type: 'parcel', id: 'one' };
          let half: { knownAt: ProcessingTime; answer: unknown[][] } | undefined;
          for (const [i, batch] of batches.entries()) {
            await record(
              opened,
              inTenant(batch, tenant).map((init) => new Fact(init)),
            );
            if (half !== undefined || i < Math.floor(batches.length / 2)) continue;
            const now = await readAll(opened.ports.eventStore, key);
            half = { knownAt: latest(now), answer: contents(now) };
          }
          const { knownAt, answer } = half!;
          assert.deepEqual(contents(await readAll(opened.ports.eventStore, key, { knownAt })), answer);
        }),
        { numRuns: runs },
      );
    },
  },
];
