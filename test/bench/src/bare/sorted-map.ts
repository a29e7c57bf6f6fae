/** Bare part: a change needs its reason in the same commit. The least an in-memory event store must do: a map of sorted arrays that knows repeats. */
import type { LampRecord, LampState } from '../model.js';

export function before(a: LampRecord, b: LampRecord): number {
  return a.eventTimestamp - b.eventTimestamp || (a.streamId < b.streamId ? -1 : a.streamId > b.streamId ? 1 : 0);
}

/** Tail first, then binary search. @returns false for a second event of the same identity */
export function insertSorted(list: LampRecord[], event: LampRecord): boolean {
  const size = list.length;
  if (size === 0 || before(list[size - 1]!, event) < 0) {
    list.push(event);
    return true;
  }
  let low = 0;
  let high = size;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (before(list[middle]!, event) < 0) low = middle + 1;
    else high = middle;
  }
  if (low < size && before(list[low]!, event) === 0) return false;
  list.splice(low, 0, event);
  return true;
}

export class SortedMap {
  private readonly histories = new Map<string, LampRecord[]>();

  /** Awaited by its callers, as a store is. */
  async append(events: readonly LampRecord[]): Promise<void> {
    for (let i = 0; i < events.length; i++) {
      const event = events[i]!;
      let list = this.histories.get(event.aggregateId);
      if (list === undefined) this.histories.set(event.aggregateId, (list = []));
      insertSorted(list, event);
    }
  }

  load(id: string): LampState {
    const list = this.histories.get(id) ?? [];
    let state = initialState();
    for (let i = 0; i < list.length; i++) {
      const event = list[i]!;
      state = fold(state, event.name, event.parameters.wattage, event.eventTimestamp);
    }
    return state;
  }
}

export function initialState(): LampState {
  return { count: 0, on: false, wattage: 0, last: 0 };
}

/** A pure fold, as every side of the fold case runs it. */
export function fold(state: LampState, name: string, wattage: number, at: number): LampState {
  switch (name) {
    case 'screwedIn':
      return { count: state.count + 1, on: state.on, wattage, last: at };
    case 'switchedOn':
      return { count: state.count + 1, on: true, wattage: state.wattage, last: at };
    default:
      return { count: state.count + 1, on: false, wattage: state.wattage, last: at };
  }
}
