/** What a kind of server is to the starter: where it comes from, how it is begun, how it is asked whether it answers. */

/** How clients reach Cassandra: the options of the same names in `cassandra({ … })` and in its driver. */
export interface CassandraAddress {
  readonly contactPoints: readonly string[];
  readonly port: number;
  readonly localDataCenter: string;
}

/** How clients reach Kafka: `host:port` of each broker. */
export interface KafkaAddress {
  readonly brokers: readonly string[];
}

/** Every kind of server there is, with its address. A new kind is a line here, a file, and a line in `server-kinds.ts`. */
export interface ServerAddresses {
  readonly cassandra: CassandraAddress;
  readonly kafka: KafkaAddress;
}

export type ServerName = keyof ServerAddresses;

/** Told to a person while servers are looked for and started. */
export type Say = (line: string) => void;

/** What is run when a server runs from packages: a command, and the folder of its jars if it is Java's. */
export interface Program {
  readonly command: string;
  readonly lib: string;
}

/** How careful a server is that is started here. */
export interface Care {
  /**
   * Takes about a third less to start, is slower later and not crash safe: for specs that neither kill it nor measure it.
   */
  readonly fast: boolean;
  /**
   * `each`: what is acknowledged survives a kill of the server. `periodic`: as the server is shipped, where that is less.
   * Kafka hands each write to the system before it answers, which survives a kill in both.
   */
  readonly sync: 'each' | 'periodic';
}

/** How clients are let in by a secured server. */
export interface Access {
  /** The certificate that they trust, in PEM. */
  readonly ca: string;
  readonly username: string;
  readonly password: string;
}

/** What a secured server shows its clients and asks of them. */
export interface Keys {
  /** Its key and certificate: a PKCS 12 file. */
  readonly keystore: string;
  /** Of the key store. */
  readonly password: string;
  /** The certificate that clients trust: a PEM file. */
  readonly authority: string;
  readonly access: Access;
}

/** Where one local server lives. */
export interface Place extends Care {
  /** With them it speaks TLS only, and lets in nobody without a password. */
  readonly keys?: Keys;
  /** Its own temporary folder, absolute. */
  readonly folder: string;
  /** Free ports of 127.0.0.1, the clients' first. */
  readonly ports: readonly number[];
}

/** How one local server is begun; the same plan again begins it again on the same data. */
export interface LocalPlan {
  /** Made below the place's folder, empty. */
  readonly folders: readonly string[];
  /** Written below the place's folder: path and text. */
  readonly files: Readonly<Record<string, string>>;
  readonly arguments: readonly string[];
}

export interface ServerKind<N extends ServerName = ServerName> {
  readonly name: N;
  /** As people write it. */
  readonly title: string;
  /** The version that is started; a server named by the environment may have another. */
  readonly version: string;
  /** `CASSANDRA_URL`: names a server that runs already, and is not ours to stop. */
  readonly urlVariable: string;
  /** Reads such a URL. Throws what is wrong with it and how one looks. */
  parse(url: string): ServerAddresses[N];
  /** The URL of an address: `parse` of it gives the address back. */
  urlOf(address: ServerAddresses[N]): string;
  /** The address of a server that was started here. */
  addressAt(port: number): ServerAddresses[N];
  /** One operation of a real client, bounded in time. Answers with the server's version where it tells, else undefined. */
  ask(address: ServerAddresses[N], access?: Access): Promise<string | undefined>;
  /** What a developer pastes into `ConcursusModule.forRoot`. */
  moduleConfig(address: ServerAddresses[N]): string;
  /** The pinned image, and what `run` needs besides its name; the port is published on 127.0.0.1 only. */
  readonly image: string;
  containerArguments(port: number, care: Care): readonly string[];
  /** Running it from packages. */
  readonly local: {
    readonly ports: number;
    /** Finds what is to be run, or fetches it once. Rejects with what is missing and how to get it. */
    fetch(say: Say): Promise<Program>;
    plan(program: Program, place: Place): LocalPlan;
  };
}
