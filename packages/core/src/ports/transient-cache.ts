/** A shared, disposable map with time to live. It may forget anything at any time, so it may only save work (law 13). */

export abstract class TransientCache {
  /** Values in the order of `keys`; undefined for what is unknown or forgotten. */
  abstract getMany(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]>;
  abstract setMany(
    entries: readonly { readonly key: string; readonly value: Uint8Array }[],
    ttlMs: number,
  ): Promise<void>;
  abstract deleteMany(keys: readonly string[]): Promise<void>;
}
