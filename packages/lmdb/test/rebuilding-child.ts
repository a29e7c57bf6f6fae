/**
 * A process that runs one projection, of a version that is given, until it is killed: `rebuilding-child <folder> <version>`.
 * Prints `ready`, then each line that is logged.
 */
import { ProjectionRunner, type ProjectionModel } from '@concursus/core';
import { countingModel, openLayer, projectionsOf, runnerParts } from './support.js';

const [folder, version] = process.argv.slice(2) as [string, string];
const layer = await openLayer(folder);
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const parts = runnerParts(layer, String(process.pid), { log: say, warn: say, error: say });
const model: ProjectionModel = countingModel(Number(version));
const runner = new ProjectionRunner(parts, [model], {
  leaseMs: 120,
  beatMs: 30,
  rebuild: { pauseMs: 1, pageSize: 20 },
});
const projections = projectionsOf(parts, runner);
await runner.start();
say('ready');
process.stdin.on('data', (text: Buffer) => {
  if (String(text).startsWith('rebuild')) void projections.rebuild(model.name);
  else
    void runner
      .stop()
      .then(() => layer.close())
      .then(() => process.exit(0));
});
