/** Copies of plain data that nobody can change: what one caller stored or read, the next cannot see changed. */
import type { WireValue } from '../model/event.js';
import type { Fields } from '../ports/view-store.js';

/** A deep copy, frozen all the way down; of values that were checked before, so depth and keys are bounded. */
export function frozenCopy(value: WireValue): WireValue {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return Object.freeze(value.map(frozenCopy));
  return frozenFields(value as Fields);
}

export function frozenFields(fields: Fields): Fields {
  const copy: Record<string, WireValue> = {};
  for (const key of Object.keys(fields)) {
    const value = fields[key]!;
    copy[key] = typeof value === 'object' ? frozenCopy(value) : value;
  }
  return Object.freeze(copy);
}
