/** The other side of one consumer: it counts calls by idempotency key, and knows what the consumer's ledger has acknowledged. */
import type { Life } from './scheduler.js';
import { violated } from './violation.js';

/** Calls of one owner at once. */
export const IN_FLIGHT_MAX = 3;

/** One call, as the consumer made it. */
export interface Call {
  readonly key: string;
  readonly attempt: number;
  /** Calls of one lane come one after the other. */
  readonly lane: string;
  /** The same for each call of one key. */
  readonly says: string;
}

/** What a process has under way, and has ended since its owner row was won. */
interface Session {
  epoch: number;
  readonly open: Set<string>;
  readonly ended: Set<string>;
  /** Ended since its last commit, and before that one was made. */
  since: string[];
  before: string[];
}

export class Calls {
  /** Where the last commit has the checkpoint. */
  place = 0;
  /** What was done first for each key, in order. */
  readonly done = new Map<string, Call>();
  private readonly attempts = new Set<string>();
  private readonly ended = new Map<string, number>();
  /** Done, and in the ledger. */
  private readonly held = new Set<string>();
  private readonly sessions = new Map<Life, Session>();
  private owner: Life | undefined;

  constructor(readonly name: string) {}

  /**
   * A call begins. What its owner's ledger has, nothing is called for again (law 10); a former owner that was paused between
   * its commit and its call cannot know better, and counts among the repeats.
   */
  calling({ key, attempt, lane, says }: Call, life: Life): void {
    if (attempt < 1 || key.length !== 64) violated(10, `${this.name}: call ${attempt} of ${says} has no proper key`);
    // The attempt is in the store before the call: whoever calls again knows of it.
    if (this.attempts.has(`${key} ${attempt}`)) violated(10, `${this.name}: attempt ${attempt} of ${says} came twice`);
    this.attempts.add(`${key} ${attempt}`);
    const session = this.sessionOf(life);
    if (session.open.has(lane)) violated(10, `${this.name}: ${says} was called while another call of its lane goes on`);
    session.open.add(lane);
    if (session.open.size > IN_FLIGHT_MAX) violated(12, `${this.name}: ${session.open.size} calls at once`);
    if (session.ended.has(key)) violated(10, `${this.name}: ${says} was called again by who has done it`);
    if (life === this.owner && this.held.has(key))
      violated(10, `${this.name}: ${says} was called again, and the ledger holds it`);
  }

  /** The other side does it. @returns whether it is new to it */
  does(call: Call): boolean {
    const first = this.done.get(call.key);
    if (first === undefined) this.done.set(call.key, call);
    else if (first.says !== call.says)
      violated(10, `${this.name}: under one key came ${first.says}, and then ${call.says}`);
    return first === undefined;
  }

  /** The call is over in a living process, well or not. */
  over({ key, lane }: Call, life: Life, well: boolean): void {
    const session = this.sessionOf(life);
    session.open.delete(lane);
    if (!well) return;
    session.ended.add(key);
    session.since.push(key);
    this.ended.set(key, (this.ended.get(key) ?? 0) + 1);
  }

  /** The consumer's view was committed: its ledger holds what had ended when the commit before it was made. */
  committed(place: number, epoch: number, life: Life): void {
    this.owner = life;
    this.place = place;
    let session = this.sessionOf(life);
    if (session.epoch !== epoch) {
      // What ended for an owner that lost its row in between was dropped with it.
      session = { epoch, open: session.open, ended: new Set(), since: [], before: [] };
      this.sessions.set(life, session);
    }
    for (const key of session.before) this.held.add(key);
    session.before = session.since;
    session.since = [];
  }

  /** At the end: at most in-flight calls for each owner there was were completed twice. */
  judge(owners: number): void {
    const again = [...this.ended.values()].reduce((sum, count) => sum + count - 1, 0);
    if (again > owners * IN_FLIGHT_MAX)
      violated(10, `${this.name}: ${again} calls were done again, with ${owners} owners`);
  }

  private sessionOf(life: Life): Session {
    let session = this.sessions.get(life);
    if (session === undefined)
      this.sessions.set(life, (session = { epoch: 0, open: new Set(), ended: new Set(), since: [], before: [] }));
    return session;
  }
}
