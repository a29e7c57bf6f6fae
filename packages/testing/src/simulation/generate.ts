/**
 * From a seed to a plan: messy sources, a bad network, and processes that die at the worst moment. Most worlds are small,
 * because small ones are fast and most faults need only a few events; some are larger.
 */
import type { Action, CallPoint, Draft, EventDraft, MarkerDraft, Plan, SettlingDraft } from './plan.js';
import { KEPT } from './domain.js';
import { VIEWS } from './model.js';
import { Random } from './random.js';

/** What the generator may use; the rest of the world stays as it is. */
export interface Features {
  readonly corrections: boolean;
}

const IDS = ['a', 'b:/ü', '😀', 'd', 'e'];
// U+FB01 sorts before U+1F600 by UTF-8 bytes, and after it by UTF-16 units.
const STREAMS = ['', 's', '\ufb01', '😀'];
const WHO = ['x', 'y', 'é', 'x', 'y', '!'];
/** 2099-01-01 in virtual time. */
const FAR_MS = 2_298_000_000_000;

/** How a source misbehaves. */
interface Source {
  readonly stream: string;
  readonly lateMs: number;
  readonly veryLate: number;
  readonly repeats: number;
  readonly skewMs: number;
  readonly numbered: boolean;
  readonly gaps: number;
  /** Silent from here on, until it sends all it has. */
  readonly outage: readonly [fromMs: number, toMs: number];
}

const WRITES = ['append', 'append', 'commit', 'commit', 'save', 'setMany', 'claim', 'keepFloor', 'read', 'getMany'];

/** The world of a seed. The same seed, the same world. */
export function planOf(seed: number, features: Features): Plan {
  const random = new Random(seed);
  const events = random.chance(0.04) ? random.int(40, 120) : random.int(2, 18);
  // A hot world has one thing, and everything about it at once.
  const hot = random.chance(0.25);
  const spanMs = hot ? random.int(300, 1_500) : random.int(2_000, 8_000);
  const processes = random.chance(0.8) ? 2 : 1;
  const calm = random.chance(0.1);
  const sources = Array.from({ length: random.int(1, 4) }, (_, i) => sourceOf(random, i, spanMs));
  const ids = IDS.slice(0, hot ? 1 : random.pick([1, 2, 3, IDS.length]));
  const poison = random.chance(0.3);
  const corrected = features.corrections && random.chance(0.5);
  const drafts: Draft[] = [];
  const sends: Action[] = [];
  const numbers = sources.map(() => 0);

  const when = (source: Source, time: number): number => {
    const late = random.chance(source.veryLate) ? random.int(0, spanMs) : random.real() * source.lateMs;
    const at = Math.max(0, Math.min(time, spanMs) + late);
    return at >= source.outage[0] && at < source.outage[1] ? source.outage[1] + random.real() * 50 : at;
  };
  const send = (at: number, items: readonly Draft[]): void => {
    sends.push(sendOf(random, at, items, processes));
  };

  let lastAt = 0;
  while (drafts.length < events) {
    const s = random.int(0, sources.length - 1);
    const source = sources[s]!;
    const size = random.chance(0.3) ? random.int(2, 5) : 1;
    const items: Draft[] = [];
    const time = Math.floor(random.real() * spanMs);
    for (let i = 0; i < size; i++) {
      const draft = draftOf(random, source, ids, poison, time, numbers, s, drafts, corrected);
      drafts.push(draft);
      items.push(draft);
    }
    // Much comes in bursts.
    const at = lastAt > 0 && random.chance(0.4) ? lastAt + random.real() * 20 : when(source, time);
    lastAt = at;
    send(at, items);
    while (random.chance(source.repeats)) {
      // The same line again: at once through another process, soon, or long after.
      const again = random.chance(0.4) ? at + random.real() * 5 : when(source, time);
      send(again, random.chance(0.5) ? items : [random.pick(items)]);
    }
  }
  const snapshots = random.chance(0.5);
  // Snapshots are laid by whoever asks: much must be asked for them to be used.
  const asked = questions(random, ids, spanMs, processes);
  const again = snapshots ? [1, 2, 3].flatMap(() => questions(random, ids, spanMs, processes)) : [];
  const actions = [...sends, ...asked, ...again];
  if (!calm) actions.push(...troubles(random, spanMs, processes));
  const bad = calm ? 0 : random.pick([0, 0.01, 0.05, 0.15]);
  const network = {
    networkSeed: random.bits(),
    latencyMs: random.pick([0.5, 5, 5, 60]),
    failRate: bad * random.real(),
    lostAckRate: bad * random.real(),
    twiceRate: bad * random.real(),
    pageMax: hot ? random.int(1, 2) : random.pick([1, 2, 3, 7, 1_000]),
    leaseMs: 3_000,
    cache: random.chance(0.6),
  };
  const effects = random.chance(0.5);
  const clockOffsets = Array.from({ length: processes }, () => clockOffset(random));
  // Chance of its own, so that what is added here leaves the rest of a seed's world as it was.
  const more = new Random(seed ^ 0x71de);
  const consumers = consumersOf(more, effects);
  const disputed = consumers.policy === 'both' ? [] : disputes(more, drafts);
  const timed = consumers.persistent !== 'none' || consumers.settling !== undefined;
  const lastMs = Math.max(...actions.map(({ at }) => at));
  if (timed) actions.push(...tides(more, sources, spanMs, lastMs, processes));
  if (corrected && (consumers.durable === 'corrected' || consumers.persistent !== 'none'))
    actions.push(...decisions(more, drafts, spanMs, processes));
  for (const draft of disputed) actions.push(sendOf(more, more.real() * spanMs, [draft], processes));
  if (!calm && (timed || effects)) actions.push(...deadlyCalls(more, spanMs, processes));
  actions.push(...rebuilds(new Random(seed ^ 0x2b1d), spanMs, processes));
  actions.sort((a, b) => a.at - b.at);
  const spread = new Random(seed ^ 0x5a4e);
  const sharing = processes > 1 && spread.chance(0.6);
  const shares = spread.chance(0.15) ? 2 : 1;
  return { seed, processes, ...network, sharing, shares, snapshots, ...consumers, clockOffsets, actions };
}

export function sendOf(random: Random, at: number, items: readonly Draft[], processes: number): Action {
  return {
    at,
    kind: 'send',
    to: random.int(0, processes - 1),
    how: random.chance(0.2) ? 'stream' : 'call',
    items,
    once: random.chance(0.1),
  };
}

/** Who is called for what. Each of it slows a world down, so few worlds have everything. */
function consumersOf(
  random: Random,
  effects: boolean,
): Pick<Plan, 'policy' | 'durable' | 'persistent' | 'persistentCorrected' | 'settling' | 'time'> {
  return {
    policy: random.chance(0.6) ? 'both' : random.pick(['neither', 'greatest'] as const),
    durable: effects ? random.pick(['plain', 'corrected', 'corrected'] as const) : 'none',
    persistent: random.chance(0.25) ? random.pick(['aggregate', 'context'] as const) : 'none',
    persistentCorrected: random.chance(0.7),
    settling: random.chance(0.3) ? settlingOf(random) : undefined,
    time: { boundMs: random.pick([0, 100, 1_000, 4_000]), joins: random.chance(0.3) },
  };
}

function settlingOf(random: Random): SettlingDraft {
  const sizeMs = random.pick([250, 600, 2_000]);
  switch (random.pick(['history', 'tumbling', 'sliding', 'session', 'deadline', 'deadline'] as const)) {
    case 'history':
      return { kind: 'history', quietMs: random.chance(0.5) ? undefined : sizeMs };
    case 'tumbling':
      return { kind: 'tumbling', sizeMs, offsetMs: random.pick([0, 70]) };
    case 'sliding':
      return {
        kind: 'sliding',
        sizeMs,
        everyMs: Math.ceil(sizeMs / random.int(1, 3)),
        offsetMs: random.pick([0, -70]),
      };
    case 'session':
      return { kind: 'session', gapMs: sizeMs };
    case 'deadline':
      return { kind: 'deadline', withinMs: sizeMs };
  }
}

/** Other contents of what was sent, for worlds whose policy is to judge them. */
function disputes(random: Random, drafts: readonly Draft[]): EventDraft[] {
  const events = drafts.filter((draft): draft is EventDraft => draft.kind === 'event');
  let disputed = random.pick(events);
  return Array.from({ length: random.int(2, 6) }, () => {
    // Mostly the same event again: what is contested already is where most can go wrong.
    if (random.chance(0.3)) disputed = random.pick(events);
    return { ...disputed, who: random.pick(['x', 'y', 'é']), amount: random.int(-3, 3) };
  });
}

/** What somebody decides who cannot make up their mind: mostly one after the other. */
const MINDS = [
  ['retract', 'reinstate'],
  ['amend', 'retract', 'reinstate'],
  ['amend', 'retract', 'retract'],
  ['retract', 'amend', 'amend'],
] as const;

/** Other contents of some moves, and decisions about one content or all of them. */
function decisions(random: Random, drafts: readonly Draft[], spanMs: number, processes: number): Action[] {
  const moves = drafts.filter((draft): draft is EventDraft => draft.kind === 'event' && draft.name === 'moved');
  const actions: Action[] = [];
  for (let i = moves.length === 0 ? 0 : random.int(1, 4); i > 0; i--) {
    const move = random.pick(moves);
    let at = Math.max(0, Math.min(move.time, spanMs));
    const soon = (items: readonly Draft[]): void => {
      at += random.real() * random.pick([20, 200, 1_000]);
      actions.push(sendOf(random, at, items, processes));
    };
    if (random.chance(0.7)) soon([{ ...move, amount: move.amount + 1 }]);
    let decidedAt = 10_000;
    for (const does of random.pick(MINDS)) {
      // An amendment is of every content, what follows of one of them.
      const target = random.chance(0.3) ? { ...move, amount: move.amount + 1 } : move;
      const says = does === 'amend' ? { says: { who: 'x', amount: 9 } } : {};
      const exact = does !== 'amend';
      soon([
        { kind: 'correction', id: move.id, does, target, exact, decidedAt, stream: 'desk', sequence: -1, ...says },
      ]);
      decidedAt += random.pick([-1, 1, 1, 1]);
    }
  }
  return actions;
}

/** What sources say of themselves, some of it untrue; mostly all say in the end that they are done. */
function tides(
  random: Random,
  sources: readonly Source[],
  spanMs: number,
  lastMs: number,
  processes: number,
): Action[] {
  const marker = (stream: string, says: MarkerDraft['says'], time: number): MarkerDraft => ({
    kind: 'marker',
    id: `=${stream}`,
    stream,
    says,
    time,
  });
  const actions: Action[] = [];
  for (let i = random.int(0, 6); i > 0; i--) {
    const at = random.real() * spanMs * 1.2;
    const says = random.pick(['complete', 'complete', 'complete', 'heartbeat', 'retire'] as const);
    const time = Math.floor(at - random.real() * random.pick([0, 300, 2_000]));
    actions.push(sendOf(random, at, [marker(random.pick(sources).stream, says, time)], processes));
  }
  if (random.chance(0.15)) return actions;
  const time = 3 * spanMs + 4_000;
  for (const { stream } of sources) {
    actions.push({
      ...sendOf(random, lastMs + 300, [marker(stream, 'complete', time)], processes),
      once: false,
    } as Action);
  }
  return actions;
}

/** Ends of a process while it calls the other side, or says that it has. */
function deadlyCalls(random: Random, spanMs: number, processes: number): Action[] {
  return Array.from({ length: random.pick([0, 1, 1, 2]) }, () => ({
    at: random.real() * spanMs * 1.5,
    kind: 'kill' as const,
    to: random.int(0, processes - 1),
    restartMs: random.pick([0, 10, 500, 4_000]),
    on: {
      method: random.pick(['effect', 'effect', 'commit']),
      nth: random.int(1, 4),
      phase: random.pick(['before', 'done', 'answered'] as const),
    },
  }));
}

function sourceOf(random: Random, index: number, spanMs: number): Source {
  const from = random.chance(0.3) ? random.real() * spanMs : 0;
  return {
    stream: STREAMS[index]!,
    lateMs: random.pick([0, 20, 300, 2_000]),
    veryLate: random.pick([0, 0.05, 0.3]),
    repeats: random.pick([0, 0.1, 0.5]),
    skewMs: random.chance(0.05) ? FAR_MS : random.chance(0.3) ? random.int(-2_000, 2_000) : 0,
    numbered: random.chance(0.6),
    gaps: random.pick([0, 0.1]),
    outage: [from, from === 0 ? 0 : from + random.real() * spanMs],
  };
}

function draftOf(
  random: Random,
  source: Source,
  ids: readonly string[],
  poison: boolean,
  time: number,
  numbers: number[],
  s: number,
  before: readonly Draft[],
  corrected: boolean,
): Draft {
  const says = (): { who: string; amount: number } => ({
    who: poison ? random.pick(WHO) : random.pick(['x', 'y', 'é']),
    amount: random.int(-3, 3),
  });
  const events = before.filter((draft): draft is EventDraft => draft.kind === 'event');
  const known = events.length === 0 ? undefined : random.pick(events.slice(-12));
  if (known !== undefined && random.chance(0.06)) return { ...known, ...says() }; // other content, same identity
  if (known !== undefined && corrected && random.chance(0.25)) {
    const target = random.chance(0.1) ? { ...known, time: known.time + 1 } : known; // or of what never came
    const does = random.pick(['retract', 'retract', 'amend', 'amend', 'reinstate'] as const);
    const moves = random.chance(0.5);
    return {
      kind: 'correction',
      id: target.id,
      does,
      target,
      exact: random.chance(0.3),
      decidedAt: random.int(0, 6) * 1_000,
      stream: random.pick(['', 'desk']),
      sequence: random.int(-1, 1),
      ...(does === 'amend' && moves ? { time: Math.max(0, target.time + random.int(-1_500, 1_500)) } : {}),
      ...(does === 'amend' && (!moves || random.chance(0.5)) ? { says: says() } : {}),
    };
  }
  let sequence = -1;
  if (source.numbered) {
    if (random.chance(source.gaps)) numbers[s]!++;
    sequence = numbers[s]!++;
  }
  return {
    kind: 'event',
    id: random.pick(ids),
    name: random.pick(['begun', 'prepared', 'moved', 'moved', 'moved', 'moved', 'ended'] as const),
    time: (random.chance(0.5) ? Math.floor(time / 250) * 250 : time) + source.skewMs,
    stream: source.stream,
    sequence,
    ...says(),
  };
}

function questions(random: Random, ids: readonly string[], spanMs: number, processes: number): Action[] {
  const actions: Action[] = [];
  for (let i = random.int(1, 8); i > 0; i--) {
    actions.push({
      at: random.real() * spanMs * 1.5,
      kind: 'ask',
      to: random.int(0, processes - 1),
      id: random.pick(ids),
      ...(random.chance(0.6) ? { asOf: random.int(0, spanMs) } : {}),
      ...(random.chance(0.8) ? { agoMs: random.chance(0.5) ? 0 : random.int(0, 2_000) } : {}),
    });
  }
  for (let i = random.int(0, 3); i > 0; i--) actions.push({ at: random.real() * spanMs * 1.5, kind: 'inspect' });
  return actions;
}

function troubles(random: Random, spanMs: number, processes: number): Action[] {
  const actions: Action[] = [];
  const at = (): number => random.real() * spanMs * 1.2;
  const to = (): number => random.int(0, processes - 1);
  for (let i = random.int(0, 4); i > 0; i--) {
    const restartMs = random.pick([0, 10, 500, 4_000]);
    const on: CallPoint = {
      method: random.pick(WRITES),
      nth: random.int(1, 4),
      phase: random.pick(['before', 'done', 'done', 'answered']),
    };
    actions.push({ at: at(), kind: 'kill', to: to(), restartMs, ...(random.chance(0.7) ? { on } : {}) });
  }
  for (let i = random.pick([0, 1, 1, 2]); i > 0; i--) {
    const forMs = random.pick([200, 4_000, 5_000, 8_000]);
    actions.push({ at: at(), kind: 'pause', to: to(), forMs, replaced: random.chance(0.4) });
  }
  for (let i = random.pick([0, 0, 1, 3]); i > 0; i--) {
    actions.push({ at: at(), kind: 'clock', to: to(), byMs: random.pick([-3_600_000, -1_500, -20, 700]) });
  }
  for (let i = random.pick([0, 1, 2]); i > 0; i--) actions.push({ at: at(), kind: 'forget' });
  for (let i = random.pick([0, 0, 1]); i > 0; i--) actions.push({ at: at(), kind: 'retry-parked', to: to() });
  return actions;
}

/** Views that are built anew while much happens, some of them twice, or again as soon as they are read. */
function rebuilds(random: Random, spanMs: number, processes: number): Action[] {
  const count = random.chance(0.3) ? random.int(1, 3) : 0;
  const often = random.pick(KEPT);
  const actions: Action[] = Array.from({ length: count }, () => ({
    at: random.real() * spanMs * 1.5,
    kind: 'rebuild',
    to: random.int(0, processes - 1),
    view: random.chance(0.5) ? often : random.pick(KEPT),
  }));
  if (random.chance(0.1)) {
    const everyMs = random.pick([10, 500, 3_000]);
    actions.push({ at: random.real() * spanMs, kind: 'deploy', view: random.pick(VIEWS), everyMs });
  }
  // Each switch has several writes, and may end before or after each.
  if (actions.length > 0 && random.chance(0.5)) {
    const on: CallPoint = random.chance(0.5)
      ? { method: 'switch', nth: random.int(1, 2), phase: 'done' }
      : { method: 'save', nth: random.int(1, 9), phase: random.pick(['before', 'done', 'answered']) };
    const restartMs = random.pick([0, 10, 500]);
    for (let to = 0; to < processes; to++) actions.push({ at: 0, kind: 'kill', to, restartMs, on });
  }
  return actions;
}

function clockOffset(random: Random): number {
  if (random.chance(0.02)) return FAR_MS;
  return random.chance(0.5) ? 0 : random.int(-2_000, 2_000);
}
