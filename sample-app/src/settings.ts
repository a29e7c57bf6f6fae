/** What the environment says; read once, at the start. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { resolve } from 'node:path';

export interface Settings {
  /** The folder of the embedded store. */
  readonly dataFolder: string;
  readonly port: number;
  readonly host: string;
  /** A reports file to load once; undefined for none. */
  readonly sampleData: string | undefined;
}

/** The token of the settings. */
export const SETTINGS = Symbol('settings');

const BUNDLED = fileURLToPath(new URL('../data/flights-2013-01.reports.ndjson.gz', import.meta.url));

/** @throws Error that says which variable is wrong and how to set it */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const port = env['PORT'] === undefined || env['PORT'] === '' ? 3_000 : Number(env['PORT']);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new Error(`PORT is "${env['PORT']}". Set it to a number from 0 (any free one) to 65535.`);
  }
  const sample = env['SAMPLE_DATA'];
  const sampleData = sample === 'none' ? undefined : sample === undefined || sample === '' ? BUNDLED : resolve(sample);
  if (sampleData !== undefined && !existsSync(sampleData)) {
    throw new Error(`SAMPLE_DATA names ${sampleData}, and there is no such file. Name a reports file, or none.`);
  }
  return {
    dataFolder: resolve(
      env['CONCURSUS_DATA'] === undefined || env['CONCURSUS_DATA'] === '' ? 'data' : env['CONCURSUS_DATA'],
    ),
    port,
    host: env['HOST'] === undefined || env['HOST'] === '' ? '127.0.0.1' : env['HOST'],
    sampleData,
  };
}
