/** Text as every store orders it: by UTF-8 bytes, so that in-memory, LMDB and Cassandra agree on one fold order. */

/** Compares by code point (the order of UTF-8 bytes). JavaScript's `<` compares UTF-16 units, which puts U+1F600 before U+FB01. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    let x = a.charCodeAt(i);
    let y = b.charCodeAt(i);
    if (x === y) continue;
    // Surrogates (0xD800-0xDFFF) stand for code points above 0xFFFF: lift them over 0xE000-0xFFFF.
    if (x >= 0xd800 && y >= 0xd800) {
      x = x >= 0xe000 ? x - 0x800 : x + 0x2000;
      y = y >= 0xe000 ? y - 0x800 : y + 0x2000;
    }
    return x - y;
  }
  return a.length - b.length;
}

/** UTF-8 bytes of a well-formed string, without allocating. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c < 0x80) continue;
    if (c < 0x800) bytes += 1;
    else if (c >= 0xd800 && c <= 0xdfff) {
      bytes += 2; // a pair is two units and four bytes
      i++;
    } else bytes += 2;
  }
  return bytes;
}
