/** Pages of the feed that several readers of a process share: one read each, true, and within their bounds. */
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { FeedPages, type EventFeed, type FeedPage, type FeedReader, type Position } from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { T, world, type World } from '../projection/support.js';
import { event, record } from './support.js';

interface Place {
  readonly w: World;
  readonly clock: ManualClock;
  readonly pages: FeedPages;
  readonly start: Position;
  /** What the feed itself was asked for. */
  readonly limits: number[];
  /** The next read of the feed fails. */
  broken: boolean;
}

/** Records events `from` to `to`, ten an append. */
async function more(w: World, from: number, to: number, room = 'hall'): Promise<void> {
  for (let at = from; at < to; at += 10) {
    const facts = Array.from({ length: Math.min(10, to - at) }, (_, i) =>
      event({ id: `b${i}`, at: at + i, name: 'screwedIn', parameters: { room, wattage: 60 } }),
    );
    await record(w, facts);
  }
}

async function place(count: number, room?: string): Promise<Place> {
  const clock = new ManualClock(T);
  const w = await world({ clock });
  await more(w, 0, count, room);
  const { eventFeed } = w.ports;
  const limits: number[] = [];
  const feed = Object.assign(Object.create(eventFeed) as EventFeed, {
    read: async (from: Position, limit: number) => {
      limits.push(limit);
      if (made.broken) throw new Error('The disk is gone.');
      return await eventFeed.read(from, limit);
    },
  });
  const made: Place = { w, clock, pages: new FeedPages(feed, clock), start: eventFeed.start(), limits, broken: false };
  return made;
}

const timesOf = ({ facts }: FeedPage): number[] => facts.map(({ eventTime }) => eventTime - T);
const span = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** Reads on until so many pages are read. */
async function run(reader: FeedReader, from: Position, pages: number, limit: number): Promise<FeedPage> {
  let page = await reader.read(from, limit);
  for (let n = 1; n < pages; n++) page = await reader.read(page.next, limit);
  return page;
}

describe('pages of the feed', () => {
  it('are read once for all who stand at the same place, and kept until each has them', async () => {
    const { pages, start, limits } = await place(30);
    const readers = [pages.reader(), pages.reader(), pages.reader()];
    let at = readers.map(() => start);
    for (let n = 0; n < 3; n++) {
      const got = await Promise.all(readers.map((reader, r) => reader.read(at[r]!, 10)));
      for (const page of got) {
        expect(timesOf(page)).toEqual(span(n * 10, n * 10 + 10));
        expect(page.facts).toBe(got[0]!.facts);
      }
      at = got.map(({ next }) => next);
    }
    expect(limits).toEqual([10, 10, 10]);
    expect(pages.held).toEqual({ facts: 0, bytes: 0 });
  });

  it('are kept for nobody when one reads alone', async () => {
    const { pages, start } = await place(20);
    const [one, other] = [pages.reader(), pages.reader()];
    await one.read(start, 10);
    expect(pages.held.facts).toBe(10);
    other.close();
    other.close();
    expect(pages.held).toEqual({ facts: 0, bytes: 0 });
    await one.read(start, 10);
    expect(pages.held).toEqual({ facts: 0, bytes: 0 });
  });

  it('are not kept for who has passed them', async () => {
    const { pages, start } = await place(40);
    const [one, other] = [pages.reader(), pages.reader()];
    await run(one, start, 4, 10);
    const { next } = await run(other, start, 3, 10);
    expect(pages.held.facts).toBe(10);
    await one.read(start, 20);
    expect(pages.held.facts).toBe(10);
    await other.read(next, 10);
    expect(pages.held).toEqual({ facts: 0, bytes: 0 });
  });

  it('never say from memory that nothing stands behind them', async () => {
    const { w, pages, start } = await place(10);
    const [one, other] = [pages.reader(), pages.reader()];
    expect((await one.read(start, 20)).atEnd).toBe(true);
    await more(w, 10, 20);
    const page = await other.read(start, 20);
    expect(timesOf(page)).toEqual(span(0, 10));
    expect(page.atEnd).toBe(false);
    expect(timesOf(await other.read(page.next, 20))).toEqual(span(10, 20));
  });

  it('are given to those only who take as much, and never in pieces', async () => {
    const { pages, start, limits } = await place(40);
    const [one, other, third] = [pages.reader(), pages.reader(), pages.reader()];
    expect(timesOf(await one.read(start, 20))).toEqual(span(0, 20));
    expect(timesOf(await other.read(start, 10))).toEqual(span(0, 10));
    expect(timesOf(await third.read(start, 20))).toEqual(span(0, 20));
    expect(limits).toEqual([20, 10, 20]);
  });

  it('are given to who would read less at once, but takes more', async () => {
    const { pages, start, limits } = await place(40);
    const [one, other] = [pages.reader(), pages.reader()];
    await one.read(start, 20);
    expect(timesOf(await other.read(start, 10, { accepts: 30 }))).toEqual(span(0, 20));
    expect(limits).toEqual([20]);
  });

  it('stay within their bounds, whoever never comes for them', async () => {
    const { pages, start, limits } = await place(40_000);
    const [one] = [pages.reader(), pages.reader()];
    await run(one, start, 40, 1_000);
    expect(pages.held.facts).toBe(16_000);
    expect(limits).toHaveLength(40);
    const large = await place(600, 'x'.repeat(50_000));
    const [first] = [large.pages.reader(), large.pages.reader()];
    await run(first, large.start, 60, 10);
    expect(large.pages.held.facts).toBeLessThan(200);
    expect(large.pages.held.bytes).toBeLessThanOrEqual(32 * 1_048_576);
  });

  it('fail for each who asks, and are read again', async () => {
    const made = await place(10);
    const [one, other] = [made.pages.reader(), made.pages.reader()];
    made.broken = true;
    const failed = await Promise.allSettled([one.read(made.start, 10), other.read(made.start, 10)]);
    expect(failed.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    made.broken = false;
    expect(timesOf(await one.read(made.start, 10))).toEqual(span(0, 10));
    expect(timesOf(await other.read(made.start, 10))).toEqual(span(0, 10));
  });

  it('wait for one who is behind when all is full, and not for one who stands still', async () => {
    const { pages, start, limits, clock } = await place(40_000);
    const [fast, slow] = [pages.reader(), pages.reader()];
    const behind = await slow.read(start, 8_000);
    let ahead = await fast.read(start, 8_000);
    for (let n = 0; n < 2; n++) ahead = await fast.read(ahead.next, 8_000, { waits: true });
    expect(limits).toEqual([8_000, 8_000, 8_000]);
    let read = false;
    const waiting = fast.read(ahead.next, 8_000, { waits: true }).then((page) => {
      read = true;
      return page;
    });
    await turn();
    expect(read).toBe(false);
    // It comes: all go on together.
    await slow.read(behind.next, 8_000);
    ahead = await waiting;
    expect(timesOf(ahead)[0]).toBe(24_000);
    // It does not: 100 ms later the page that waits for it goes, and from then on nobody waits for it.
    const last = fast.read(ahead.next, 8_000, { waits: true });
    await turn();
    expect(limits).toHaveLength(4);
    await clock.advance(100);
    expect(timesOf(await last)[0]).toBe(32_000);
    expect(limits).toHaveLength(5);
  });

  it('wait no longer once the one behind has read on, though its page is kept for others', async () => {
    const { pages, start, limits } = await place(40_000);
    const [fast, slow] = [pages.reader(), pages.reader()];
    pages.reader(); // never comes, so that pages stay
    const behind = await slow.read(start, 8_000);
    const ahead = await run(fast, start, 2, 8_000);
    const waiting = fast.read(ahead.next, 8_000, { waits: true });
    await turn();
    expect(limits).toHaveLength(2);
    // No clock moves: it is told.
    await slow.read(behind.next, 8_000);
    expect(timesOf(await waiting)[0]).toBe(16_000);
  });
});
