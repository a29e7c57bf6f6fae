/** Finds the peers, which are installed on demand into folders of their own, so that no version of theirs meets one of ours. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const PEERS = ['nest', 'emmett', 'emmett-sqlite', 'castore', 'ocoda'] as const;
export type Peer = (typeof PEERS)[number];

export function folderOf(peer: Peer): string {
  return fileURLToPath(new URL(`../../peers/${peer}`, import.meta.url));
}

export function isInstalled(peer: Peer): boolean {
  return existsSync(`${folderOf(peer)}/node_modules`);
}

/** The peer's adapter; its type is what the caller says it uses of it. */
export async function load<T>(peer: Peer): Promise<T> {
  return (await import(new URL(`../../peers/${peer}/adapter.mjs`, import.meta.url).href)) as T;
}
