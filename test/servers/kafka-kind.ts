/** Apache Kafka as one broker that is its own controller: from its jars, or its image. */
import { randomBytes } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';
import { fetchJars, findJava } from './jars.js';
import type { Access, KafkaAddress, Keys, LocalPlan, Place, Program, ServerKind } from './server-kind.js';

const VERSION = '4.3.1';
/** Kafka brings log4j, but not the bridge to it; without one it prints nothing. */
const LOG_BRIDGE = 'org.apache.logging.log4j:log4j-slf4j-impl:2.25.4';
const ASK_MAX_MS = 5_000;

export const kafkaKind: ServerKind<'kafka'> = {
  name: 'kafka',
  title: 'Kafka',
  version: VERSION,
  urlVariable: 'KAFKA_URL',

  parse(url) {
    const brokers = url.split(',');
    if (brokers.some((broker) => !/^[^:/\s]+:\d{1,5}$/.test(broker)))
      throw new Error(`KAFKA_URL is ${url}; write 127.0.0.1:9092, more brokers with commas.`);
    return { brokers };
  },
  urlOf: ({ brokers }) => brokers.join(','),
  addressAt: (port) => ({ brokers: [`127.0.0.1:${port}`] }),
  ask: askKafka,
  moduleConfig: ({ brokers }) => `kafka({ brokers: [${brokers.map((broker) => `'${broker}'`).join(', ')}] })`,

  image: `apache/kafka:${VERSION}`,
  // Clients are sent to the advertised address, so the port is the same inside and outside.
  containerArguments: (port) => [
    ...['--publish', `127.0.0.1:${port}:${port}`],
    ...Object.entries(settings(port, CONTAINER_CONTROLLER_PORT, '0.0.0.0')).flatMap(([name, value]) => [
      '--env',
      `KAFKA_${name.toUpperCase().replaceAll('.', '_')}=${value}`,
    ]),
  ],

  local: {
    // The clients' port and the controller's.
    ports: 2,
    async fetch(say) {
      const command = await findJava();
      const artifacts = [`org.apache.kafka:kafka_2.13:${VERSION}`, LOG_BRIDGE];
      return { command, lib: await fetchJars({ name: 'kafka', version: VERSION, artifacts }, say) };
    },
    plan,
  },
};

const CONTAINER_CONTROLLER_PORT = 9093;

async function askKafka({ brokers }: KafkaAddress, access?: Access): Promise<undefined> {
  const kafka = new Kafka({
    brokers: [...brokers],
    clientId: 'concursus-servers',
    logLevel: logLevel.NOTHING,
    connectionTimeout: ASK_MAX_MS,
    requestTimeout: ASK_MAX_MS,
    // The first question for a group has the broker make and load the topic of offsets.
    retry: { retries: 5, initialRetryTime: 100 },
    ...(access === undefined
      ? {}
      : {
          ssl: { ca: [access.ca] },
          sasl: { mechanism: 'plain', username: access.username, password: access.password },
        }),
  });
  const admin = kafka.admin();
  try {
    await admin.connect();
    await admin.listTopics();
    // Groups can be joined: a broker answers other questions before that.
    await admin.describeGroups(['concursus-servers']);
  } finally {
    await admin.disconnect();
  }
}

/** A cluster of one: nothing is kept twice, no group waits for members, no topic is made by asking for it. */
function settings(port: number, controllerPort: number, interfaces: string): Readonly<Record<string, string>> {
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://${interfaces}:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'num.partitions': '1',
    'default.replication.factor': '1',
    'min.insync.replicas': '1',
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'share.coordinator.state.topic.num.partitions': '1',
    'group.initial.rebalance.delay.ms': '0',
    'auto.create.topics.enable': 'false',
    'log.cleaner.dedupe.buffer.size': String(16 * 1024 * 1024),
  };
}

/** TLS and a password for every client; the broker itself is one. */
function secured(port: number, controllerPort: number, keys: Keys): Readonly<Record<string, string>> {
  const { username, password } = keys.access;
  return {
    listeners: `SASL_SSL://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `SASL_SSL://127.0.0.1:${port}`,
    'inter.broker.listener.name': 'SASL_SSL',
    'listener.security.protocol.map': 'SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT',
    'sasl.enabled.mechanisms': 'PLAIN',
    'sasl.mechanism.inter.broker.protocol': 'PLAIN',
    'listener.name.sasl_ssl.plain.sasl.jaas.config':
      'org.apache.kafka.common.security.plain.PlainLoginModule required ' +
      `username="${username}" password="${password}" user_${username}="${password}";`,
    'ssl.keystore.type': 'PKCS12',
    'ssl.keystore.location': keys.keystore,
    'ssl.keystore.password': keys.password,
    'ssl.key.password': keys.password,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': keys.authority,
  };
}

function plan({ lib }: Program, { folder, ports, keys }: Place): LocalPlan {
  const [port = 0, controllerPort = 0] = ports;
  const properties = {
    ...settings(port, controllerPort, '127.0.0.1'),
    ...(keys === undefined ? {} : secured(port, controllerPort, keys)),
    'log.dirs': `${folder}/data`,
  };
  return {
    folders: ['data'],
    files: {
      'server.properties': textOf(properties),
      // What formatting the folder would write; by hand it costs no second JVM.
      'data/meta.properties': textOf({
        version: '1',
        'cluster.id': kafkaId(),
        'node.id': '1',
        'directory.id': kafkaId(),
      }),
      'log4j2.xml': `<Configuration status="WARN">
  <Appenders>
    <Console name="out" target="SYSTEM_OUT"><PatternLayout pattern="%-5p %d{ISO8601} %c{1} - %m%n"/></Console>
  </Appenders>
  <Loggers>
    <!-- Else the end of the log is a list of settings. -->
    <Logger name="org.apache.kafka.common.config.AbstractConfig" level="WARN"/>
    <Root level="INFO"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
`,
    },
    arguments: [
      ...['-Xms128m', '-Xmx512m', '-XX:+UseG1GC', '-Djava.net.preferIPv4Stack=true'],
      `-Dlog4j2.configurationFile=${folder}/log4j2.xml`,
      ...['-cp', `${lib}/*`, 'kafka.Kafka', `${folder}/server.properties`],
    ],
  };
}

function textOf(properties: Readonly<Record<string, string>>): string {
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

/** 16 random bytes as Kafka writes them; a leading dash would look like an option, so the first bit is 0. */
function kafkaId(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0] ?? 0) & 0x7f;
  return bytes.toString('base64url');
}
