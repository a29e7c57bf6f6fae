/**
 * A map that forgets what was not used lately: for caches that save work and never decide anything. Two generations
 * instead of an order of use: a hit costs no deletion, and what neither generation saw again is dropped as a whole.
 */

export class LruMap<K, V> {
  private young = new Map<K, V>();
  private old = new Map<K, V>();
  private youngWeight = 0;

  /** @param max the greatest total weight kept · @param weigh an entry's weight, 1 unless told */
  constructor(
    private readonly max: number,
    private readonly weigh: ((value: V) => number) | undefined = undefined,
  ) {}

  get(key: K): V | undefined {
    const value = this.young.get(key);
    if (value !== undefined) return value;
    const older = this.old.get(key);
    if (older !== undefined) {
      this.old.delete(key);
      this.set(key, older);
    }
    return older;
  }

  set(key: K, value: V): void {
    const before = this.young.get(key);
    this.young.set(key, value);
    if (this.weigh === undefined) this.youngWeight += before === undefined ? 1 : 0;
    else this.youngWeight += this.weigh(value) - (before === undefined ? 0 : this.weigh(before));
    if (this.youngWeight * 2 <= this.max) return;
    this.old = this.young;
    this.young = new Map();
    this.youngWeight = 0;
  }

  delete(key: K): void {
    this.young.delete(key);
    this.old.delete(key);
  }

  clear(): void {
    this.young = new Map();
    this.old = new Map();
    this.youngWeight = 0;
  }
}
