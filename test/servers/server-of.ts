/** How a spec says which servers it uses: by calling one of these, by name, in its own text. */
import { inject } from 'vitest';
import type { ServerAddresses, ServerName } from './server-kind.js';
import { type RunningServer, type StartOptions, startServer } from './start-server.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** The servers of this run; only of `*.server.spec.ts`. */
    readonly servers: Partial<ServerAddresses>;
  }
}

/**
 * The address of the one server of a kind that the whole run shares; keep apart what you make there by names of your own,
 * and leave the server alone. Throws outside of `npm run test:servers`.
 */
export function serverOf<N extends ServerName>(name: N): ServerAddresses[N] {
  const address = inject('servers')?.[name];
  if (address === undefined)
    throw new Error(
      `No ${name} was started for this run: name the file *.server.spec.ts and run npm run test:servers.`,
    );
  return address;
}

let bound = false;

/** A worker goes on with its file when the run that started it is killed; its servers are to end with the run. */
function endWithTheRun(): void {
  if (bound) return;
  bound = true;
  process.once('disconnect', () => process.exit(1));
}

/** A server for this spec alone, to kill, pause and begin again; the spec stops it. Safe unless asked to be `fast`. */
export function ownServer<N extends ServerName>(
  name: N,
  options: Pick<StartOptions, 'fast' | 'sync' | 'secured'> = {},
): Promise<RunningServer<N>> {
  endWithTheRun();
  return startServer(name, { ...options, own: true });
}
