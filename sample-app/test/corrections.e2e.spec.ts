/**
 * Goal: a report is withdrawn, amended and let count again over HTTP, every figure follows, and what was known before stays
 * known. Method: a few reports, corrections of each kind, and all doors asked before and after each.
 */
import { describe, expect, it } from 'vitest';
import { getJson, postLines, quarantined } from './reports.js';
import { appFor } from './spec-app.js';

const FLIGHT = '2013-01-05/UA7/EWR-0500';
const DEPARTED = '2013-01-05T10:10:00.000Z';
const ARRIVED = '2013-01-05T13:20:00.000Z';

const REPORTS = [
  {
    source: 'airline:UA',
    flight: FLIGHT,
    type: 'scheduled',
    at: '2013-01-04T10:00:00.000Z',
    data: {
      carrier: 'UA',
      number: 7,
      origin: 'EWR',
      destination: 'IAH',
      scheduledDeparture: '2013-01-05T10:00:00.000Z',
      scheduledArrival: '2013-01-05T13:00:00.000Z',
      distanceMiles: 1_400,
    },
  },
  { source: 'airport:EWR', flight: FLIGHT, type: 'departed', at: DEPARTED, data: { tail: 'N7' } },
  { source: 'airport:IAH', flight: FLIGHT, type: 'arrived', at: ARRIVED, data: { tail: 'N7' } },
] as const;

interface Row {
  readonly name: string;
  readonly at: string;
  readonly processedAt: string;
  readonly digest: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly kind?: string;
  readonly target?: Readonly<Record<string, unknown>>;
  readonly decidedAt?: string;
  readonly amends?: { readonly at: string };
  readonly ruling?: { readonly kind: string; readonly decidedAt: string; readonly amendment?: object };
}

describe('corrections over HTTP', { timeout: 60_000 }, () => {
  const app = appFor('each');

  const path = `/flights/${encodeURIComponent(FLIGHT)}`;

  async function correct(
    body: unknown,
    flight = FLIGHT,
  ): Promise<{ status: number; body: Readonly<Record<string, unknown>> }> {
    const response = await fetch(`${app.url}/flights/${encodeURIComponent(flight)}/corrections`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    return { status: response.status, body: (await response.json()) as Readonly<Record<string, unknown>> };
  }

  const ofDeparture = (kind: string, decidedAt: string, more: object = {}): object => ({
    kind,
    target: { at: DEPARTED, source: 'airport:EWR', type: 'departed' },
    decidedAt,
    source: 'desk',
    ...more,
  });

  const cell = () => getJson<Record<string, number>>(`${app.url}/flights/origins/EWR/days/2013-01-05`);
  const status = () => getJson<Record<string, number>>(`${app.url}/flights/status`);
  const carrier = () => getJson<Record<string, number>>(`${app.url}/flights/carriers/UA`);
  const state = (query = '') => getJson<Record<string, unknown>>(`${app.url}${path}${query}`);
  const history = (query = '') => getJson<Row[]>(`${app.url}${path}/history${query}`);
  async function follows(read: () => Promise<unknown>, wanted: object): Promise<void> {
    await expect.poll(read, { timeout: 5_000 }).toMatchObject(wanted);
  }

  async function report(reports: readonly object[] = REPORTS): Promise<void> {
    await postLines(
      app.url,
      reports.map((each) => JSON.stringify(each)),
    );
  }

  /** A moment after everything that was recorded so far. */
  async function moment(): Promise<string> {
    await new Promise((resolve) => setTimeout(resolve, 5));
    const now = new Date().toISOString();
    await new Promise((resolve) => setTimeout(resolve, 5));
    return now;
  }

  it('move every figure, state and history, and leave what was known before', async () => {
    await report();
    await follows(cell, { flights: 1, arrived: 1, departureDelayMinutes: 10 });
    await follows(carrier, { arrived: 1, arrivalDelayMinutes: 20, over15MinutesLate: 1 });
    const before = await moment();
    const stateBefore = await state(`?knownAt=${before}`);
    const historyBefore = await history(`?knownAt=${before}`);
    expect(stateBefore).toMatchObject({ status: 'arrived', departedAt: DEPARTED });

    // The arrival counts no more: the flight is under way.
    const arrival = { at: ARRIVED, source: 'airport:IAH', type: 'arrived' };
    const retract = { kind: 'retract', target: arrival, decidedAt: '2013-01-06T08:00:00.000Z', source: 'desk' };
    expect(await correct(retract)).toEqual({ status: 200, body: { outcome: 'recorded' } });
    await follows(status, { arrived: 0, departed: 1 });
    await follows(cell, { flights: 1, arrived: 0 });
    await follows(carrier, { arrived: 0, arrivalDelayMinutes: 0, over15MinutesLate: 0 });
    expect(await state()).toMatchObject({ status: 'departed', arrivedAt: null, events: 2 });
    expect((await history()).map((each) => each.name)).toEqual(['scheduled', 'departed']);
    const retracted = await moment();

    // It left later than was reported, by another aircraft.
    const amend = ofDeparture('amend', '2013-01-06T09:00:00.000Z', {
      at: '2013-01-05T10:30:00.000Z',
      data: { tail: 'N8' },
    });
    expect((await correct(amend)).body).toEqual({ outcome: 'recorded' });
    await follows(cell, { departureDelayMinutes: 30 });
    expect(await state()).toMatchObject({ departedAt: '2013-01-05T10:30:00.000Z', tail: 'N8' });
    expect(await state('?asOf=2013-01-05T10:20:00.000Z')).toMatchObject({ status: 'scheduled', departedAt: null });
    const [, amended] = await history();
    expect(amended).toMatchObject({ at: '2013-01-05T10:30:00.000Z', parameters: { tail: 'N8' } });
    expect(amended!.amends?.at).toBe(DEPARTED);

    // It did arrive after all.
    const reinstate = { ...retract, kind: 'reinstate', decidedAt: '2013-01-06T10:00:00.000Z' };
    expect((await correct(reinstate)).body).toEqual({ outcome: 'recorded' });
    await follows(status, { arrived: 1, departed: 0 });
    await follows(carrier, { arrived: 1, arrivalDelayMinutes: 20, over15MinutesLate: 1 });
    expect(await state()).toMatchObject({ status: 'arrived', arrivedAt: ARRIVED, events: 3 });

    // What was known is known.
    expect(await state(`?knownAt=${before}`)).toEqual(stateBefore);
    expect(await history(`?knownAt=${before}`)).toEqual(historyBefore);
    expect(await state(`?knownAt=${retracted}`)).toMatchObject({ status: 'departed', departedAt: DEPARTED });
    expect((await app.audit('flights')).flatMap((audit) => audit.differences)).toEqual([]);
  });

  it('are shown as recorded, with what they decide and which of them rules', async () => {
    await report();
    await correct(ofDeparture('retract', '2013-01-06T08:00:00.000Z'));
    await correct(ofDeparture('amend', '2013-01-06T09:00:00.000Z', { at: '2013-01-05T10:30:00.000Z' }));
    const rows = await history('?recorded=true');
    const reports = rows.filter((row) => row.kind === undefined);
    const corrections = rows.filter((row) => row.kind !== undefined);
    expect(reports.map((row) => [row.name, row.at])).toEqual(REPORTS.map((each) => [each.type, each.at]));
    expect(corrections.map((row) => `${row.kind} ${row.decidedAt}`).sort()).toEqual([
      'amend 2013-01-06T09:00:00.000Z',
      'retract 2013-01-06T08:00:00.000Z',
    ]);
    for (const row of corrections) {
      expect(row.target).toEqual({ at: DEPARTED, source: 'airport:EWR', type: 'departed' });
      expect(row.name).toMatch(/^\$correction\./);
    }
    expect(reports[1]!.ruling).toEqual({
      kind: 'amend',
      decidedAt: '2013-01-06T09:00:00.000Z',
      source: 'desk',
      amendment: { at: '2013-01-05T10:30:00.000Z' },
    });
    expect(reports[0]!.ruling).toBe(undefined);
    const wrong = await fetch(`${app.url}${path}/history?recorded=yes`);
    expect(wrong.status).toBe(400);
  });

  it('are repeated when sent again, and in conflict when they contradict each other', async () => {
    await report();
    const first = ofDeparture('retract', '2013-01-06T08:00:00.000Z');
    expect((await correct(first)).body).toEqual({ outcome: 'recorded' });
    expect((await correct(first)).body).toEqual({ outcome: 'repeated' });
    const other = ofDeparture('amend', '2013-01-06T08:00:00.000Z', { at: '2013-01-05T10:40:00.000Z' });
    expect((await correct(other)).body).toEqual({ outcome: 'conflicting' });
    // Whichever rules, the figures are those of a rebuild, and a later decision settles it.
    expect((await correct(ofDeparture('reinstate', '2013-01-06T09:00:00.000Z'))).body).toEqual({ outcome: 'recorded' });
    await follows(cell, { departureDelayMinutes: 10 });
    // An earlier decision that comes later changes nothing.
    const earlier = ofDeparture('amend', '2013-01-06T07:00:00.000Z', { at: '2013-01-05T11:00:00.000Z' });
    expect((await correct(earlier)).body).toEqual({ outcome: 'recorded' });
    expect(await state()).toMatchObject({ departedAt: DEPARTED });
    expect((await app.audit('flights')).flatMap((audit) => audit.differences)).toEqual([]);
  });

  it('may come before what they correct', async () => {
    const [scheduled, departed, arrived] = REPORTS;
    expect((await correct(ofDeparture('retract', '2013-01-06T08:00:00.000Z'))).body).toEqual({ outcome: 'recorded' });
    expect((await fetch(app.url + path)).status).toBe(404);
    expect((await history('?recorded=true')).map((row) => row.kind)).toEqual(['retract']);
    await report([departed, scheduled, arrived]);
    await follows(cell, { flights: 1, arrived: 1, departureDelayMinutes: 0 });
    expect(await state()).toMatchObject({ departedAt: null, events: 2 });
  });

  it('name one content of a conflict by its digest', async () => {
    const [scheduled, departed] = REPORTS;
    await report([scheduled, departed, { ...departed, data: { tail: 'N9' } }]);
    const contents = (await history()).filter((row) => row.name === 'departed');
    expect(contents.length).toBe(2);
    const wrong = contents.find((row) => row.parameters['tail'] === 'N9')!;
    const target = { at: DEPARTED, source: 'airport:EWR', type: 'departed', digest: wrong.digest };
    await correct({ kind: 'retract', target, decidedAt: '2013-01-06T08:00:00.000Z', source: 'desk' });
    expect((await history()).filter((row) => row.name === 'departed').map((row) => row.parameters)).toEqual([
      { tail: 'N7' },
    ]);
  });

  it.each<[string, unknown, string]>([
    ['no JSON', '{', 'INVALID_JSON'],
    ['no object', '[]', 'INVALID_CORRECTION'],
    ['an unknown kind', ofDeparture('erase', '2013-01-06T08:00:00Z'), 'INVALID_CORRECTION'],
    ['no target', { kind: 'retract', decidedAt: '2013-01-06T08:00:00Z', source: 'desk' }, 'INVALID_CORRECTION'],
    ['no decision', { ...ofDeparture('retract', ''), decidedAt: undefined }, 'INVALID_TIME'],
    ['a time that is none', ofDeparture('retract', 'yesterday'), 'INVALID_TIME'],
    ['a number as a time', { ...ofDeparture('retract', ''), decidedAt: 5 }, 'INVALID_TIME'],
    ['an amendment of nothing', ofDeparture('amend', '2013-01-06T08:00:00Z'), 'INVALID_CORRECTION'],
    [
      'a withdrawal with a time',
      ofDeparture('retract', '2013-01-06T08:00:00Z', { at: '2013-01-05T11:00:00Z' }),
      'INVALID_CORRECTION',
    ],
    ['data without what it must hold', ofDeparture('amend', '2013-01-06T08:00:00Z', { data: {} }), 'PARAMETER_MISSING'],
    ['data of the wrong kind', ofDeparture('amend', '2013-01-06T08:00:00Z', { data: { tail: 7 } }), 'PARAMETER_TYPE'],
    ['an unknown field', ofDeparture('retract', '2013-01-06T08:00:00Z', { force: true }), 'INVALID_CORRECTION'],
    [
      'a prototype key',
      '{"__proto__":{"x":1},"kind":"retract","target":{},"decidedAt":"2013-01-06T08:00:00Z"}',
      'FORBIDDEN_KEY',
    ],
    [
      'a correction of a correction',
      {
        kind: 'retract',
        target: { at: DEPARTED, source: 'desk', type: '$correction.0' },
        decidedAt: '2013-01-06T08:00:00Z',
        source: 'desk',
      },
      'UNKNOWN_EVENT_TYPE',
    ],
    [
      'a digest that is none',
      {
        kind: 'retract',
        target: { at: DEPARTED, source: 'airport:EWR', type: 'departed', digest: 'abc' },
        decidedAt: '2013-01-06T08:00:00Z',
        source: 'desk',
      },
      'INVALID_CORRECTION',
    ],
    ['a sequence that is none', ofDeparture('retract', '2013-01-06T08:00:00Z', { sequence: -1 }), 'INVALID_SEQUENCE'],
  ])('with %s are refused, kept, and change nothing', async (_what, body, code) => {
    await report();
    const answer = await correct(body);
    expect(answer.status).toBe(400);
    expect(Object.keys(answer.body).sort()).toEqual(['code', 'fix', 'message', 'statusCode']);
    expect(answer.body).toMatchObject({ statusCode: 400, code });
    const sent = typeof body === 'string' ? body : JSON.stringify(body);
    const kept = await quarantined(app.url);
    expect(kept.map((item) => Buffer.from(item.bytes, 'base64').toString())).toEqual([sent]);
    expect(kept[0]!.code).toBe(code);
    expect((await history('?recorded=true')).length).toBe(3);
  });

  it('of what is no flight, too large or of another type are refused', async () => {
    const body = ofDeparture('retract', '2013-01-06T08:00:00Z');
    expect(await correct(body, 'nonsense')).toMatchObject({ status: 400, body: { code: 'INVALID_ID' } });
    expect((await quarantined(app.url)).length).toBe(1);
    const large = await correct(`{"kind":"${'x'.repeat(2_000_000)}"}`);
    expect(large).toMatchObject({ status: 400, body: { code: 'LIMIT_EXCEEDED' } });
    const text = await fetch(`${app.url}${path}/corrections`, { method: 'POST', body: 'retract' });
    expect(text.status).toBe(415);
  });
});
