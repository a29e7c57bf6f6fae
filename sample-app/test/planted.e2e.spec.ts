/**
 * Goal: conflicts, equal instants, sequences, second schedules and second endings come to one truth in every order.
 * Method: made-up reports, posted in several deliveries, against a plain model that gathers, sorts and folds.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { scratchFolder, startHere, type AppHere } from './app.js';
import { getJson, modelOf, plantedReports, postLines, settled, shuffled } from './reports.js';

describe('conflicts, equal instants and sequences', { timeout: 180_000 }, () => {
  let app: AppHere;
  let clean: () => Promise<void>;

  afterEach(async () => {
    await app.stop();
    await clean();
  });

  for (const seed of [1, 2, 3]) {
    it(`come to the plain model's truth in every delivery (seed ${seed})`, async () => {
      const folder = await scratchFolder();
      clean = folder.clean;
      app = await startHere(folder.path);
      const reports = plantedReports(300, seed);
      const model = modelOf(reports);
      const lines = shuffled(
        reports.map((report) => JSON.stringify(report)),
        seed * 7,
      );

      const answer = await postLines(app.url, lines);
      expect(answer).toMatchObject({
        received: reports.length,
        recorded: model.recorded,
        conflicting: model.conflicting,
        rejected: 0,
      });
      expect(await settled(app.url, model)).toEqual([]);

      // Again, with the keys of each content the other way round: the same content.
      const turned = reports.map((report) =>
        JSON.stringify({
          ...report,
          receivedAt: '2013-03-01T00:00:00.000Z',
          data: Object.fromEntries(Object.entries(report.data).reverse()),
        }),
      );
      const repeat = await postLines(app.url, shuffled(turned, seed * 11));
      expect(repeat).toMatchObject({ recorded: 0, conflicting: 0, repeated: reports.length });
      expect(await settled(app.url, model)).toEqual([]);
      expect((await app.audit('flights')).flatMap((audit) => audit.differences)).toEqual([]);
    });
  }

  it('keep both contents of one identity side by side, with how often each came', async () => {
    const folder = await scratchFolder();
    clean = folder.clean;
    app = await startHere(folder.path);
    const report = {
      source: 'airport:EWR',
      flight: '2013-02-01/UA7/EWR-1015',
      type: 'departed',
      at: '2013-02-01T15:20:00.000Z',
      data: { tail: 'N1' },
    };
    const other = { ...report, data: { tail: 'N2' } };
    const lines = [report, other, other, report, other].map((each) => JSON.stringify(each));
    expect(await postLines(app.url, lines)).toMatchObject({ recorded: 1, conflicting: 1, repeated: 3 });
    const history = await getJson<{ name: string; digest: string; repeats: number; parameters: { tail: string } }[]>(
      `${app.url}/flights/${encodeURIComponent(report.flight)}/history`,
    );
    expect(history.map((event) => event.digest)).toEqual(history.map((event) => event.digest).sort());
    expect(Object.fromEntries(history.map((event) => [event.parameters.tail, event.repeats]))).toEqual({
      N1: 1,
      N2: 2,
    });
    expect(Object.keys(history[0]!).sort()).toEqual([
      'at',
      'digest',
      'name',
      'parameters',
      'processedAt',
      'repeats',
      'sequence',
      'stream',
    ]);
  });
});
