/** Where a persistent handler learns how far event time is settled: a pure function of the facts it is given, in the order of the feed. */
import type { WireValue } from '../model/event.js';
import type { Fact } from '../model/event.js';

export interface WatermarkSource {
  /** The next fact of the feed. */
  take(fact: Fact): void;
  /** The next facts of the feed: as `take` of each, for who asks for the watermark behind all of them only. */
  takePage(facts: readonly Fact[]): void;
  /** Epoch milliseconds up to which nothing is expected any more; `-Infinity` while nothing settles. It never moves back. */
  readonly inputWatermark: number;
  /** Notes to be saved with the checkpoint that stands behind what was taken. */
  changes(): readonly { readonly key: string; readonly value: WireValue }[];
  /** The changes were saved. */
  saved(): void;
}

/** Makes a source from the notes saved before; none for a new handler. */
export type WatermarkFactory = (
  notes: readonly { readonly key: string; readonly value: WireValue }[],
) => WatermarkSource;

/** No source is declared: nothing settles. */
export const nothingSettles: WatermarkFactory = () => ({
  take: () => undefined,
  takePage: () => undefined,
  inputWatermark: Number.NEGATIVE_INFINITY,
  changes: () => [],
  saved: () => undefined,
});
