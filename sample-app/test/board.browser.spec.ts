// The board page in a real Chromium, on the running sample app: its figures are the API's, it can be used by keyboard
// and by screen reader, in light and dark, it follows what is posted, and it asks no other host for anything.
// A small month is loaded, with each kind of mess: late, repeated, in conflict, and garbage.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { startApp } from './app.js';
import { openBrowser } from './browser.js';

const LATE = '2013-01-02/UA10/EWR-0700';
const WAITING = '2013-01-02/B630/LGA-0800';

interface Report {
  readonly receivedAt?: string;
  readonly source: string;
  readonly flight: string;
  readonly type: string;
  readonly at: string;
  readonly data: Readonly<Record<string, unknown>>;
}

interface HistoryEvent {
  readonly name: string;
  readonly at: string;
  readonly processedAt: string;
  readonly repeats: number;
}

interface QuarantinePage {
  readonly items: readonly { readonly code: string; readonly reason: string; readonly count: number }[];
}

function scheduled(flight: string, receivedAt: string, departure: string, arrival: string): Report {
  const [, line = '', place = ''] = flight.split('/');
  const data = {
    carrier: line.slice(0, 2),
    number: Number(line.slice(2)),
    origin: place.slice(0, 3),
    destination: 'BOS',
    scheduledDeparture: `2013-01-02T${departure}:00.000Z`,
    scheduledArrival: `2013-01-02T${arrival}:00.000Z`,
    distanceMiles: 187,
  };
  return {
    receivedAt,
    source: `airline:${data.carrier}`,
    flight,
    type: 'scheduled',
    at: '2013-01-01T12:00:00.000Z',
    data,
  };
}

function report(flight: string, type: string, at: string, receivedAt: string, source: string, data = {}): Report {
  return { receivedAt: `2013-01-${receivedAt}.000Z`, source, flight, type, at: `2013-01-02T${at}:00.000Z`, data };
}

const GARBAGE = '{"source":"airport:JFK","flight":';

const REPORTS: readonly (Report | string)[] = [
  scheduled(LATE, '2013-01-01T12:00:01.000Z', '12:00', '15:00'),
  scheduled('2013-01-02/UA11/EWR-0730', '2013-01-01T12:00:02.000Z', '12:30', '14:00'),
  scheduled('2013-01-02/AA20/JFK-0700', '2013-01-01T12:00:03.000Z', '12:00', '13:00'),
  scheduled(WAITING, '2013-01-01T12:00:04.000Z', '13:00', '14:00'),
  scheduled('2013-01-02/DL40/LGA-0900', '2013-01-01T12:00:05.000Z', '14:00', '15:00'),
  GARBAGE,
  report('2013-01-02/AA20/JFK-0700', 'cancelled', '11:30', '02T11:30:10', 'airline:AA', { reason: 'fog' }),
  report('2013-01-02/UA11/EWR-0730', 'departed', '12:40', '02T12:41:00', 'airport:EWR', { tail: 'N11' }),
  report('2013-01-02/DL40/LGA-0900', 'departed', '14:05', '02T14:06:00', 'airport:LGA', { tail: 'N40' }),
  report('2013-01-02/UA11/EWR-0730', 'arrived', '14:20', '02T14:20:30', 'airport:BOS', { tail: 'N11' }),
  report(LATE, 'arrived', '15:05', '02T15:05:02', 'airport:BOS', { tail: 'N10' }),
  GARBAGE,
  report('2013-01-02/DL40/LGA-0900', 'diverted', '16:00', '02T16:00:20', 'airline:DL'),
  report('2013-01-02/DL40/LGA-0900', 'departed', '14:05', '04T15:00:00', 'airport:LGA', { tail: 'N99' }),
  report(LATE, 'departed', '12:05', '05T12:05:30', 'airport:EWR', { tail: 'N10' }),
  report(LATE, 'departed', '12:05', '05T13:00:00', 'airport:EWR', { tail: 'N10' }),
  report(LATE, 'departed', '12:05', '05T14:00:00', 'airport:EWR', { tail: 'N10' }),
];

const opened = await openBrowser();
if (opened.browser === null) console.warn(`The browser specs of the board are left out. ${opened.reason}`);

if (opened.browser === null && process.env['CI'] === 'true') {
  it('finds a Chromium, as CI is true', () => {
    throw new Error(opened.reason);
  });
}

describe.skipIf(opened.browser === null)(`The board${opened.reason === null ? '' : ` (${opened.reason})`}`, () => {
  let folder: string;
  let app: { readonly url: string; stop(): Promise<void> };
  let empty: { readonly url: string; stop(): Promise<void> };
  const pages: Page[] = [];
  // What any page of these specs asked for, and what it complained of.
  const asked = new Set<string>();
  const complaints: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'concursus-board-'));
    const file = join(folder, 'reports.ndjson');
    const lines = REPORTS.map((each) => (typeof each === 'string' ? each : JSON.stringify(each)));
    await writeFile(file, `${lines.join('\n')}\n`);
    [app, empty] = await Promise.all([
      startApp({ SAMPLE_DATA: file, CONCURSUS_DATA: join(folder, 'store') }),
      startApp({ SAMPLE_DATA: 'none', CONCURSUS_DATA: join(folder, 'empty') }),
    ]);
  }, 120_000);

  afterEach(async () => {
    await Promise.all(pages.splice(0).map((page) => page.context().close()));
  });

  afterAll(async () => {
    await opened.browser?.close();
    await Promise.all([app?.stop(), empty?.stop()]);
    await rm(folder, { recursive: true, force: true });
  }, 60_000);

  async function open(options: BrowserContextOptions = {}, url = app.url): Promise<Page> {
    const context = await opened.browser!.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    const page = await context.newPage();
    pages.push(page);
    page.on('request', (request) => asked.add(request.url()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      // An aborted stream and a flight that is not there are asked for by these specs.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
        complaints.push(message.text());
      }
    });
    await page.goto(url);
    return page;
  }

  async function openLoaded(options: BrowserContextOptions = {}): Promise<Page> {
    const page = await open(options);
    await expect.poll(() => page.locator('#load-text').textContent(), { timeout: 20_000 }).toMatch(/^Loaded/);
    await expect.poll(() => figure(page, 'arrived'), { timeout: 10_000 }).toBe(2);
    return page;
  }

  const figure = async (page: Page, status: string) =>
    Number(await page.locator(`[data-figure="${status}"]`).getAttribute('value'));

  async function api<T>(path: string, url = app.url): Promise<T> {
    const response = await fetch(new URL(path, url));
    expect(response.status, path).toBe(200);
    return (await response.json()) as T;
  }

  const historyOf = (flight: string) => api<HistoryEvent[]>(`/flights/${encodeURIComponent(flight)}/history`);

  it('shows the figures that the API answers', async () => {
    const page = await openLoaded();
    const status = await api<Record<string, number>>('/flights/status');
    for (const [name, value] of Object.entries(status)) expect(await figure(page, name), name).toBe(value);

    await page.getByText('All days as a table').click();
    const days = page.getByRole('table', { name: 'Flights per day and origin' });
    for (const origin of ['EWR', 'JFK', 'LGA']) {
      const cell = await api<Record<string, number>>(`/flights/origins/${origin}/days/2013-01-02`);
      const row = days.getByRole('row', { name: `${origin} 2013-01-02` }).getByRole('cell');
      const shown = (await row.allTextContents()).map((text) => Number(text.split(' ')[0]?.replace('−', '-')));
      expect(shown, origin).toEqual([
        cell['flights'],
        cell['arrived'],
        cell['diverted'],
        cell['cancelled'],
        cell['departureDelayMinutes'],
      ]);
    }

    const carrier = await api<Record<string, number>>('/flights/carriers/UA');
    const row = page.getByRole('table', { name: 'Delays by carrier' }).getByRole('row', { name: /^UA/ });
    const [arrived, average, share] = await row.getByRole('cell').allTextContents();
    expect(Number(arrived)).toBe(carrier['arrived']);
    expect(average).toBe((carrier['arrivalDelayMinutes']! / carrier['arrived']!).toFixed(1));
    expect(share).toBe(`${((100 * carrier['over15MinutesLate']!) / carrier['arrived']!).toFixed(1)} %`);
  });

  it('draws the latest-reported flight by itself, with its lateness and its repeats', async () => {
    const page = await openLoaded();
    await expect.poll(() => page.locator('#history-flight').textContent(), { timeout: 15_000 }).toBe(LATE);
    const events = await historyOf(LATE);
    expect(events.map((event) => [event.name, event.repeats])).toEqual([
      ['scheduled', 0],
      ['departed', 2],
      ['arrived', 0],
    ]);
    expect(await page.locator('.point').count()).toBe(3);
    expect(await page.locator('.point[data-kind="departed"] .ring').count()).toBe(2);
    const label = await page.locator('.point[data-kind="departed"] .label').textContent();
    expect(label).toContain('3 d 0 h late');
    expect(label).toContain('+2 repeated');
    // Reported last, so drawn highest, though it happened before the arrival.
    const departed = (await page.locator('.point[data-kind="departed"] .body').boundingBox())!;
    const arrived = (await page.locator('.point[data-kind="arrived"] .body').boundingBox())!;
    expect(departed.x).toBeLessThan(arrived.x);
    expect(departed.y).toBeLessThan(arrived.y);
  });

  it('leads the keyboard from the address bar to any flight drawn, and marks its conflict', async () => {
    const page = await openLoaded();
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.className')).toBe('skip');
    let steps = 1;
    while ((await page.evaluate('document.activeElement.id')) !== 'flight') {
      expect(steps++, 'tab stops up to the flight').toBeLessThan(15);
      await page.keyboard.press('Tab');
    }
    await page.keyboard.type('2013-01-02/DL40/LGA-0900');
    await page.keyboard.press('Enter');
    await expect.poll(() => page.locator('#history-flight').textContent()).toBe('2013-01-02/DL40/LGA-0900');
    expect(await page.locator('.point').count()).toBe((await historyOf('2013-01-02/DL40/LGA-0900')).length);
    const table = page.getByRole('table', { name: 'History of 2013-01-02/DL40/LGA-0900' });
    expect(await table.getByRole('row', { name: /conflict/ }).count()).toBe(2);
    expect(page.url()).toContain('flight=2013-01-02%2FDL40%2FLGA-0900');
  });

  it('goes back by keyboard to what was known before the late report', async () => {
    const page = await openLoaded();
    await page.locator('#flight').fill(LATE);
    await page.keyboard.press('Enter');
    await expect.poll(() => page.locator('#history-flight').textContent()).toBe(LATE);
    const known = page.getByRole('slider', { name: /What was known/ });
    await known.focus();
    await page.keyboard.press('Home');
    const [first] = await historyOf(LATE);
    const at = encodeURIComponent(first!.processedAt);
    const state = await api<{ status: string }>(`/flights/${encodeURIComponent(LATE)}?knownAt=${at}`);
    await expect.poll(() => page.locator('.state').textContent()).toBe(`The flight was ${state.status}`);
    expect(state.status).toBe('scheduled');
    expect(await page.locator('.point.unknown').count()).toBe(2);
    await page.keyboard.press('End');
    await expect.poll(() => page.locator('.state').textContent()).toBe('The flight is arrived');
  });

  it('says in words that a flight is unknown or no flight', async () => {
    const page = await openLoaded();
    const input = page.getByRole('combobox', { name: 'Flight' });
    await input.fill('2013-01-02/ZZ1/EWR-0001');
    await page.keyboard.press('Enter');
    await expect.poll(() => page.getByRole('alert').textContent()).toContain('2013-01-02/ZZ1/EWR-0001');
    expect(await input.getAttribute('aria-invalid')).toBe('true');
  });

  it('gives every drawing, table and control a name, and each drawing a table', async () => {
    const page = await openLoaded();
    await expect.poll(() => page.locator('.point').count(), { timeout: 15_000 }).toBeGreaterThan(0);
    expect(await page.getByRole('img', { name: /^EWR, January 2013: 2 flights/ }).count()).toBe(1);
    expect(
      await page.getByRole('img', { name: /^History of .* reported 3 d 0 h late, repeated 2 times/ }).count(),
    ).toBe(1);
    expect(await page.getByRole('table', { name: /^History of/ }).count()).toBe(1);
    expect(await page.getByRole('table', { name: 'Quarantined input' }).count()).toBe(1);
    expect(await page.getByRole('table', { name: /^Flights on Wednesday, January 2, 2013/ }).count()).toBe(1);
    expect(await page.getByRole('heading', { level: 1 }).count()).toBe(1);
    expect(await page.getByRole('main').count()).toBe(1);
    for (const role of ['button', 'slider', 'combobox', 'table', 'img', 'region'] as const) {
      const all = await page.getByRole(role).count();
      expect(await page.getByRole(role, { name: /\S/ }).count(), role).toBe(all);
    }
    // A status that is read out politely, and no figure that is read out twice a second.
    expect(await page.locator('#announce').getAttribute('aria-live')).toBe('polite');
    await expect.poll(() => page.locator('#announce').textContent()).toMatch(/^(Flights|Loading|History)/);
  });

  it('sorts the carriers by a heading and says so', async () => {
    const page = await openLoaded();
    const head = page.getByRole('columnheader', { name: 'Carrier' });
    await head.getByRole('button').press('Enter');
    expect(await head.getAttribute('aria-sort')).toBe('ascending');
    await head.getByRole('button').press('Enter');
    expect(await head.getAttribute('aria-sort')).toBe('descending');
  });

  it('lists the quarantine as the API does, equal bytes once with a count', async () => {
    const page = await openLoaded();
    const { items } = await api<QuarantinePage>('/quarantine');
    expect(items.map((item) => item.count)).toEqual([2]);
    const rows = page.getByRole('table', { name: 'Quarantined input' }).getByRole('row');
    await expect.poll(() => rows.count()).toBe(2);
    const text = await rows.nth(1).textContent();
    expect(text).toContain('2 ×');
    expect(text).toContain(items[0]!.code);
    expect(text).toContain(items[0]!.reason);
    expect(text).toContain(GARBAGE);
  });

  it.each(['light', 'dark'] as const)('renders in the %s scheme with readable text', async (colorScheme) => {
    const page = await openLoaded({ colorScheme });
    const pairs = ['body', 'main h2', 'figcaption', 'thead th', '.foot p'];
    for (const selector of pairs) {
      const ink = luminance(await style(page, selector, 'color'));
      const ground = luminance(
        await style(page, selector === 'body' || selector === '.foot p' ? 'body' : '.card', 'background-color'),
      );
      expect(contrast(ink, ground), selector).toBeGreaterThan(4.5);
      expect(ground < 0.1, `${selector} on a dark ground`).toBe(colorScheme === 'dark');
    }
    expect((await page.screenshot()).byteLength).toBeGreaterThan(10_000);
  });

  it('fits a telephone without scrolling sideways', async () => {
    const page = await openLoaded({ viewport: { width: 390, height: 800 } });
    await expect.poll(() => page.locator('.point').count(), { timeout: 15_000 }).toBeGreaterThan(0);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
  });

  it('follows a post without being asked, also when the stream is cut', async () => {
    const streaming = await openLoaded();
    const context = await opened.browser!.newContext();
    const polling = await context.newPage();
    pages.push(polling);
    await polling.route('**/board/stream', (route) => route.abort());
    await polling.goto(app.url);
    await expect.poll(() => figure(polling, 'arrived'), { timeout: 10_000 }).toBe(2);
    await expect
      .poll(() => polling.locator('#connection').getAttribute('data-state'), { timeout: 10_000 })
      .toBe('polling');
    expect(await figure(streaming, 'departed')).toBe(0);

    const departed: Report = {
      source: 'airport:LGA',
      flight: WAITING,
      type: 'departed',
      at: '2013-01-02T13:10:00.000Z',
      data: { tail: 'N30' },
    };
    const response = await fetch(new URL('/flights/reports', app.url), {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: `${JSON.stringify(departed)}\n`,
    });
    expect(response.status).toBe(200);
    for (const page of [streaming, polling]) {
      await expect.poll(() => figure(page, 'departed'), { timeout: 10_000 }).toBe(1);
      await expect.poll(() => figure(page, 'scheduled')).toBe(0);
    }
    expect(await streaming.locator('#connection').getAttribute('data-state')).toBe('live');
  });

  it('is whole when there is no flight yet', async () => {
    const page = await open({}, empty.url);
    await expect.poll(() => page.locator('[data-figure]').count()).toBe(5);
    for (const name of ['scheduled', 'departed', 'arrived', 'cancelled', 'diverted']) {
      expect(await figure(page, name), name).toBe(0);
    }
    expect(await page.getByText('No flight has been reported yet.').count()).toBe(2);
    await expect.poll(() => page.getByText('Nothing: every line so far was a report.').count()).toBe(1);
  });

  // Last: it looks at all that the pages above have asked for.
  it('asks no other host for anything, and complains of nothing', () => {
    const hosts = new Set([...asked].map((url) => new URL(url).origin));
    expect([...hosts].sort()).toEqual([new URL(app.url).origin, new URL(empty.url).origin].sort());
    expect(complaints).toEqual([]);
  });
});

const style = (page: Page, selector: string, name: string) =>
  page.evaluate<string>(
    `getComputedStyle(document.querySelector(${JSON.stringify(selector)})).getPropertyValue(${JSON.stringify(name)})`,
  );

// Relative luminance and contrast as WCAG 2 defines them.
function luminance(rgb: string): number {
  const [red = 0, green = 0, blue = 0] = (rgb.match(/\d+/g) ?? []).slice(0, 3).map((part) => {
    const share = Number(part) / 255;
    return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(a: number, b: number): number {
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
