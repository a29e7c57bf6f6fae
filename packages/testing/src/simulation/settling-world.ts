/**
 * Worlds about time: producers write channels, one process reads them into the store, proves idleness, and derives how far
 * event time is settled, through crashes, pauses and a bad network. Law 9, judged by when things were written.
 */
import {
  EventBus,
  IdleProver,
  inMemory,
  Settlement,
  SETTLEMENT_NOTES,
  SourceTable,
  type Append,
  type AppendResult,
  type EventFeed,
  type Layer,
  type PersistentPorts,
  type TimeNote,
  type ViewStore,
} from '@concursus/core';
import { Random } from './random.js';
import { Life, Scheduler } from './scheduler.js';
import { EPOCH_MS, SimClock } from './sim-clock.js';
import { registry } from './sim-process.js';
import { Network } from './sim-ports.js';
import { ordinalOf } from './truth.js';
import { violated, Violation } from './violation.js';

/** How late a good producer may write. */
const BOUND_MS = 400;
const IDLE_MS = 300;
const SKEW_MS = 1_000;
const SPAN_MS = 4_000;
const CALM_MS = 5_000;
const VIEW = { name: '.tide', version: 1, slice: -1 };

interface Message {
  readonly writtenAt: number;
  readonly time: number;
  readonly id: string;
  readonly who: string;
  /** Written within the bound of its time. */
  readonly good: boolean;
}

interface Channel {
  readonly stream: string;
  readonly messages: readonly Message[];
  readonly blocks: readonly (readonly [fromMs: number, toMs: number])[];
  /** The reader's place: kept by the broker, moved after the store has the message. */
  read: number;
}

/** What a world about time came to. */
export interface SettlingOutcome {
  readonly violation: Violation | undefined;
  readonly steps: number;
  readonly settledUpTo: number;
}

/** Runs the world about time of a seed. */
export async function runSettlingWorld(seed: number): Promise<SettlingOutcome> {
  return await new SettlingWorld(seed).run();
}

class SettlingWorld {
  private readonly scheduler = new Scheduler();
  private readonly random: Random;
  private readonly network: Network;
  private readonly disk: Layer<'persistent'>;
  private readonly channels: readonly Channel[];
  private life = new Life('disk', -1, 0);
  private calm = false;
  private violation: Violation | undefined;
  /** Recorded events in order: their times, and whether their writer kept the bound. */
  private readonly log: { readonly time: number; readonly good: boolean; readonly parks: boolean }[] = [];
  private newest = Number.NEGATIVE_INFINITY;
  /** Of streams that are idle: up to when that was proven. Of those that were: up to where the others were then. */
  private readonly idleAt = new Map<string, number>();
  private readonly rejoined = new Map<string, number>();
  /** The greatest time settled so far. */
  private settled = Number.NEGATIVE_INFINITY;

  constructor(seed: number) {
    const random = new Random(seed ^ 0x5eed);
    this.random = random;
    const bad = random.pick([0, 0.02, 0.1]);
    const weather = { latencyMs: random.pick([1, 10, 60]), failRate: bad, lostAckRate: bad, twiceRate: bad };
    this.network = new Network(this.scheduler, random.fork(), weather, random.pick([2, 5, 1_000]), () => undefined);
    this.disk = inMemory().create({
      context: 'tide',
      clock: this.clockOf(this.life),
      logger: quiet,
    }) as typeof this.disk;
    this.channels = Array.from({ length: random.int(1, 3) }, (_, i) => channelOf(random, `s${i}`));
    const kills = random.int(0, 3);
    for (let i = 0; i < kills; i++) this.scheduler.at(random.real() * SPAN_MS, () => this.restart());
    this.scheduler.at(SPAN_MS * 1.5, () => {
      this.calm = true;
      Object.assign(weather, { latencyMs: 1, failRate: 0, lostAckRate: 0, twiceRate: 0 });
    });
  }

  async run(): Promise<SettlingOutcome> {
    this.restart();
    const end = SPAN_MS * 1.5 + CALM_MS;
    this.scheduler.at(end, () => this.judgeEnd());
    try {
      await this.scheduler.run(() => this.scheduler.nowMs >= end || this.violation !== undefined);
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.violation ??= error;
    }
    this.life.dead = true;
    return { violation: this.violation, steps: this.scheduler.steps, settledUpTo: this.settled };
  }

  private clockOf(life: Life): SimClock {
    return new SimClock(this.scheduler, life, { offsetMs: 0 }, this.random.fork());
  }

  /** The process ends at whatever `await` it stands, and another one begins. */
  private restart(): void {
    this.life.dead = true;
    const life = new Life('reader', 0, this.scheduler.nowMs);
    this.life = life;
    const clock = this.clockOf(life);
    const { ports } = this.disk;
    const store = this.network.wrap(ports.eventStore, life, (method, args, result) => {
      if (method === 'append') this.appended(args[0] as readonly Append[], result as readonly AppendResult[]);
    });
    const quarantine = this.network.wrap(ports.quarantine, life);
    const bus = new EventBus({ registry, store, quarantine, clock, onError: () => undefined });
    for (const channel of this.channels) void this.readChannel(channel, bus, clock, life);
    void this.settle(life, clock, {
      ...ports,
      eventFeed: this.network.wrap(ports.eventFeed, life),
      viewStore: this.network.wrap(ports.viewStore, life),
    });
  }

  private async readChannel(channel: Channel, bus: EventBus, clock: SimClock, life: Life): Promise<void> {
    const { stream, messages } = channel;
    const written = (): number => messages.filter((message) => message.writtenAt <= this.scheduler.nowMs).length;
    const blocked = (): boolean =>
      !this.calm && channel.blocks.some(([from, to]) => this.scheduler.nowMs >= from && this.scheduler.nowMs < to);
    let inHand = false;
    const prover = new IdleProver({
      stream,
      clock,
      idleTimeoutMs: IDLE_MS,
      proveEveryMs: IDLE_MS,
      record: (input) => bus.record(input),
      probe: {
        atEnd: async () => channel.read === written(),
        get paused() {
          return blocked();
        },
        get backPressured() {
          return inHand;
        },
      },
    });
    void prover.run(new AbortController().signal);
    let endSeenMs = this.scheduler.nowMs;
    while (!life.dead) {
      const message = messages[channel.read];
      if (blocked() || message === undefined || message.writtenAt > this.scheduler.nowMs) {
        // It went on after it was held up, however shortly: what it finds now is the end.
        const now = this.scheduler.nowMs;
        if (!blocked() && channel.blocks.some(([, to]) => to > endSeenMs && to <= now)) {
          endSeenMs = now;
          prover.readToEnd();
        }
        await clock.sleep(40);
        continue;
      }
      inHand = true;
      try {
        await bus.record({
          aggregateType: 'thing',
          aggregateId: message.id,
          name: 'moved',
          at: EPOCH_MS + message.time,
          streamId: stream,
          sequence: channel.read,
          parameters: { who: message.who, amount: 1 },
        });
        channel.read++;
        prover.received();
      } catch {
        await clock.sleep(30);
      }
      inHand = false;
    }
  }

  /** Follows the feed: what is known of sources and how far time is settled, saved with the place. */
  private async settle(life: Life, clock: SimClock, ports: PersistentPorts): Promise<void> {
    while (!life.dead) {
      try {
        await this.follow(life, ports.eventFeed, ports.viewStore);
      } catch (error) {
        if (error instanceof Violation) {
          this.violation ??= error;
          return;
        }
        await clock.sleep(40);
      }
    }
  }

  private async follow(life: Life, feed: EventFeed, views: ViewStore): Promise<void> {
    const notes = (await views.readNotes(VIEW, '')) as readonly TimeNote[];
    let checkpoint = await views.readCheckpoint(VIEW);
    const time = { boundMs: BOUND_MS, maxSkewMs: SKEW_MS, expected: this.channels.map(({ stream }) => stream) };
    const table = SourceTable.load(time, notes);
    const settlement = new Settlement(notes.filter(({ key }) => key.startsWith(SETTLEMENT_NOTES)));
    this.passed(checkpoint, settlement.settledUpTo);
    let position = checkpoint === undefined ? feed.start() : feed.parsePosition(checkpoint);
    while (!life.dead) {
      const page = await feed.read(position, 5);
      if (page.facts.length === 0) {
        await feed.wait(position, new AbortController().signal);
        continue;
      }
      for (const fact of page.facts) {
        if (fact.aggregateType === 'thing' && fact.parameters['who'] === '!')
          settlement.hold(fact.aggregateId, fact.eventTime);
        table.take(fact);
      }
      settlement.advance(table.inputWatermark);
      const changed = [...table.changes(), ...settlement.changes()];
      const next = page.next.toString();
      await views.commit({
        view: VIEW,
        owner: 'tide',
        epoch: 0,
        expected: checkpoint,
        checkpoint: next,
        rows: [],
        contributions: [],
        forget: [],
        indexAdd: [],
        indexRemove: [],
        changes: [],
        notes: changed,
      });
      if (life.dead) return;
      table.saved();
      settlement.saved();
      checkpoint = next;
      position = page.next;
      this.passed(next, settlement.settledUpTo);
    }
  }

  /** Law 9: settled never moves back, and nothing good comes at or before it. */
  private passed(checkpoint: string | undefined, settled: number): void {
    if (settled < this.settled) violated(9, `settledUpTo moved from ${shown(this.settled)} back to ${shown(settled)}`);
    this.settled = settled;
    const place = checkpoint === undefined ? 0 : ordinalOf(checkpoint);
    for (const [i, { time, good, parks }] of this.log.entries()) {
      if (time > settled - EPOCH_MS) continue;
      if (good && i >= place) violated(9, `an event within its bound came at ${time}, settled was ${shown(settled)}`);
      if (good && parks) violated(9, `${shown(settled)} is settled, and the event of ${time} is parked`);
    }
    const now = this.scheduler.nowMs + SKEW_MS;
    if (settled - EPOCH_MS > now) violated(9, `${shown(settled)} is settled, and it is ${now} at most`);
  }

  private appended(appends: readonly Append[], results: readonly AppendResult[]): void {
    for (const [i, { facts }] of appends.entries()) {
      for (const [j, fact] of facts.entries()) {
        if (results[i]!.outcomes[j] === 'repeated') continue;
        const time = fact.eventTime - EPOCH_MS;
        const channel = this.channels.find(({ stream }) => stream === fact.streamId);
        const message = fact.aggregateType === 'thing' ? channel?.messages[fact.sequence] : undefined;
        if (fact.name === '$idle') this.idleAt.set(fact.aggregateId.slice(1), time);
        const good = message?.good === true && !this.isExcused(message, fact.streamId);
        if (good && time <= this.settled - EPOCH_MS)
          violated(9, `an event within its bound is late: ${time}, settled was ${shown(this.settled)}`);
        this.log.push({ time, good, parks: message?.who === '!' });
        if (message !== undefined && time <= this.scheduler.nowMs + SKEW_MS) this.newest = Math.max(this.newest, time);
      }
    }
  }

  /**
   * A source that was idle, and truly so (its channel was empty at the proof), holds nothing: what it writes afterwards may
   * find time settled as far as the others are. Written before the proof, it finds a proof that was false.
   */
  private isExcused(message: Message, stream: string): boolean {
    const idleAt = this.idleAt.get(stream);
    if (idleAt !== undefined && idleAt < message.writtenAt) this.rejoined.set(stream, this.newest - BOUND_MS);
    this.idleAt.delete(stream);
    return message.time <= (this.rejoined.get(stream) ?? Number.NEGATIVE_INFINITY);
  }

  /** Liveness: what every channel is done with settles, unless something parked holds it. */
  private judgeEnd(): void {
    if (this.channels.some(({ messages, read }) => read < messages.length))
      violated(9, 'a channel was not read to its end');
    if (this.log.some(({ parks }) => parks)) return;
    const times = this.log.filter(({ good }) => good).map(({ time }) => time);
    const must = Math.max(...times) - BOUND_MS - 1;
    if (times.length > 0 && this.settled - EPOCH_MS < must)
      violated(9, `at the end ${shown(this.settled)} is settled; everything up to ${must} came long ago`);
  }
}

const quiet = { log: () => undefined, warn: () => undefined, error: () => undefined };
const shown = (settled: number): string => String(settled - EPOCH_MS);

function channelOf(random: Random, stream: string): Channel {
  const messages: Message[] = [];
  for (let at = 0; messages.length < 14 && at < SPAN_MS;) {
    at += random.pick([5, 50, 300, 1_200]) * random.real();
    const far = random.chance(0.04);
    const late = !far && random.chance(0.05);
    const time = far ? 2_298_000_000_000 : Math.floor(at) - random.int(0, late ? 2_500 : BOUND_MS - 2);
    const good = !far && !late && time >= 0;
    messages.push({
      writtenAt: at,
      time: Math.max(0, time),
      id: random.pick(['a', 'b']),
      who: random.chance(0.02) ? '!' : 'x',
      good,
    });
  }
  const blocks = Array.from({ length: random.pick([0, 1, 2]) }, () => {
    const from = random.real() * SPAN_MS;
    return [from, from + random.real() * 1_500] as const;
  });
  return { stream, messages, blocks, read: 0 };
}
