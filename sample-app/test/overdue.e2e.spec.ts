/**
 * Goal: flights that left and did not come within 20 hours of event time are listed as far as is settled, and leave the list
 * when their end comes after all, or their departure is withdrawn. Method: a few flights, markers, late reports, corrections.
 */
import { describe, expect, it } from 'vitest';
import { getJson, postLines } from './reports.js';
import { appFor } from './spec-app.js';

const flight = (number: number): string => `2013-01-05/UA${number}/EWR-0500`;
const report = (
  number: number,
  type: string,
  at: string,
  source = 'airport:EWR',
  data: object = { tail: 'N1' },
): string => JSON.stringify({ source, flight: flight(number), type, at: `2013-01-${at}:00.000Z`, data });

describe('overdue flights over HTTP', { timeout: 60_000 }, () => {
  const app = appFor('each');

  const overdue = () => getJson<string[]>(`${app.url}/flights/overdue`);

  async function post(path: string, body: object): Promise<void> {
    const response = await fetch(app.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(response.status).toBe(200);
  }

  const complete = (source: string, upTo: string) =>
    post(`/sources/${encodeURIComponent(source)}/complete`, { upTo: `2013-01-${upTo}:00.000Z` });

  it('are those that are due at or before what is settled, until their end comes', async () => {
    expect(await overdue()).toEqual([]);
    await postLines(app.url, [
      report(9, 'departed', '05T10:00'),
      report(3, 'departed', '05T11:00'),
      report(4, 'departed', '05T10:00'),
      report(4, 'arrived', '05T13:00', 'airport:IAH'),
      report(5, 'departed', '05T10:00'),
      report(5, 'diverted', '05T12:00', 'airport:IAH', {}),
      report(6, 'departed', '05T10:00'),
      report(6, 'cancelled', '05T10:30', 'airport:EWR', { reason: 'returned' }),
      report(7, 'departed', '05T20:00'),
      // Late, yet it came.
      report(8, 'departed', '05T09:00'),
      report(8, 'arrived', '06T08:00', 'airport:IAH'),
    ]);
    await complete('airport:EWR', '06T10:00');
    await complete('airport:IAH', '06T10:00');
    await expect.poll(overdue).toEqual([flight(3), flight(9)]);

    // What comes later than settled takes it from the list; time that settles adds to it.
    await postLines(app.url, [report(9, 'arrived', '05T14:00', 'airport:IAH')]);
    await expect.poll(overdue).toEqual([flight(3)]);
    await complete('airport:EWR', '06T20:00');
    await complete('airport:IAH', '06T20:00');
    await expect.poll(overdue).toEqual([flight(3), flight(7)]);

    const target = { at: '2013-01-05T11:00:00.000Z', source: 'airport:EWR', type: 'departed' };
    const correction = { kind: 'retract', target, decidedAt: '2013-01-07T00:00:00Z', source: 'desk' };
    await post(`/flights/${encodeURIComponent(flight(3))}/corrections`, correction);
    await expect.poll(overdue).toEqual([flight(7)]);
  });
});
