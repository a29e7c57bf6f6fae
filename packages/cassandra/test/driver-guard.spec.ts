/** Goal: news of the cluster are taken up again after any failure, and never end the process. Method: a connection that fails twice. */
import { ManualClock } from '@concursus/testing';
import { expect, it } from 'vitest';
import { guardControlConnection } from '../src/driver-guard.js';

it('takes the news of the cluster up again, a second after each failure, until the client is shut down', async () => {
  const calls: unknown[] = [];
  const controlConnection = {
    _isShuttingDown: false,
    _refresh: (hosts?: unknown): Promise<void> => {
      calls.push(hosts);
      return calls.length < 3 ? Promise.reject(new TypeError('of null')) : Promise.resolve();
    },
  };
  const clock = new ManualClock();
  guardControlConnection({ controlConnection }, clock);
  const done = controlConnection._refresh('hosts');
  await clock.advance(999);
  expect(calls).toEqual(['hosts']);
  await clock.advance(1);
  expect(calls, 'again, from the beginning').toEqual(['hosts', undefined]);
  await clock.advance(1_000);
  await done;
  expect(calls).toHaveLength(3);

  calls.length = 0;
  const ended = controlConnection._refresh();
  controlConnection._isShuttingDown = true;
  await clock.advance(1_000);
  await ended;
  expect(calls).toHaveLength(1);
});

it('leaves a driver alone that is built otherwise', () => {
  const client = { controlConnection: {} };
  guardControlConnection(client, new ManualClock());
  guardControlConnection({}, new ManualClock());
  expect(client).toEqual({ controlConnection: {} });
});
