/**
 * What is known of sources, as a view keeps it: many small notes in few entries, so that a step of a context with a hundred
 * sources writes two entries and not a hundred.
 */
import type { WireValue } from '../model/event.js';

export interface Note {
  readonly key: string;
  /** Null removes. */
  readonly value: WireValue;
}

/** Notes of one entry: some 5 kB of sources. */
const ENTRY_NOTES = 64;

export class PackedNotes {
  private readonly entries: Map<string, WireValue>[] = [];
  private readonly places = new Map<string, number>();

  /** @param prefix how the packed notes' keys begin · @param stored what `readNotes` gave for it */
  constructor(
    private readonly prefix: string,
    stored: readonly Note[] = [],
  ) {
    for (const { key, value } of stored) {
      const at = Number(key.slice(prefix.length));
      const entry = (this.entries[at] ??= new Map());
      for (const [name, note] of value as unknown as [string, WireValue][]) {
        entry.set(name, note);
        this.places.set(name, at);
      }
    }
    for (let i = 0; i < this.entries.length; i++) this.entries[i] ??= new Map();
  }

  /** The notes as they were given. */
  unpacked(): Note[] {
    return this.entries.flatMap((entry) => [...entry].map(([key, value]) => ({ key, value })));
  }

  /** Takes changed notes in; gives the entries to write. */
  pack(changes: readonly Note[]): Note[] {
    if (changes.length === 0) return [];
    const changed = new Set<number>();
    for (const { key, value } of changes) {
      const place = this.places.get(key) ?? this.placeFor(key);
      changed.add(place);
      if (value === null) {
        this.entries[place]!.delete(key);
        this.places.delete(key);
      } else this.entries[place]!.set(key, value);
    }
    return [...changed].map((place) => ({
      key: `${this.prefix}${place}`,
      value: [...this.entries[place]!] as unknown as WireValue,
    }));
  }

  private placeFor(key: string): number {
    let place = this.entries.length - 1;
    if (place < 0 || this.entries[place]!.size >= ENTRY_NOTES) {
      place = this.entries.findIndex((entry) => entry.size < ENTRY_NOTES);
      if (place === -1) place = this.entries.push(new Map()) - 1;
    }
    this.places.set(key, place);
    return place;
  }
}
