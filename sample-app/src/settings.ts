/** What the environment says; read once, at the start. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { resolve } from 'node:path';

/** Where the application keeps what it knows: in a folder, nowhere, or on servers that several processes share. */
export const profiles = ['embedded', 'memory', 'cluster'] as const;
export type Profile = (typeof profiles)[number];

export interface Settings {
  readonly profile: Profile;
  /** The folder of the embedded store. */
  readonly dataFolder: string;
  /** Of the profile `cluster` only. */
  readonly cassandra: CassandraSettings | undefined;
  /** `host:port` of brokers; undefined where none is used. */
  readonly brokers: readonly string[] | undefined;
  /** Whether a broker stands in front of the store. */
  readonly buffered: boolean;
  readonly port: number;
  readonly host: string;
  /** A reports file to load once; undefined for none. */
  readonly sampleData: string | undefined;
}

export interface CassandraSettings {
  /** Each `host:port`. */
  readonly contactPoints: readonly string[];
  readonly localDataCenter: string;
  readonly keyspace: string;
}

/** The token of the settings. */
export const SETTINGS = Symbol('settings');

const BUNDLED = fileURLToPath(new URL('../data/flights-2013-01.reports.ndjson.gz', import.meta.url));
const CASSANDRA_URL = 'CASSANDRA_URL=127.0.0.1:9042/datacenter1';
const KAFKA_URL = 'KAFKA_URL=127.0.0.1:9092';
const PLACE = /^[^\s:/,]+:\d{1,5}$/;
/** As Cassandra names keyspaces without quotes. */
const KEYSPACE = /^[a-zA-Z]\w{0,47}$/;

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws Error that says which variable is wrong and how to set it */
export function readSettings(env: Environment): Settings {
  const port = Number(valueOf(env, 'PORT') ?? 3_000);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new Error(`PORT is "${env['PORT']}". Set it to a number from 0 (any free one) to 65535.`);
  }
  const profile = profileOf(valueOf(env, 'CONCURSUS_PROFILE') ?? 'embedded');
  const buffered = bufferedBy(valueOf(env, 'CONCURSUS_BUFFER'));
  return {
    profile,
    dataFolder: resolve(valueOf(env, 'CONCURSUS_DATA') ?? 'data'),
    cassandra: profile === 'cluster' ? cassandraOf(env) : undefined,
    brokers: profile === 'cluster' || buffered ? brokersOf(env) : undefined,
    buffered,
    port,
    host: valueOf(env, 'HOST') ?? '127.0.0.1',
    sampleData: sampleOf(env, profile),
  };
}

/** Set to nothing is not set. */
function valueOf(env: Environment, name: string): string | undefined {
  return env[name] === '' ? undefined : env[name];
}

function profileOf(given: string): Profile {
  const profile = profiles.find((one) => one === given);
  if (profile === undefined) {
    throw new Error(`CONCURSUS_PROFILE is "${given}". Set it to ${profiles.join(', ')}, or leave it out for embedded.`);
  }
  return profile;
}

function bufferedBy(given: string | undefined): boolean {
  if (given !== undefined && given !== 'kafka') {
    throw new Error(
      `CONCURSUS_BUFFER is "${given}". Set it to kafka for a broker in front of the store, or leave it out.`,
    );
  }
  return given === 'kafka';
}

function cassandraOf(env: Environment): CassandraSettings {
  const url = valueOf(env, 'CASSANDRA_URL');
  if (url === undefined) {
    throw new Error(`CONCURSUS_PROFILE=cluster needs a Cassandra, and CASSANDRA_URL names none. Set ${CASSANDRA_URL}.`);
  }
  const [places = '', localDataCenter = '', ...more] = url.split('/');
  const contactPoints = places.split(',');
  if (!contactPoints.every((place) => PLACE.test(place)) || localDataCenter === '' || more.length > 0) {
    throw new Error(`CASSANDRA_URL is "${url}". Write host:port/datacenter, more hosts with commas: ${CASSANDRA_URL}.`);
  }
  const keyspace = valueOf(env, 'CASSANDRA_KEYSPACE') ?? 'concursus';
  if (!KEYSPACE.test(keyspace)) {
    throw new Error(
      `CASSANDRA_KEYSPACE is "${keyspace}". Use up to 48 letters, digits and underscores, a letter first.`,
    );
  }
  return { contactPoints, localDataCenter, keyspace };
}

function brokersOf(env: Environment): readonly string[] {
  const url = valueOf(env, 'KAFKA_URL');
  if (url === undefined) {
    throw new Error(
      `CONCURSUS_PROFILE=cluster and CONCURSUS_BUFFER=kafka need a Kafka, and KAFKA_URL names none. Set ${KAFKA_URL}.`,
    );
  }
  const brokers = url.split(',');
  if (!brokers.every((place) => PLACE.test(place))) {
    throw new Error(`KAFKA_URL is "${url}". Write host:port, more brokers with commas: ${KAFKA_URL}.`);
  }
  return brokers;
}

/** A cluster is not filled by the start of a process, unless it is told to. */
function sampleOf(env: Environment, profile: Profile): string | undefined {
  const given = valueOf(env, 'SAMPLE_DATA') ?? (profile === 'cluster' ? 'none' : 'bundled');
  if (given === 'none') return undefined;
  const path = given === 'bundled' ? BUNDLED : resolve(given);
  if (!existsSync(path)) {
    throw new Error(`SAMPLE_DATA names ${path}, and there is no such file. Name a reports file, bundled, or none.`);
  }
  return path;
}
