/**
 * How long the buffer's topic keeps what it holds. What every group has handled is deleted, so that the topic is as long as
 * what waits; nothing that a group still has to handle is, as long as retention is unbounded. Where it is bounded, what has
 * waited for half of it is reported before the broker deletes it, and what the broker did delete is reported as lost.
 *
 *     low ........ handled by all | handled by some | waits ........ high
 *     └── deleted every minute ───┘
 */
import type { Clock, LayerLogger } from '@concursus/core';
import type { Admin } from 'kafkajs';

export interface BufferRetentionParts {
  readonly admin: Admin;
  readonly clock: Clock;
  readonly logger: LayerLogger;
  readonly topic: string;
  /** What was asked of the topic, which keeps at least this; -1 for ever. */
  readonly retentionMs: number;
  /** Delete what every group has handled. */
  readonly trim: boolean;
  /** Between two looks. */
  readonly everyMs: number;
}

/** Where a partition begins and ends, and up to where each group has handled it; -1 for a group that has not. */
interface Partition {
  readonly partition: number;
  readonly low: number;
  readonly handled: ReadonlyMap<string, number>;
}

/** A message that waits longer than this part of the retention is reported: as long again, and the broker may delete it. */
const NEAR = 0.5;

export class BufferRetention {
  private readonly stopping = new AbortController();
  /** Those that read here; other processes may have others. */
  private readonly groups = new Set<string>();
  private readonly near = new Map<string, string>();
  private readonly lost = new Map<string, number>();
  /** By group and partition, up to where what was lost is counted. */
  private readonly counted = new Map<string, number>();
  private running: Promise<void> | undefined;
  private failing = false;

  constructor(private readonly parts: BufferRetentionParts) {}

  start(): void {
    this.running ??= this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** Called before a group reads here: what was deleted while it did not is found now, or never. */
  async reads(groupId: string): Promise<void> {
    this.groups.add(groupId);
    if (this.parts.retentionMs !== -1) await this.tryLook();
  }

  /** What was, or may soon be, deleted before this group handled it, as of the last look; undefined when there is nothing. */
  problem(groupId: string): string | undefined {
    const lost = this.lost.get(groupId);
    return lost === undefined ? this.near.get(groupId) : this.lostText(groupId, lost);
  }

  private async run(): Promise<void> {
    const { clock, everyMs } = this.parts;
    const { signal } = this.stopping;
    while (!signal.aborted) {
      await clock.sleep(everyMs, signal);
      if (!signal.aborted) await this.tryLook();
    }
  }

  /** One that fails is as good as none: nothing was deleted, and the next one comes. */
  private async tryLook(): Promise<void> {
    try {
      await this.look();
      this.failing = false;
    } catch (error) {
      if (!this.failing && !this.stopping.signal.aborted)
        this.parts.logger.warn(
          `The topic "${this.parts.topic}" could not be trimmed or looked at, and keeps what it holds: ${String(error)}`,
        );
      this.failing = true;
    }
  }

  private async look(): Promise<void> {
    const partitions = await this.partitions();
    if (this.parts.retentionMs !== -1) {
      this.findLost(partitions);
      await this.findNear(partitions);
    }
    if (this.parts.trim) await this.deleteHandled(partitions);
  }

  /** The ends are read first: a group's place only grows, so one that is below them had something deleted. */
  private async partitions(): Promise<Partition[]> {
    const { admin, topic } = this.parts;
    const ends = await admin.fetchTopicOffsets(topic);
    const { groups } = await admin.listGroups();
    const known = new Set(this.groups);
    for (const { groupId } of groups) if (groupId.startsWith(`${topic}.`)) known.add(groupId);
    const handled = new Map(ends.map(({ partition }) => [partition, new Map<string, number>()]));
    for (const groupId of known) {
      const [offsets] = await admin.fetchOffsets({ groupId, topics: [topic] });
      const places = offsets?.partitions ?? [];
      // One that somebody named alike, and that reads something else.
      if (!this.groups.has(groupId) && places.every(({ offset }) => Number(offset) < 0)) continue;
      for (const { partition, offset } of places) handled.get(partition)?.set(groupId, Number(offset));
    }
    return ends.map(({ partition, low }) => ({ partition, low: Number(low), handled: handled.get(partition)! }));
  }

  private findLost(partitions: readonly Partition[]): void {
    for (const groupId of this.groups) {
      let more = 0;
      for (const { partition, low, handled } of partitions) {
        const place = handled.get(groupId) ?? -1;
        if (place < 0 || place >= low) continue;
        // Until the group goes on behind the gap, each look finds it.
        const key = `${groupId}/${partition}`;
        more += Math.max(0, low - Math.max(place, this.counted.get(key) ?? 0));
        this.counted.set(key, low);
      }
      if (more === 0) continue;
      const lost = (this.lost.get(groupId) ?? 0) + more;
      this.lost.set(groupId, lost);
      this.parts.logger.error(this.lostText(groupId, lost));
    }
  }

  private async findNear(partitions: readonly Partition[]): Promise<void> {
    const { admin, clock, logger, retentionMs, topic } = this.parts;
    const agedMs = Math.floor(retentionMs * NEAR);
    const offsets = await admin.fetchTopicOffsetsByTimestamp(topic, clock.now() - agedMs);
    const young = new Map(offsets.map(({ partition, offset }) => [partition, Number(offset)]));
    for (const groupId of this.groups) {
      const count = partitions.filter(
        ({ partition, low, handled }) => Math.max(low, handled.get(groupId) ?? -1) < (young.get(partition) ?? 0),
      ).length;
      const was = this.near.has(groupId);
      if (count === 0) {
        this.near.delete(groupId);
        if (was) logger.log(`The group "${groupId}" has caught up: nothing waits for half of the retention any more.`);
        continue;
      }
      const text = `Messages of ${count} partitions of "${topic}" have waited for the group "${groupId}" for more than ${agedMs} ms, and are deleted after ${retentionMs} ms, handled or not: let it catch up, or raise retention.ms.`;
      this.near.set(groupId, text);
      if (!was) logger.warn(text);
    }
  }

  /** Up to the slowest group. Where one has handled nothing yet, it may be about to begin. */
  private async deleteHandled(partitions: readonly Partition[]): Promise<void> {
    const { admin, topic } = this.parts;
    const done = partitions.flatMap(({ partition, low, handled }) => {
      const least = Math.min(...(handled.size === 0 ? [-1] : handled.values()));
      return least > low ? [{ partition, offset: String(least) }] : [];
    });
    if (done.length > 0) await admin.deleteTopicRecords({ topic, partitions: done });
  }

  private lostText(groupId: string, lost: number): string {
    return `${lost} messages of "${this.parts.topic}" were deleted by the broker before the group "${groupId}" had handled them: they waited for longer than the topic keeps them.`;
  }
}
