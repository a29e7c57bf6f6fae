/**
 * Keeps the driver's connection to the cluster's news from ending the process. When its socket is lost in the middle of taking
 * it up again, driver 4.10 throws where nobody can catch it (`ControlConnection._refresh` reads what it has just set to null,
 * from a timer): Node then ends the process, or nothing takes it up any more. Here it is taken up again, a second later.
 */
import type { Clock } from '@concursus/core';
import type { Client } from 'cassandra-driver';

const AGAIN_AFTER_MS = 1_000;

type Refresh = (hosts?: unknown) => Promise<void>;

/** What the driver has behind its types. */
interface Guarded {
  readonly controlConnection?: { _refresh?: Refresh; readonly _isShuttingDown?: boolean };
}

/** Without effect on a driver that is built otherwise. */
export function guardControlConnection(client: Client | Guarded, clock: Clock): void {
  const control = (client as Guarded).controlConnection;
  const refresh = control?._refresh;
  if (control === undefined || typeof refresh !== 'function') return;
  control._refresh = async (hosts) => {
    try {
      await refresh.call(control, hosts);
    } catch {
      await clock.sleep(AGAIN_AFTER_MS);
      if (control._isShuttingDown !== true) await control._refresh?.();
    }
  };
}
