/** Base64 with the standard alphabet and padding (RFC 4648 §4), for runtimes with and without Node's Buffer. */

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const PADDING = 0x3d;
/** The value of each ASCII code, -1 for those outside the alphabet. */
const VALUES = new Int8Array(128).fill(-1);
for (let i = 0; i < 64; i++) VALUES[ALPHABET.charCodeAt(i)] = i;

/** Standard alphabet, padded. */
export function toBase64(bytes: Uint8Array): string {
  let text = '';
  let i = 0;
  for (; i + 2 < bytes.length; i += 3) {
    const n = (bytes[i]! << 16) | (bytes[i + 1]! << 8) | bytes[i + 2]!;
    text += ALPHABET[n >> 18]! + ALPHABET[(n >> 12) & 63]! + ALPHABET[(n >> 6) & 63]! + ALPHABET[n & 63]!;
  }
  const left = bytes.length - i;
  if (left === 0) return text;
  const n = (bytes[i]! << 16) | (left === 2 ? bytes[i + 1]! << 8 : 0);
  return `${text}${ALPHABET[n >> 18]!}${ALPHABET[(n >> 12) & 63]!}${left === 2 ? ALPHABET[(n >> 6) & 63]! : '='}=`;
}

/**
 * The bytes, or undefined when the text is not what `toBase64` writes for some bytes: no white space, no other
 * alphabet, padded, and no bits set behind the last byte. So each byte string has one text, and one digest.
 */
export function fromBase64(text: string): Uint8Array | undefined {
  const length = text.length;
  if (length % 4 !== 0) return undefined;
  if (length === 0) return new Uint8Array(0);
  const padding = text.charCodeAt(length - 1) !== PADDING ? 0 : text.charCodeAt(length - 2) !== PADDING ? 1 : 2;
  const bytes = new Uint8Array((length / 4) * 3 - padding);
  let bits = 0;
  let at = 0;
  for (let i = 0; i < length - padding; i++) {
    const code = text.charCodeAt(i);
    const value = code < 128 ? VALUES[code]! : -1;
    if (value < 0) return undefined;
    bits = ((bits << 6) | value) & 0xff_ffff;
    if ((i & 3) === 3) {
      bytes[at++] = bits >> 16;
      bytes[at++] = (bits >> 8) & 0xff;
      bytes[at++] = bits & 0xff;
      bits = 0;
    }
  }
  // The last, padded group has 18 bits for two bytes, or 12 for one: the rest must be zeros.
  if (padding === 1) {
    if ((bits & 3) !== 0) return undefined;
    bytes[at++] = bits >> 10;
    bytes[at] = (bits >> 2) & 0xff;
  } else if (padding === 2) {
    if ((bits & 15) !== 0) return undefined;
    bytes[at] = bits >> 4;
  }
  return bytes;
}
