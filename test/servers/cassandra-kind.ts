/** Apache Cassandra as one node: from its jar, or its image. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { auth, Client } from 'cassandra-driver';
import { fetchJars, findJava } from './jars.js';
import type { Access, CassandraAddress, Keys, LocalPlan, Place, Program, ServerKind } from './server-kind.js';

const VERSION = '5.0.9';
const PORT = 9042;
const DATA_CENTER = 'datacenter1';
const ASK_MAX_MS = 5_000;

export const cassandraKind: ServerKind<'cassandra'> = {
  name: 'cassandra',
  title: 'Cassandra',
  version: VERSION,
  urlVariable: 'CASSANDRA_URL',

  parse(url) {
    const [, hosts, dataCenter] = /^([^/\s]+)(?:\/([^/\s]+))?$/.exec(url) ?? [];
    const places = (hosts ?? '').split(',').map((host) => /^([^:]+)(?::(\d{1,5}))?$/.exec(host));
    const ports = new Set(places.map((place) => Number(place?.[2] ?? PORT)));
    const [port] = ports;
    if (places.some((place) => place === null) || ports.size !== 1 || port === undefined)
      throw new Error(`CASSANDRA_URL is ${url}; write 127.0.0.1:9042/datacenter1, more hosts of one port with commas.`);
    return { contactPoints: places.map((place) => place?.[1] ?? ''), port, localDataCenter: dataCenter ?? DATA_CENTER };
  },
  urlOf: ({ contactPoints, port, localDataCenter }) =>
    `${contactPoints.map((host) => `${host}:${port}`).join(',')}/${localDataCenter}`,
  addressAt: (port) => ({ contactPoints: ['127.0.0.1'], port, localDataCenter: DATA_CENTER }),
  ask: askCassandra,
  moduleConfig: ({ contactPoints, port, localDataCenter }) =>
    `cassandra({ contactPoints: [${contactPoints.map((host) => `'${host}'`).join(', ')}], port: ${port}, ` +
    `localDataCenter: '${localDataCenter}', keyspace: 'concursus' })`,

  image: `cassandra:${VERSION}`,
  containerArguments: (port, { sync }) => [
    ...['--publish', `127.0.0.1:${port}:${PORT}`],
    ...['--env', 'MAX_HEAP_SIZE=768m', '--env', 'HEAP_NEWSIZE=200m'],
    ...(sync === 'each' ? ['--env', `JVM_EXTRA_OPTS=${SYNC_EACH.join(' ')}`] : []),
  ],

  local: {
    // The clients' port and that of its own cluster.
    ports: 2,
    async fetch(say) {
      const command = await findJava();
      const artifacts = [`org.apache.cassandra:cassandra-all:${VERSION}`];
      return { command, lib: await fetchJars({ name: 'cassandra', version: VERSION, artifacts }, say) };
    },
    plan,
  },
};

async function askCassandra(address: CassandraAddress, access?: Access): Promise<string | undefined> {
  const client = new Client({
    contactPoints: [...address.contactPoints],
    protocolOptions: { port: address.port },
    localDataCenter: address.localDataCenter,
    socketOptions: { connectTimeout: ASK_MAX_MS, readTimeout: ASK_MAX_MS },
    ...(access === undefined
      ? {}
      : {
          sslOptions: { ca: [access.ca], rejectUnauthorized: true },
          authProvider: new auth.PlainTextAuthProvider(access.username, access.password),
        }),
  });
  try {
    const result = await client.execute('SELECT release_version FROM system.local');
    return String(result.first()?.get('release_version'));
  } finally {
    await client.shutdown();
  }
}

/** The data's form and the JVM's doors that Cassandra 5 needs; all it keeps and listens on is the place's. */
function plan({ lib }: Program, { folder, ports, fast, sync, keys }: Place): LocalPlan {
  const [port, storagePort] = ports;
  const agent = readdirSync(lib).find((jar) => jar.startsWith('jamm-'));
  if (agent === undefined)
    throw new Error(`${lib} has no jamm jar; remove the folder above it to have it fetched again.`);
  return {
    folders: ['data', 'commitlog', 'saved_caches', 'hints', 'cdc_raw', 'tmp', 'logs'],
    files: {
      'cassandra.yaml': `cluster_name: concursus
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
auto_bootstrap: false
data_file_directories: [ ${folder}/data ]
commitlog_directory: ${folder}/commitlog
saved_caches_directory: ${folder}/saved_caches
hints_directory: ${folder}/hints
cdc_raw_directory: ${folder}/cdc_raw
commitlog_sync: periodic
commitlog_sync_period: 10000ms
commitlog_segment_size: 16MiB
disk_failure_policy: stop
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [ { seeds: "127.0.0.1:${storagePort}" } ]
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
storage_port: ${storagePort}
native_transport_port: ${port}
start_native_transport: true
endpoint_snitch: SimpleSnitch
concurrent_reads: 16
concurrent_writes: 32
memtable_heap_space: 192MiB
memtable_offheap_space: 128MiB
file_cache_size: 64MiB
networking_cache_size: 32MiB
key_cache_size: 16MiB
counter_cache_size: 0MiB
write_request_timeout: 10s
read_request_timeout: 20s
range_request_timeout: 20s
request_timeout: 20s
${keys === undefined ? '' : secured(keys)}`,
      // Without one everything down to DEBUG is printed.
      'logback.xml': `<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level %date{ISO8601} %F:%L - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
`,
    },
    arguments: [
      ...doors('--add-exports', EXPORTED),
      ...doors('--add-opens', OPENED),
      `-javaagent:${join(lib, agent)}`,
      ...['-Xms256m', '-Xmx768m', '-Xss512k', '-XX:MaxDirectMemorySize=512m', '-XX:+UseG1GC'],
      ...['-XX:+ExitOnOutOfMemoryError', '-XX:+PerfDisableSharedMem', '-Djdk.attach.allowAttachSelf=true'],
      // About a third quicker to start, slower later; and system tables that are not flushed at each change of a schema.
      ...(fast ? ['-XX:TieredStopAtLevel=1', '-Dcassandra.unsafesystem=true'] : []),
      ...(sync === 'each' ? SYNC_EACH : []),
      ...['-Djava.net.preferIPv4Stack=true', `-Djava.io.tmpdir=${folder}/tmp`, `-Djna.tmpdir=${folder}/tmp`],
      ...['-Dio.netty.tryReflectionSetAccessible=true', '-Dio.netty.allocator.maxOrder=11'],
      '-Dio.netty.allocator.useCacheForAllThreads=true',
      ...[`-Dcassandra.config=file://${folder}/cassandra.yaml`, `-Dcassandra.storagedir=${folder}`],
      ...[`-Dcassandra.logdir=${folder}/logs`, `-Dlogback.configurationFile=${folder}/logback.xml`],
      '-Dcassandra-foreground=yes',
      // A cluster of one waits for nobody, neither when it comes nor when it goes.
      ...['-Dcassandra.ring_delay_ms=1', '-Dcassandra.skip_wait_for_gossip_to_settle=0'],
      ...['-Dcassandra.superuser_setup_delay_ms=0', '-Dcassandra.shutdown_announce_in_ms=0'],
      ...['-cp', `${lib}/*`, 'org.apache.cassandra.service.CassandraDaemon'],
    ],
  };
}

/** TLS for every client, and its first user, who may do everything. */
function secured({ keystore, password }: Keys): string {
  return `authenticator: PasswordAuthenticator
client_encryption_options:
  enabled: true
  optional: false
  keystore: ${keystore}
  keystore_password: ${password}
  store_type: PKCS12
`;
}

/**
 * A write is answered when the commit log is on disk. As shipped it is synced every ten seconds, and what is replayed after
 * a crash ends at a mark made every 100 ms: a write answered just before a kill is gone, though the machine lives.
 */
const SYNC_EACH = [
  '-Dcassandra.config.allow_system_properties=true',
  '-Dcassandra.settings.commitlog_sync=batch',
  '-Dcassandra.settings.commitlog_sync_period=0ms',
];

const EXPORTED = [
  'java.base/java.lang.ref java.base/jdk.internal.misc java.management.rmi/com.sun.jmx.remote.internal.rmi',
  'java.rmi/sun.rmi.registry java.rmi/sun.rmi.server java.sql/java.sql jdk.attach/sun.tools.attach',
  'jdk.compiler/com.sun.tools.javac.file jdk.unsupported/sun.misc',
];

const OPENED = [
  'java.base/java.io java.base/java.lang java.base/java.lang.module java.base/java.lang.reflect java.base/java.nio',
  'java.base/java.util java.base/jdk.internal.loader java.base/jdk.internal.math java.base/jdk.internal.module',
  'java.base/jdk.internal.ref java.base/jdk.internal.reflect java.base/jdk.internal.util.jar java.base/sun.nio.ch',
  'jdk.compiler/com.sun.tools.javac jdk.management/com.sun.management.internal',
];

function doors(option: string, lines: readonly string[]): readonly string[] {
  return lines.flatMap((line) => line.split(' ')).flatMap((door) => [option, `${door}=ALL-UNNAMED`]);
}
