/**
 * Which calls handlers owe the other side, in which order: derived from the log fact by fact, without a line of the library.
 * What stands in the log decides what an event means to a handler; the conflict policy does not, as each content was reported.
 */
import { contentOf, corrected, countedOf, bytes, recordedOf, type Counted } from './model.js';
import type { CorrectionDraft, EventDraft } from './plan.js';
import type { Tide } from './tide.js';
import type { Entry } from './truth.js';

/** What a call tells the other side, in the one form in which two are compared. */
export const says = {
  event: (id: string, at: number, who: string, amount: number, late: number | undefined): string =>
    `${id} at ${at}: ${who} ${amount}${lateness(late)}`,
  correction: (
    id: string,
    by: { readonly kind: string; readonly decidedAt: number; readonly stream: string; readonly sequence: number },
    before: string,
    after: string,
    late: number | undefined,
  ): string =>
    `${id} corrected by ${by.kind} of ${by.decidedAt} ${by.stream} ${by.sequence}: ${before} -> ${after}${lateness(late)}`,
};

const lateness = (late: number | undefined): string => (late === undefined ? '' : `, late: ${late} was settled`);
const content = (event: { readonly who: string; readonly amount: number } | undefined): string =>
  event === undefined ? 'nothing' : `${event.who} ${event.amount}`;

/** The moves of one identity and the corrections of any of them, in recorded order. */
interface Moment {
  readonly moves: (Entry & { readonly draft: EventDraft })[];
  readonly corrections: CorrectionDraft[];
}

/** What a correction does to one move. */
interface Change {
  readonly of: Entry & { readonly draft: EventDraft };
  readonly by: CorrectionDraft;
  readonly before: Counted | undefined;
  readonly after: Counted | undefined;
}

/** Reads the log on, and says what each move means when it comes and which corrections change one. */
abstract class Reader {
  private place = 0;
  private readonly moments = new Map<string, Moment>();

  constructor(private readonly log: readonly Entry[]) {}

  /** Up to the end of the log. */
  protected readOn(): void {
    for (; this.place < this.log.length; this.place++) {
      const entry = this.log[this.place]!;
      const { draft } = entry;
      if (draft.kind === 'event' && draft.name === 'moved') {
        const moment = this.momentOf(draft);
        const move = { ...entry, draft };
        moment.moves.push(move);
        const earlier = moment.corrections.map((_, i) => this.change(moment, move, i));
        this.came(move, meaningOf(moment, move, moment.corrections.length), earlier, this.place);
      } else if (draft.kind === 'correction' && draft.target.name === 'moved') {
        const moment = this.momentOf(draft.target);
        moment.corrections.push(draft);
        const last = moment.corrections.length - 1;
        for (const move of moment.moves) this.changed(this.change(moment, move, last), this.place);
      }
    }
  }

  /** @param earlier what the corrections that came before it do to it, one after the other */
  protected abstract came(
    move: Change['of'],
    meaning: Counted | undefined,
    earlier: readonly Change[],
    place: number,
  ): void;
  protected abstract changed(change: Change, place: number): void;

  private momentOf(event: EventDraft): Moment {
    const { identity } = recordedOf(event);
    let moment = this.moments.get(identity);
    if (moment === undefined) this.moments.set(identity, (moment = { moves: [], corrections: [] }));
    return moment;
  }

  private change(moment: Moment, of: Change['of'], nth: number): Change {
    const by = moment.corrections[nth]!;
    return { of, by, before: meaningOf(moment, of, nth), after: meaningOf(moment, of, nth + 1) };
  }
}

/** What a move means under the first so many corrections, beside the contents recorded by now; undefined when it does not count. */
function meaningOf({ moves, corrections }: Moment, move: Change['of'], known: number): Counted | undefined {
  const left = corrected(
    moves.map(({ draft }) => draft),
    corrections.slice(0, known),
  );
  const { digest } = countedOf(move.draft);
  return left.find((event) => (event.was ?? event).digest === digest);
}

const isSame = ({ before, after }: Change): boolean =>
  before === undefined || after === undefined
    ? before === after
    : before.time === after.time && contentOf(before, 'moved') === contentOf(after, 'moved');

const eventText = ({ processingId }: Entry, { time, who, amount }: Counted, late?: number): string =>
  says.event(processingId, time, who, amount, late);

const changeText = ({ of, by, before, after }: Change, late?: number): string => {
  const { does: kind, decidedAt, stream, sequence } = by;
  const correction = { kind, decidedAt, stream, sequence };
  return says.correction(of.processingId, correction, content(before), content(after), late);
};

/** What is called in which order within each lane. */
export interface Owed {
  /** Calls of one lane, as far as the log goes. */
  of(lane: string): readonly string[];
  lanes(): Iterable<string>;
}

/** A durable handler: each move as it was recorded, and each change of one behind it, in recorded order within a thing. */
export class DurableOwed extends Reader implements Owed {
  private readonly calls = new Map<string, string[]>();

  constructor(
    log: readonly Entry[],
    private readonly corrections: boolean,
  ) {
    super(log);
  }

  of(lane: string): readonly string[] {
    this.readOn();
    return this.calls.get(lane) ?? [];
  }

  lanes(): Iterable<string> {
    this.readOn();
    return this.calls.keys();
  }

  protected override came(move: Change['of'], _meaning: unknown, earlier: readonly Change[]): void {
    this.call(move, eventText(move, countedOf(move.draft)));
    for (const change of earlier) this.changed(change);
  }

  protected override changed(change: Change): void {
    if (this.corrections && !isSame(change)) this.call(change.of, changeText(change));
  }

  private call({ draft }: Entry, text: string): void {
    this.calls.set(draft.id, [...(this.calls.get(draft.id) ?? []), text]);
  }
}

/** What a persistent handler holds: a move or change at its place. What came when its time was settled stands behind that. */
interface Placed {
  readonly move: Change['of'];
  readonly time: number;
  /** What came late, by number; undefined for a move at its time. */
  readonly late: number | undefined;
  /** Of a move at its time: of what it counts as. */
  readonly digest: string;
  readonly text: string;
}

/** A persistent handler: moves in the order of event time once they are settled; stragglers and changes of what was settled behind them. */
export class PersistentOwed extends Reader implements Owed {
  private readonly placed: Placed[] = [];
  private readonly withheld = new Set<string>();
  private number = 0;

  constructor(
    private readonly facts: readonly Entry[],
    private readonly tide: Tide,
    private readonly across: 'aggregate' | 'context',
    private readonly corrections: boolean,
  ) {
    super(facts);
  }

  of(lane: string): readonly string[] {
    return this.due()
      .filter(({ move }) => this.laneOf(move) === lane)
      .map(({ text }) => text);
  }

  lanes(): Iterable<string> {
    return new Set(this.due().map(({ move }) => this.laneOf(move)));
  }

  private laneOf({ draft }: Entry): string {
    return this.across === 'context' ? '' : draft.id;
  }

  private due(): Placed[] {
    this.readOn();
    const settled = this.tide.before(this.facts.length);
    return this.placed.filter(({ time }) => time <= settled).sort(inOrder);
  }

  protected override came(
    move: Change['of'],
    meaning: Counted | undefined,
    _earlier: readonly Change[],
    place: number,
  ): void {
    if (meaning === undefined) this.withheld.add(move.processingId);
    else this.put(move, meaning, place);
  }

  protected override changed(change: Change, place: number): void {
    const { of: move, after } = change;
    if (isSame(change)) return;
    const settled = this.tide.before(place);
    const waits = this.placed.findIndex((one) => one.move === move && one.late === undefined && one.time > settled);
    if (waits >= 0 || this.withheld.delete(move.processingId)) {
      // It was not released: it takes its new place, or none.
      if (waits >= 0) this.placed.splice(waits, 1);
      if (after === undefined) this.withheld.add(move.processingId);
      else this.put(move, after, place);
    } else if (this.corrections) {
      this.placed.push({ move, time: settled, late: this.number++, digest: '', text: changeText(change, settled) });
    }
  }

  private put(move: Change['of'], meaning: Counted, place: number): void {
    const settled = this.tide.before(place);
    const { time, digest } = meaning;
    if (time > settled) this.placed.push({ move, time, late: undefined, digest, text: eventText(move, meaning) });
    else {
      this.placed.push({ move, time: settled, late: this.number++, digest, text: eventText(move, meaning, settled) });
    }
  }
}

/** Event time, then stream, sequence, name, type, id, digest as it counts, own time and digest as recorded; what came late stands behind its time, as it came. */
function inOrder(a: Placed, b: Placed): number {
  if (a.time !== b.time) return a.time - b.time;
  if (a.late !== undefined || b.late !== undefined) return (a.late ?? -1) - (b.late ?? -1);
  const [x, y] = [a.move.draft, b.move.draft];
  return (
    bytes(x.stream, y.stream) ||
    x.sequence - y.sequence ||
    bytes(x.id, y.id) ||
    bytes(a.digest, b.digest) ||
    // An amendment made them alike.
    x.time - y.time ||
    bytes(countedOf(x).digest, countedOf(y).digest)
  );
}
