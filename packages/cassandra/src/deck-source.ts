/**
 * An inlet of `ConcursusModule.forRoot({ consume: […] })` that takes in everything that the original wrote into its tables, once,
 * aggregate by aggregate, and goes on where it was after a restart. What is no event of today goes to the quarantine.
 */
import {
  ConflictError,
  EventInlet,
  StreamBatch,
  type CheckpointStore,
  type InletContext,
  type InletProvider,
  type StreamItem,
} from '@concursus/core';
import { checkDeckOptions } from './deck-relay.js';
import { rawInputOf } from './deck-rows.js';
import { openDeckTables, type DeckOptions } from './deck-tables.js';
import { Session } from './session.js';

/** What `deckSource` takes. */
export interface DeckSourceOptions extends Omit<DeckOptions, 'createSchema' | 'replication'> {
  /** How far it is, is kept under this name in the context's own store: another name begins anew. Default `deck`. */
  readonly name?: string;
  /** Only aggregates of these types. Default: all, and what this context does not know goes to the quarantine. */
  readonly aggregateTypes?: readonly string[];
}

const AGGREGATES = `SELECT DISTINCT aggregatetype, aggregateid, token(aggregatetype, aggregateid) AS place FROM event
  WHERE token(aggregatetype, aggregateid) > ? LIMIT ?`;
const HISTORY = `SELECT * FROM event WHERE aggregatetype = ? AND aggregateid = ? ORDER BY eventtimestamp ASC`;

/** No partition has it. */
const BEFORE_ALL = '-9223372036854775808';
const DONE = 'done';
/** After so many aggregates the place is saved: what a crash takes in again at most. */
const AGGREGATES_A_STEP = 100;
const ROWS_A_PAGE = 500;
const BACK_OFF_MS = 100;
const BACK_OFF_MAX_MS = 30_000;

/**
 * Takes in the rows of the original's table `event` as events of this context's classes: each at least once, histories from
 * their beginning, and each counts once however often it comes. An event gets a processing time of here. A row that cannot be
 * read is kept in the quarantine, under the source `deck/<keyspace>`, and holds up nobody.
 *
 * It ends when all was read; what the original adds later to what was read is not seen. Several processes may run it:
 * each goes on where the furthest is.
 *
 * @throws ConfigurationError `INVALID_OPTION`
 * @example
 * ConcursusModule.forRoot({ consume: [deckSource({ contactPoints: ['10.0.0.1'], localDataCenter: 'dc1', keyspace: 'concursus' })] })
 */
export function deckSource(options: DeckSourceOptions): InletProvider {
  checkDeckOptions('deckSource', options);
  const { name = 'deck' } = options;
  return { slot: 'consume', name, create: (context) => new DeckSource(options, context, name) };
}

class DeckSource extends EventInlet {
  private readonly session: Session;
  private readonly place: Place;
  private readonly stopping = new AbortController();
  private readonly wanted: ReadonlySet<string> | undefined;
  private running: Promise<void> | undefined;
  private recorded = 0;
  private rejected = 0;

  constructor(
    private readonly options: DeckSourceOptions,
    private readonly context: InletContext,
    name: string,
  ) {
    super();
    this.session = new Session({ ...options, createSchema: false }, context);
    this.place = new Place(context.checkpoints, `inlet/${name}`);
    if (options.aggregateTypes !== undefined) this.wanted = new Set(options.aggregateTypes);
  }

  connect(): Promise<void> {
    return this.session.connect(openDeckTables);
  }

  async start(): Promise<void> {
    if (this.stopping.signal.aborted) return;
    this.running ??= this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  async close(): Promise<void> {
    await this.stop();
    await this.session.close();
  }

  private async run(): Promise<void> {
    const { clock, logger } = this.context;
    const { signal } = this.stopping;
    const { keyspace } = this.options;
    for (let failures = 0; !signal.aborted;) {
      try {
        if (!(await this.step())) return;
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        const waitMs = Math.min(BACK_OFF_MS * 2 ** Math.min(failures++, 10), BACK_OFF_MAX_MS);
        logger.warn(`"${keyspace}" could not be read on, trying again in ${waitMs} ms: ${String(error)}`);
        await clock.sleep(waitMs, signal);
      }
    }
  }

  /** Takes in the next aggregates; false when there are none. */
  private async step(): Promise<boolean> {
    const from = await this.place.read();
    if (from === DONE) return false;
    const { rows } = await this.session.execute(AGGREGATES, [from ?? BEFORE_ALL, AGGREGATES_A_STEP]);
    const last = rows.at(-1);
    if (last === undefined) {
      await this.place.save(DONE);
      this.context.logger.log(
        `All of "${this.options.keyspace}" is read: ${this.recorded} events recorded, ${this.rejected} rejected.`,
      );
      return false;
    }
    const keys = rows.map((row) => [row['aggregatetype'] as string, row['aggregateid'] as string] as const);
    const { wanted } = this;
    const { recorded, rejected } = await this.context.record(
      this.histories(wanted === undefined ? keys : keys.filter(([type]) => wanted.has(type))),
      { signal: this.stopping.signal },
    );
    this.recorded += recorded;
    this.rejected += rejected;
    await this.place.save(String(last['place']));
    return true;
  }

  private async *histories(keys: readonly (readonly [type: string, id: string])[]): AsyncGenerator<StreamItem> {
    const source = `deck/${this.options.keyspace}`;
    let line = 0;
    for (const key of keys) {
      for await (const page of this.session.pages(HISTORY, key, { fetchSize: ROWS_A_PAGE })) {
        if (page.length > 0) yield new StreamBatch(page.map((row) => rawInputOf(row, ++line, source)));
      }
    }
  }
}

/** How far one inlet is. Whoever finds that another process is further goes on from there. */
class Place {
  private saved: string | undefined;

  constructor(
    private readonly checkpoints: CheckpointStore,
    private readonly name: string,
  ) {}

  async read(): Promise<string | undefined> {
    return (this.saved = await this.checkpoints.read(this.name));
  }

  async save(value: string): Promise<void> {
    try {
      await this.checkpoints.save(this.name, value, { epoch: 0, expected: this.saved });
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
    }
  }
}
