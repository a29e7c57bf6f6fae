/** What of one history settles, and when, by filter and fold over the events that count. */
import { stateOf, type Counted } from './model.js';
import type { SettlingDraft } from './plan.js';

/** `[from, to)` of virtual time, settled once `settlesAt` is. */
export interface Item {
  readonly from: number;
  readonly to: number;
  readonly settlesAt: number;
  /** What it folds to. */
  readonly state: string;
  readonly events: number;
}

/** What a state says, in the one form in which two are compared. */
export const said = (path: string, total: number): string => `${path} ${total === 0 ? 0 : total}`;

/** What these events, in fold order, come to. */
export function folded(events: readonly Counted[]): Pick<Item, 'state' | 'events'> {
  const state = stateOf(events);
  return { state: said(state?.path ?? '', state?.total ?? 0), events: events.length };
}

/** @param epochMs where virtual time begins: windows stand side by side from the year 1970 on */
export function itemsOf(settling: SettlingDraft, history: readonly Counted[], epochMs: number): Item[] {
  if (history.length === 0) return [];
  const times = history.map(({ time }) => time).sort((a, b) => a - b);
  const within = (from: number, to: number): Item => ({
    from,
    to,
    settlesAt: to - 1,
    ...folded(history.filter(({ time }) => time >= from && time < to)),
  });
  switch (settling.kind) {
    case 'history': {
      const ends = history.filter(({ name }) => name === 'ended').map(({ time }) => time);
      const { quietMs } = settling;
      if (ends.length === 0 && quietMs === undefined) return [];
      const settlesAt = ends.length > 0 ? Math.min(...ends) : times.at(-1)! + quietMs!;
      return [{ from: times[0]!, to: times.at(-1)! + 1, settlesAt, ...folded(history) }];
    }
    case 'tumbling':
      return startsOf(times, settling.sizeMs, settling.sizeMs, settling.offsetMs - epochMs).map((from) =>
        within(from, from + settling.sizeMs),
      );
    case 'sliding':
      return startsOf(times, settling.sizeMs, settling.everyMs, settling.offsetMs - epochMs).map((from) =>
        within(from, from + settling.sizeMs),
      );
    case 'session': {
      const begins = times.filter((time, i) => i === 0 || time - times[i - 1]! >= settling.gapMs);
      return begins.map((from, i) => {
        const next = begins[i + 1] ?? Infinity;
        return within(from, times.filter((time) => time < next).at(-1)! + settling.gapMs);
      });
    }
    case 'deadline': {
      const met = Math.max(-Infinity, ...history.filter(({ name }) => name === 'ended').map(({ time }) => time));
      return history
        .filter(({ name, time }) => (name === 'prepared' || name === 'moved') && time > met)
        .map(({ time: from }) => {
          const to = from + settling.withinMs;
          return { from, to, settlesAt: to, ...folded(history) };
        });
    }
  }
}

/** When windows begin that some of these times stand in. */
function startsOf(times: readonly number[], sizeMs: number, everyMs: number, offsetMs: number): number[] {
  const starts = new Set<number>();
  for (const time of times) {
    for (let from = Math.floor((time - offsetMs) / everyMs) * everyMs + offsetMs; from > time - sizeMs; from -= everyMs)
      starts.add(from);
  }
  return [...starts];
}
