/**
 * Goal: the deck's three parcels of 2016-10-12 come to the same histories, states and depots in every order, and a bad
 * report is answered and kept. Method: all orders of each parcel's events, over HTTP, in one application.
 */
import { describe, expect, it } from 'vitest';
import { getJson, quarantined } from './reports.js';
import { appFor } from './spec-app.js';

const app = appFor('all');

interface ParcelEvent {
  readonly name: string;
  readonly at: string;
  readonly parameters: Record<string, string>;
}

const at = (time: string): string => `2016-10-12T${time}Z`;
const received = (time: string): ParcelEvent => ({
  name: 'receivedAtDepot',
  at: at(time),
  parameters: { depotId: 'Lewisham' },
});
const loaded = (time: string): ParcelEvent => ({
  name: 'loadedOntoTruck',
  at: at(time),
  parameters: { truckId: 'J98 257' },
});
const delivered = (time: string): ParcelEvent => ({
  name: 'delivered',
  at: at(time),
  parameters: { destinationId: 'x' },
});
const failed = (time: string): ParcelEvent => ({ name: 'deliveryFailed', at: at(time), parameters: {} });

const parcels: readonly (readonly ParcelEvent[])[] = [
  [received('09:06:31.432'), loaded('11:35:02.163'), failed('14:12:44.021')],
  [received('09:06:32.106'), loaded('11:40:21.032'), delivered('15:00:31.322')],
  [received('09:06:34.740'), loaded('11:38:51.204'), delivered('15:11:05.038')],
];
const statuses = ['delivery failed', 'delivered', 'delivered'];

function orders<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, i) =>
    orders([...items.slice(0, i), ...items.slice(i + 1)]).map((rest) => [item, ...rest]),
  );
}

async function post(id: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${app.url}/parcels/${encodeURIComponent(id)}/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
  });
}

async function record(id: string, event: ParcelEvent): Promise<string> {
  const response = await post(id, event);
  expect(response.status).toBe(200);
  return ((await response.json()) as { outcome: string }).outcome;
}

/** The depot's parcels among these, once the view has caught up with what is expected. */
async function inDepot(depot: string, among: string, expected: readonly string[]): Promise<void> {
  const until = performance.now() + 5_000;
  for (;;) {
    const ids = (await getJson<string[]>(`${app.url}/parcels/depots/${encodeURIComponent(depot)}`)).filter((id) =>
      id.startsWith(among),
    );
    if (ids.join() === expected.join() || performance.now() > until) {
      expect(ids).toEqual(expected);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('the three parcels of the deck', () => {
  it('come to the same histories and states in every order', async () => {
    const all = orders([0, 1, 2]);
    const histories = new Set<string>();
    const states = new Set<string>();
    for (let o = 0; o < all.length; o++) {
      const ids = parcels.map((_, p) => `order${o}-p${p}`);
      // The parcels' events interleaved: all in this order, and parcel after parcel turned by one.
      for (const step of [0, 1, 2]) {
        for (let p = 0; p < 3; p++) {
          const order = all[(o + p) % all.length]!;
          expect(await record(ids[p]!, parcels[p]![order[step]!]!)).toBe('recorded');
        }
      }
      for (let p = 0; p < 3; p++) expect(await record(ids[p]!, parcels[p]![o % 3]!)).toBe('repeated');
      const seen: unknown[] = [];
      const known: unknown[] = [];
      for (let p = 0; p < 3; p++) {
        const history = await getJson<Record<string, unknown>[]>(`${app.url}/parcels/${ids[p]}/history`);
        for (const event of history) {
          expect(Date.parse(event['processedAt'] as string)).toBeGreaterThan(Date.parse('2020-01-01'));
          delete event['processedAt'];
          delete event['repeats'];
        }
        expect(history.map((event) => event['at'])).toEqual(parcels[p]!.map((event) => event.at));
        const { parcel, ...state } = await getJson<Record<string, unknown>>(`${app.url}/parcels/${ids[p]}`);
        expect([parcel, state['status']]).toEqual([ids[p], statuses[p]]);
        seen.push(history);
        known.push(state);
      }
      histories.add(JSON.stringify(seen));
      states.add(JSON.stringify(known));
      await inDepot('Lewisham', `order${o}-`, []);
    }
    expect([histories.size, states.size]).toEqual([1, 1]);
  });

  it('are in their depot until they are loaded, and back in another when received there', async () => {
    const ids = ['d-2', 'd-10', 'd-1'];
    for (const id of ids)
      await record(id, { ...received('09:00:00.000'), parameters: { depotId: 'Old Kent Road/Süd' } });
    await inDepot('Old Kent Road/Süd', 'd-', ['d-1', 'd-10', 'd-2']);
    await record('d-10', loaded('10:00:00.000'));
    await inDepot('Old Kent Road/Süd', 'd-', ['d-1', 'd-2']);
    await record('d-10', { ...received('12:00:00.000'), parameters: { depotId: 'Brixton' } });
    await inDepot('Brixton', 'd-', ['d-10']);
    expect(await getJson(`${app.url}/parcels/d-10?asOf=${at('11:00:00.000')}`)).toMatchObject({
      status: 'on truck',
      truckId: 'J98 257',
    });
    expect(await getJson(`${app.url}/parcels/depots/Nowhere`)).toEqual([]);
  });

  it('finds the parcel with the longest id in the depot with the longest name', async () => {
    const depot = '漢'.repeat(100);
    const id = `long-${'x'.repeat(500)}`;
    expect(await record(id, { ...received('09:00:00.000'), parameters: { depotId: depot } })).toBe('recorded');
    await inDepot(depot, 'long-', [id]);
  });

  it('tells what was known at a time, and keeps that answer', async () => {
    await record('known', received('09:00:00.000'));
    const [first] = await getJson<{ processedAt: string }[]>(`${app.url}/parcels/known/history`);
    const path = `${app.url}/parcels/known?knownAt=${first!.processedAt}`;
    const before = await getJson(path);
    await record('known', loaded('10:00:00.000'));
    expect(await getJson(path)).toEqual(before);
    expect(before).toMatchObject({ status: 'at depot' });
    expect(await getJson(`${app.url}/parcels/known`)).toMatchObject({ status: 'on truck' });
  });
});

describe('a bad report of a parcel', () => {
  it('is 400 with its code, and kept with its bytes', async () => {
    const bad: [string, string | Uint8Array, string][] = [
      [
        'b1',
        '{"name":"receivedAtDepot","at":"2016-03-38T09:00:00.000Z","parameters":{"depotId":"Lewisham"}}',
        'INVALID_TIME',
      ],
      ['b2', '{"name":', 'INVALID_JSON'],
      ['b3', '', 'INVALID_JSON'],
      ['b4', '[]', 'INVALID_EVENT'],
      ['b5', '{"name":"vanished","at":"2016-10-12T09:00:00.000Z","parameters":{}}', 'UNKNOWN_EVENT_TYPE'],
      ['b6', '{"name":"delivered","at":"2016-10-12T09:00:00.000Z","parameters":{}}', 'PARAMETER_MISSING'],
      ['b7', '{"name":"delivered","at":"2016-10-12T09:00:00.000Z","parameters":{"destinationId":7}}', 'PARAMETER_TYPE'],
      ['b8', '{"name":"delivered","at":"2016-10-12T09:00:00.000Z"}', 'PARAMETER_TYPE'],
      ['b9', Buffer.from([0x7b, 0xff, 0x7d]), 'INVALID_UTF8'],
      ['b10', '{"name":"delivered","at":"2016-10-12T09:00:00.000Z","at2":1,"parameters":{}}', 'INVALID_EVENT'],
      ['b11', `{"x":"${'a'.repeat(1_048_576)}"}`, 'LIMIT_EXCEEDED'],
      ['b\u0000', '{"name":"deliveryFailed","at":"2016-10-12T09:00:00.000Z","parameters":{}}', 'INVALID_ID'],
      [
        'x'.repeat(10_240),
        '{"name":"deliveryFailed","at":"2016-10-12T09:00:01.000Z","parameters":{}}',
        'LIMIT_EXCEEDED',
      ],
    ];
    for (const [id, body, code] of bad) {
      const response = await post(id, body);
      const problem = (await response.json()) as Record<string, unknown>;
      expect([id.slice(0, 20), response.status, problem['code']]).toEqual([id.slice(0, 20), 400, code]);
      expect(Object.keys(problem)).toEqual(['statusCode', 'code', 'message', 'fix']);
      const kept = (await quarantined(app.url)).at(-1)!;
      expect(kept.code).toBe(code);
      expect(Buffer.from(kept.bytes, 'base64').equals(Buffer.from(body as Uint8Array).subarray(0, 65_536))).toBe(true);
    }
  });

  it('is 415 in another type, 404 when nobody ever reported the parcel', async () => {
    expect((await post('t', 'x', { 'content-type': 'text/plain' })).status).toBe(415);
    expect((await fetch(`${app.url}/parcels/nobody`)).status).toBe(404);
    expect((await fetch(`${app.url}/parcels/nobody/history`)).status).toBe(404);
    expect((await fetch(`${app.url}/parcels/%00`)).status).toBe(400);
  });
});
