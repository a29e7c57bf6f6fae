/**
 * Reports for specs, the calls that post them, and a plain model of what they must come to: written on its own, from the
 * rules in words, without a line of the product.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

const DATA = new URL('../data/', import.meta.url);

export interface Truth {
  readonly byStatus: Readonly<Record<string, number>>;
  readonly byOriginAndDay: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly byCarrier: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export interface Answer {
  readonly received: number;
  readonly recorded: number;
  readonly repeated: number;
  readonly conflicting: number;
  readonly rejected: number;
  readonly buffered?: number;
  readonly rejections: readonly { readonly line: number; readonly code: string; readonly reason: string }[];
}

export interface QuarantinedItem {
  readonly id: string;
  readonly line: number;
  readonly code: string;
  readonly reason: string;
  readonly bytes: string;
  readonly count: number;
  readonly firstAt: string;
  readonly lastAt: string;
}

/** The lines of the bundled month, without their newlines. */
export function monthLines(): string[] {
  const text = gunzipSync(readFileSync(new URL('flights-2013-01.reports.ndjson.gz', DATA))).toString('utf8');
  return text.split('\n').filter((line) => line !== '');
}

export function monthTruth(): Truth {
  return JSON.parse(readFileSync(new URL('flights-2013-01.truth.json', DATA), 'utf8')) as Truth;
}

/** A random order that a seed fixes. */
export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const random = randomFrom(seed);
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}

/** mulberry32 */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export async function post(
  url: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${url}/flights/reports`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson', ...headers },
    body,
  });
}

/** Posts lines; the answer must be 200 and add up. */
export async function postLines(url: string, lines: readonly string[]): Promise<Answer> {
  const response = await post(url, lines.join('\n'));
  const answer = (await response.json()) as Answer;
  if (response.status !== 200) throw new Error(`${response.status} ${JSON.stringify(answer).slice(0, 500)}`);
  const { received, recorded, repeated, conflicting, rejected, buffered = 0 } = answer;
  if (recorded + repeated + conflicting + rejected + buffered !== received)
    throw new Error(`${JSON.stringify(answer).slice(0, 300)} does not add up`);
  return answer;
}

export async function getJson<T>(url: string): Promise<T> {
  const response = await fetch(url);
  if (response.status !== 200) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

/** The whole quarantine. */
export async function quarantined(url: string): Promise<QuarantinedItem[]> {
  const items: QuarantinedItem[] = [];
  let after = '';
  for (;;) {
    const page = await getJson<{ items: QuarantinedItem[]; next: string | null }>(`${url}/quarantine?limit=7${after}`);
    items.push(...page.items);
    if (page.next === null) return items;
    after = `&after=${encodeURIComponent(page.next)}`;
  }
}

const STATUSES = ['scheduled', 'departed', 'arrived', 'cancelled', 'diverted'];
const CELL = ['flights', 'arrived', 'cancelled', 'diverted', 'departureDelayMinutes'];
const CARRIER = ['arrived', 'arrivalDelayMinutes', 'over15MinutesLate'];

/** Every figure that differs from the truth, as readable text. */
export async function differences(url: string, truth: Truth): Promise<string[]> {
  const found: string[] = [];
  const compare = (
    what: string,
    fields: readonly string[],
    is: Record<string, unknown>,
    want: Readonly<Record<string, number>>,
  ): void => {
    if (Object.keys(is).sort().join() !== [...fields].sort().join())
      found.push(`${what} has the fields ${Object.keys(is).join()}`);
    for (const field of fields) {
      if (is[field] !== (want[field] ?? 0))
        found.push(`${what} ${field}: ${String(is[field])}, not ${want[field] ?? 0}`);
    }
  };
  const ask = async (path: string): Promise<Record<string, unknown>> => {
    const response = await fetch(url + path);
    return (await response.json()) as Record<string, unknown>;
  };
  compare('status', STATUSES, await ask('/flights/status'), truth.byStatus);
  for (const [key, want] of Object.entries(truth.byOriginAndDay)) {
    const [origin, day] = key.split(' ');
    compare(key, CELL, await ask(`/flights/origins/${origin}/days/${day}`), want);
  }
  for (const [carrier, want] of Object.entries(truth.byCarrier))
    compare(carrier, CARRIER, await ask(`/flights/carriers/${carrier}`), want);
  return found;
}

/** Waits until every figure equals the truth; resolves to what still differs after the 5 s that views may trail. */
export async function settled(url: string, truth: Truth, withinMs = 5_000, everyMs = 50): Promise<string[]> {
  const until = performance.now() + withinMs;
  for (;;) {
    const found = await differences(url, truth);
    if (found.length === 0 || performance.now() > until) return found;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

export interface Report {
  readonly source: string;
  readonly flight: string;
  readonly type: string;
  readonly at: string;
  readonly sequence?: number;
  readonly data: Readonly<Record<string, unknown>>;
}

/** RFC 8785 for what these reports hold: flat objects of text and numbers. */
function canonical(value: Readonly<Record<string, unknown>>): string {
  return `{${Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${JSON.stringify(value[key])}`)
    .join(',')}}`;
}

function digest(report: Report): string {
  return createHash('sha256')
    .update(`{"name":${JSON.stringify(report.type)},"parameters":${canonical(report.data)},"version":"0"}`)
    .digest('hex');
}

const compareBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** What good reports must come to, folded the plain way: gather, sort, walk. Also how many events there are. */
export function modelOf(
  reports: readonly Report[],
): Truth & { readonly recorded: number; readonly conflicting: number } {
  const contents = new Map<string, Map<string, Report>>();
  for (const report of reports) {
    const identity = JSON.stringify([report.flight, report.at, report.source, report.sequence ?? -1, report.type]);
    const known = contents.get(identity) ?? new Map<string, Report>();
    known.set(digest(report), report);
    contents.set(identity, known);
  }
  const flights = new Map<string, { report: Report; digest: string }[]>();
  let conflicting = 0;
  for (const known of contents.values()) {
    conflicting += known.size - 1;
    for (const [hash, report] of known) {
      const history = flights.get(report.flight) ?? [];
      history.push({ report, digest: hash });
      flights.set(report.flight, history);
    }
  }
  const rank = (type: string): number => (type === 'scheduled' ? 0 : type === 'departed' ? 1 : 2);
  const byStatus: Record<string, number> = {};
  const byOriginAndDay: Record<string, Record<string, number>> = {};
  const byCarrier: Record<string, Record<string, number>> = {};
  const add = (to: Record<string, Record<string, number>>, key: string, field: string, n: number): void => {
    const cell = (to[key] ??= {});
    cell[field] = (cell[field] ?? 0) + n;
  };
  for (const [flight, history] of flights) {
    history.sort(
      (a, b) =>
        rank(a.report.type) - rank(b.report.type) ||
        Date.parse(a.report.at) - Date.parse(b.report.at) ||
        compareBytes(a.report.source, b.report.source) ||
        (a.report.sequence ?? -1) - (b.report.sequence ?? -1) ||
        compareBytes(a.report.type, b.report.type) ||
        compareBytes(a.digest, b.digest),
    );
    let departure: number | undefined;
    let arrival: number | undefined;
    let plannedDeparture: number | undefined;
    let plannedArrival: number | undefined;
    let status = '';
    for (const { report } of history) {
      status = report.type;
      if (report.type === 'scheduled') {
        plannedDeparture = Date.parse(report.data['scheduledDeparture'] as string);
        plannedArrival = Date.parse(report.data['scheduledArrival'] as string);
      } else if (report.type === 'departed') departure = Date.parse(report.at);
      else if (report.type === 'arrived') arrival = Date.parse(report.at);
    }
    const [day, number, place] = flight.split('/') as [string, string, string];
    const cell = `${place.slice(0, 3)} ${day}`;
    const carrier = number.slice(0, 2);
    byStatus[status] = (byStatus[status] ?? 0) + 1;
    add(byOriginAndDay, cell, 'flights', 1);
    if (['arrived', 'cancelled', 'diverted'].includes(status)) add(byOriginAndDay, cell, status, 1);
    if (departure !== undefined && plannedDeparture !== undefined)
      add(byOriginAndDay, cell, 'departureDelayMinutes', (departure - plannedDeparture) / 60_000);
    add(byCarrier, carrier, 'arrived', status === 'arrived' ? 1 : 0);
    if (status === 'arrived' && arrival !== undefined && plannedArrival !== undefined) {
      const late = (arrival - plannedArrival) / 60_000;
      add(byCarrier, carrier, 'arrivalDelayMinutes', late);
      if (late > 15) add(byCarrier, carrier, 'over15MinutesLate', 1);
    }
  }
  return { byStatus, byOriginAndDay, byCarrier, recorded: contents.size, conflicting };
}

/** A few hundred made-up reports of `flights` flights: conflicts, equal instants, sequences, late schedules, second endings. */
export function plantedReports(flights: number, seed: number): Report[] {
  const random = randomFrom(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  const reports: Report[] = [];
  for (let i = 0; i < flights; i++) {
    const day = `2013-02-0${1 + (i % 3)}`;
    const carrier = pick(['UA', 'B6', '9E']);
    const origin = pick(['EWR', 'JFK', 'LGA']);
    const flight = `${day}/${carrier}${i + 1}/${origin}-1015`;
    const start = Date.parse(`${day}T15:15:00.000Z`);
    const time = (minutes: number): string => new Date(start + minutes * 60_000).toISOString();
    const scheduled = (at: number, departure: number): Report => ({
      source: `airline:${carrier}`,
      flight,
      type: 'scheduled',
      at: time(at),
      data: {
        carrier,
        number: i + 1,
        origin,
        destination: 'IAH',
        scheduledDeparture: time(departure),
        scheduledArrival: time(departure + 180),
        distanceMiles: 1_400,
      },
    });
    const made: Report[] = [];
    if (random() < 0.9) made.push(scheduled(-1_440, 0));
    if (random() < 0.3) made.push(scheduled(-1_440, 10));
    if (random() < 0.2) made.push(scheduled(-600, 20));
    const left = Math.floor(random() * 40) - 10;
    if (random() < 0.8) {
      made.push({ source: `airport:${origin}`, flight, type: 'departed', at: time(left), data: { tail: `N${i}` } });
      if (random() < 0.3)
        made.push({ source: `airport:${origin}`, flight, type: 'departed', at: time(left), data: { tail: `N${i}X` } });
      if (random() < 0.3)
        made.push({
          source: `airline:${carrier}`,
          flight,
          type: 'departed',
          at: time(left),
          data: { tail: 'N9' },
          sequence: i,
        });
      if (random() < 0.3)
        made.push({
          source: `airline:${carrier}`,
          flight,
          type: 'departed',
          at: time(left + 3),
          data: { tail: 'N9' },
          sequence: i + 1,
        });
    }
    const end = left + 160 + Math.floor(random() * 60);
    if (random() < 0.7)
      made.push({ source: 'airport:IAH', flight, type: 'arrived', at: time(end), data: { tail: `N${i}` } });
    if (random() < 0.2)
      made.push({
        source: 'airport:IAH',
        flight,
        type: 'arrived',
        at: time(end),
        data: { tail: `N${i}` },
        sequence: 1,
      });
    if (random() < 0.2)
      made.push({ source: `airport:${origin}`, flight, type: 'cancelled', at: time(end), data: { reason: 'weather' } });
    if (random() < 0.2) made.push({ source: 'airport:DFW', flight, type: 'diverted', at: time(end + 1), data: {} });
    reports.push(...made);
  }
  return reports;
}
