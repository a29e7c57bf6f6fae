/** Idleness is proven, never guessed: for any reader that pauses, is held up or falls behind, no proof is given while something may wait. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigurationError } from '../../src/model/errors.js';
import type { EventInput } from '../../src/model/event-input.js';
import { IdleProver, isProvenIdle, type ChannelProbe } from '../../src/time/idleness.js';
import { readSourceFact, sourceFactOf } from '../../src/time/source-facts.js';
import { SourceTable } from '../../src/time/source-table.js';
import { HandClock } from '../pipeline/support.js';
import { event, holdsAsync } from './support.js';

const TIMEOUT = 1_000;

/** A channel with a reader that can be stopped. */
class HandChannel implements ChannelProbe {
  readonly clock = new HandClock();
  readonly recorded: EventInput[] = [];
  readonly errors: unknown[] = [];
  waiting = 0;
  paused = false;
  backPressured = false;
  failure: Error | undefined = undefined;
  /** Called after the channel answered, before the answer arrives. */
  answered: () => void = () => undefined;
  readonly prover = new IdleProver({
    stream: 's',
    channel: 'p0',
    probe: this,
    clock: this.clock,
    record: (input) => this.record(input),
    idleTimeoutMs: TIMEOUT,
    proveEveryMs: 5_000,
    onError: (error) => this.errors.push(error),
  });

  async atEnd(): Promise<boolean> {
    const atEnd = this.waiting === 0;
    await Promise.resolve();
    this.answered();
    return atEnd;
  }

  pass(ms: number): this {
    this.clock.ms += ms;
    return this;
  }

  private record(input: EventInput): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    this.recorded.push(input);
    return Promise.resolve();
  }
}

describe('idleness', () => {
  it('needs all three', () => {
    const seen = { quietForMs: 10, idleTimeoutMs: 10, atEnd: true, blockedSinceLastEvent: false };
    expect(isProvenIdle(seen)).toBe(true);
    expect(isProvenIdle({ ...seen, quietForMs: 9 })).toBe(false);
    expect(isProvenIdle({ ...seen, atEnd: false })).toBe(false);
    expect(isProvenIdle({ ...seen, blockedSinceLastEvent: true })).toBe(false);
  });

  it('is recorded with the time of the check once nothing came for so long and the channel is at its end', async () => {
    const channel = new HandChannel();
    expect(await channel.pass(TIMEOUT - 1).prover.check()).toBeUndefined();
    const at = channel.pass(1).clock.now();
    channel.answered = () => channel.pass(50);
    expect(await channel.prover.check()).toBe(at);
    expect(channel.recorded.map((input) => readSourceFact(sourceFactOf(input)))).toMatchObject([
      { kind: 'idle', stream: 's', channel: 'p0', at },
    ]);
  });

  it('is not concluded from a silence: something waits, it is paused, it is held up, or it was', async () => {
    const behind = new HandChannel();
    behind.waiting = 1;
    expect(await behind.pass(TIMEOUT * 10).prover.check()).toBeUndefined();
    for (const how of ['paused', 'backPressured'] as const) {
      const channel = new HandChannel();
      channel[how] = true;
      expect(await channel.pass(TIMEOUT * 10).prover.check()).toBeUndefined();
      channel[how] = false;
      expect(await channel.pass(TIMEOUT * 10).prover.check()).toBeUndefined();
      channel.prover.received();
      expect(await channel.pass(TIMEOUT).prover.check()).toBe(channel.clock.now());
      channel.prover.blocked();
      expect(await channel.pass(TIMEOUT).prover.check()).toBeUndefined();
      channel.prover.readToEnd();
      expect(await channel.pass(TIMEOUT - 1).prover.check()).toBeUndefined();
      expect(await channel.pass(1).prover.check()).toBe(channel.clock.now());
    }
  });

  it('is refuted by what happens while the channel is asked', async () => {
    const channel = new HandChannel();
    channel.answered = () => channel.pass(TIMEOUT).prover.received();
    expect(await channel.pass(TIMEOUT).prover.check()).toBeUndefined();
    channel.answered = () => channel.pass(TIMEOUT * 2).prover.received();
    expect(await channel.pass(TIMEOUT).prover.check()).toBeUndefined();
    channel.answered = () => (channel.paused = true);
    expect(await channel.pass(TIMEOUT).prover.check()).toBeUndefined();
    expect(channel.recorded).toEqual([]);
  });

  it('is proven again only after a while, or after an event, and when recording failed', async () => {
    const channel = new HandChannel();
    channel.failure = new Error('down');
    await expect(channel.pass(TIMEOUT).prover.check()).rejects.toThrow('down');
    channel.failure = undefined;
    for (const ms of [0, 4_999, 1, 100]) await channel.pass(ms).prover.check();
    expect(channel.recorded).toHaveLength(2);
    channel.prover.received();
    await channel.pass(TIMEOUT).prover.check();
    expect(channel.recorded).toHaveLength(3);
  });

  it('is watched for until the signal aborts, over errors of the channel', async () => {
    const channel = new HandChannel();
    const stop = new AbortController();
    let looks = 0;
    channel.clock.sleep = async (ms) => {
      channel.pass(ms);
      if (++looks === 30) stop.abort();
    };
    channel.answered = () => {
      channel.answered = () => undefined;
      throw new Error('unreachable');
    };
    await channel.prover.run(stop.signal);
    expect(channel.errors).toHaveLength(1);
    expect(channel.recorded).toHaveLength(2);
  });

  it('INVALID_OPTION: refuses timeouts that are none', () => {
    const { clock } = new HandChannel();
    const options = { stream: 's', probe: new HandChannel(), clock, record: async () => undefined };
    for (const bad of [{ idleTimeoutMs: 0 }, { idleTimeoutMs: 1.5 }, { idleTimeoutMs: 1, proveEveryMs: -1 }]) {
      expect(() => new IdleProver({ ...options, ...bad })).toThrow(ConfigurationError);
      expect(() => new IdleProver({ ...options, ...bad })).toThrow(/INVALID_OPTION/);
    }
  });

  it('never makes late what waited in a channel that was paused, held up or behind', async () => {
    const step = fc.record({
      kind: fc.constantFrom(
        'produce',
        'read',
        'read',
        'pause',
        'resume',
        'press',
        'relieve',
        'check',
        'check',
        'other',
      ),
      pass: fc.constantFrom(0, 100, TIMEOUT, 3 * TIMEOUT),
    });
    await holdsAsync(
      'pauses',
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        // No bound but the order of the channel: what waits in it must not be overtaken by what another source settles.
        const table = new SourceTable({ boundMs: 0 });
        const channel = new HandChannel();
        const waiting: number[] = [];
        const start = channel.clock.now();
        table.take(event('s', start, start, { channel: 'p0' }));
        let proven = 0;
        let overtaken = Number.NEGATIVE_INFINITY;
        for (const { kind, pass } of steps) {
          const now = channel.pass(pass).clock.now();
          const blocked = channel.paused || channel.backPressured;
          if (kind === 'produce') waiting.push(now);
          else if (kind === 'read' && !blocked && waiting.length > 0) {
            const at = waiting.shift()!;
            channel.prover.received();
            // An event that was in the channel when it was last said to be idle would be late now.
            expect(at).toBeGreaterThanOrEqual(proven);
            // What settled while it was idle is not taken back; from then on nothing overtakes it.
            if (proven !== 0) overtaken = table.inputWatermark;
            else if (at > overtaken) expect(at).toBeGreaterThan(table.inputWatermark);
            table.take(event('s', at, now, { channel: 'p0' }));
            proven = 0;
          } else if (kind === 'pause' || kind === 'resume') {
            channel.paused = kind === 'pause';
            if (channel.paused) channel.prover.blocked();
          } else if (kind === 'press' || kind === 'relieve') {
            channel.backPressured = kind === 'press';
            if (channel.backPressured) channel.prover.blocked();
          } else if (kind === 'other') table.take(event('other', now, now));
          else if (kind === 'check') {
            channel.waiting = waiting.length;
            const at = await channel.prover.check();
            if (at === undefined) continue;
            expect(waiting).toEqual([]);
            expect(blocked).toBe(false);
            const fact = channel.recorded.splice(0)[0];
            if (fact === undefined) continue;
            proven = at;
            const stamped = sourceFactOf(fact);
            stamped.processedAt = now;
            table.take(stamped);
          }
        }
      }),
      500,
    );
  });
});
