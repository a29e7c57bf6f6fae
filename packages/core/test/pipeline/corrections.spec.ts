/** The door of corrections: what passes, and what is refused with which code. Method: the bus over the in-memory store. */
import { describe, expect, it } from 'vitest';
import { correctionEvent, CORRECTION, correctionOf } from '../../src/model/correction.js';
import { EventBus, inMemoryTransport } from '../../src/index.js';
import type { EventInput } from '../../src/model/event-input.js';
import { sourceFacts } from '../../src/time/source-facts.js';
import { Bulb, ScrewedIn, SwitchedOn, T, world } from '../projection/support.js';

const target = { at: T, name: 'switchedOn' };
const base = { aggregateType: 'bulb', aggregateId: '1', decidedAt: T + 1 } as const;

describe('a correction', () => {
  it('made by an emitter is recorded once, with its target, and repeated when it comes again', async () => {
    const w = await world();
    const bulb = w.bus.for(Bulb, '1');
    const decision = { decidedAt: T + 1, stream: 'desk' };
    const amended = { ...decision, at: T - 5, to: { room: 'hall', wattage: 40 } };
    for (const outcome of ['recorded', 'repeated']) {
      const summaries = [
        await bulb.retract({ event: SwitchedOn, at: T, stream: 's' }, decision),
        await bulb.amend({ event: ScrewedIn, at: T }, amended),
        await bulb.reinstate({ event: SwitchedOn, at: T, digest: 'a'.repeat(64) }, decision),
      ];
      expect(summaries.map((summary) => summary.items[0]!.outcome)).toEqual([outcome, outcome, outcome]);
    }
    const facts = await w.histories.collect(Bulb, '1', { recorded: true });
    expect(facts.map((fact) => fact.characteristics)).toEqual([CORRECTION, CORRECTION, CORRECTION]);
    expect(facts.map((fact) => correctionOf(fact).kind).sort()).toEqual(['amend', 'reinstate', 'retract']);
    expect(await w.histories.collect(Bulb, '1')).toEqual([]);
    await w.close();
  });

  it('waits in the durable layer like any event, and so does what is said of sources', async () => {
    const w = await world();
    const layer = await inMemoryTransport().create({ context: 'spec', clock: w.clock, logger: w.logger });
    await layer.connect();
    const { eventTransport: transport } = layer.ports;
    const bus = new EventBus({
      registry: w.registry,
      store: w.ports.eventStore,
      quarantine: w.ports.quarantine,
      clock: w.clock,
      transport,
      onError: (error) => w.logger.error(String(error)),
    });
    const inputs = [
      correctionEvent({ ...base, kind: 'amend', target, at: T + 5, parameters: {}, streamId: 'desk' }),
      sourceFacts.complete('s', { upTo: T }),
    ];
    expect((await bus.record(inputs)).buffered).toBe(2);
    await bus.startBuffer();
    await bus.drain(() => layer.drain?.());
    const { facts } = await w.ports.eventFeed.read(w.ports.eventFeed.start(), 10);
    expect(facts.map((fact) => fact.name.split('.')[0])).toEqual(['$correction', '$complete']);
    expect(correctionOf(facts[0]!)).toMatchObject({ kind: 'amend', at: T + 5, target: { eventTime: T } });
    expect(await w.ports.quarantine.list(undefined, 10)).toEqual([]);
    await layer.close();
    await w.close();
  });

  const refused: readonly (readonly [string, () => EventInput, string])[] = [
    ['of an unknown kind', () => correctionEvent({ ...base, kind: 'erase' as never, target }), 'INVALID_CORRECTION'],
    ['that changes nothing', () => correctionEvent({ ...base, kind: 'amend', target }), 'INVALID_CORRECTION'],
    [
      'with a time that it may not have',
      () => correctionEvent({ ...base, kind: 'retract', target, at: T }),
      'INVALID_CORRECTION',
    ],
    [
      'with a digest that is none',
      () => correctionEvent({ ...base, kind: 'retract', target: { ...target, digest: 'x' } }),
      'INVALID_CORRECTION',
    ],
    [
      'decided at no time',
      () => correctionEvent({ ...base, kind: 'retract', target, decidedAt: 'soon' }),
      'INVALID_TIME',
    ],
    [
      'of a correction',
      () => correctionEvent({ ...base, kind: 'retract', target: { at: T, name: '$correction.1' } }),
      'INVALID_CORRECTION',
    ],
    [
      'of an event that the aggregate has not',
      () => correctionEvent({ ...base, kind: 'retract', target: { at: T, name: 'flickered' } }),
      'UNKNOWN_EVENT_TYPE',
    ],
    [
      'under another name than its own',
      () => ({ ...correctionEvent({ ...base, kind: 'retract', target }), name: '$correction.0' }),
      'INVALID_CORRECTION',
    ],
    [
      'with a key that could change a prototype',
      () =>
        correctionEvent({
          ...base,
          kind: 'amend',
          target,
          parameters: JSON.parse('{"__proto__":{}}') as object as never,
        }),
      'FORBIDDEN_KEY',
    ],
  ];
  it.each(refused)('%s is refused, and nothing of it is stored', async (_what, make, code) => {
    const w = await world();
    let answered: string | undefined;
    try {
      answered = (await w.bus.record(make())).rejections[0]?.code;
    } catch (error) {
      answered = (error as { code?: string }).code;
    }
    expect(answered).toBe(code);
    expect(await w.histories.collect(Bulb, '1', { recorded: true })).toEqual([]);
    await w.close();
  });
});
