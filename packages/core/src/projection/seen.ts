/** A bounded memory of texts that never forgets one: it may take an unknown text for a known one, and never the other way. */

/** One megabyte: 1 % of a million texts are mistaken, 0.01 % of a hundred thousand. */
const BITS = 8 * 1_048_576;
const HASHES = 5;

export class Seen {
  /** Made with the first text. */
  private bits: Int32Array | undefined;

  add(text: string): void {
    this.bits ??= new Int32Array(BITS / 32);
    let hash = hashOf(text);
    const step = stepOf(hash);
    for (let i = 0; i < HASHES; i++, hash = (hash + step) | 0) {
      const at = (hash >>> 0) % BITS;
      this.bits[at >>> 5]! |= 1 << (at & 31);
    }
  }

  /** False: it was never added. True: probably it was. */
  has(text: string): boolean {
    const { bits } = this;
    if (bits === undefined) return false;
    let hash = hashOf(text);
    const step = stepOf(hash);
    for (let i = 0; i < HASHES; i++, hash = (hash + step) | 0) {
      const at = (hash >>> 0) % BITS;
      if ((bits[at >>> 5]! & (1 << (at & 31))) === 0) return false;
    }
    return true;
  }
}

/** FNV-1a, then mixed so that every bit decides. */
function hashOf(text: string): number {
  let hash = -2_128_831_035;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 16_777_619);
  hash = Math.imul(hash ^ (hash >>> 16), -2_048_144_789);
  return hash ^ (hash >>> 13);
}

/** Odd, so that it visits different places. */
function stepOf(hash: number): number {
  return Math.imul(hash ^ (hash >>> 15), -1_028_477_387) | 1;
}
