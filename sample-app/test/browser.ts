// Finds a Chromium on this machine and opens it for the browser specs; says why when there is none.

import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium, type Browser } from 'playwright-core';

/** An open browser, or the reason why the browser specs are left out. */
export type OpenedBrowser =
  { readonly browser: Browser; readonly reason: null } | { readonly browser: null; readonly reason: string };

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome', 'microsoft-edge'];

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/lib/chromium/chromium',
  '/opt/google/chrome/chrome',
  '/snap/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];

const ADVICE = 'Install one (Debian: apt-get install chromium) or set CHROMIUM_PATH.';

// The board must be seen to need no network: the browser itself keeps quiet too. Shared memory is small in containers.
const ARGUMENTS = [
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

/** The path of a Chromium: `CHROMIUM_PATH`, else the first found in the usual places and on `PATH`; null without one. */
export function findChromium(): string | null {
  const named = process.env['CHROMIUM_PATH'];
  if (named !== undefined && named !== '') return existsSync(named) ? named : null;
  const onPath = (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((folder) => folder !== '')
    .flatMap((folder) => NAMES.map((name) => join(folder, name)));
  return [...PLACES, ...onPath].find((path) => existsSync(path)) ?? null;
}

/**
 * Opens Chromium without a window and without its sandbox, which does not work for root nor in most containers; it only
 * ever sees the sample app. Never rejects: what stands in the way comes back as `reason`. The caller closes the browser.
 */
export async function openBrowser(): Promise<OpenedBrowser> {
  const executablePath = findChromium();
  if (executablePath === null) {
    const named = process.env['CHROMIUM_PATH'];
    const where = named === undefined || named === '' ? 'on this machine' : `at CHROMIUM_PATH ${named}`;
    return { browser: null, reason: `No Chromium was found ${where}. ${ADVICE}` };
  }
  try {
    return {
      browser: await chromium.launch({ executablePath, chromiumSandbox: false, args: ARGUMENTS }),
      reason: null,
    };
  } catch (error) {
    const first = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return { browser: null, reason: `${executablePath} does not start: ${first} ${ADVICE}` };
  }
}
