/** Goal: Cassandra keeps the laws of the design. Method: deliveries of any facts beside a plain model (laws.ts), on a real server. */
import { randomBytes } from 'node:crypto';
import { cassandra } from '@concursus/cassandra';
import { Client } from 'cassandra-driver';
import { laws } from './laws.js';
import { serverOf } from './servers/index.js';

const { contactPoints, port, localDataCenter } = serverOf('cassandra');
const server = { contactPoints: contactPoints.map((host) => `${host}:${port}`), localDataCenter };
const keyspace = `laws_${randomBytes(6).toString('hex')}`;

laws(
  {
    name: 'Cassandra',
    provider: () => cassandra({ ...server, keyspace }),
    async dispose() {
      const client = new Client(server);
      await client.execute(`DROP KEYSPACE "${keyspace}"`, [], { readTimeout: 30_000 });
      await client.shutdown();
    },
  },
  100,
);
