/** Middleware around the stages: order, change, add, drop, refuse, throw; before the store it decides, behind it it is only reported. */
import { describe, expect, it } from 'vitest';
import { ConfigurationError } from '../../src/model/errors.js';
import type { Batch } from '../../src/pipeline/batch.js';
import { Middleware, middlewareMetaOf } from '../../src/pipeline/middleware.js';
import type { BatchMiddleware, Stage } from '../../src/pipeline/middleware.js';
import { summaryOf } from '../../src/pipeline/record.js';
import { receivedEvent, rejectionOf, settled, streamOf, world } from './support.js';

type Handle = (batch: Batch, next: () => Promise<void>) => Promise<void> | void;

function middleware(handle: Handle): BatchMiddleware {
  return { handle };
}

describe('@Middleware', () => {
  it('records stage, order and context, on the class itself only', () => {
    @Middleware({ stage: 'log', order: 3 })
    class Timer implements BatchMiddleware {
      handle(_batch: Batch, next: () => Promise<void>): Promise<void> {
        return next();
      }
    }
    class Special extends Timer {}
    expect(middlewareMetaOf(Timer)).toEqual({ stage: 'log', order: 3, context: undefined });
    expect(middlewareMetaOf(Special)).toBeUndefined();
    const { bus } = world();
    bus.use(new Timer());
    expect(() => bus.use(new Special())).toThrow(ConfigurationError);
  });

  it('refuses a stage that does not exist', () => {
    expect(() => Middleware({ stage: 'store' as Stage })).toThrow(/INVALID_OPTION/);
  });
});

describe('the middleware chain', () => {
  it('runs by stage, then by order, then as found, each around the rest', async () => {
    const { bus } = world();
    const seen: string[] = [];
    const trace = (name: string, stage: Stage, order: number): void =>
      bus.use(
        middleware(async (_batch, next) => {
          seen.push(`${name} in`);
          await next();
          seen.push(`${name} out`);
        }),
        { stage, order },
      );
    trace('publish', 'publish', 0);
    trace('log', 'log', 0);
    trace('second', 'receive', 5);
    trace('third', 'receive', 5);
    trace('first', 'receive', -1);
    await bus.record(receivedEvent('p1'));
    expect(seen).toEqual([
      'first in',
      'second in',
      'third in',
      'log in',
      'log out',
      'publish in',
      'publish out',
      'third out',
      'second out',
      'first out',
    ]);
  });

  it('may set metadata, which neither content nor digest show', async () => {
    const { bus, store } = world();
    let before = '';
    bus.use(
      middleware((batch, next) => {
        for (const item of batch.pending()) {
          before = item.fact!.digest;
          batch.setMetadata(item, 'channel', 'http');
          batch.setMetadata(item, 'who', 'me');
        }
        return next();
      }),
      { stage: 'receive' },
    );
    await bus.record({ ...receivedEvent('p1'), metadata: { first: 'x' } });
    expect(store.facts[0]!.metadata).toEqual({ first: 'x', channel: 'http', who: 'me' });
    expect(store.facts[0]!.digest).toBe(before);
  });

  it('refuses forbidden and too long metadata', async () => {
    const { bus, store } = world();
    const errors: string[] = [];
    bus.use(
      middleware((batch, next) => {
        for (const item of batch.pending()) {
          for (const [key, value] of [
            ['__proto__', 'x'],
            ['long', 'x'.repeat(2_000)],
          ] as const) {
            try {
              batch.setMetadata(item, key, value);
            } catch (error) {
              errors.push((error as { code: string }).code);
            }
          }
        }
        return next();
      }),
      { stage: 'log' },
    );
    await bus.record(receivedEvent('p1'));
    expect(errors).toEqual(['FORBIDDEN_KEY', 'LIMIT_EXCEEDED']);
    expect(store.facts[0]!.metadata).toBeUndefined();
  });

  it('may add events, validated and stored with the batch, counted apart', async () => {
    const { bus, store } = world();
    let refused = '';
    bus.use(
      middleware(async (batch, next) => {
        await batch.add(receivedEvent('derived'));
        refused = (await rejectionOf(batch.add({ ...receivedEvent('bad'), name: 'lost' }))).code!;
        await next();
      }),
      { stage: 'receive' },
    );
    const summary = await bus.record(receivedEvent('p1'));
    expect(summary).toMatchObject({ received: 1, recorded: 1, rejected: 0, added: 1 });
    expect(summary.items).toHaveLength(1);
    expect(refused).toBe('UNKNOWN_EVENT_TYPE');
    expect(store.calls[0]!.appends[0]!.facts.map(({ aggregateId }) => aggregateId)).toEqual(['p1', 'derived']);
  });

  it('may drop single items: counted, not stored, not quarantined', async () => {
    const { bus, store, quarantine } = world();
    bus.use(
      middleware((batch, next) => {
        for (const item of batch.pending()) if (item.fact!.aggregateId === 'p2') batch.drop(item, 'not ours');
        return next();
      }),
      { stage: 'receive' },
    );
    const summary = await bus.record([receivedEvent('p1'), receivedEvent('p2'), receivedEvent('p3')]);
    expect(summary).toMatchObject({ received: 3, recorded: 2, dropped: 1 });
    expect(summary.items.map(({ outcome }) => outcome)).toEqual(['recorded', 'dropped', 'recorded']);
    expect(store.facts).toHaveLength(2);
    expect(quarantine.puts).toHaveLength(0);
  });

  it('may refuse single items: the sender is told REFUSED, the bytes are quarantined', async () => {
    const { bus, quarantine } = world();
    bus.use(
      middleware((batch, next) => {
        for (const item of batch.pending()) batch.refuse(item, 'no such depot', 'Register the depot.');
        return next();
      }),
      { stage: 'log' },
    );
    const summary = await bus.record(receivedEvent('p1'));
    expect(summary).toMatchObject({
      rejected: 1,
      rejections: [{ line: 1, code: 'REFUSED', reason: 'no such depot', fix: 'Register the depot.' }],
    });
    expect(quarantine.puts[0]![0]).toMatchObject({ code: 'REFUSED' });
  });

  it.each(['receive', 'log'] as const)(
    'drops the batch when a %s middleware does not hand it on, and still quarantines what is bad',
    async (stage) => {
      const { bus, store, quarantine } = world();
      bus.use(
        middleware(() => {}),
        { stage },
      );
      const summary = await bus.record([receivedEvent('p1'), { ...receivedEvent('p2'), name: 'lost' }]);
      expect(summary).toMatchObject({ received: 2, dropped: 1, rejected: 1 });
      expect(store.calls).toHaveLength(0);
      expect(quarantine.items.size).toBe(1);
    },
  );

  it.each(['receive', 'log'] as const)(
    'refuses the whole batch to its sender when a %s middleware throws before the store',
    async (stage) => {
      const { bus, store, quarantine } = world();
      const veto = new Error('veto');
      bus.use(
        middleware(() => {
          throw veto;
        }),
        { stage },
      );
      expect(await rejectionOf(bus.record([receivedEvent('p1'), { ...receivedEvent('p2'), name: 'lost' }]))).toBe(veto);
      expect(store.calls).toHaveLength(0);
      expect(quarantine.puts).toHaveLength(0);
    },
  );

  it('refuses the batch also when an outer middleware catches what an inner one threw', async () => {
    const { bus } = world();
    bus.use(
      middleware((_batch, next) => next().catch(() => {})),
      { stage: 'receive', order: 0 },
    );
    bus.use(
      middleware(() => Promise.reject(new Error('veto'))),
      { stage: 'receive', order: 1 },
    );
    expect((await rejectionOf(bus.record(receivedEvent('p1')))).message).toBe('veto');
  });

  it('stands by its answer when a middleware throws behind the store, and reports it', async () => {
    const { bus, errors } = world();
    const after: Handle = async (_batch, next) => {
      await next();
      throw new Error('too late');
    };
    bus.use(middleware(after), { stage: 'receive' });
    bus.use(middleware(after), { stage: 'log' });
    bus.use(
      middleware(() => Promise.reject(new Error('no publication'))),
      { stage: 'publish' },
    );
    expect(await bus.record(receivedEvent('p1'))).toMatchObject({ recorded: 1 });
    expect(errors.map(({ where }) => where)).toEqual([
      'a middleware of stage log, after the store',
      'a middleware of stage publish',
      'a middleware of stage receive, after the store',
    ]);
  });

  it('waits for the store also when a middleware does not wait for next()', async () => {
    const { bus, store } = world();
    bus.use(
      middleware((_batch, next) => void next()),
      { stage: 'receive' },
    );
    bus.use(
      middleware(async (_batch, next) => {
        void next();
        throw new Error('after the start of the store');
      }),
      { stage: 'log' },
    );
    expect(await bus.record(receivedEvent('p1'))).toMatchObject({ recorded: 1 });
    expect(store.facts).toHaveLength(1);
  });

  it('refuses a second next(), and a next() after the end', async () => {
    const { bus, store, errors } = world();
    let late: (() => Promise<void>) | undefined;
    bus.use(
      middleware(async (_batch, next) => {
        await next();
        await next();
      }),
      { stage: 'receive' },
    );
    expect(await bus.record(receivedEvent('p1'))).toMatchObject({ recorded: 1 });
    expect(errors[0]!.error).toMatchObject({ code: 'HANDLER_FAILED' });
    bus.use(
      middleware((_batch, next) => void (late = next)),
      { stage: 'receive', order: -1 },
    );
    expect(await bus.record(receivedEvent('p2'))).toMatchObject({ dropped: 1 });
    expect((await rejectionOf(late!())).code).toBe('HANDLER_FAILED');
    expect(store.facts).toHaveLength(1);
  });

  it('lets nobody change a batch that is stored', async () => {
    const { bus } = world();
    const codes: (string | undefined)[] = [];
    bus.use(
      middleware(async (batch, next) => {
        const [item] = [...batch.pending()];
        await next();
        for (const change of [
          () => batch.drop(item!, ''),
          () => batch.refuse(item!, ''),
          () => batch.setMetadata(item!, 'a', 'b'),
          () => batch.add(receivedEvent('x')),
        ]) {
          codes.push((await rejectionOf(Promise.resolve().then(change))).code);
        }
      }),
      { stage: 'receive' },
    );
    expect(await bus.record(receivedEvent('p1'))).toMatchObject({ recorded: 1, dropped: 0 });
    expect(codes).toEqual(['HANDLER_FAILED', 'HANDLER_FAILED', 'HANDLER_FAILED', 'HANDLER_FAILED']);
  });

  it('withholds publication when a publish middleware does not hand on; the answer stands', async () => {
    const { bus } = world();
    const heard: string[] = [];
    bus.subscribe('all', (fact) => void heard.push(fact.aggregateId));
    bus.use(
      middleware((batch, next) => (batch.items[0]!.fact!.aggregateId === 'p1' ? undefined : next())),
      { stage: 'publish' },
    );
    expect(await bus.record(receivedEvent('p1'))).toMatchObject({ recorded: 1 });
    await bus.record(receivedEvent('p2'));
    await bus.publisher.idle();
    expect(heard).toEqual(['p2']);
  });

  it('ends a stream with the error of a middleware; earlier batches stay, and the counts say so', async () => {
    const { bus, store } = world();
    let batches = 0;
    bus.use(
      middleware((_batch, next) => {
        if (++batches === 3) throw new Error('enough');
        return next();
      }),
      { stage: 'receive' },
    );
    const events = Array.from({ length: 100 }, (_, i) => receivedEvent(`p${i}`));
    const error = await rejectionOf(bus.record(streamOf(...events), { batchSizeMax: 10 }));
    await settled();
    expect(error.message).toBe('enough');
    // Two batches before it are counted; the one behind it may be stored, and is then a repeat when sent again.
    expect(summaryOf(error)!.recorded).toBe(store.calls[0]!.appends.length + store.calls[1]!.appends.length);
    expect(store.calls.length).toBeLessThanOrEqual(3);
  });
});
