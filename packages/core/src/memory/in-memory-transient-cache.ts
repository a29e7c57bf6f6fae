/** The cache in memory: at most `entriesMax` values, the one unused for longest goes first. It may only save work (law 13). */
import { TransientCache } from '../ports/transient-cache.js';
import type { MemorySession } from './session.js';

interface Entry {
  readonly value: Uint8Array;
  readonly endsMs: number;
}

export class InMemoryTransientCache extends TransientCache {
  /** In the order of their last use. */
  private readonly entries = new Map<string, Entry>();

  constructor(
    private readonly session: MemorySession,
    private readonly entriesMax: number,
  ) {
    super();
  }

  async getMany(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    this.session.checkOpen();
    const now = this.session.clock.monotonicMs();
    return keys.map((key) => {
      const entry = this.entries.get(key);
      if (entry === undefined) return undefined;
      this.entries.delete(key);
      if (entry.endsMs <= now) return undefined;
      this.entries.set(key, entry);
      return entry.value.slice();
    });
  }

  async setMany(
    entries: readonly { readonly key: string; readonly value: Uint8Array }[],
    ttlMs: number,
  ): Promise<void> {
    this.session.checkOpen();
    const endsMs = this.session.clock.monotonicMs() + ttlMs;
    for (const { key, value } of entries) {
      this.entries.delete(key);
      this.entries.set(key, { value: value.slice(), endsMs });
      if (this.entries.size > this.entriesMax) this.entries.delete(this.entries.keys().next().value!);
    }
  }

  async deleteMany(keys: readonly string[]): Promise<void> {
    this.session.checkOpen();
    for (const key of keys) this.entries.delete(key);
  }
}
