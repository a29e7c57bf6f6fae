/**
 * What the ports of one layer share: the client while it is open, bounded requests, and conditional writes whose outcome is
 * always known or said to be unknown. Every request of this package goes through here, prepared, at LOCAL_QUORUM.
 */
import { ConcursusError, SystemClock, UnavailableError } from '@concursus/core';
import type { Clock, LayerContext, LayerLogger } from '@concursus/core';
import { auth, Client, policies, types, type ClientOptions, type QueryOptions } from 'cassandra-driver';
import { guardControlConnection } from './driver-guard.js';
import { closedError, mayHaveHappened, translated, unknownOutcomeError } from './errors.js';
import { Gate } from './gate.js';
import { Lanes } from './lanes.js';
import { openSchema } from './schema.js';

export interface CassandraOptions {
  /** Hosts to ask first for the others, each `host` or `host:port`. */
  readonly contactPoints: readonly string[];
  /** The data center of this process: its quorum answers, and its quorum decides. All processes of a context use one. */
  readonly localDataCenter: string;
  /** Default `concursus`. Contexts may share it. */
  readonly keyspace?: string;
  /** Of contact points without one. Default 9042. */
  readonly port?: number;
  /** Only for a keyspace that is created: default `{ class: 'SimpleStrategy', replication_factor: 1 }`, which survives no lost node. */
  readonly replication?: Readonly<Record<string, string | number>>;
  /** `true` (default): missing tables are made. `false`: they must be there, as this version makes them. */
  readonly createSchema?: boolean;
  readonly credentials?: { readonly username: string; readonly password: string };
  /**
   * Of `tls.connect`; `{}` for TLS with the machine's authorities. A certificate that they do not vouch for is refused with
   * `STORE_UNREACHABLE` unless `rejectUnauthorized` is false. The driver connects to addresses, so a certificate has to name
   * those; for one that names hosts, give a `checkServerIdentity`.
   */
  readonly sslOptions?: ClientOptions['sslOptions'];
  readonly policies?: ClientOptions['policies'];
  /** Handed on to the driver, below what is said here. */
  readonly clientOptions?: ClientOptions;
  /** Requests under way at once. Default 256: beyond it one node answers later, not more. */
  readonly requestsMax?: number;
  /** Requests that may wait for their turn before calls are refused with `OVERLOADED`. Default 65,536. */
  readonly waitingMax?: number;
}

/** One prepared statement with its values. */
export interface Statement {
  readonly query: string;
  readonly params: readonly unknown[];
}

/** What a conditional write came to. */
export interface Conditional {
  readonly applied: boolean;
}

export interface BatchOptions {
  /** A logged batch is carried out wholly or not at all, also over partitions; it costs about twice the writes. Default false. */
  readonly logged?: boolean;
  /** The write timestamp of every statement, in place of the time of day. */
  readonly timestamp?: types.Long | number;
}

const REQUESTS_MAX = 256;
const WAITING_MAX = 65_536;
/** Rows of one page of the driver; some 500 bytes each. */
const FETCH_SIZE = 1_000;

/** How long it is tried to find out what a conditional write came to, and the pause between two tries. */
const FIND_OUT_MS = 5_000;
const FIND_OUT_PAUSE_MS = 100;

/** Conditional statements are never sent twice: whether the first was carried out is found out by reading. */
class NeverAgain extends policies.retry.RetryPolicy {
  override onUnavailable(): policies.retry.DecisionInfo {
    return this.rethrowResult();
  }

  override onReadTimeout(): policies.retry.DecisionInfo {
    return this.rethrowResult();
  }

  override onWriteTimeout(): policies.retry.DecisionInfo {
    return this.rethrowResult();
  }

  override onRequestError(): policies.retry.DecisionInfo {
    return this.rethrowResult();
  }
}

const neverAgain = new NeverAgain();

export class Session {
  readonly context: string;
  /** The layer's clock: processing times, and what specs move by hand. */
  readonly clock: Clock;
  readonly logger: LayerLogger;
  readonly keyspace: string;
  /** For conditional writes of one partition: they would only hinder each other. */
  readonly lanes = new Lanes();
  private client: Client | undefined;
  private readonly gate: Gate;
  private readonly closing: (() => void)[] = [];

  constructor(
    readonly options: CassandraOptions,
    layer: LayerContext,
    /** Real time, for the rhythm of beats and polls: it goes on where the layer's clock stands still. */
    readonly real: Clock = new SystemClock(),
  ) {
    this.context = layer.context;
    this.clock = layer.clock;
    this.logger = layer.logger;
    this.keyspace = options.keyspace ?? 'concursus';
    this.gate = new Gate(options.requestsMax ?? REQUESTS_MAX, options.waitingMax ?? WAITING_MAX);
  }

  get isOpen(): boolean {
    return this.client !== undefined;
  }

  /** @throws UnavailableError `STORE_CLOSED` before `connect` and after `close` */
  checkOpen(): void {
    if (this.client === undefined) throw closedError(this.keyspace);
  }

  /**
   * @param prepare makes the keyspace's tables, or looks whether they are there; default those of this package
   * @throws ConfigurationError `SCHEMA_MISMATCH` @throws UnavailableError `STORE_UNREACHABLE`, `TIMEOUT`
   */
  async connect(prepare: typeof openSchema = openSchema): Promise<void> {
    if (this.client !== undefined) return;
    await prepare(this.keyspace, this.options, (keyspace) => new Client(this.clientOptions(keyspace)));
    const client = new Client(this.clientOptions(this.keyspace));
    guardControlConnection(client, this.real);
    try {
      await client.connect();
    } catch (error) {
      await client.shutdown().catch(() => undefined);
      throw translated(error);
    }
    this.client = client;
  }

  private clientOptions(keyspace: string | undefined): ClientOptions {
    const { options } = this;
    const given = options.clientOptions ?? {};
    const sslOptions = options.sslOptions ?? given.sslOptions;
    return {
      ...given,
      contactPoints: [...options.contactPoints],
      localDataCenter: options.localDataCenter,
      protocolOptions: { ...given.protocolOptions, ...(options.port === undefined ? {} : { port: options.port }) },
      policies: { ...given.policies, ...options.policies },
      queryOptions: {
        fetchSize: FETCH_SIZE,
        ...given.queryOptions,
        consistency: types.consistencies.localQuorum,
        serialConsistency: types.consistencies.localSerial,
        prepare: true,
      },
      // The driver by itself takes any certificate.
      ...(sslOptions === undefined ? {} : { sslOptions: { rejectUnauthorized: true, ...sslOptions } }),
      ...(options.credentials === undefined
        ? {}
        : {
            authProvider: new auth.PlainTextAuthProvider(options.credentials.username, options.credentials.password),
          }),
      // What is not given is not written: a null would be a tombstone.
      encoding: { ...given.encoding, useUndefinedAsUnset: true },
      ...(keyspace === undefined ? {} : { keyspace }),
    };
  }

  /** Called when the session closes, so that nobody waits for what cannot come. */
  onClose(action: () => void): void {
    this.closing.push(action);
  }

  /** Waits for the requests under way. */
  drain(): Promise<void> {
    return this.gate.drained();
  }

  /** Refuses new calls at once, waits for requests under way. Idempotent. */
  async close(): Promise<void> {
    const { client } = this;
    if (client === undefined) return;
    this.client = undefined;
    for (const action of this.closing) action();
    await this.gate.drained();
    await client.shutdown().catch(() => undefined);
  }

  /**
   * One read, or one plain write, which may be carried out several times: it must come to the same.
   * @throws UnavailableError `STORE_CLOSED`, `STORE_UNREACHABLE`, `TIMEOUT`, `OVERLOADED`
   */
  execute(query: string, params: readonly unknown[], options: QueryOptions = {}): Promise<types.ResultSet> {
    return this.ask((client) => client.execute(query, [...params], { isIdempotent: true, ...options }));
  }

  /** All rows of a read, page by page of the driver. Stops asking when the caller stops. */
  async *pages(
    query: string,
    params: readonly unknown[],
    options: QueryOptions = {},
  ): AsyncGenerator<readonly types.Row[]> {
    let pageState: string | undefined;
    do {
      const result = await this.execute(query, params, {
        ...options,
        ...(pageState === undefined ? {} : { pageState }),
      });
      yield result.rows;
      pageState = result.pageState as string | undefined;
    } while (pageState !== undefined && pageState !== null);
  }

  /** All rows of a read at once; for what is bounded otherwise. */
  async rows(query: string, params: readonly unknown[], options: QueryOptions = {}): Promise<types.Row[]> {
    const all: types.Row[] = [];
    for await (const page of this.pages(query, params, options)) all.push(...page);
    return all;
  }

  /** Plain writes together, which may be carried out several times: they must come to the same. Small: some 50 kB. */
  async batch(statements: readonly Statement[], options: BatchOptions = {}): Promise<void> {
    const { logged = false, timestamp } = options;
    const settings = { isIdempotent: true, logged, ...(timestamp === undefined ? {} : { timestamp }) };
    if (statements.length === 1) {
      const { query, params } = statements[0]!;
      await this.ask((client) => client.execute(query, [...params], settings));
      return;
    }
    if (statements.length === 0) return;
    await this.ask((client) =>
      client.batch(
        statements.map(({ query, params }) => ({ query, params: [...params] })),
        settings,
      ),
    );
  }

  /**
   * One conditional statement, or several on one partition that hold together. It is sent once. When its outcome is not known,
   * `wasApplied` decides; it must read with `readSerial`, which also ends what is still under way.
   * @throws UnavailableError `TIMEOUT` when that could not be found out either
   */
  async conditional(
    statements: Statement | readonly Statement[],
    what: string,
    wasApplied: () => Promise<boolean>,
  ): Promise<Conditional> {
    const settings = { isIdempotent: false, retry: neverAgain };
    let doubt: unknown;
    try {
      return await this.turn(async (client) => {
        try {
          const result =
            'query' in statements
              ? await client.execute(statements.query, [...statements.params], settings)
              : await client.batch(
                  statements.map(({ query, params }) => ({ query, params: [...params] })),
                  { ...settings, logged: true },
                );
          return { applied: result.wasApplied() };
        } catch (error) {
          if (!mayHaveHappened(error)) throw translated(error);
          throw new Doubt(error);
        }
      });
    } catch (error) {
      if (!(error instanceof Doubt)) throw error;
      doubt = error.cause;
    }
    return { applied: await this.findOut(wasApplied, what, doubt) };
  }

  /** What cost the answer often costs the next request, too: connections are made anew. */
  private async findOut(wasApplied: () => Promise<boolean>, what: string, doubt: unknown): Promise<boolean> {
    const { real } = this;
    const untilMs = real.monotonicMs() + FIND_OUT_MS;
    for (;;) {
      try {
        return await wasApplied();
      } catch {
        if (!this.isOpen || real.monotonicMs() >= untilMs) throw unknownOutcomeError(what, translated(doubt));
      }
      await real.sleep(FIND_OUT_PAUSE_MS);
    }
  }

  /** A read that sees every conditional write that was acknowledged, and ends those of the partition that are under way. */
  readSerial(query: string, params: readonly unknown[]): Promise<types.ResultSet> {
    return this.execute(query, params, { consistency: types.consistencies.localSerial });
  }

  private ask(work: (client: Client) => Promise<types.ResultSet>): Promise<types.ResultSet> {
    return this.turn(async (client) => {
      try {
        return await work(client);
      } catch (error) {
        throw translated(error);
      }
    });
  }

  private turn<T>(work: (client: Client) => Promise<T>): Promise<T> {
    if (this.client === undefined) return Promise.reject(closedError(this.keyspace));
    return this.gate.run(() => {
      // It may have been closed while this waited for its turn.
      if (this.client === undefined) return Promise.reject(closedError(this.keyspace));
      return work(this.client);
    });
  }
}

/** Carries the error after which it is not known whether a write was made. */
class Doubt extends Error {
  constructor(cause: unknown) {
    super('outcome unknown', { cause });
  }
}

/** Whether an error only says that something could not be had now, so that the same may be tried again at once. */
export function isPassing(error: unknown): boolean {
  if (!ConcursusError.isInstance(error) || !(error instanceof UnavailableError)) return false;
  return error.code !== 'STORE_CLOSED' && error.code !== 'CLOCK_SKEW';
}
