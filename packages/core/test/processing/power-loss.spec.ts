/**
 * What a loss of power may repeat. Method: the view store keeps which commits were asked to be durable; when the power goes,
 * a new one holds what was committed up to the last of these and nothing since, as a disk may, while recorded facts are all there.
 */
import { describe, expect, it } from 'vitest';
import { inMemory, type HandlerRunner, type PersistentPorts, type Settling, type ViewCommit } from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { world, type World } from '../projection/support.js';
import { complete, consumer as settlingConsumer, nobody, started, stop } from '../settling/support.js';
import { consumer, event, quiet, record, run, T, until, type Seen } from './support.js';

type ViewPorts = Pick<PersistentPorts, 'viewStore' | 'checkpointStore'>;

/** A view store on a disk that may lose what was not asked to be durable, and loses as much as it may. */
class Disk {
  private on = true;
  private readonly commits: ViewCommit[] = [];
  private durable = 0;
  readonly ports: ViewPorts;

  private constructor(
    private readonly w: World,
    ports: PersistentPorts,
  ) {
    const commit = async (given: ViewCommit): Promise<void> => {
      if (!this.on) return new Promise(() => undefined);
      await ports.viewStore.commit(given);
      this.commits.push(given);
      if (given.durable === true) this.durable = this.commits.length;
    };
    const viewStore = Object.assign(Object.create(ports.viewStore) as PersistentPorts['viewStore'], { commit });
    this.ports = { viewStore, checkpointStore: ports.checkpointStore };
  }

  static async of(w: World): Promise<Disk> {
    const layer = await inMemory().create({ context: 'spec', clock: w.clock, logger: w.logger });
    await layer.connect();
    return new Disk(w, layer.ports);
  }

  /** Nothing is answered any more. @returns the disk as the next process finds it */
  async loseThePower(): Promise<Disk> {
    this.on = false;
    const next = await Disk.of(this.w);
    for (const commit of this.commits.slice(0, this.durable)) {
      // Nobody owns anything after a loss of power.
      await next.ports.viewStore.commit({ ...commit, epoch: 0 });
    }
    return next;
  }
}

/** The process goes with the power: its calls come to nothing. */
function forget(runner: HandlerRunner, clock: ManualClock): void {
  void runner.stop();
  void clock.advance(60_000);
}

describe('a loss of power', () => {
  it.each([1, 4, 16])('repeats at most the %i calls under way, each with its next attempt', async (inFlightMax) => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    let disk = await Disk.of(w);
    const calls: Seen[] = [];
    const facts = Array.from({ length: 200 }, (_, at) => event({ id: `b${at % 40}`, at }));
    let cuts = 0;
    const start = (process: string, callsMax: number): Promise<HandlerRunner> =>
      run(
        w,
        [
          consumer(
            w,
            (seen) => {
              // The one at which the power goes is not answered.
              if (calls.push(seen) >= callsMax) return new Promise(() => undefined);
            },
            { inFlightMax, from: 'beginning' },
          ),
        ],
        { process, ports: disk.ports },
      );
    await record(w, facts);
    for (let callsMax = 23; callsMax < 200; callsMax += 37) {
      const runner = await start(`life ${callsMax}`, callsMax);
      await until(() => calls.length >= callsMax);
      await quiet();
      disk = await disk.loseThePower();
      cuts++;
      forget(runner, clock);
    }
    const last = await start('the last life', Number.POSITIVE_INFINITY);
    await until(() => new Set(calls.map(({ at }) => at)).size === facts.length);
    await quiet();
    expect(calls.length - facts.length).toBeLessThanOrEqual(cuts * inFlightMax);
    for (let at = 0; at < facts.length; at++) {
      const attempts = calls.filter((one) => one.at === at).map(({ context }) => context.attempt);
      expect(attempts).toEqual(attempts.map((_, i) => i + 1));
    }
    await stop(last, clock);
    await w.close();
  });

  it('forgets nothing that was told: a repeat says the same, and a correction takes back just that', async () => {
    const WINDOW: Settling = { kind: 'tumbling', sizeMs: 10, offsetMs: T };
    const clock = new ManualClock(T);
    const w = await world({ clock });
    const first = await Disk.of(w);
    const seen = nobody();
    const one = settlingConsumer(w, WINDOW, seen, { from: 'beginning' });
    const hangs = {
      ...one,
      settled: (...args: Parameters<NonNullable<typeof one.settled>>) => {
        void one.settled!(...args);
        return new Promise(() => undefined);
      },
    };
    await record(w, event({ at: 1 }), event({ at: 5 }), complete(10));
    const before = await started(w, [hangs], { ports: first.ports });
    await until(() => seen.lines.length === 1);
    const second = await first.loseThePower();
    forget(before, clock);
    await record(w, event({ at: 3 }));
    const after = await started(w, [one], { ports: second.ports, process: 'two' });
    await until(() => seen.lines.length === 3);
    expect(seen.lines).toEqual(['a[0,10) 0W 2x', 'a[0,10) 0W 2x', 'a [0,10) 0W 2x -> [0,10) 0W 3x']);
    expect(seen.settled.map(({ context }) => context.attempt)).toEqual([1, 2]);
    expect(new Set(seen.settled.map(({ context }) => context.idempotencyKey)).size).toBe(1);
    await stop(after, clock);
    await w.close();
  });

  it('takes back no decision of a person who was answered, and no place at which a name began', async () => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    const disk = await Disk.of(w);
    const calls: number[] = [];
    const broken = consumer(w, () => Promise.reject(new Error('no paper')), { retry: { attempts: 1, jitter: 0 } });
    const before = await run(w, [broken], { ports: disk.ports });
    await record(w, event({ at: 1 }));
    await until(() => before.states()[0]!.parked === 1);
    await quiet();
    expect(await before.serve('spec', { kind: 'discard', which: {}, by: 'me', reason: 'none' })).toBe(1);
    const next = await disk.loseThePower();
    forget(before, clock);
    await record(w, event({ at: 2 }));
    const after = await run(w, [consumer(w, ({ at }) => calls.push(at))], { ports: next.ports, process: 'two' });
    await until(() => calls.length === 1);
    await quiet();
    expect(calls).toEqual([2]);
    expect(after.states()[0]!.parked).toBe(0);
    await stop(after, clock);
    await w.close();
  });
});
