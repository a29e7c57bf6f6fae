/** The reports that came longest after what they tell of, for the board's picker: found by following the feed, when asked. */
import { Inject, Injectable } from '@nestjs/common';
import { EventFeed, formatTime, getPortToken, isCorrection, type Fact, type Position } from '@concursus/core';
import { FLIGHTS } from '../flights/context.js';

export interface LateReport {
  readonly flight: string;
  readonly name: string;
  readonly at: string;
  readonly processedAt: string;
  readonly lateMinutes: number;
}

/** More than is ever asked for. */
const KEPT_MAX = 100;
const PAGE = 1_000;
/** Pages of one question; what is behind them the next one reads. */
const PAGES_MAX = 200;
const MS_PER_MINUTE = 60_000;

/** Corrections come late by their nature, and what is said of sources is no report. */
const isReport = (fact: Fact): boolean => fact.aggregateType === 'flight' && !isCorrection(fact);

const lateness = (fact: Fact): number => fact.processedAt - fact.eventTime;

@Injectable()
export class LateReports {
  private kept: Fact[] = [];
  private position: Position | undefined;
  private reading: Promise<void> | undefined;

  constructor(@Inject(getPortToken(EventFeed, FLIGHTS)) private readonly feed: EventFeed) {}

  /** The latest first. */
  async list(limit: number): Promise<LateReport[]> {
    // Callers at one time share one reading.
    this.reading ??= this.read().finally(() => (this.reading = undefined));
    await this.reading;
    return this.kept.slice(0, limit).map((fact) => ({
      flight: fact.aggregateId,
      name: fact.name,
      at: formatTime(fact.eventTime),
      processedAt: formatTime(fact.processedAt),
      lateMinutes: Math.floor(lateness(fact) / MS_PER_MINUTE),
    }));
  }

  private async read(): Promise<void> {
    let position = this.position ?? this.feed.start();
    for (let pages = 0; pages < PAGES_MAX; pages++) {
      const page = await this.feed.read(position, PAGE);
      const least = this.kept.length < KEPT_MAX ? 0 : lateness(this.kept.at(-1)!);
      const late = page.facts.filter((fact) => isReport(fact) && lateness(fact) > least);
      if (late.length > 0) {
        this.kept = [...this.kept, ...late].sort((a, b) => lateness(b) - lateness(a)).slice(0, KEPT_MAX);
      }
      position = page.next;
      this.position = position;
      if (page.atEnd || page.facts.length === 0) return;
      // Whoever else waits for this thread goes first.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }
}
