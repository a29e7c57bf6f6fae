/**
 * Goal: after kill -9 at random points nothing that an answer or a running total covered is missing, and posting the whole
 * again comes to the truth, without an orphan in any view. Method: a real process, killed KILLS times (4; 50 with
 * `KILLS=50 npx vitest run sample-app/test/kills.e2e.spec.ts`) while the same lines are posted with running totals.
 */
import { request } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { scratchFolder, startApp, startHere, type RunningApp } from './app.js';
import { modelOf, monthLines, postLines, randomFrom, settled } from './reports.js';

const KILLS = Number(process.env['KILLS'] ?? '4');
const SEED = Number(process.env['SEED'] ?? '9');
const lines = monthLines().slice(0, 8_000);
const reports = lines.flatMap((line) => {
  try {
    const report = JSON.parse(line) as {
      flight?: string;
      at: string;
      source: string;
      type: string;
      data: Record<string, unknown>;
    };
    return report.flight === undefined || report.type === 'teleported' ? [] : [{ ...report, flight: report.flight }];
  } catch {
    return [];
  }
});

/** Posts all lines and kills the process once a total says that `line` or more are on disk. Resolves to what the last total covered. */
async function killWhilePosting(app: RunningApp, line: number): Promise<number> {
  return new Promise((resolve) => {
    let covered = 0;
    let text = '';
    let killed: Promise<void> | undefined;
    const call = request(`${app.url}/flights/reports`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson', accept: 'application/x-ndjson' },
    });
    const done = (): void => void (killed ??= app.kill()).then(() => resolve(covered));
    call.on('error', done);
    call.on('response', (response) => {
      response.on('data', (part: Buffer) => {
        const whole = (text + part.toString()).split('\n');
        text = whole.pop()!;
        for (const each of whole) covered = (JSON.parse(each) as { line: number }).line;
        if (covered >= line) killed ??= app.kill();
      });
      response.on('error', done);
      response.on('end', done);
    });
    call.end(lines.join('\n'));
  });
}

describe('kill -9', { timeout: 60_000 + KILLS * 40_000 }, () => {
  let app: RunningApp | undefined;
  let clean: () => Promise<void> = () => Promise.resolve();

  afterEach(async () => {
    await app?.kill();
    await clean();
  });

  it(`loses nothing that was told to be on disk, ${KILLS} times (seed ${SEED})`, async () => {
    const random = randomFrom(SEED);
    let folder = await scratchFolder();
    clean = () => folder.clean();
    for (let kill = 0; kill < KILLS; kill++) {
      // The process that told what had outlived the last kill is the next to be killed.
      app ??= await startApp({ CONCURSUS_DATA: folder.path });
      const covered = await killWhilePosting(app, Math.floor(random() * lines.length));
      app = await startApp({ CONCURSUS_DATA: folder.path });
      const answer = await postLines(app.url, lines.slice(0, covered));
      expect({ kill, covered, recorded: answer.recorded, conflicting: answer.conflicting }).toEqual({
        kill,
        covered,
        recorded: 0,
        conflicting: 0,
      });
      if (kill % 5 === 4 || kill === KILLS - 1) {
        await postLines(app.url, lines);
        expect(await settled(app.url, modelOf(reports))).toEqual([]);
        await app.kill();
        app = undefined;
        const here = await startHere(folder.path);
        try {
          expect((await here.audit('flights')).flatMap((audit) => audit.differences)).toEqual([]);
        } finally {
          await here.stop();
        }
        await folder.clean();
        folder = await scratchFolder();
        console.log(`${kill + 1} of ${KILLS} kills`);
      }
    }
  });
});
