/** The content digest: what tells two facts under one identity apart (law 3). */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';

/** SHA-256 of the UTF-8 bytes of a text, in hex. */
export function sha256Hex(text: string): string {
  return bytesToHex(sha256(utf8ToBytes(text)));
}

/** SHA-256, in hex, of the UTF-8 bytes of the RFC 8785 form of `{"name":…,"parameters":…,"version":…}`; `content` is the parameters in that form already. */
export function digestOf(name: string, version: string, content: string): string {
  return sha256Hex(`{"name":${JSON.stringify(name)},"parameters":${content},"version":${JSON.stringify(version)}}`);
}
