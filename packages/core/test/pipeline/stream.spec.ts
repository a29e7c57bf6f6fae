/** One call of `record()` with a stream: flat memory, order of reports, breaks, aborts, checkpoints. */
import { describe, expect, it } from 'vitest';
import { InvalidEventError, UnavailableError } from '../../src/model/errors.js';
import type { EventInput } from '../../src/model/event-input.js';
import { StreamBatch, summaryOf } from '../../src/pipeline/record.js';
import type { BatchReport, RawInput } from '../../src/pipeline/record.js';
import { gate, receivedEvent, rejectionOf, settled, streamOf, world } from './support.js';

const decode = (text: string): EventInput => JSON.parse(text) as EventInput;

function line(number: number, text: string, source = 'reports'): RawInput {
  return { bytes: Buffer.from(text), line: number, source };
}

function events(count: number, from = 0): EventInput[] {
  return Array.from({ length: count }, (_, i) => receivedEvent(`p${from + i}`));
}

describe('record() of a stream', () => {
  it('makes each item an append of its own, also those handed over together', async () => {
    const { bus, store } = world();
    const summary = await bus.record(
      streamOf<EventInput | StreamBatch<EventInput>>(receivedEvent('a'), new StreamBatch(events(3))),
    );
    expect(summary).toMatchObject({ received: 4, recorded: 4, items: [] });
    expect(store.calls.flatMap(({ appends }) => appends.map(({ facts }) => facts.length))).toEqual([1, 1, 1, 1]);
  });

  it('cuts batches at their size and reports them in order with running totals', async () => {
    const { bus, store } = world();
    const reports: BatchReport[] = [];
    const summary = await bus.record(streamOf(new StreamBatch(events(1_200))), {
      batchSizeMax: 500,
      onBatch: (report) => void reports.push(report),
    });
    expect(summary.recorded).toBe(1_200);
    expect(store.calls.map(({ appends }) => appends.length)).toEqual([500, 500, 200]);
    expect(reports.map(({ line: last, batch, totals }) => [last, batch.recorded, totals.recorded])).toEqual([
      [500, 500, 500],
      [1_000, 500, 1_000],
      [1_200, 200, 1_200],
    ]);
    expect(summary.position?.toString()).toBe('o1:1200');
  });

  it('cuts batches of large lines short, and waits for room by their bytes', async () => {
    const { bus, store } = world();
    const large = 'x'.repeat(700_000);
    const lines = Array.from({ length: 60 }, (_, i) =>
      line(i + 1, JSON.stringify(receivedEvent(`p${i}`, 1_000, large))),
    );
    const hold = gate();
    store.held = hold.opened;
    // Two streams at once: together they keep within the bound of 16,384 items of 2 kB too.
    const running = [
      bus.record(streamOf(new StreamBatch(lines)), { decode }),
      bus.record(streamOf(...lines), { decode }),
    ];
    await settled();
    const underWay = store.calls.reduce((sum, { appends }) => sum + appends.length, 0);
    expect(underWay).toBeGreaterThan(0);
    expect(underWay).toBeLessThan(16);
    hold.open();
    const [first, second] = await Promise.all(running);
    expect(first!.recorded + second!.recorded).toBe(60);
    expect(Math.max(...store.calls.map(({ appends }) => appends.length))).toBeLessThanOrEqual(3);
  });

  it('has at most two batches under way and pulls no further meanwhile', async () => {
    const { bus, store } = world();
    const hold = gate();
    store.held = hold.opened;
    let pulled = 0;
    async function* source(): AsyncGenerator<EventInput> {
      for (const event of events(1_000)) {
        pulled++;
        yield event;
      }
    }
    const running = bus.record(source(), { batchSizeMax: 10 });
    await settled();
    expect(store.calls).toHaveLength(2);
    expect(pulled).toBeLessThanOrEqual(12);
    hold.open();
    expect(await running).toMatchObject({ recorded: 1_000 });
  });

  it('waits for onBatch, so that a slow reader of running totals slows the stream', async () => {
    const { bus, store } = world();
    const hold = gate();
    const running = bus.record(streamOf(new StreamBatch(events(50))), { batchSizeMax: 10, onBatch: () => hold.opened });
    await settled();
    expect(store.calls.length).toBe(2);
    hold.open();
    expect(await running).toMatchObject({ recorded: 50 });
  });

  it('reads raw lines, counts the bad ones where they stand, and quarantines their bytes with one put a batch', async () => {
    const { bus, quarantine } = world();
    const good = JSON.stringify(receivedEvent('p1'));
    const summary = await bus.record(
      streamOf(new StreamBatch([line(1, good), line(2, '{"cut'), line(4, good), line(5, 'null'), line(9, '{"cut')])),
      { decode },
    );
    expect(summary).toMatchObject({ received: 5, recorded: 1, repeated: 1, rejected: 3 });
    expect(summary.rejections.map((rejection) => [rejection.line, rejection.code])).toEqual([
      [2, 'INVALID_JSON'],
      [5, 'INVALID_EVENT'],
      [9, 'INVALID_JSON'],
    ]);
    expect(quarantine.puts).toHaveLength(1);
    expect(Buffer.from(quarantine.puts[0]![0]!.bytes).toString()).toBe('{"cut');
    expect([...quarantine.items.values()].map(({ count }) => count)).toEqual([2, 1]);
  });

  it('names at most rejectionsMax rejections and counts all', async () => {
    const { bus } = world();
    const bad = Array.from({ length: 30 }, (_, i) => line(i + 1, `bad ${i}`));
    const summary = await bus.record(streamOf(...bad), { decode, rejectionsMax: 7, batchSizeMax: 4 });
    expect(summary.rejected).toBe(30);
    expect(summary.rejections.map((rejection) => rejection.line)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('stores what came before the source broke off, then tells its error with the counts', async () => {
    const { bus, store } = world();
    const broken = new Error('socket hang up');
    async function* source(): AsyncGenerator<EventInput> {
      yield* events(25);
      throw broken;
    }
    const error = await rejectionOf(bus.record(source(), { batchSizeMax: 10 }));
    expect(error).toBe(broken);
    expect(summaryOf(error)).toMatchObject({ received: 25, recorded: 25 });
    expect(store.facts).toHaveLength(25);
  });

  it('ends within one batch when the signal aborts, also while the source is silent, and closes the source', async () => {
    const { bus } = world();
    const abort = new AbortController();
    let closed = false;
    const silent: AsyncIterable<EventInput> = {
      [Symbol.asyncIterator]() {
        let sent = 0;
        return {
          next: () =>
            sent++ < 3 ? Promise.resolve({ done: false, value: receivedEvent(`p${sent}`) }) : new Promise(() => {}),
          return: () => {
            closed = true;
            return Promise.resolve({ done: true, value: undefined });
          },
        };
      },
    };
    const running = rejectionOf(bus.record(silent, { signal: abort.signal }));
    await settled();
    abort.abort();
    const error = await running;
    expect(error.code).toBe('ABORTED');
    expect(summaryOf(error)).toMatchObject({ received: 3, recorded: 3 });
    expect(error.details).toMatchObject({ summary: { recorded: 3 } });
    expect(closed).toBe(true);
    expect((await rejectionOf(bus.record(silent, { signal: abort.signal }))).code).toBe('ABORTED');
  });

  it('rejects with the error of a batch that could not be stored; what stands before it is counted, and nothing more is pulled', async () => {
    const { bus, store } = world();
    store.failures.push(undefined, new UnavailableError('STORE_FULL', 'The store is full.'));
    let pulled = 0;
    async function* source(): AsyncGenerator<StreamBatch<EventInput>> {
      for (; pulled < 100; pulled++) yield new StreamBatch(events(10, pulled * 10));
    }
    const error = await rejectionOf(bus.record(source(), { batchSizeMax: 10 }));
    expect(error.code).toBe('STORE_FULL');
    expect(summaryOf(error)!.recorded).toBe(10);
    expect(pulled).toBeLessThan(10);
  });

  it('ends a stream at its batch when the bus drains', async () => {
    const { bus, store } = world();
    const hold = gate();
    store.held = hold.opened;
    async function* endless(): AsyncGenerator<EventInput> {
      for (let i = 0; ; i++) yield receivedEvent(`p${i}`);
    }
    const running = rejectionOf(bus.record(endless(), { batchSizeMax: 5 }));
    await settled();
    const draining = bus.drain();
    hold.open();
    const error = await running;
    expect(error.code).toBe('SHUTTING_DOWN');
    expect(summaryOf(error)!.recorded).toBe(store.facts.length);
    await draining;
  });

  it('takes the processing time of each item from receivedAt, and from the clock where there is none', async () => {
    const { bus, store, clock } = world();
    await bus.record(streamOf(new StreamBatch(events(3))), {
      receivedAt: (_event, index) => (index === 1 ? undefined : index + 5),
    });
    expect(store.calls[0]!.appends.map(({ receivedAt }) => receivedAt)).toEqual([5, clock.ms, 7]);
  });

  it('saves the checkpoint with each batch, one after the other, rejections first', async () => {
    const { bus, store, quarantine } = world();
    const good = (i: number): RawInput => line(i, JSON.stringify(receivedEvent(`p${i}`)));
    let putsBefore = -1;
    const append = store.append.bind(store);
    let under = 0;
    let most = 0;
    store.append = async (appends, options) => {
      if (putsBefore < 0) putsBefore = quarantine.puts.length;
      most = Math.max(most, ++under);
      await settled();
      under--;
      return append(appends, options);
    };
    await bus.record(streamOf(new StreamBatch([good(1), line(2, 'bad'), good(3), good(4), good(5), good(6)])), {
      decode,
      batchSizeMax: 3,
      checkpoint: { name: 'load', epoch: 4, valueOf: (last) => `line ${last}` },
    });
    expect(putsBefore).toBe(1);
    expect(most).toBe(1);
    expect(quarantine.puts).toHaveLength(1);
    expect(store.calls.map(({ options }) => options?.checkpoint)).toEqual([
      { name: 'load', epoch: 4, value: 'line 3' },
      { name: 'load', epoch: 4, value: 'line 6' },
    ]);
  });

  it('hands rejected lines and the checkpoint that covers them to the store in one turn, and reports when it has both', async () => {
    const { bus, store, quarantine } = world();
    const disk = gate();
    const put = quarantine.put.bind(quarantine);
    quarantine.put = async (inputs) => {
      const kept = await put(inputs);
      await disk.opened;
      return kept;
    };
    const reported: number[] = [];
    const done = bus.record(streamOf(new StreamBatch([line(1, JSON.stringify(receivedEvent('a'))), line(2, 'bad')])), {
      decode,
      checkpoint: { name: 'load', epoch: 1, valueOf: String },
      onBatch: (report) => void reported.push(report.line),
    });
    await settled();
    expect(store.calls.map(({ options }) => options?.checkpoint?.value)).toEqual(['2']);
    expect(reported).toEqual([]);
    disk.open();
    expect(await done).toMatchObject({ recorded: 1, rejected: 1 });
    expect(reported).toEqual([2]);
    expect(quarantine.puts).toHaveLength(1);
  });

  it('fails with the quarantine: what could not be kept is not reported as covered', async () => {
    const { bus, quarantine } = world();
    quarantine.failure = new UnavailableError('STORE_FULL', 'Full.');
    const error = await rejectionOf(
      bus.record(streamOf(new StreamBatch([line(1, JSON.stringify(receivedEvent('a'))), line(2, 'bad')])), {
        decode,
        checkpoint: { name: 'load', epoch: 1, valueOf: String },
      }),
    );
    expect(error.code).toBe('STORE_FULL');
    expect(summaryOf(error)?.received).toBe(0);
  });

  it('stores no later checkpoint once a batch failed: a restart must not skip it', async () => {
    const { bus, store } = world();
    store.failures.push(undefined, new UnavailableError('STORE_UNREACHABLE', 'Gone.'));
    await rejectionOf(
      bus.record(streamOf(new StreamBatch(events(50))), {
        batchSizeMax: 10,
        checkpoint: { name: 'load', epoch: 1, valueOf: String },
      }),
    );
    expect(store.calls).toHaveLength(2);
    expect(store.facts).toHaveLength(10);
  });
});

describe('hostile input', () => {
  const deep = (open: string, close: string, depth: number): string => open.repeat(depth) + close.repeat(depth);
  const withParameters = (json: string): string =>
    `{"aggregateType":"parcel","aggregateId":"x","name":"received","at":1000,"parameters":${json}}`;
  const withId = (id: string): string => JSON.stringify({ ...receivedEvent(id), aggregateId: id });
  const withTime = (at: unknown): string => JSON.stringify({ ...receivedEvent('x'), at });

  const cases: readonly [string, RawInput | Uint8Array | string, string][] = [
    ['a line cut in the middle', '{"aggregateType":"par', 'INVALID_JSON'],
    ['invalid UTF-8', new Uint8Array([0x22, 0xff, 0xfe, 0x22]), 'INVALID_UTF8'],
    ['UTF-8 that encodes a surrogate', new Uint8Array([0x22, 0xed, 0xa0, 0x80, 0x22]), 'INVALID_UTF8'],
    ['a byte-order mark', new Uint8Array([0xef, 0xbb, 0xbf, 0x7b, 0x7d]), 'INVALID_JSON'],
    ['parameters 10,000 deep', withParameters(`{"depot":"x","a":${deep('[', ']', 10_000)}}`), 'LIMIT_EXCEEDED'],
    ['objects 10,000 deep', withParameters(`${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`), 'LIMIT_EXCEEDED'],
    ['a __proto__ key', withParameters('{"depot":"x","__proto__":{"polluted":1}}'), 'FORBIDDEN_KEY'],
    ['a nested __proto__ key', withParameters('{"depot":"x","a":[{"__proto__":1}]}'), 'FORBIDDEN_KEY'],
    ['a constructor key', withParameters('{"depot":"x","constructor":{"prototype":{}}}'), 'FORBIDDEN_KEY'],
    ['a prototype key', withParameters('{"depot":"x","prototype":1}'), 'FORBIDDEN_KEY'],
    ['a lone surrogate', withParameters('{"depot":"\\ud800"}'), 'INVALID_TEXT'],
    ['an unsafe integer', withParameters('{"depot":"x","n":9007199254740993}'), 'PARAMETER_TYPE'],
    ['a number beyond doubles', withParameters('{"depot":"x","n":1e999}'), 'PARAMETER_TYPE'],
    ['an id with NUL', withId('a\u0000b'), 'INVALID_ID'],
    ['an id with a lone surrogate', withId('a\ud800b'), 'INVALID_ID'],
    ['an id of 10 kB', withId('x'.repeat(10_240)), 'LIMIT_EXCEEDED'],
    ['an empty id', withId(''), 'INVALID_ID'],
    ['the year 0', withTime('0000-01-01T00:00:00Z'), 'INVALID_TIME'],
    ['the year 275760', withTime('+275760-09-13T00:00:00.000Z'), 'INVALID_TIME'],
    ['the deck’s impossible date', withTime('2016-03-38T09:00:00Z'), 'INVALID_TIME'],
    ['a time that is no number', withTime(null), 'INVALID_TIME'],
    ['a line over the limit', 'x'.repeat(1_048_577), 'LIMIT_EXCEEDED'],
    [
      'parameters over the limit',
      {
        bytes: Buffer.from('x'),
        line: 1,
        source: 's',
        sizeBytes: 104_857_600,
        digest: 'd',
        error: new InvalidEventError('LIMIT_EXCEEDED', 'A line of 104857600 bytes.', { fix: 'Split it.' }),
      },
      'LIMIT_EXCEEDED',
    ],
    ['an array', '[]', 'INVALID_EVENT'],
    ['nothing', '', 'INVALID_JSON'],
  ];

  it.each(cases)(
    'answers %s with its code, quarantines it, and records the good lines around it',
    async (_what, input, code) => {
      const { bus, store, quarantine } = world();
      const raw: RawInput =
        typeof input === 'string'
          ? line(2, input)
          : input instanceof Uint8Array
            ? { bytes: input, line: 2, source: 'reports' }
            : { ...input, line: 2 };
      const before = line(1, JSON.stringify(receivedEvent('before')));
      const after = line(3, JSON.stringify(receivedEvent('after')));
      const summary = await bus.record(streamOf(new StreamBatch([before, raw, after])), { decode });
      expect(summary.rejections).toMatchObject([{ line: 2, code }]);
      expect(summary.rejections[0]!.reason.length).toBeLessThanOrEqual(501);
      expect(summary).toMatchObject({ received: 3, recorded: 2, rejected: 1 });
      expect(store.facts.map(({ aggregateId }) => aggregateId)).toEqual(['before', 'after']);
      const kept = quarantine.puts[0]![0]!;
      expect(kept.code).toBe(code);
      expect(kept.bytes.byteLength).toBe(Math.min(65_536, raw.bytes.byteLength));
      expect(kept.sizeBytes).toBe(raw.sizeBytes ?? raw.bytes.byteLength);
      expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    },
  );

  it.each(['a:b', 'a/b', 'ü', '😀', ' '])('records an id such as %j', async (id) => {
    const { bus, store } = world();
    await bus.record(streamOf(line(1, withId(id))), { decode });
    expect(store.facts[0]!.aggregateId).toBe(id);
  });

  it('refuses wire JSON that is too deep before anything recursive reads it, and does not count brackets in texts', async () => {
    const { bus } = world();
    const wire = (parameters: string): string =>
      `{"aggregateType":"parcel","aggregateId":"x","name":"received","version":"1","eventTimestamp":1000,"streamId":"","processingId":"","characteristics":0,"parameters":${parameters}}`;
    const summary = await bus.record(
      streamOf(line(1, deep('[', ']', 300_000)), line(2, wire(JSON.stringify({ depot: '[{"\\'.repeat(500) })))),
    );
    expect(summary).toMatchObject({ recorded: 1, rejected: 1, rejections: [{ line: 1, code: 'LIMIT_EXCEEDED' }] });
  });

  it('rejects what a mistaken decoder throws, and keeps the bytes for a retry', async () => {
    const { bus, quarantine } = world();
    const summary = await bus.record(streamOf(line(1, 'x')), {
      decode: () => {
        throw new TypeError('cannot read properties of undefined');
      },
    });
    expect(summary.rejections[0]).toMatchObject({ code: 'INVALID_EVENT' });
    expect(quarantine.items.size).toBe(1);
  });
});
