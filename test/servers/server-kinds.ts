/** All kinds of servers that the starter knows. */
import { cassandraKind } from './cassandra-kind.js';
import { kafkaKind } from './kafka-kind.js';
import type { ServerKind, ServerName } from './server-kind.js';

export const serverKinds: { readonly [N in ServerName]: ServerKind<N> } = {
  cassandra: cassandraKind,
  kafka: kafkaKind,
};

export const serverNames = Object.keys(serverKinds) as readonly ServerName[];

export function isServerName(name: string): name is ServerName {
  return Object.hasOwn(serverKinds, name);
}
