/**
 * This layer as a writer: it joins before its first append, beats while it lives, and ends when it closes.
 *
 * Joining: the row is inserted first, then all others are read, and only then is the first time given, above everything
 * that was promised, issued or can be seen in a log. So whoever was read before cannot be overtaken, and whoever was not
 * there yet will read this row. Others look who is there only now and then: so it waits until what they saw before it came
 * holds no more, and goes above what they gave meanwhile.
 *
 * Beating: nobody seals a writer before its beat stood still for its lease. So what is in the log, while the last beat is
 * younger than half of that, will be found by whoever seals it. After that the next beat tells.
 */
import { randomNode, UnavailableError, type ProcessingTime } from '@concursus/core';
import type { ClockAgreement } from './clock-agreement.js';
import { closedError } from './errors.js';
import { Epoch } from './epoch.js';
import type { FeedLog } from './feed-log.js';
import { BEFORE_ALL, endOf, isAfter, later, timeText } from './processing-times.js';
import type { Sealer } from './sealer.js';
import { isPassing, type Session } from './session.js';
import { laneOf, trustMsOf, type LiveWriter, type Scene, type Writers } from './writers.js';

const JOIN = `INSERT INTO writer (context, lane, node, beat, lease_ms, started, closed, issued, floor, closed_seq)
  VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, -1) IF NOT EXISTS`;
const BEAT = `UPDATE writer SET beat = ?, started = ?, closed = ?, issued = ?, floor = ?, closed_seq = ?, clock = ?
  WHERE context = ? AND lane = ? AND node = ? IF beat = ? AND seal = null`;
/** A floor is waited for while a writer that died is replaced, and a little longer. */
const FLOOR_LEASES = 3;
/** In place of a clock; nothing at all would be a tombstone. */
const UNTRUSTED = -1;
/** What is under way when a layer closes has so long. */
const END_MS = 10_000;

export interface WriterOptions {
  readonly leaseMs: number;
  readonly beatMs: number;
}

export class Writer {
  private epoch: Epoch | undefined;
  private joining: Promise<Epoch> | undefined;
  private readonly ended = new AbortController();
  private beating: Promise<void> | undefined;
  private nextBeat: Promise<void> | undefined;
  /** When the last beat that was answered had begun, by both clocks: one stands still while a machine sleeps, the other may be set. */
  private provenMs = Number.NEGATIVE_INFINITY;
  private provenAt = Number.NEGATIVE_INFINITY;
  private rhythm: Promise<void> | undefined;

  constructor(
    private readonly session: Session,
    private readonly writers: Writers,
    private readonly log: FeedLog,
    private readonly sealer: Sealer,
    private readonly clocks: ClockAgreement,
    private readonly options: WriterOptions,
  ) {}

  /** The life under way, if there is one. */
  get current(): Epoch | undefined {
    return this.epoch;
  }

  get isEnded(): boolean {
    return this.ended.signal.aborted;
  }

  /** Joins unless it has. @throws UnavailableError `STORE_CLOSED` after `end`, `CLOCK_SKEW` while its clock is wrong */
  async ready(): Promise<Epoch> {
    this.checkOpen();
    if (!this.clocks.isTrusted) await this.clocks.agree();
    if (this.epoch !== undefined && this.joining === undefined) return this.epoch;
    return (this.joining ??= this.join().finally(() => (this.joining = undefined)));
  }

  private checkOpen(): void {
    if (this.isEnded) throw closedError(this.session.keyspace);
    this.session.checkOpen();
  }

  private async join(): Promise<Epoch> {
    const { session, writers } = this;
    const node = randomNode((length) => session.real.randomBytes(length));
    const zero = timeText(BEFORE_ALL);
    const params = [session.context, laneOf(node), node, this.options.leaseMs, zero, zero, zero, zero];
    const joined = await session.conditional(
      { query: JOIN, params },
      `writer ${node} joined`,
      async () => (await writers.read(node)) !== undefined,
    );
    if (!joined.applied) return this.join();
    const epoch = new Epoch(node);
    writers.own = node;
    const others = await this.goAbove(epoch);
    epoch.started = epoch.promise().closed;
    await this.beatOf(epoch);
    if (epoch.lost) return this.join();
    this.checkOpen();
    this.epoch = epoch;
    this.rhythm ??= this.keepBeating();
    if (others.length === 0) return epoch;
    await session.real.sleep(2 * Math.max(...others.map(({ leaseMs }) => trustMsOf(leaseMs))), this.ended.signal);
    this.checkOpen();
    await this.goAbove(epoch);
    return epoch.lost ? this.join() : epoch;
  }

  /** Nothing is given at or below what anybody promised, gave or logged until now. @returns the others that live */
  private async goAbove(epoch: Epoch): Promise<readonly LiveWriter[]> {
    const { live } = await this.writers.look();
    epoch.raise(this.writers.sealedClosed);
    const others = live.filter((each) => each.node !== epoch.node);
    for (const each of others) epoch.raise(later(each.closed, later(each.issued, each.floor)));
    // What was logged since their last beats.
    const tails = others.map((each) => this.log.lastFrom(each.node, each.closedSeq + 1, BEFORE_ALL));
    for (const tail of await Promise.all(tails)) epoch.raise(tail);
    return others;
  }

  /** A look in which everybody stands who may have recorded anything by now: the last one, as long as it holds. */
  async seen(): Promise<Scene> {
    const { latest } = this.writers;
    const { real } = this.session;
    if (latest !== undefined && this.epoch !== undefined) {
      const ageMs = Math.max(real.monotonicMs() - latest.begunMs, real.now() - latest.begunAt);
      if (ageMs >= 0 && ageMs < trustMsOf(this.options.leaseMs)) return latest;
    }
    return this.writers.look();
  }

  private async keepBeating(): Promise<void> {
    const { signal } = this.ended;
    while (!signal.aborted) {
      await this.session.real.sleep(this.options.beatMs, signal);
      if (signal.aborted || this.epoch === undefined) continue;
      // What fails now is tried again at the next beat; who needs one is told by his own.
      await this.publish(true).catch(() => undefined);
    }
  }

  /**
   * A beat that began after the call. Afterwards what could be promised is published, or the epoch is lost.
   * @param following reads the others first, so that an idle writer comes after them
   */
  publish(following = false): Promise<void> {
    if (this.beating === undefined) return this.beginBeat(following);
    return (this.nextBeat ??= this.beating.then(
      () => this.beginBeat(following),
      () => this.beginBeat(following),
    ));
  }

  private beginBeat(following: boolean): Promise<void> {
    this.nextBeat = undefined;
    const beating = this.beatNow(following).finally(() => {
      if (this.beating === beating) this.beating = undefined;
    });
    return (this.beating = beating);
  }

  private async beatNow(following: boolean): Promise<void> {
    const { epoch } = this;
    if (epoch === undefined) return;
    if (following) this.follow(epoch, await this.writers.look());
    await this.beatOf(epoch);
  }

  /** What others gave is not given here any more; nor what lies before now, by this layer's own clock. */
  private follow(epoch: Epoch, scene: Scene): void {
    for (const each of scene.live) if (each.node !== epoch.node) epoch.raise(later(each.issued, each.floor));
    epoch.raise(this.writers.sealedClosed);
    void this.clocks.watch();
    if (this.clocks.isTrusted) epoch.raise(endOf(this.session.clock.now() - 1));
  }

  private async beatOf(epoch: Epoch): Promise<void> {
    const { session } = this;
    if (epoch.lost) return;
    const promised = epoch.promise();
    const beat = epoch.beat + 1;
    const startMs = session.real.monotonicMs();
    const startAt = session.real.now();
    const outcome = await session.conditional(
      {
        query: BEAT,
        params: [
          beat,
          timeText(epoch.started),
          timeText(promised.closed),
          timeText(promised.issued),
          timeText(promised.floor),
          promised.closedSeq,
          this.clocks.published ?? UNTRUSTED,
          session.context,
          laneOf(epoch.node),
          epoch.node,
          epoch.beat,
        ],
      },
      `writer ${epoch.node} made beat ${beat}`,
      async () => (await this.writers.read(epoch.node))?.beat === beat,
    );
    if (outcome.applied) {
      epoch.beat = beat;
      epoch.published = promised;
      this.provenMs = startMs;
      this.provenAt = startAt;
      return;
    }
    // A beat that was given up for lost may have been made after all.
    const found = await this.writers.read(epoch.node);
    if (found === undefined || found.seal !== undefined) this.lose(epoch);
    else epoch.beat = found.beat;
  }

  /** Waits until the log of an epoch would be found by whoever seals it; false when it was sealed. */
  async prove(epoch: Epoch): Promise<boolean> {
    const { session } = this;
    while (!epoch.lost) {
      const quietMs = Math.max(session.real.monotonicMs() - this.provenMs, session.real.now() - this.provenAt);
      if (quietMs >= 0 && quietMs < this.options.leaseMs / 2) return true;
      await this.publish();
    }
    return false;
  }

  /** Ends an epoch some row of which may or may not be in the log: what is there now counts, and nothing else. */
  async giveUp(epoch: Epoch): Promise<void> {
    this.lose(epoch);
    const found = await this.writers.read(epoch.node);
    if (found !== undefined) await this.sealer.seal(found);
  }

  private lose(epoch: Epoch): void {
    epoch.lost = true;
    if (this.epoch === epoch) this.epoch = undefined;
    if (this.writers.own === epoch.node) this.writers.own = undefined;
  }

  /**
   * No writer gives a processing time at or below the end of this millisecond afterwards.
   * @throws UnavailableError `TIMEOUT` when that could not be learned of all of them
   */
  async keepFloor(ms: number): Promise<void> {
    this.checkOpen();
    const { session, writers } = this;
    const floor = endOf(ms);
    const reached = (scene: Scene | undefined): boolean => scene !== undefined && !isAfter(floor, scene.closed);
    if (reached(writers.latest)) return;
    const startMs = session.real.monotonicMs();
    const limitMs = this.options.leaseMs * FLOOR_LEASES;
    for (;;) {
      const epoch = await this.ready();
      epoch.raise(floor);
      if (isAfter(floor, epoch.published.closed)) await this.publish();
      const scene = await writers.look();
      if (reached(scene)) return;
      if (session.real.monotonicMs() - startMs > limitMs) throw floorTimeout(scene, floor, limitMs);
      await session.real.sleep(this.options.beatMs / 5, this.ended.signal);
    }
  }

  /** Waits for what is under way, and ends so that nobody has to wait for the lease. Idempotent. */
  async end(): Promise<void> {
    if (this.isEnded) return;
    this.ended.abort();
    try {
      await this.joining;
    } catch {
      // Nothing was given out.
    }
    await this.rhythm;
    const { epoch } = this;
    if (epoch === undefined) return;
    try {
      // What cannot be written now is left to whoever finds the beat standing still.
      const waited = new AbortController();
      const late = this.session.real.sleep(END_MS, waited.signal).then(() => !waited.signal.aborted);
      const isLate = await Promise.race([epoch.idle().then(() => false), late]);
      waited.abort();
      if (isLate) return;
      await this.beating?.catch(() => undefined);
      if (epoch.lost) return;
      await this.beatOf(epoch);
      if (epoch.lost) return;
      this.lose(epoch);
      const { published } = epoch;
      await this.sealer.sealAs(
        { node: epoch.node, beat: epoch.beat },
        {
          node: epoch.node,
          started: epoch.started,
          last: later(epoch.started, published.issued),
          closed: published.closed,
          lastSeq: published.closedSeq,
          holes: [],
        },
      );
    } catch (error) {
      // Then the next one finds its beat standing still.
      if (!isPassing(error)) throw error;
    }
  }
}

function floorTimeout(scene: Scene, floor: ProcessingTime, limitMs: number): UnavailableError {
  const behind = scene.live.filter((each) => isAfter(floor, each.closed)).map((each) => each.node);
  return new UnavailableError(
    'TIMEOUT',
    `Of ${behind.length} writers it is not known after ${limitMs} ms that they record nothing at or before ${timeText(floor)}.`,
    { fix: 'Ask again: a writer that does not answer is replaced meanwhile.', details: { writers: behind, limitMs } },
  );
}
