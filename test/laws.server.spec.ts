/** Goal: Cassandra keeps the laws of the design. Method: deliveries of any facts beside a plain model (laws.ts), on a real server. */
import { randomBytes } from 'node:crypto';
import { cassandra } from '@concursus/cassandra';
import { Client } from 'cassandra-driver';
import { describe } from 'vitest';
import { laws } from './laws.js';

const [address = '', localDataCenter = ''] = (process.env['CASSANDRA_URL'] ?? '').split('/');
const keyspace = `laws_${randomBytes(6).toString('hex')}`;
const server = { contactPoints: [address], localDataCenter };

describe.skipIf(address === '')('with a server', () => {
  laws(
    'Cassandra',
    () => cassandra({ ...server, keyspace }),
    async () => {
      const client = new Client(server);
      await client.execute(`DROP KEYSPACE "${keyspace}"`, [], { readTimeout: 30_000 });
      await client.shutdown();
    },
    100,
  );
});
