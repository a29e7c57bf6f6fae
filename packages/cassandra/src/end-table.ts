/**
 * The last event times of very many histories in little memory: 32 bytes each, found by 128 bits of the SHA-256 of a name.
 * It forgets some when it is full, and never tells a time that was not put under that name.
 */
import { hash } from 'node:crypto';

/** 64 MiB when all pages are touched. Of a million names some half a percent are forgotten, as their neighbours are taken. */
const PLACES = 2 ** 21;
/** A name has a place among so many neighbours. */
const NEIGHBOURS = 8;
const BYTES = 32;
/** In words of four bytes: four of the hash, then the era, then the time in eight bytes. */
const WORDS = BYTES / 4;
const ERA = 4;
/** Of a place that is free. */
const NO_ERA = 0;

export class EndTable {
  private readonly groups: number;
  private readonly words: Uint32Array;
  private readonly times: Float64Array;
  /** Nothing was ever put in: the usual case of a process with some thousand aggregates. */
  private isEmpty = true;
  /** Taken next when all neighbours are taken. */
  private turn = 0;

  /** @param places a power of two */
  constructor(places = PLACES) {
    this.groups = places / NEIGHBOURS;
    // Pages that nobody wrote to cost nothing.
    const memory = new ArrayBuffer(places * BYTES);
    this.words = new Uint32Array(memory);
    this.times = new Float64Array(memory);
  }

  /** @param era from 0 on */
  put(name: string, era: number, time: number): void {
    const key = keyOf(name);
    const place = this.placeOf(key) ?? this.freePlace(key);
    this.isEmpty = false;
    for (let i = 0; i < ERA; i++) this.words[place * WORDS + i] = key[i]!;
    this.words[place * WORDS + ERA] = era + 1;
    this.times[place * (WORDS / 2) + 3] = time;
  }

  /** The time that was put last under this name in this era, if it is still known. */
  find(name: string, era: number): number | undefined {
    if (this.isEmpty) return undefined;
    const place = this.placeOf(keyOf(name));
    if (place === undefined || this.words[place * WORDS + ERA] !== era + 1) return undefined;
    return this.times[place * (WORDS / 2) + 3];
  }

  remove(name: string): void {
    if (this.isEmpty) return;
    const place = this.placeOf(keyOf(name));
    if (place !== undefined) this.words[place * WORDS + ERA] = NO_ERA;
  }

  private placeOf(key: Uint32Array): number | undefined {
    const first = this.firstOf(key);
    for (let place = first; place < first + NEIGHBOURS; place++) {
      const at = place * WORDS;
      if (this.words[at + ERA] === NO_ERA) continue;
      let same = true;
      for (let i = 0; same && i < ERA; i++) same = this.words[at + i] === key[i];
      if (same) return place;
    }
    return undefined;
  }

  private freePlace(key: Uint32Array): number {
    const first = this.firstOf(key);
    for (let place = first; place < first + NEIGHBOURS; place++) {
      if (this.words[place * WORDS + ERA] === NO_ERA) return place;
    }
    this.turn = (this.turn + 1) % NEIGHBOURS;
    return first + this.turn;
  }

  private firstOf(key: Uint32Array): number {
    return (key[0]! % this.groups) * NEIGHBOURS;
  }
}

function keyOf(name: string): Uint32Array {
  const bytes = hash('sha256', name, 'buffer');
  return new Uint32Array([0, 4, 8, 12].map((at) => bytes.readUInt32LE(at)));
}
