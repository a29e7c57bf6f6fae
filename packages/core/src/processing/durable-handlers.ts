/**
 * Handlers with the durable schedule: each follows the feed from its own checkpoint, in recorded order, at least once.
 * A handler that throws is tried again with back-off and holds up nobody but itself; nothing is passed over.
 */
import type { EventContext } from '../mapping/handler-map.js';
import { contextOf } from '../mapping/handler-map.js';
import type { EventModel } from '../mapping/event-registry.js';
import { ConflictError } from '../model/errors.js';
import type { Fact } from '../model/event.js';
import type { Position } from '../model/position.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { Clock } from '../ports/clock.js';
import type { EventFeed } from '../ports/event-feed.js';
import type { LayerLogger } from '../ports/layer.js';
import { Ownership, type OwnershipOptions } from './ownership.js';

/** One consumer: all durable handlers that share a name. */
export interface DurableConsumer {
  /** Its progress is kept under this name. A name seen first starts at the feed's end. */
  readonly name: string;
  readonly handlers: readonly {
    readonly model: EventModel;
    readonly handle: (event: object, context: EventContext) => unknown;
  }[];
}

export interface DurableParts {
  readonly feed: EventFeed;
  readonly checkpoints: CheckpointStore;
  readonly clock: Clock;
  readonly logger: LayerLogger;
  readonly process: string;
}

const PAGE = 500;
const BACK_OFF_MS = 100;
const BACK_OFF_MAX_MS = 30_000;

export class DurableHandlers {
  private readonly ownership: Ownership;
  private readonly stopping = new AbortController();
  private readonly running: Promise<void>[] = [];
  /** Aborted when an owner row was won or lost, and for good when all stops: one signal, since a lasting one would remember every wait. */
  private changed = new AbortController();

  constructor(
    private readonly parts: DurableParts,
    private readonly consumers: readonly DurableConsumer[],
    options: OwnershipOptions = {},
  ) {
    this.ownership = new Ownership(
      parts.checkpoints,
      parts.clock,
      parts.logger,
      parts.process,
      () => this.wakeAll(),
      options,
    );
    for (const consumer of consumers) this.ownership.watch(nameOf(consumer));
  }

  async start(): Promise<void> {
    if (this.consumers.length === 0) return;
    // A new name starts where the feed stands now, whoever will own it.
    for (const consumer of this.consumers) await this.begin(consumer);
    await this.ownership.start();
    for (const consumer of this.consumers) this.running.push(this.run(consumer));
  }

  /** Finishes the event in hand, saves the checkpoint and gives the names up. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.changed.abort();
    await Promise.all(this.running);
    await this.ownership.stop();
  }

  private wakeAll(): void {
    const waited = this.changed;
    if (!this.stopping.signal.aborted) this.changed = new AbortController();
    waited.abort();
  }

  private async begin(consumer: DurableConsumer): Promise<void> {
    if ((await this.parts.checkpoints.read(nameOf(consumer))) !== undefined) return;
    const end = await this.parts.feed.end();
    try {
      await this.parts.checkpoints.save(nameOf(consumer), end.toString(), { epoch: 0, expected: undefined });
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error; // another process began it
    }
  }

  private async run(consumer: DurableConsumer): Promise<void> {
    let failures = 0;
    while (!this.stopping.signal.aborted) {
      const held = this.ownership.held(nameOf(consumer));
      if (held === undefined) {
        await this.parts.clock.sleep(1_000, this.changed.signal);
        continue;
      }
      try {
        if (!(await this.step(consumer, held.epoch))) continue;
        failures = 0;
      } catch (error) {
        if (error instanceof ConflictError) {
          this.ownership.lost(nameOf(consumer));
          continue;
        }
        const waitMs = Math.min(BACK_OFF_MS * 2 ** failures++, BACK_OFF_MAX_MS);
        this.parts.logger.error(
          `The durable handler "${consumer.name}" failed and is tried again in ${waitMs} ms: ${String(error)}`,
          error instanceof Error ? error.stack : undefined,
        );
        await this.parts.clock.sleep(waitMs, this.stopping.signal);
      }
    }
  }

  /** One page; the checkpoint is saved behind what was handled, also when a handler throws or the stop comes in the middle. */
  private async step(consumer: DurableConsumer, epoch: number): Promise<boolean> {
    const name = nameOf(consumer);
    const saved = await this.parts.checkpoints.read(name);
    const from: Position = saved === undefined ? this.parts.feed.start() : this.parts.feed.parsePosition(saved);
    const page = await this.parts.feed.read(from, PAGE);
    if (page.facts.length === 0 && from.covers(page.next)) {
      await this.parts.feed.wait(from, this.changed.signal);
      return false;
    }
    let handled = 0;
    let failure: unknown;
    try {
      for (; handled < page.facts.length && !this.stopping.signal.aborted; handled++)
        await this.handle(consumer, page.facts[handled]!);
    } catch (error) {
      failure = error ?? new Error('a handler threw nothing');
    }
    const next = handled === page.facts.length ? page.next : await this.behind(from, handled);
    if (next !== undefined) await this.parts.checkpoints.save(name, next.toString(), { epoch, expected: saved });
    if (failure !== undefined) throw failure;
    return true;
  }

  /** The last place behind at most `handled` facts: an append handled only in part comes again as a whole. Undefined when that is `from`. */
  private async behind(from: Position, handled: number): Promise<Position | undefined> {
    let least = 0;
    let most = handled;
    let found: Position | undefined;
    // Pages end where appends do, so a page may be longer than asked for: the longest that is not is looked for.
    while (least < most) {
      const limit = Math.ceil((least + most) / 2);
      const page = await this.parts.feed.read(from, limit);
      if (page.facts.length <= handled) {
        found = page.next;
        least = Math.max(limit, page.facts.length);
      } else most = limit - 1;
    }
    return found;
  }

  private async handle(consumer: DurableConsumer, fact: Fact): Promise<void> {
    for (const { model, handle } of consumer.handlers) {
      if (model.aggregateType === fact.aggregateType && model.name === fact.name)
        await handle(model.hydrate(fact), contextOf(fact));
    }
  }
}

/** The owner row and the checkpoint share a name, so that the store fences each save by the owner's epoch. */
function nameOf(consumer: DurableConsumer): string {
  return `handler:${consumer.name}`;
}
