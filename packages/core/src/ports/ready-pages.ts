/** What the pages of a history are made of where the store has them without waiting: a promise a page, and no generator. */
import type { Fact } from '../model/event.js';
import type { HistoryPages } from './event-store.js';

export abstract class ReadyPages implements HistoryPages, AsyncIterableIterator<readonly Fact[]> {
  /** `page` is asked no more. */
  protected ended = false;

  /** The next page; undefined behind the last. What it throws is what the iteration is rejected with, and its end. */
  protected abstract page(): readonly Fact[] | undefined;

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<readonly Fact[], undefined>> {
    try {
      const page = this.ended ? undefined : this.page();
      if (page !== undefined) return Promise.resolve({ value: page, done: false });
    } catch (error) {
      this.ended = true;
      return Promise.reject(error);
    }
    return this.return();
  }

  return(): Promise<IteratorResult<readonly Fact[], undefined>> {
    this.ended = true;
    return Promise.resolve({ value: undefined, done: true });
  }
}
