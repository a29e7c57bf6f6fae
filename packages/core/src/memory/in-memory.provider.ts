/** The in-memory providers, one for each slot: the default of `persistent`, and what tests use. They define what the ports mean. */
import { ConfigurationError } from '../model/errors.js';
import { noStore } from '../ports/capabilities.js';
import type { LayerContext, LayerProvider } from '../ports/layer.js';
import type { QuarantineQuota } from '../ports/quarantine.js';
import { inMemoryCapabilities } from './capabilities.js';
import { FactLog } from './fact-log.js';
import { InMemoryCheckpointStore } from './in-memory-checkpoint-store.js';
import { InMemoryEventFeed } from './in-memory-event-feed.js';
import { InMemoryEventStore } from './in-memory-event-store.js';
import { InMemoryEventTransport } from './in-memory-event-transport.js';
import { InMemoryQuarantine } from './in-memory-quarantine.js';
import { InMemorySnapshotStore } from './in-memory-snapshot-store.js';
import { InMemoryTransientCache } from './in-memory-transient-cache.js';
import { InMemoryViewStore } from './in-memory-view-store.js';
import { MemorySession } from './session.js';

/** Changes kept of one view: at 300 bytes each about 30 MB. */
const CHANGES_MAX = 100_000;
/** Items a buffer holds: at 300 bytes each about 30 MB. */
const ITEMS_MAX = 100_000;

/** As for the store: memory is no more than its process. */
const { survivesRestart, multiProcess } = inMemoryCapabilities;
const LIFE = { survivesRestart, multiProcess };

export interface InMemoryOptions {
  /** Changes kept of one view, at least. Default 100,000. A reader further behind is told `CHANGES_TRIMMED`. */
  readonly changesKept?: number;
  /** What one source may keep in quarantine. */
  readonly quarantine?: QuarantineQuota;
}

/** The persistent layer in memory: everything the real ones promise but to survive the process. */
export function inMemory(options: InMemoryOptions = {}): LayerProvider<'persistent'> {
  const changesKept = positive('changesKept', options.changesKept ?? CHANGES_MAX);
  return {
    slot: 'persistent',
    name: 'in-memory',
    capabilities: inMemoryCapabilities,
    create(context: LayerContext) {
      const session = new MemorySession(context);
      const log = new FactLog(context.clock);
      const checkpointStore = new InMemoryCheckpointStore(session);
      return {
        ports: {
          eventStore: new InMemoryEventStore(session, log, checkpointStore),
          eventFeed: new InMemoryEventFeed(session, log),
          viewStore: new InMemoryViewStore(session, changesKept),
          snapshotStore: new InMemorySnapshotStore(session),
          checkpointStore,
          quarantine: new InMemoryQuarantine(session, options.quarantine),
        },
        connect: async () => session.checkOpen(),
        close: async () => session.close(),
      };
    },
  };
}

/** The durable layer in memory. @param options.itemsMax what it holds at most before `OVERLOADED`; default 100,000 */
export function inMemoryTransport(options: { readonly itemsMax?: number } = {}): LayerProvider<'durable'> {
  const itemsMax = positive('itemsMax', options.itemsMax ?? ITEMS_MAX);
  return {
    slot: 'durable',
    name: 'in-memory',
    capabilities: noStore('a buffer keeps no events for good', LIFE),
    create(context: LayerContext) {
      const session = new MemorySession(context);
      const eventTransport = new InMemoryEventTransport(session, itemsMax);
      return {
        ports: { eventTransport },
        connect: async () => session.checkOpen(),
        drain: () => eventTransport.drain(),
        close: async () => {
          session.close();
          await eventTransport.closed();
        },
      };
    },
  };
}

/** The transient layer in memory. @param options.entriesMax values kept at most, the longest unused go first */
export function inMemoryCache(
  options: { readonly entriesMax: number } = { entriesMax: 100_000 },
): LayerProvider<'transient'> {
  const entriesMax = positive('entriesMax', options.entriesMax);
  return {
    slot: 'transient',
    name: 'in-memory',
    capabilities: noStore('a cache keeps no events', LIFE),
    create(context: LayerContext) {
      const session = new MemorySession(context);
      return {
        ports: { transientCache: new InMemoryTransientCache(session, entriesMax) },
        connect: async () => session.checkOpen(),
        close: async () => session.close(),
      };
    },
  };
}

function positive(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new ConfigurationError('INVALID_OPTION', `${name} is ${value}.`, {
    fix: `Give ${name} as a whole number above 0.`,
  });
}
