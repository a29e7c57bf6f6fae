/** Starts the sample application, and ends it on a signal: what is under way is answered, then the store is closed. */
import 'reflect-metadata';
import { SystemClock } from '@concursus/core';
import { createApp } from './app.js';
import { readSettings, type Settings } from './settings.js';

/** An end that takes longer is cut short: what was acknowledged is on disk, so nothing is lost. */
const SHUTDOWN_MS = 8_000;

async function start(settings: Settings): Promise<void> {
  const app = await createApp(settings);
  let ending = false;
  const end = (signal: NodeJS.Signals): void => {
    if (ending) process.exit(signal === 'SIGINT' ? 130 : 143);
    ending = true;
    console.log(`${signal}: finishing what is under way; send it again to end at once.`);
    void Promise.race([app.close(), new SystemClock().sleep(SHUTDOWN_MS)]).then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  try {
    await app.listen(settings.port, settings.host);
  } catch (error) {
    // Gives up what this process runs, so that another need not wait for it.
    await app.close();
    throw error;
  }
  const address = app.getHttpServer().address() as { port: number };
  const host = settings.host.includes(':') ? `[${settings.host}]` : settings.host;
  console.log(`The board is at http://${host}:${address.port}/ and the API at http://${host}:${address.port}/api`);
}

try {
  await start(readSettings(process.env));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
