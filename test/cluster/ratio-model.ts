/** What one process and two are compared with: robots whose moves are folded, and a view of them that is kept in shares. */
import { Injectable, type Type } from '@nestjs/common';
import {
  Aggregate,
  Event,
  EventFeed,
  EventHandler,
  Max,
  Projection,
  Sum,
  type FeedPage,
  type LayerProvider,
  type Position,
  type Rows,
} from '@concursus/core';
import { cassandra, type CassandraPersistentOptions } from '@concursus/cassandra';
import { lmdb } from '@concursus/lmdb';

@Event()
export class Moved {
  readonly to!: number;
}

@Aggregate('robot')
export class Robot {
  static readonly events = { Moved };
  moves = 0;
  farthest = 0;
  places: Record<string, number> = {};
  @EventHandler(Moved) moved({ to }: Moved): void {
    this.moves++;
    this.farthest = Math.max(this.farthest, to);
    this.places[`p${to % 20}`] = (this.places[`p${to % 20}`] ?? 0) + 1;
  }
}

export class Cell {
  @Sum() moves = 0;
  @Max() farthest: number | null = null;
}

export function moves(name: string, shares: number): Type {
  @Injectable()
  @Projection({ name, of: Robot, view: Cell, shares })
  class Moves {
    rows({ moves, farthest, places }: Robot): Rows<Cell> {
      const rows = Object.entries(places).map(([place, count]) => [place, { moves: count }] as const);
      return [['all', { moves, farthest }], ...rows];
    }
  }
  return Moves;
}

/** A folder, or where Cassandra is. */
export type Store = { readonly lmdb: string } | { readonly cassandra: CassandraPersistentOptions };

export function storeOf(text: string): LayerProvider<'persistent'> {
  const store = JSON.parse(text) as Store;
  return 'lmdb' in store ? lmdb({ path: store.lmdb }) : cassandra(store.cassandra);
}

/** Lets nobody see what the feed holds until it is opened: processes share a view out before any of them begins. */
export class Gate {
  private isOpen = false;
  private readonly opened = new AbortController();

  open(): void {
    this.isOpen = true;
    this.opened.abort();
  }

  before(provider: LayerProvider<'persistent'>): LayerProvider<'persistent'> {
    return {
      ...provider,
      create: async (context) => {
        const layer = await provider.create(context);
        const { eventFeed } = layer.ports;
        const closed: EventFeed = Object.create(eventFeed) as EventFeed;
        closed.read = async (from: Position, limit: number): Promise<FeedPage> =>
          this.isOpen ? eventFeed.read(from, limit) : { facts: [], next: from, atEnd: true };
        closed.wait = (from: Position, signal: AbortSignal): Promise<void> =>
          this.isOpen
            ? eventFeed.wait(from, signal)
            : new Promise((resolve) => {
                for (const one of [signal, this.opened.signal])
                  one.addEventListener('abort', () => resolve(), { once: true });
              });
        return { ...layer, ports: { ...layer.ports, eventFeed: closed } };
      },
    };
  }
}
