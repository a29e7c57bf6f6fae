/** The two ports of events over one session, and the writer behind them: what `cassandra.provider.ts` opens and closes. */
import { Bell, ConfigurationError, type EventFeed, type EventStore } from '@concursus/core';
import { BucketGrowth, type GrowthOptions } from './bucket-growth.js';
import { CassandraEventFeed } from './cassandra-event-feed.js';
import { CassandraEventStore } from './cassandra-event-store.js';
import { ClockAgreement } from './clock-agreement.js';
import { Decisions } from './decisions.js';
import { EventRows } from './event-rows.js';
import { FeedLog } from './feed-log.js';
import { FeedReader } from './feed-reader.js';
import { HistoryEnds } from './history-ends.js';
import { HistoryReader } from './history-reader.js';
import { KnownFacts } from './known-facts.js';
import { keepLayout } from './layout.js';
import { LateFacts } from './late-facts.js';
import { LoggedSince } from './logged-since.js';
import { Others } from './others.js';
import { Placement, type PlacementOptions } from './placement.js';
import { Recorder } from './recorder.js';
import { RepeatCounts } from './repeat-counts.js';
import { Sealer } from './sealer.js';
import type { Session } from './session.js';
import { Writer } from './writer.js';
import { Writers } from './writers.js';

/** What histories and feed can be told beside what all ports share; `CassandraPersistentOptions` extends it. */
export interface CassandraEventOptions extends PlacementOptions, GrowthOptions {
  /** A writer whose beat stands still this long is replaced. Default 5,000. */
  readonly leaseMs?: number;
  /** How often a writer says how far it is: about how far the feed is behind. At most a quarter of the lease. Default 100. */
  readonly beatMs?: number;
  /**
   * How far the clock of this process may be from those of all other writers: else it is refused, at the start and while it
   * runs, with `CLOCK_SKEW`. Default 60,000.
   */
  readonly maxSkewMs?: number;
}

/** What fills two of the persistent ports. */
export interface EventPorts {
  readonly eventStore: EventStore;
  readonly eventFeed: EventFeed;
  /**
   * Called when the session is connected, before any port is used.
   * @throws ConfigurationError `SCHEMA_MISMATCH` @throws UnavailableError `CLOCK_SKEW`
   */
  start(): Promise<void>;
  /** Waits for what was accepted. */
  drain(): Promise<void>;
  /** Called before the session closes; idempotent, also without `start`. */
  stop(): Promise<void>;
}

const LEASE_MS = 5_000;
const BEAT_MS = 100;
const SKEW_MS = 60_000;

/** @throws ConfigurationError `INVALID_OPTION` */
export function eventPorts(session: Session, options: CassandraEventOptions): EventPorts {
  const leaseMs = options.leaseMs ?? LEASE_MS;
  const beatMs = options.beatMs ?? BEAT_MS;
  const maxSkewMs = options.maxSkewMs ?? SKEW_MS;
  checkOptions(options, leaseMs, beatMs);
  const placement = new Placement(session.context, options);
  const growth = new BucketGrowth(session, placement, options);
  const rows = new EventRows(session, placement, growth);
  const log = new FeedLog(session);
  const writers = new Writers(session);
  const loggedSince = new LoggedSince(writers, log);
  const sealer = new Sealer(session, writers, log, rows, loggedSince);
  const clocks = new ClockAgreement(session, writers, { maxSkewMs, leaseMs, beatMs });
  const writer = new Writer(session, writers, log, sealer, clocks, { leaseMs, beatMs });
  const known = new KnownFacts(session, placement, growth);
  const repeats = new RepeatCounts(session, placement);
  const bell = new Bell();
  const onRecorded = (): void => bell.ring();
  const ends = new HistoryEnds(placement);
  const recorder = new Recorder({
    session,
    writers,
    writer,
    clocks,
    log,
    rows,
    placement,
    known,
    ends,
    others: new Others(writers, log, ends),
    loggedSince,
    repeats,
    onRecorded,
  });
  const histories = new HistoryReader(session, placement, growth);
  const late = new LateFacts(session, growth, histories);
  const decisions = new Decisions({ session, record: async (append) => (await recorder.append([append]))[0]! });
  const eventStore = new CassandraEventStore({
    session,
    placement,
    recorder,
    decisions,
    writer,
    growth,
    histories,
    late,
    repeats,
  });
  const reader = new FeedReader(writers, log);
  const eventFeed = new CassandraEventFeed({ session, writers, writer, log, reader, bell, leaseMs, beatMs });
  session.onClose(() => bell.ring());
  return {
    eventStore,
    eventFeed,
    async start() {
      await keepLayout(session, 'event buckets', placement.text);
      await clocks.agree();
    },
    async drain() {
      await decisions.drained();
      await recorder.drained();
    },
    async stop() {
      eventStore.stop();
      if (!session.isOpen) return;
      await decisions.drained();
      await recorder.drained();
      await writer.end();
      bell.ring();
      await sealer.stop();
    },
  };
}

function checkOptions(options: CassandraEventOptions, leaseMs: number, beatMs: number): void {
  const widths = [options.bucketMs, ...Object.values(options.bucketMsOf ?? {})];
  if (widths.some((width) => width !== undefined && !(Number.isSafeInteger(width) && width >= 60_000))) {
    throw new ConfigurationError('INVALID_OPTION', 'A bucket of histories is no whole number of at least 60,000 ms.', {
      fix: 'Leave bucketMs out, or give days: a bucket of one history should stay below some 100,000 events.',
    });
  }
  if (beatMs * 4 <= leaseMs) return;
  throw new ConfigurationError('INVALID_OPTION', `beatMs is ${beatMs} and leaseMs is ${leaseMs}.`, {
    fix: 'Give a lease of at least four beats: a writer that misses one must not be taken for dead.',
  });
}
