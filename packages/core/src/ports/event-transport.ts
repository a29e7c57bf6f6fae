/** The durable layer: holds what is happening until it has been handled. In order per key, at least once, acknowledged after handling. */

export interface TransportItem {
  /** In order within a key: tenant, type and id of the aggregate. */
  readonly key: string;
  readonly bytes: Uint8Array;
  /** When it was accepted, epoch ms. */
  readonly acceptedAt: number;
}

export interface TransportSubscription {
  /** Stops taking batches; resolves when the batch in hand is acknowledged or given back. */
  close(): Promise<void>;
}

export abstract class EventTransport {
  /**
   * Resolves when the layer holds all items as durably as it promises. A call refused with `OVERLOADED` or `STORE_CLOSED` is held in no part;
   * after `STORE_UNREACHABLE` or `TIMEOUT` a distributed layer may hold some, which handed in again come twice. @throws UnavailableError `TIMEOUT`, `OVERLOADED` (bound reached), `STORE_UNREACHABLE`, `STORE_CLOSED`
   */
  abstract publish(items: readonly TransportItem[]): Promise<void>;
  /**
   * Hands batches to one group, in order per key, one batch at a time, at most `batchSizeMax` items. A batch is acknowledged when `handle` resolves,
   * and comes again (to whoever is subscribed) when it rejects, after a back-off, or when the process dies before. Several processes of one group share the work.
   */
  abstract subscribe(
    group: string,
    handle: (items: readonly TransportItem[]) => Promise<void>,
    options?: { readonly batchSizeMax?: number },
  ): Promise<TransportSubscription>;
  /** Items accepted and not yet acknowledged by the group. */
  abstract lag(group: string): Promise<number>;
  /**
   * Why something of the group's was, or may soon be, lost before it was handled, as far as this process knows; undefined when nothing is.
   * A layer that keeps everything until it is acknowledged has no such reason.
   */
  async problem(_group: string): Promise<string | undefined> {
    return undefined;
  }
}
