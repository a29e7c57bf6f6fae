/** A map that forgets what was used longest ago: for caches that save work and never decide anything. */

export class LruMap<K, V> {
  private readonly map = new Map<K, V>();
  private weight = 0;

  /** @param max the greatest total weight kept · @param weigh an entry's weight, 1 unless told; read once, when it is set */
  constructor(
    private readonly max: number,
    private readonly weigh: (value: V) => number = () => 1,
  ) {}

  get(key: K): V | undefined {
    const value = this.map.get(key);
    if (value === undefined) return undefined;
    this.map.delete(key);
    this.map.set(key, value);
    return value;
  }

  set(key: K, value: V): void {
    const before = this.map.get(key);
    if (before !== undefined) {
      this.weight -= this.weigh(before);
      this.map.delete(key);
    }
    this.map.set(key, value);
    this.weight += this.weigh(value);
    for (const [oldest, was] of this.map) {
      if (this.weight <= this.max) return;
      this.map.delete(oldest);
      this.weight -= this.weigh(was);
    }
  }

  delete(key: K): void {
    const before = this.map.get(key);
    if (before === undefined) return;
    this.weight -= this.weigh(before);
    this.map.delete(key);
  }

  clear(): void {
    this.map.clear();
    this.weight = 0;
  }
}
