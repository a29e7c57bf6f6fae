/** The content digest: what tells two facts under one identity apart (law 3). */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';

/** SHA-256, in hex, of the UTF-8 bytes of the RFC 8785 form of `{"name":…,"parameters":…,"version":…}`; `content` is the parameters in that form already. */
export function digestOf(name: string, version: string, content: string): string {
  const canonical = `{"name":${JSON.stringify(name)},"parameters":${content},"version":${JSON.stringify(version)}}`;
  return bytesToHex(sha256(utf8ToBytes(canonical)));
}
