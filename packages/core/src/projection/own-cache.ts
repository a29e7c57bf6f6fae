/**
 * What the owner of a view wrote last, by key. It saves reads only: the owner alone writes. Of a view built from nothing
 * it also knows which keys were never written, so that they need no read either.
 */
import { LruMap } from '../processing/lru.js';
import { Seen } from './seen.js';

export class OwnCache<V> {
  private readonly kept: LruMap<string, V>;
  private written: Seen | undefined;

  /** @param fromStart the view holds nothing yet · @param weigh an entry's weight, which may not change while it is kept */
  constructor(max: number, weigh: (value: V) => number, fromStart: boolean) {
    this.kept = new LruMap(max, weigh);
    this.written = fromStart ? new Seen() : undefined;
  }

  get(key: string): V | undefined {
    return this.kept.get(key);
  }

  /** Asked when `get` found nothing: true when there is nothing to read either. */
  neverWritten(key: string): boolean {
    return this.written !== undefined && !this.written.has(key);
  }

  /** @param first the key is written for the first time */
  set(key: string, value: V, first: boolean): void {
    this.kept.set(key, value);
    if (first) this.written?.add(key);
  }

  /** After a write of unknown outcome nothing is known. */
  clear(): void {
    this.kept.clear();
    this.written = undefined;
  }
}
