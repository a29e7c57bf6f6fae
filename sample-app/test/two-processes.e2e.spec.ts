/**
 * Goal: two identical processes on one environment record at the same time without loss or double effect, answer every
 * query alike, and one goes on with the views when the other is killed. Method: both are posted the same and different lines at once.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scratchFolder, startApp, startHere, type RunningApp } from './app.js';
import { modelOf, monthLines, plantedReports, postLines, settled, shuffled } from './reports.js';

describe('two processes on one environment', { timeout: 90_000 }, () => {
  let folder: { readonly path: string; clean(): Promise<void> };
  let a: RunningApp;
  let b: RunningApp;

  beforeAll(async () => {
    folder = await scratchFolder();
    [a, b] = await Promise.all([startApp({ CONCURSUS_DATA: folder.path }), startApp({ CONCURSUS_DATA: folder.path })]);
  }, 90_000);

  afterAll(async () => {
    await Promise.all([a.kill(), b.kill()]);
    await folder.clean();
  });

  it('count each report once between them, and views of both come to the truth, also after one is killed', async () => {
    const planted = plantedReports(400, 5);
    const month = monthLines()
      .slice(0, 6_000)
      .filter((line) => line.endsWith('}') && line.includes('"flight":"2013'));
    const reports = [...planted, ...month.map((line) => JSON.parse(line) as (typeof planted)[number])];
    const all = reports.map((report) => JSON.stringify(report));
    const model = modelOf(reports);
    const answers = await Promise.all([
      postLines(a.url, shuffled(all, 1)),
      postLines(b.url, shuffled(all, 2)),
      postLines(a.url, shuffled(all, 3)),
      postLines(b.url, shuffled(all, 4)),
    ]);
    const total = (field: 'recorded' | 'conflicting' | 'repeated' | 'rejected'): number =>
      answers.reduce((sum, answer) => sum + answer[field], 0);
    expect(total('rejected')).toBe(0);
    expect(total('recorded')).toBe(model.recorded);
    expect(total('conflicting')).toBe(model.conflicting);
    expect(total('repeated')).toBe(4 * all.length - model.recorded - model.conflicting);
    expect(await settled(a.url, model)).toEqual([]);
    expect(await settled(b.url, model)).toEqual([]);

    await a.kill();
    const more = plantedReports(500, 5);
    await postLines(
      b.url,
      more.map((report) => JSON.stringify(report)),
    );
    expect(await settled(b.url, modelOf([...reports, ...more]))).toEqual([]);
    await b.stop();
    const here = await startHere(folder.path);
    try {
      expect((await here.audit('flights')).flatMap((audit) => audit.differences)).toEqual([]);
    } finally {
      await here.stop();
    }
  });
});
