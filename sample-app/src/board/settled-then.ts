/**
 * Up to when the board was settled at any moment, by what was recorded until then. What sources have said is a function of
 * the feed, so it is derived again here as each view derives it. While a flight is parked its view holds further back, which
 * only the view itself knows; none is as long as the projections throw at no report.
 */
import { SourceTable, type EventFeed, type Fact, type Position } from '@concursus/core';
import { flightsTime } from '../flights/time.js';

const FEED_PAGE = 1_000;

export class SettledThen {
  private readonly sources = new SourceTable(flightsTime);
  /** In the order of knowledge: from this moment on, epoch ms, it was settled up to there. */
  private readonly steps: { readonly from: number; readonly upTo: number }[] = [];
  private position: Position | undefined;

  /** Reads on to the end of the feed; `rest` is called between two pages. Not while it is still reading. */
  async follow(feed: EventFeed, rest: () => Promise<void>): Promise<void> {
    for (;;) {
      const page = await feed.read(this.position ?? feed.start(), FEED_PAGE);
      for (const fact of page.facts) this.take(fact);
      this.position = page.next;
      if (page.atEnd || page.facts.length === 0) return;
      await rest();
    }
  }

  private take(fact: Fact): void {
    this.sources.take(fact);
    const upTo = this.sources.inputWatermark;
    const last = this.steps.at(-1);
    if (upTo === (last?.upTo ?? Number.NEGATIVE_INFINITY)) return;
    if (last?.from === fact.processedAt) this.steps.pop();
    this.steps.push({ from: fact.processedAt, upTo });
  }

  /** Event time as known at a moment, epoch ms; null while nothing was settled. */
  at(moment: number): number | null {
    let low = 0;
    let high = this.steps.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.steps[middle]!.from <= moment) low = middle + 1;
      else high = middle;
    }
    return this.steps[low - 1]?.upTo ?? null;
  }
}
