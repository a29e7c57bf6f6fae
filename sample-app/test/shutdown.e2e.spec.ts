/**
 * Goal: SIGTERM answers what is under way, exits 0 in time, and the next start serves the same figures. Method: a real
 * process, ended in the middle of a post, of a load, and with a board open.
 */
import { request, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { scratchFolder, startApp, type RunningApp } from './app.js';
import { getJson, monthLines, postLines } from './reports.js';

/** As promised to whoever ends the application. */
const WITHIN_MS = 10_000;

describe('SIGTERM', { timeout: 180_000 }, () => {
  let folder: { readonly path: string; clean(): Promise<void> };
  let app: RunningApp;

  beforeEach(async () => {
    folder = await scratchFolder();
  });

  afterEach(async () => {
    await app.kill();
    await folder.clean();
  });

  async function stopInTime(): Promise<void> {
    const start = performance.now();
    await app.stop();
    expect(performance.now() - start).toBeLessThan(WITHIN_MS);
  }

  it('tells the sender of an unfinished body what is on disk, and closes open boards', async () => {
    app = await startApp({ CONCURSUS_DATA: folder.path });
    const board = await fetch(`${app.url}/board/stream`);
    const lines = monthLines().slice(0, 1_500);
    const call = request(`${app.url}/flights/reports`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson', accept: 'application/x-ndjson' },
    });
    call.write(`${lines.join('\n')}\n`);
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    let text = '';
    response.on('data', (part: Buffer) => (text += part.toString()));
    const ended = once(response, 'end');
    while (!text.includes('"line":1500')) await once(response, 'data');
    await Promise.all([stopInTime(), ended]);
    const last = JSON.parse(text.trimEnd().split('\n').at(-1)!) as Record<string, unknown>;
    expect(last).toMatchObject({ statusCode: 503, code: 'SHUTTING_DOWN', line: 1_500, received: 1_500 });
    expect(await board.text()).toContain('event: summary');
    call.destroy();

    app = await startApp({ CONCURSUS_DATA: folder.path });
    const figures = await getJson(`${app.url}/flights/status`);
    expect(await postLines(app.url, lines)).toMatchObject({ recorded: 0 });
    expect(await getJson(`${app.url}/flights/status`)).toEqual(figures);
  });

  it('ends a load between two batches, and the next start goes on', async () => {
    app = await startApp({ CONCURSUS_DATA: folder.path, SAMPLE_DATA: '' });
    while (!app.output().includes('Loading')) await new Promise((resolve) => setTimeout(resolve, 20));
    await stopInTime();
    expect(app.output()).not.toContain('ERROR');
    app = await startApp({ CONCURSUS_DATA: folder.path, SAMPLE_DATA: '' });
    const { loading } = await getJson<{ loading: { line: number; done: boolean } }>(`${app.url}/board/summary`);
    expect(loading.done).toBe(false);
    await stopInTime();
  });
});
