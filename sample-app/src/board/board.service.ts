/** What the board shows in one piece, and when it has changed. */
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import {
  Clock,
  EventFeed,
  InjectPort,
  InjectView,
  OrdinalPosition,
  Quarantine,
  Sources,
  View,
  type ViewPage,
} from '@concursus/core';
import { CarrierCell, Carriers } from '../flights/carriers.projection.js';
import { FLIGHTS } from '../flights/context.js';
import { readStatuses } from '../flights/flights.controller.js';
import type { FlightStatus } from '../flights/flight.js';
import { FlightStatuses, StatusCell } from '../flights/flight-status.projection.js';
import { OriginDay, OriginDayCell } from '../flights/origin-day.projection.js';
import { Loader, type Loading } from '../load/loader.js';
import { PARCELS } from '../parcels/context.js';
import { isoOf } from '../web/iso.js';

export interface BoardSummary {
  readonly status: Record<FlightStatus, number>;
  /** `settled`: the day is over, and nothing of it is provisional any more. */
  readonly origins: readonly ({
    readonly origin: string;
    readonly day: string;
    readonly settled: boolean;
  } & OriginDayCell)[];
  readonly carriers: readonly ({ readonly carrier: string } & CarrierCell)[];
  readonly loading: Loading | null;
  /** ISO event time up to which the days of each origin are settled, and the sources without which it cannot go on. */
  readonly settledUpTo: string | null;
  readonly holding: readonly { readonly stream: string; readonly why: string; readonly since: string | null }[];
  /** Items in the quarantine. */
  readonly quarantined: number;
  /** Events of the flights context. */
  readonly recorded: number;
  /** Another text whenever any figure is another. */
  readonly revision: string;
}

/** A day is over at midnight in New York (UTC−5 in winter), that is 29 hours after it began in UTC. */
const DAY_OVER_MS = 29 * 3_600_000;
/** Sources named as holding; the others are counted in /sources. */
const HOLDING_MAX = 5;

/** Twice a second at most, however many look at it. */
const TICK_MS = 500;
/** Days and origins shown at most: ten years of three airports. */
const CELLS_MAX = 10_000;
const COUNT_PAGE = 200;

type Listener = (summary: BoardSummary) => void;

/** Counts quarantined items by reading each once. Nothing in this app takes an item out again. */
class ItemCount {
  private last: string | undefined;
  private items = 0;
  private reading: Promise<number> | undefined;

  constructor(private readonly quarantine: Quarantine) {}

  now(): Promise<number> {
    this.reading ??= this.read().finally(() => (this.reading = undefined));
    return this.reading;
  }

  private async read(): Promise<number> {
    for (;;) {
      const page = await this.quarantine.list(this.last, COUNT_PAGE);
      this.items += page.length;
      this.last = page.at(-1)?.id ?? this.last;
      if (page.length < COUNT_PAGE) return this.items;
    }
  }
}

@Injectable()
export class BoardService implements OnModuleDestroy {
  private readonly listeners = new Set<Listener>();
  private readonly stopping = new AbortController();
  private readonly counts: readonly ItemCount[];
  private ticking = false;
  private last: BoardSummary | undefined;

  constructor(
    @InjectView(FlightStatuses) private readonly statuses: View<StatusCell>,
    @InjectView(OriginDay) private readonly originDays: View<OriginDayCell>,
    @InjectView(Carriers) private readonly carriers: View<CarrierCell>,
    @InjectPort(EventFeed, FLIGHTS) private readonly feed: EventFeed,
    @InjectPort(Sources, FLIGHTS) private readonly sources: Sources,
    @InjectPort(Clock, FLIGHTS) private readonly clock: Clock,
    @InjectPort(Quarantine, FLIGHTS) flights: Quarantine,
    @InjectPort(Quarantine, PARCELS) parcels: Quarantine,
    @Inject(Loader) private readonly loader: Loader,
  ) {
    this.counts = [new ItemCount(flights), new ItemCount(parcels)];
  }

  onModuleDestroy(): void {
    this.stopping.abort();
    this.listeners.clear();
  }

  /** True once the app goes down: streams end. */
  get stopped(): AbortSignal {
    return this.stopping.signal;
  }

  async summary(): Promise<BoardSummary> {
    const { revision, origins, recorded, quarantined } = await this.revision();
    if (this.last?.revision === revision) return this.withLoading(this.last);
    const [status, carriers, completeness] = await Promise.all([
      readStatuses(this.statuses),
      this.carriers.find({ limit: CELLS_MAX }),
      this.originDays.completeness(),
    ]);
    const settledUpTo = completeness.settledUpTo ?? Number.NEGATIVE_INFINITY;
    this.last = {
      status,
      origins: origins.rows.map(({ key, value, provisional }) => {
        const day = key.slice(4);
        const over = Date.parse(`${day}T00:00:00Z`) + DAY_OVER_MS <= settledUpTo;
        return { origin: key.slice(0, 3), day, settled: over && !provisional, ...value };
      }),
      carriers: carriers.rows.map(({ key, value }) => ({ carrier: key, ...value })),
      loading: this.loader.loading ?? null,
      settledUpTo: isoOf(completeness.settledUpTo),
      holding: completeness.holding
        .slice(0, HOLDING_MAX)
        .map(({ stream, why, since }) => ({ stream, why, since: isoOf(since) })),
      quarantined,
      recorded,
      revision,
    };
    return this.last;
  }

  /** Called now, and then with each change, at most every 500 ms. The result ends it. */
  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    void this.summary().then(listener, () => undefined);
    if (!this.ticking) void this.tick();
    return () => void this.listeners.delete(listener);
  }

  private async tick(): Promise<void> {
    this.ticking = true;
    let told = '';
    while (this.listeners.size > 0 && !this.stopping.signal.aborted) {
      try {
        const summary = await this.summary();
        const text = `${summary.revision} ${summary.loading?.line} ${summary.loading?.done}`;
        if (text !== told) for (const listener of this.listeners) listener(summary);
        told = text;
      } catch {
        // The store is closing or busy: the next tick tells.
      }
      await this.clock.sleep(TICK_MS, this.stopping.signal);
    }
    this.ticking = false;
  }

  private withLoading(summary: BoardSummary): BoardSummary {
    return { ...summary, loading: this.loader.loading ?? null };
  }

  private async revision(): Promise<{
    revision: string;
    origins: ViewPage<OriginDayCell>;
    recorded: number;
    quarantined: number;
  }> {
    const views = await Promise.all([
      this.statuses.lastChange(),
      this.originDays.lastChange(),
      this.carriers.lastChange(),
      this.originDays.settledUpTo(),
    ]);
    // A day whose last wrong time was put right may be settled without a change of its figures.
    const origins = await this.originDays.find({ limit: CELLS_MAX });
    const open = origins.rows.filter(({ provisional }) => provisional).length;
    const recorded = await this.recorded();
    const items = await Promise.all(this.counts.map((count) => count.now()));
    const quarantined = items.reduce((sum, count) => sum + count, 0);
    return { revision: [...views, open, recorded, quarantined].join('.'), origins, recorded, quarantined };
  }

  /** Where positions are no numbers, as with several writers, the events that the view of sources counts. */
  private async recorded(): Promise<number> {
    const end = await this.feed.end();
    if (end instanceof OrdinalPosition) return end.ordinal;
    const sources = await this.sources.list();
    return sources.reduce((sum, { statistics }) => sum + (statistics?.count ?? 0), 0);
  }
}
