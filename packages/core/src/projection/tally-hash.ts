/**
 * Sets compared without being held: a count and the XOR of hashes of 64 bits (two halves). Two sets that differ pass for equal
 * with a chance of one in 10^19; one that looks different is looked up exactly.
 */

/** A sum as it is kept: the count and the two halves. */
export type SetSumText = readonly [number, number, number];

export class SetSum {
  count = 0;
  private high = 0;
  private low = 0;

  /** A sum as it was kept. */
  static of([count, high, low]: SetSumText): SetSum {
    const sum = new SetSum();
    sum.count = count;
    sum.high = high;
    sum.low = low;
    return sum;
  }

  /** To be kept. */
  get text(): SetSumText {
    return [this.count, this.high, this.low];
  }

  /** What is taken away is what was added, or nothing is left out. */
  get isEmpty(): boolean {
    return this.count === 0 && this.high === 0 && this.low === 0;
  }

  /** Takes away what another set has. */
  remove(text: string): void {
    this.add(text);
    this.count -= 2;
  }

  add(text: string): void {
    // cyrb53's two halves, each mixed with the other.
    let a = 0xdeadbeef | 0;
    let b = 0x41c6ce57;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      a = Math.imul(a ^ code, 2_654_435_761);
      b = Math.imul(b ^ code, 1_597_334_677);
    }
    a = Math.imul(a ^ (a >>> 16), 2_246_822_507) ^ Math.imul(b ^ (b >>> 13), 3_266_489_909);
    b = Math.imul(b ^ (b >>> 16), 2_246_822_507) ^ Math.imul(a ^ (a >>> 13), 3_266_489_909);
    this.count++;
    this.high ^= a;
    this.low ^= b;
  }

  equals(other: SetSum | undefined): boolean {
    if (other === undefined) return this.isEmpty;
    return this.count === other.count && this.high === other.high && this.low === other.low;
  }
}

/** A place in [0, 1) for a text, another one for each seed. */
export function placeOf(text: string, seed = 0): number {
  let hash = seed ^ -2_128_831_035;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 16_777_619);
  hash = Math.imul(hash ^ (hash >>> 16), -2_048_144_789);
  hash = Math.imul(hash ^ (hash >>> 13), -1_028_477_387);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
