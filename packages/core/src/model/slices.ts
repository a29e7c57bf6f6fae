/**
 * Slices: a fixed 1/1,024 of all aggregates each, the unit in which work is shared out and positions are kept. Written
 * into stored rows, so neither the number nor the hash may ever change: test vectors keep both.
 */

export const SLICES = 1_024;

/**
 * The slice of an aggregate, 0 to 1,023: MurmurHash3 (x86, 32 bits, seed 0) over the UTF-8 bytes of context, tenant,
 * type and id, each ended by a zero byte, modulo 1,024. That hash because it is named and published, exists in every
 * language, and spreads near-equal ids evenly in its low bits, which FNV-1a does not. The zero bytes keep ('ab', 'c')
 * and ('a', 'bc') apart. Allocates nothing. A lone surrogate, which ids cannot hold, counts as U+FFFD.
 */
export function sliceOf(context: string, tenant: string, type: string, id: string): number {
  let hash = 0;
  let block = 0;
  let bytes = 0;
  for (let part = 0; part < 4; part++) {
    const text = part === 0 ? context : part === 1 ? tenant : part === 2 ? type : id;
    for (let i = 0; i <= text.length; i++) {
      // The bytes of one character, the first of them lowest; the end of the text is the zero byte.
      let unit = i === text.length ? 0 : text.charCodeAt(i);
      let count = 1;
      if (unit >= 0x80) {
        if (unit < 0x800) {
          unit = 0xc0 | (unit >> 6) | ((0x80 | (unit & 0x3f)) << 8);
          count = 2;
        } else {
          let point = unit;
          if (unit >= 0xd800 && unit <= 0xdfff) {
            const low = unit <= 0xdbff ? text.charCodeAt(i + 1) : Number.NaN;
            point = low >= 0xdc00 && low <= 0xdfff ? 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00) : 0xfffd;
          }
          if (point > 0xffff) {
            i++;
            unit =
              0xf0 |
              (point >> 18) |
              ((0x80 | ((point >> 12) & 0x3f)) << 8) |
              ((0x80 | ((point >> 6) & 0x3f)) << 16) |
              ((0x80 | (point & 0x3f)) << 24);
            count = 4;
          } else {
            unit = 0xe0 | (point >> 12) | ((0x80 | ((point >> 6) & 0x3f)) << 8) | ((0x80 | (point & 0x3f)) << 16);
            count = 3;
          }
        }
      }
      for (; count > 0; count--) {
        block |= (unit & 0xff) << ((bytes & 3) << 3);
        unit >>>= 8;
        if ((++bytes & 3) === 0) {
          hash ^= scramble(block);
          hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe654_6b64) | 0;
          block = 0;
        }
      }
    }
  }
  if ((bytes & 3) !== 0) hash ^= scramble(block);
  hash ^= bytes;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) & (SLICES - 1);
}

function scramble(block: number): number {
  const k = Math.imul(block, 0xcc9e_2d51);
  return Math.imul((k << 15) | (k >>> 17), 0x1b87_3593);
}
