/**
 * A relay of `ConcursusModule.forRoot({ publish: […] })` into the tables of the original, so that it and whatever reads its
 * tables goes on. What these cannot hold is refused, never bent.
 */
import {
  ConfigurationError,
  EventRelay,
  identityText,
  INITIAL,
  TERMINAL,
  UnavailableError,
  UnsupportedError,
  type Fact,
  type RelayContext,
  type RelayProvider,
  type RelaySelection,
} from '@concursus/core';
import { types } from 'cassandra-driver';
import { eachBounded } from './bounded.js';
import { deckParameters, holdsFact, whyNotInDeck } from './deck-rows.js';
import { laneInCatalogue, openDeckTables, type DeckOptions } from './deck-tables.js';
import { Session } from './session.js';

/** What `deckRelay` takes. */
export interface DeckRelayOptions extends DeckOptions, RelaySelection {
  /** Its place in the feed is kept under this name. Default `deck`. */
  readonly name?: string;
  /** Where a name begins that is new. Default `beginning`. */
  readonly from?: 'beginning' | 'end';
  /** Lanes of the list of aggregates, as its readers have them. Default 8, as the original's Spring module. */
  readonly catalogueBuckets?: number;
  /**
   * What the tables cannot hold: `hold` (default) stops the relay there, and only the relay, until its selection leaves it out;
   * `leave-out` goes on without it and says so in the log.
   */
  readonly unfit?: 'hold' | 'leave-out';
}

const ROW = 'aggregatetype = ? AND aggregateid = ? AND eventtimestamp = ? AND streamid = ?';
const READ = `SELECT name, version, parameters FROM event WHERE ${ROW}`;
const WRITE = `INSERT INTO event (aggregatetype, aggregateid, eventtimestamp, streamid, characteristics, name, processingid, version, parameters)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const LIST = 'INSERT INTO catalogue (aggregatetype, bucket, aggregateid) VALUES (?, ?, ?)';
const UNLIST = 'DELETE FROM catalogue WHERE aggregatetype = ? AND bucket = ? AND aggregateid = ?';

const BUCKETS = 8;
const BUCKETS_MAX = 65_536;
const AT_ONCE = 32;

/**
 * Writes recorded events into the tables of the original: at least once, a row that is there already is left as it is. It
 * reads a row before it writes it, and refuses an event where another one stands with its time and stream.
 *
 * Refused with UnsupportedError `CAPABILITY_MISSING`: events of a tenant, with a sequence, corrections, and a second event or
 * content of one time and stream. Metadata are left out.
 *
 * @throws ConfigurationError `INVALID_OPTION`
 * @example
 * ConcursusModule.forRoot({ publish: [deckRelay({ contactPoints: ['10.0.0.1'], localDataCenter: 'dc1', keyspace: 'parcels' })] })
 */
export function deckRelay(options: DeckRelayOptions): RelayProvider {
  checkDeckOptions('deckRelay', options);
  const { name = 'deck', from, aggregates, types: events, where, unfit = 'hold', catalogueBuckets = BUCKETS } = options;
  if (unfit !== 'hold' && unfit !== 'leave-out') {
    throw new ConfigurationError('INVALID_OPTION', `deckRelay was given unfit "${String(unfit)}".`, {
      fix: "Choose 'hold' or 'leave-out'.",
    });
  }
  if (!Number.isInteger(catalogueBuckets) || catalogueBuckets < 1 || catalogueBuckets > BUCKETS_MAX) {
    throw new ConfigurationError('INVALID_OPTION', `deckRelay was given ${catalogueBuckets} catalogueBuckets.`, {
      fix: `Give the number that readers of the list have, from 1 to ${BUCKETS_MAX}.`,
    });
  }
  return {
    slot: 'publish',
    name,
    ...(from === undefined ? {} : { from }),
    ...(aggregates === undefined ? {} : { aggregates }),
    ...(events === undefined ? {} : { types: events }),
    ...(where === undefined ? {} : { where }),
    create: (context) => new DeckRelay(options, context, unfit === 'hold', catalogueBuckets),
  };
}

/** @throws ConfigurationError `INVALID_OPTION` */
export function checkDeckOptions(who: string, options: DeckOptions): void {
  const { contactPoints, localDataCenter, keyspace } = options;
  const missing =
    !Array.isArray(contactPoints) || contactPoints.length === 0
      ? 'contactPoints'
      : typeof localDataCenter !== 'string' || localDataCenter === ''
        ? 'localDataCenter'
        : typeof keyspace !== 'string' || !/^[A-Za-z]\w{0,47}$/.test(keyspace)
          ? 'keyspace'
          : undefined;
  if (missing === undefined) return;
  throw new ConfigurationError('INVALID_OPTION', `${who} was given no ${missing} that Cassandra takes.`, {
    fix: `Give ${who}({ contactPoints: ['10.0.0.1'], localDataCenter: 'dc1', keyspace: 'parcels' }).`,
  });
}

class DeckRelay extends EventRelay {
  private readonly session: Session;
  private connecting: Promise<void> | undefined;
  private closed = false;

  constructor(
    private readonly options: DeckRelayOptions,
    private readonly context: RelayContext,
    private readonly holds: boolean,
    private readonly buckets: number,
  ) {
    super();
    this.session = new Session(options, context);
  }

  async connect(): Promise<void> {
    if (this.closed) throw this.closedError();
    if (this.session.isOpen) return;
    this.connecting ??= this.session.connect(openDeckTables).finally(() => (this.connecting = undefined));
    await this.connecting;
  }

  async publish(facts: readonly Fact[]): Promise<void> {
    if (this.closed || !this.session.isOpen) throw this.closedError();
    const left: string[] = [];
    const refuse = (fact: Fact, why: string): void => {
      if (this.holds) throw unfit(fact, this.options.keyspace, why);
      left.push(`${identityText(fact)} (${why})`);
    };
    // Of several events of one row the first stands there, whatever order they are written in.
    const rows = new Map<string, Fact>();
    for (const fact of facts) {
      const why = whyNotInDeck(fact);
      if (why !== undefined) {
        refuse(fact, why);
        continue;
      }
      const row = JSON.stringify([fact.aggregateType, fact.aggregateId, fact.eventTime, fact.streamId]);
      const first = rows.get(row);
      if (first === undefined) rows.set(row, fact);
      else if (first.digest !== fact.digest) refuse(fact, takenBy(first.name));
    }
    await eachBounded([...rows.values()], AT_ONCE, async (fact) => {
      const taken = await this.write(fact);
      if (taken !== undefined) refuse(fact, takenBy(taken));
    });
    if (left.length === 0) return;
    this.context.logger.warn(
      `${left.length} events have no place in the tables of "${this.options.keyspace}" and were left out, the first: ${left[0]}`,
    );
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.connecting?.catch(() => undefined);
    await this.session.close();
  }

  /** @returns the name of another event that stands there, or undefined when this one does */
  private async write(fact: Fact): Promise<string | undefined> {
    const { session } = this;
    const place = [fact.aggregateType, fact.aggregateId, fact.eventTime, fact.streamId];
    const found = (await session.execute(READ, place)).first() as types.Row | null;
    if (found !== null && !holdsFact(found, fact)) return String(found['name']);
    if (found === null) {
      const { characteristics, name, processingId, version } = fact;
      const row = [...place, characteristics, name, processingId, version, deckParameters(fact)];
      await session.execute(WRITE, row);
    }
    await this.list(fact);
    return undefined;
  }

  /** An initial event lists its aggregate, a terminal one takes it off; by event time, so that the order of arrival does not matter. */
  private async list(fact: Fact): Promise<void> {
    const { aggregateType, aggregateId, characteristics, eventTime } = fact;
    const params = [aggregateType, laneInCatalogue(aggregateId, this.buckets), aggregateId];
    const timestamp = types.Long.fromNumber(eventTime).multiply(1_000);
    if ((characteristics & INITIAL) !== 0) await this.session.batch([{ query: LIST, params }], { timestamp });
    if ((characteristics & TERMINAL) !== 0) await this.session.batch([{ query: UNLIST, params }], { timestamp });
  }

  private closedError(): UnavailableError {
    return new UnavailableError('STORE_CLOSED', `The relay to the tables of "${this.options.keyspace}" is not open.`, {
      fix: 'Publish only between connect() and close().',
    });
  }
}

const takenBy = (name: string): string => `another event, "${name}", has its time and stream`;

function unfit(fact: Fact, keyspace: string, why: string): UnsupportedError {
  return new UnsupportedError(
    'CAPABILITY_MISSING',
    `The tables of "${keyspace}" cannot hold ${identityText(fact)}: ${why}.`,
    {
      fix: "Leave such events out with aggregates, types or where, or all that do not fit with unfit: 'leave-out'.",
      details: { keyspace, event: identityText(fact) },
    },
  );
}
