/** Hearts whose beats settle, for the child that tells of them and the spec that kills it. */
import { Aggregate, Event, EventHandler, EventRegistry, type Settling } from '@concursus/core';

@Event()
export class Beat {
  constructor(readonly strength: number) {}
}
@Event({ terminal: true })
export class Stopped {}

@Aggregate('heart')
export class Heart {
  static readonly events = { Beat, Stopped };
  beats = 0;
  strength = 0;
  @EventHandler(Beat) beat(event: Beat): void {
    this.beats++;
    this.strength += event.strength;
  }
}

export const heartRegistry = (): EventRegistry => new EventRegistry('spec', [Heart]);

/** Events come at most so late, most of them. */
export const BOUND_MS = 60;
export const GAP_MS = 40;
export const WITHIN_MS = 90;

/** What settles, by name. */
export const SETTLINGS = {
  rhythm: { kind: 'session', gapMs: GAP_MS },
  stop: { kind: 'deadline', after: new Set(['beat']), withinMs: WITHIN_MS, unless: new Set(['stopped']) },
} as const satisfies Record<string, Settling>;

/** A part of a history as it was handed over. */
export interface Part {
  readonly from: number;
  readonly to: number;
  readonly beats: number;
  readonly strength: number;
}

/** One call at the remote. */
export interface Told {
  readonly name: keyof typeof SETTLINGS;
  readonly kind: 'settled' | 'corrected' | 'withdrawn';
  readonly key: string;
  readonly attempt: number;
  readonly id: string;
  readonly before: readonly Part[];
  readonly after: readonly Part[];
}
