/** An audit that never ends: it goes round over restarts, and says what differs in views, histories and feed. */
import { expect, it } from 'vitest';
import { Auditor, type AuditFindingKind, type EventFeed, type EventStore } from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { bulb, input, plant, tampered, VIEW, without } from './audit-support.js';
import { ByRoom, Cell } from './rooms.js';
import { T, world } from './support.js';

it('compares store and feed all the time, over restarts, and says what only one of them has', async () => {
  const clock = new ManualClock(T);
  const w = await world({ clock });
  const { runner, projections } = w.runner([], 'one');
  for (let id = 0; id < 40; id++) {
    await w.bus.record([input(id, 'screwedIn', id), input(id, 'switchedOn', 100 + id)]);
  }
  const store = tampered(w.ports.eventStore, (id, facts) => (id === 'b5' ? facts.slice(1) : facts));
  const feed = without(w.ports.eventFeed, ({ aggregateId, name }) => aggregateId === 'b7' && name === 'screwedIn');
  const start = (ports: { store?: EventStore; feed?: EventFeed }, process: string): Auditor => {
    const auditor = new Auditor({ ...w.parts(process), ...ports }, runner, projections);
    auditor.start({ aggregatesPerSecond: 1 });
    return auditor;
  };
  let found: (readonly [AuditFindingKind, string | undefined])[] = [];
  let rounds = 0;
  // A round is 41 steps; no process lives for more than 15.
  for (let n = 0; n < 12 && rounds < 3; n++) {
    const auditor = start({ store, feed }, `p${n}`);
    for (let step = 0; step < 15; step++) await clock.advance(1_000);
    await auditor.stop();
    expect(auditor.state.lastError).toBeUndefined();
    rounds += auditor.state.rounds;
    found = [...found, ...auditor.state.findings.map(({ kind, aggregate }) => [kind, aggregate?.id] as const)];
  }
  expect(rounds).toBe(3);
  const both: typeof found = [
    ['not-in-history', 'b5'],
    ['not-in-feed', 'b7'],
  ];
  expect(found).toHaveLength(6);
  for (const one of both) expect(found.filter((other) => String(other) === String(one))).toHaveLength(3);
  // The real ones are whole, also while something is recorded all the time.
  const sound = start({}, 'last');
  for (let n = 0; n < 200 && sound.state.rounds < 3; n++) {
    await w.bus.record([input(n % 60, 'switchedOn', 1_000 + n)]);
    await clock.advance(1_000);
  }
  expect(sound.state).toMatchObject({ rounds: 3, found: 0 });
  await sound.stop();
  await w.close();
});

it('audits all the time, goes round, and says what it finds', async () => {
  const clock = new ManualClock(T);
  const w = await world({ clock });
  const { runner, projections } = w.runner([w.model(ByRoom, Cell)], 'one');
  await runner.start();
  for (let id = 0; id < 5; id++) await w.bus.record([input(id, 'screwedIn', id)]);
  while ((await w.ports.viewStore.readCheckpoint(VIEW)) !== (await w.ports.eventFeed.end()).toString())
    await clock.advance(20);
  const auditor = new Auditor(w.parts(), runner, projections);
  await plant(w, { forget: [bulb(4)] });
  auditor.start({ aggregatesPerSecond: 2, mend: true });
  for (let n = 0; n < 500 && auditor.state.rounds < 2; n++) await clock.advance(100);
  expect(auditor.state).toMatchObject({ running: true, rounds: 2, aggregates: 10, lastError: undefined });
  expect(auditor.state.findings.map(({ kind, mended }) => [kind, mended])).toEqual([['contribution', 'commit']]);
  expect(w.logger.lines.some((line) => line.includes('The audit found a difference (contribution)'))).toBe(true);
  const stopped = auditor.stop();
  await stopped;
  expect(auditor.state.running).toBe(false);
  await runner.stop();
  await w.close();
});
