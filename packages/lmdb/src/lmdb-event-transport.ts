/**
 * The durable queue of a context on LMDB: items in one order, so also in order per key; a cursor row for each group; one
 * consumer a group at a time, by an owner row. An item goes when every group has acknowledged it.
 */
import { ConcursusError, EventTransport, UnavailableError } from '@concursus/core';
import type { LayerLogger, OwnerRow, TransportItem, TransportSubscription } from '@concursus/core';
import { Bell } from './bell.js';
import type { Bytes } from './environment.js';
import { after, KeyWriter, readOrdinal } from './keys.js';
import { checkEpoch, LmdbCheckpointStore } from './lmdb-checkpoint-store.js';
import type { Session } from './session.js';

export interface TransportBounds {
  readonly itemsMax: number;
  readonly leaseMs: number;
}

const BATCH_SIZE = 500;
const BATCH_BYTES_MAX = 4 * 1_048_576;
/** Back-off after a handler that rejected: doubled from the first to the last. */
const RETRY_MS_FIRST = 50;
const RETRY_MS_LAST = 5_000;
const FIRST_ITEM = 1;

const CURSOR = 'g';
const ITEM = 'm';
const LAST = Buffer.from('l');

export class LmdbEventTransport extends EventTransport {
  private readonly keys = new KeyWriter();
  private readonly owners: LmdbCheckpointStore;
  private readonly subscriptions = new Set<Consumer>();
  private bellInUse: Bell | undefined;
  private readonly closing = new AbortController();

  constructor(
    readonly session: Session,
    private readonly logger: LayerLogger,
    private readonly bounds: TransportBounds,
  ) {
    super();
    this.owners = new LmdbCheckpointStore(session);
    session.onClose(() => this.bellInUse?.ring());
  }

  private get database(): Bytes {
    return this.session.env.bytes(this.session.context, 'transport');
  }

  get bell(): Bell {
    const { env, context } = this.session;
    return (this.bellInUse = env.share(`transport/${context}`, () => new Bell()));
  }

  private itemKey(sequence: number): Buffer {
    return this.keys.start().text(ITEM).ordinal(sequence).view();
  }

  private cursorKey(group: string): Buffer {
    return this.keys.start().text(CURSOR).tail(group).view();
  }

  private number(key: Buffer): number | undefined {
    const value = this.database.getBinary(key);
    return value === undefined ? undefined : value.readDoubleBE(0);
  }

  private putNumber(key: Buffer, value: number): void {
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeDoubleBE(value);
    this.database.putSync(key, bytes);
  }

  /** The last item accepted, 0 when none. */
  last(): number {
    return this.number(LAST) ?? 0;
  }

  private first(): number {
    const prefix = this.keys.start().text(ITEM).copy();
    for (const key of this.database.getKeys({ start: prefix, end: after(prefix), limit: 1 })) {
      return readOrdinal(Buffer.from(key as Uint8Array), prefix.length);
    }
    return this.last() + 1;
  }

  async publish(items: readonly TransportItem[]): Promise<void> {
    const { itemsMax } = this.bounds;
    const encoded = items.map(encode);
    let bytes = 0;
    for (const each of encoded) bytes += each.length;
    await this.session.env.queue.run(
      () => {
        const last = this.last();
        const waiting = last + 1 - this.first();
        if (waiting + encoded.length > itemsMax) {
          throw new UnavailableError(
            'OVERLOADED',
            `${waiting} items wait, of at most ${itemsMax}; none was accepted.`,
            {
              fix: 'Send it again later, or subscribe more capable handlers.',
              details: { waiting, itemsMax },
            },
          );
        }
        let sequence = last;
        for (const each of encoded) this.database.putSync(this.itemKey(++sequence), each);
        this.putNumber(LAST, sequence);
      },
      { durable: true, weight: items.length, bytes },
    );
    this.bell.ring();
  }

  async subscribe(
    group: string,
    handle: (items: readonly TransportItem[]) => Promise<void>,
    options: { readonly batchSizeMax?: number } = {},
  ): Promise<TransportSubscription> {
    // From now on the group counts: what is accepted is kept for it.
    await this.session.env.queue.run(
      () => {
        if (this.number(this.cursorKey(group)) !== undefined) return;
        // Before the key is made: both use the one key writer.
        const done = this.first() - 1;
        this.putNumber(this.cursorKey(group), done);
      },
      { durable: true, grows: false },
    );
    const consumer = new Consumer(this, group, handle, options.batchSizeMax ?? BATCH_SIZE, {
      owners: this.owners,
      logger: this.logger,
      leaseMs: this.bounds.leaseMs,
    });
    this.subscriptions.add(consumer);
    consumer.start();
    return {
      close: async () => {
        await consumer.close();
        this.subscriptions.delete(consumer);
      },
    };
  }

  /** Resolves when the groups subscribed here have acknowledged what is accepted now, or at close. */
  async drain(): Promise<void> {
    if (!this.session.isOpen) return;
    await this.session.drain();
    const last = this.last();
    await this.bell.wait(
      this.session.clock,
      this.closing.signal,
      () => !this.session.isOpen || [...this.subscriptions].every((consumer) => this.cursor(consumer.group) >= last),
    );
  }

  /** Ends every subscription, each after the batch in hand. */
  async stop(): Promise<void> {
    this.closing.abort();
    await Promise.all([...this.subscriptions].map((consumer) => consumer.close()));
    this.subscriptions.clear();
  }

  cursor(group: string): number {
    return this.number(this.cursorKey(group)) ?? this.first() - 1;
  }

  async lag(group: string): Promise<number> {
    return this.last() - this.cursor(group);
  }

  /** Items behind the group's cursor, and the sequence of the last of them. */
  batch(group: string, sizeMax: number): { readonly items: readonly TransportItem[]; readonly upTo: number } {
    const from = this.cursor(group);
    const start = Buffer.from(this.itemKey(from + FIRST_ITEM));
    const end = after(this.keys.start().text(ITEM).view());
    const items: TransportItem[] = [];
    let upTo = from;
    let bytes = 0;
    for (const { key, value } of this.database.getRange({ start, end, limit: sizeMax })) {
      bytes += value.length;
      if (items.length > 0 && bytes > BATCH_BYTES_MAX) break;
      items.push(decode(Buffer.from(value)));
      upTo = readOrdinal(Buffer.from(key as Uint8Array), ITEM.length + 1);
    }
    return { items, upTo };
  }

  /** Moves the group's cursor, and removes what every group has passed. @throws ConflictError `LEASE_LOST` */
  async acknowledge(group: string, upTo: number, owner: OwnerRow): Promise<void> {
    await this.session.env.queue.run(
      () => {
        checkEpoch(this.session, owner.name, owner.epoch);
        this.putNumber(this.cursorKey(group), upTo);
        const prefix = this.keys.start().text(CURSOR).copy();
        let least = upTo;
        for (const { value } of this.database.getRange({ start: prefix, end: after(prefix) })) {
          least = Math.min(least, Buffer.from(value).readDoubleBE(0));
        }
        for (let sequence = this.first(); sequence <= least; sequence++) {
          this.database.removeSync(this.itemKey(sequence));
        }
      },
      { durable: true, grows: false, weight: 500 },
    );
    this.bell.ring();
  }
}

interface ConsumerParts {
  readonly owners: LmdbCheckpointStore;
  readonly logger: LayerLogger;
  readonly leaseMs: number;
}

/** One subscription: claims the group's owner row, handles batches while it holds it, renews it meanwhile. */
class Consumer {
  private readonly stopping = new AbortController();
  private readonly name: string;
  private readonly id: string;
  private row: OwnerRow | undefined;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly transport: LmdbEventTransport,
    readonly group: string,
    private readonly handle: (items: readonly TransportItem[]) => Promise<void>,
    private readonly batchSizeMax: number,
    private readonly parts: ConsumerParts,
  ) {
    this.name = `transport/${group}`;
    this.id = Buffer.from(transport.session.clock.randomBytes(8)).toString('hex');
  }

  start(): void {
    this.running = this.run();
  }

  async close(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    const { clock } = this.transport.session;
    while (!signal.aborted && this.transport.session.isOpen) {
      try {
        if (await this.claim(signal)) await this.consume(signal);
      } catch (error) {
        if (!this.transport.session.isOpen) return;
        const lost = ConcursusError.isInstance(error) && error.code === 'LEASE_LOST';
        this.row = undefined;
        if (!lost) this.parts.logger.error(`Transport group "${this.group}": ${String(error)}`);
        await clock.sleep(RETRY_MS_FIRST, signal);
      }
    }
    const { row } = this;
    this.row = undefined;
    if (row !== undefined && this.transport.session.isOpen) await this.parts.owners.release(row);
  }

  /** Takes the row when it is free, or when it stood still for a lease. False when stopping. */
  private async claim(signal: AbortSignal): Promise<boolean> {
    const { owners, leaseMs } = this.parts;
    const { clock } = this.transport.session;
    let seen = await owners.readOwner(this.name);
    let since = clock.monotonicMs();
    while (!signal.aborted) {
      if (seen === undefined || seen.owner === '' || clock.monotonicMs() - since >= leaseMs) {
        this.row = await owners.claim(this.name, this.id, seen);
        if (this.row !== undefined) return true;
      }
      await clock.sleep(leaseMs / 8, signal);
      const now = await owners.readOwner(this.name);
      if (now?.epoch !== seen?.epoch || now?.beat !== seen?.beat) since = clock.monotonicMs();
      seen = now;
    }
    return false;
  }

  private async consume(signal: AbortSignal): Promise<void> {
    const { transport, group } = this;
    const { clock } = transport.session;
    let retryMs = 0;
    const stopBeating = this.beat();
    try {
      while (!signal.aborted && transport.session.isOpen && this.row !== undefined) {
        const { items, upTo } = transport.batch(group, this.batchSizeMax);
        if (items.length === 0) {
          await transport.bell.wait(
            clock,
            signal,
            () => !transport.session.isOpen || this.row === undefined || transport.last() > upTo,
          );
          continue;
        }
        try {
          await this.handle(items);
        } catch (error) {
          retryMs = Math.min(retryMs === 0 ? RETRY_MS_FIRST : retryMs * 2, RETRY_MS_LAST);
          this.parts.logger.warn(
            `Transport group "${group}" gives ${items.length} items back and tries again in ${retryMs} ms: ${String(error)}`,
          );
          await clock.sleep(retryMs, signal);
          continue;
        }
        retryMs = 0;
        if (this.row !== undefined) await transport.acknowledge(group, upTo, this.row);
      }
    } finally {
      stopBeating();
    }
  }

  /** Renews the row until it is stopped or lost, also while a handler takes long. */
  private beat(): () => void {
    const over = new AbortController();
    const { clock } = this.transport.session;
    const loop = async (): Promise<void> => {
      for (;;) {
        await clock.sleep(this.parts.leaseMs / 4, over.signal);
        if (over.signal.aborted || this.row === undefined) return;
        try {
          const renewed = await this.parts.owners.renew(this.row);
          if (!over.signal.aborted) this.row = renewed;
        } catch (error) {
          // Only a lost lease ends it: whatever else failed is tried again before the lease runs out.
          if (!this.transport.session.isOpen || (ConcursusError.isInstance(error) && error.code === 'LEASE_LOST')) {
            this.row = undefined;
            return;
          }
        }
      }
    };
    void loop();
    return () => {
      over.abort();
    };
  }
}

/** Accepted at (8 bytes), length of the key (2), key, bytes. */
function encode(item: TransportItem): Buffer {
  const keyBytes = Buffer.byteLength(item.key);
  const bytes = Buffer.allocUnsafe(10 + keyBytes + item.bytes.length);
  bytes.writeDoubleBE(item.acceptedAt, 0);
  bytes.writeUInt16BE(keyBytes, 8);
  bytes.write(item.key, 10, 'utf8');
  bytes.set(item.bytes, 10 + keyBytes);
  return bytes;
}

function decode(stored: Buffer): TransportItem {
  const keyEnd = 10 + stored.readUInt16BE(8);
  return {
    key: stored.toString('utf8', 10, keyEnd),
    bytes: new Uint8Array(stored.subarray(keyEnd)),
    acceptedAt: stored.readDoubleBE(0),
  };
}
