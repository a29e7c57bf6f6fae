/** The application in the spec's own process on a store of its own, begun and ended around each spec, or around all of a file or `describe`. */
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { scratchFolder, startHere, type AppHere } from './app.js';

/** Call it where the specs are declared; it is there once they run. */
export function appFor(scope: 'each' | 'all'): AppHere {
  let app: AppHere | undefined;
  let clean: () => Promise<void>;
  const here = (): AppHere => {
    if (app === undefined) throw new Error('The application runs within specs only.');
    return app;
  };
  const begin = async (): Promise<void> => {
    const folder = await scratchFolder();
    clean = () => folder.clean();
    app = await startHere(folder.path);
  };
  const end = async (): Promise<void> => {
    await here().stop();
    app = undefined;
    await clean();
  };
  if (scope === 'each') {
    beforeEach(begin);
    afterEach(end);
  } else {
    beforeAll(begin);
    afterAll(end);
  }
  return {
    get url() {
      return here().url;
    },
    stop: () => here().stop(),
    audit: (context) => here().audit(context),
    replay: (context, knownAt) => here().replay(context, knownAt),
  };
}
