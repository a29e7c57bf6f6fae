/**
 * What must be: arrays, filter, sort and fold over the facts that are known, written without a line of the library. It is
 * slow, and short enough to be believed.
 */
import { createHash } from 'node:crypto';
import { EPOCH_MS } from './sim-clock.js';
import type { CorrectionDraft, Draft, EventDraft, MarkerDraft, Policy, ViewName } from './plan.js';

/** An event as it counts: as reported, or as an amendment has it. */
export interface Counted extends EventDraft {
  readonly digest: string;
  /** As reported, when an amendment changed it. */
  readonly was?: Counted;
}

export const bytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
const sha = (text: string): string => createHash('sha256').update(text).digest('hex');
const quoted = (text: string): string => JSON.stringify(text);

/** The event's parameters in RFC 8785 form. */
export function contentOf(says: { readonly who: string; readonly amount: number }, name: string): string {
  return name === 'moved' ? `{"amount":${says.amount},"who":${quoted(says.who)}}` : `{"who":${quoted(says.who)}}`;
}

const digests = new Map<string, string>();
function digestOf(name: string, content: string): string {
  const text = `{"name":${quoted(name)},"parameters":${content},"version":"0"}`;
  let digest = digests.get(text);
  if (digest === undefined) digests.set(text, (digest = sha(text)));
  return digest;
}

export function countedOf(draft: EventDraft, was?: Counted): Counted {
  const digest = digestOf(draft.name, contentOf(draft, draft.name));
  return was === undefined ? { ...draft, digest } : { ...draft, digest, was };
}

/** A draft as it is recorded: its identity and its content, as text. Two drafts with both alike are one fact. */
export interface Recorded {
  readonly identity: string;
  readonly content: string;
  readonly draft: Draft;
}

const recorded = new WeakMap<Draft, Recorded>();
export function recordedOf(draft: Draft): Recorded {
  let found = recorded.get(draft);
  if (found === undefined) recorded.set(draft, (found = recordOf(draft)));
  return found;
}

function recordOf(draft: Draft): Recorded {
  switch (draft.kind) {
    case 'event':
      return eventRecord(draft);
    case 'correction':
      return correctionRecord(draft);
    case 'marker':
      return markerRecord(draft);
  }
}

function identityOf(id: string, time: number, stream: string, sequence: number, name: string): string {
  return JSON.stringify([id, EPOCH_MS + time, stream, sequence, name]);
}

function eventRecord(draft: EventDraft): Recorded {
  const identity = identityOf(draft.id, draft.time, draft.stream, draft.sequence, draft.name);
  return { identity, content: contentOf(draft, draft.name), draft };
}

function correctionRecord(draft: CorrectionDraft): Recorded {
  const { target } = draft;
  const digest = draft.exact ? countedOf(target).digest : null;
  const decided = EPOCH_MS + draft.decidedAt;
  const made = sha(JSON.stringify([target.stream, target.sequence, target.name, digest, decided])).slice(0, 32);
  const identity = identityOf(draft.id, target.time, draft.stream, draft.sequence, `$correction.${made}`);
  const fields = [
    ...(draft.time === undefined ? [] : [`"at":${EPOCH_MS + draft.time}`]),
    `"decidedAt":${decided}`,
    `"kind":"${draft.does}"`,
    ...(draft.says === undefined ? [] : [`"parameters":${contentOf(draft.says, target.name)}`]),
    `"target":{${digest === null ? '' : `"digest":"${digest}",`}"name":"${target.name}","sequence":${target.sequence},"streamId":${quoted(target.stream)}}`,
  ];
  return { identity, content: `{${fields.join(',')}}`, draft };
}

function markerRecord(draft: MarkerDraft): Recorded {
  const { id, says, time } = draft;
  const content = says === 'retire' ? `{"upTo":${EPOCH_MS + time}}` : '{}';
  return { identity: identityOf(id, time, '', -1, `$${says}`), content, draft };
}

const RANK = { begun: 0, prepared: 1, moved: 2, ended: 3 };
const byKey = (a: Counted, b: Counted): number =>
  a.time - b.time ||
  bytes(a.stream, b.stream) ||
  a.sequence - b.sequence ||
  bytes(a.name, b.name) ||
  bytes(a.digest, b.digest);
const byFold = (a: Counted, b: Counted): number =>
  RANK[a.name] - RANK[b.name] || byKey(a, b) || byKey(a.was ?? a, b.was ?? b);

/** Of two corrections of one content, the one that rules. */
const greatest = (a: CorrectionDraft, b: CorrectionDraft): CorrectionDraft =>
  (a.decidedAt - b.decidedAt ||
    bytes(a.stream, b.stream) ||
    a.sequence - b.sequence ||
    bytes(correctionDigest(a), correctionDigest(b))) > 0
    ? a
    : b;

/** What is left of events once these corrections are known. Of several contents that one amendment makes alike the first counts. */
export function corrected(events: readonly EventDraft[], corrections: readonly CorrectionDraft[]): Counted[] {
  const stood = new Set<CorrectionDraft>();
  const out: Counted[] = [];
  for (const draft of events) {
    const event = countedOf(draft);
    const covering = corrections.filter(
      ({ target, exact }) =>
        recordedOf(target).identity === recordedOf(draft).identity &&
        (!exact || countedOf(target).digest === event.digest),
    );
    const ruling = covering.length === 0 ? undefined : covering.reduce(greatest);
    if (ruling === undefined || ruling.does === 'reinstate') out.push(event);
    else if (ruling.does === 'amend') {
      if (!ruling.exact && ruling.says !== undefined && stood.has(ruling)) continue;
      stood.add(ruling);
      const { time = event.time, says = event } = ruling;
      out.push(countedOf({ ...draft, time, who: says.who, amount: says.amount }, event));
    }
  }
  return out;
}

/** The events of one thing that count, in fold order, of these facts of it (each once). */
export function effective(facts: readonly Draft[], policy: Policy): Counted[] {
  const corrections = facts.filter((draft): draft is CorrectionDraft => draft.kind === 'correction');
  const events = facts.filter((draft): draft is EventDraft => draft.kind === 'event');
  const inOrder = events.map((draft) => ({ draft, key: countedOf(draft) })).sort((a, b) => byKey(a.key, b.key));
  const left = corrected(
    inOrder.map(({ draft }) => draft),
    corrections,
  );
  return judged(left, policy).sort(byFold);
}

/** What the conflict policy leaves. */
function judged(left: Counted[], policy: Policy): Counted[] {
  if (policy === 'both') return left;
  const identities = new Map<string, Counted[]>();
  for (const event of left) {
    const { identity } = eventRecord(event.was ?? event);
    identities.set(identity, [...(identities.get(identity) ?? []), event]);
  }
  return [...identities.values()].flatMap((contents) => {
    if (contents.length === 1) return contents;
    const most = contents
      .map(({ who }) => who)
      .sort(bytes)
      .at(-1);
    return policy === 'neither' ? [] : contents.filter(({ who }) => who === most);
  });
}

function correctionDigest(draft: CorrectionDraft): string {
  const { identity, content } = recordedOf(draft);
  return digestOf((JSON.parse(identity) as string[])[4]!, content);
}

export interface ThingState {
  readonly path: string;
  readonly total: number;
  readonly events: number;
  readonly incomplete: boolean;
  readonly extraInitial: number;
  readonly afterTerminal: number;
  readonly lastEventTime: number;
}

/** What a thing is after these events, in fold order; undefined without any. */
export function stateOf(events: readonly Counted[]): ThingState | undefined {
  if (events.length === 0) return undefined;
  let path = '';
  let total = 0;
  for (const event of events) {
    path += event.name[0]!.toUpperCase() + event.who;
    if (event.name === 'moved') total += event.amount * path.length;
  }
  const initials = events.filter((event) => event.name === 'begun').length;
  const ended = Math.min(...events.filter((event) => event.name === 'ended').map((event) => event.time));
  return {
    path,
    total: total === 0 ? 0 : total,
    events: events.length,
    incomplete: initials === 0,
    extraInitial: Math.max(0, initials - 1),
    afterTerminal: events.filter((event) => event.time > ended).length,
    lastEventTime: EPOCH_MS + Math.max(...events.map((event) => event.time)),
  };
}

/** What the things known look like: the histories of one moment of the log. */
export function historiesOf(facts: readonly Draft[], policy: Policy): Map<string, Counted[]> {
  const byId = new Map<string, Draft[]>();
  for (const fact of facts) if (fact.kind !== 'marker') byId.set(fact.id, [...(byId.get(fact.id) ?? []), fact]);
  return new Map([...byId].map(([id, mine]) => [id, effective(mine, policy)]));
}

interface Add {
  readonly row: string;
  readonly id: string;
  readonly time: number;
  readonly tie: string;
  readonly total?: number;
  readonly least?: string;
  readonly greatest?: number;
  readonly last?: string;
  readonly paths?: readonly string[];
}

export const VIEWS: readonly ViewName[] = ['by-state', 'by-event', 'fragile'];

/** Whether the projection throws for a thing. */
export function isPoisoned(view: ViewName, events: readonly Counted[]): boolean {
  const poison = events.filter((event) => event.who === '!');
  return view === 'fragile' ? poison.length > 0 : view === 'by-event' && poison.some((event) => event.name === 'moved');
}

/** The rows of a view by key, of these histories; those of `parked` things are not in it. */
export function rowsOf(
  view: ViewName,
  histories: ReadonlyMap<string, readonly Counted[]>,
  parked: ReadonlySet<string>,
): Record<string, unknown> {
  const adds = [...histories].flatMap(([id, events]) => (parked.has(id) ? [] : addsOf(view, id, events)));
  const found: Record<string, unknown> = {};
  for (const row of [...new Set(adds.map((add) => add.row))].sort(bytes)) {
    const mine = adds.filter((add) => add.row === row);
    const valued = mine.filter((add) => add.least !== undefined);
    const timed = [...valued].sort((a, b) => a.time - b.time || bytes(a.id, b.id) || bytes(a.tie, b.tie));
    found[row] = {
      things: mine.length,
      total: mine.reduce((sum, add) => sum + (add.total ?? 0), 0),
      least: valued.map((add) => add.least!).sort(bytes)[0] ?? null,
      greatest: valued.length === 0 ? null : Math.max(...valued.map((add) => add.greatest!)),
      last: timed.at(-1)?.last ?? null,
      first: timed[0]?.last ?? null,
      paths: [...new Set(mine.flatMap((add) => add.paths ?? []))].sort(bytes),
    };
  }
  return found;
}

/** By row the latest time of what counts in it: of an event that adds to it, of all events of a thing whose state does. */
export function reachedOf(
  view: ViewName,
  histories: ReadonlyMap<string, readonly Counted[]>,
  parked: ReadonlySet<string>,
): ReadonlyMap<string, number> {
  const reached = new Map<string, number>();
  for (const [id, events] of histories) {
    if (parked.has(id)) continue;
    const latest = Math.max(...events.map(({ time }) => time));
    for (const add of addsOf(view, id, events)) {
      const time = view === 'by-event' ? add.time : latest;
      reached.set(add.row, Math.max(reached.get(add.row) ?? time, time));
    }
  }
  return reached;
}

function addsOf(view: ViewName, id: string, events: readonly Counted[]): Add[] {
  const state = stateOf(events);
  if (state === undefined) return [];
  const { path, total } = state;
  if (view === 'fragile') return [{ row: `total ${total}`, id, time: 0, tie: '', paths: [path] }];
  if (view === 'by-state') {
    const time = events.at(-1)!.time;
    const row = state.incomplete ? 'incomplete' : 'whole';
    return [
      { row, id, time, tie: '', total, least: path, greatest: total, last: path, paths: [path] },
      { row: `length ${path.length}`, id, time, tie: '' },
    ];
  }
  return events
    .filter((event) => event.name === 'moved')
    .map((event) => ({
      row: event.who,
      id,
      time: event.time,
      tie: [event.stream, String(event.sequence + 1).padStart(9, '0'), event.name, event.digest].join('\0'),
      total: event.amount,
      least: id,
      greatest: event.amount,
      last: `${event.amount}`,
      paths: [event.stream],
    }));
}

/** Ids of the things that live: begun, and not ended. */
export function livingOf(histories: ReadonlyMap<string, readonly Counted[]>): string[] {
  const has = (events: readonly Counted[], name: string): boolean => events.some((event) => event.name === name);
  return [...histories]
    .filter(([, events]) => has(events, 'begun') && !has(events, 'ended'))
    .map(([id]) => id)
    .sort(bytes);
}
