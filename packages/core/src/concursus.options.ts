/** What `ConcursusModule.forRoot` takes, with limits and defaults; checked once at start-up. */
import type { ModuleMetadata, Type } from '@nestjs/common';
import { ConfigurationError } from './model/errors.js';
import { limits } from './model/limits.js';
import { utf8Length } from './model/text.js';
import type { Clock } from './ports/clock.js';
import type { InletProvider } from './pipeline/inlet.js';
import type { RelayProvider } from './ports/event-relay.js';
import type { LayerProvider, Slot } from './ports/layer.js';
import { TimePolicies, type TimeOptions } from './time/time-options.js';
import type { SnapshotOptions } from './query/snapshots.js';
import type { RebuildOptions } from './projection/rebuild.js';

/** The name of the context when none is given. */
export const DEFAULT_CONTEXT = 'default';

export interface ConcursusOptions {
  /** Everything that happened, for good. Default: in memory, said so at boot. */
  readonly persistent?: LayerProvider<'persistent'>;
  /** A buffer in front of the store: `record()` then answers `buffered`. Default: none. */
  readonly durable?: LayerProvider<'durable'>;
  /** A shared, disposable cache. Default: none. */
  readonly transient?: LayerProvider<'transient'>;
  /** Relays: each publishes recorded events to another system, from a checkpoint of its own. The store waits for none. */
  readonly publish?: readonly RelayProvider[];
  /** Inlets: each reads what others write elsewhere, and acknowledges there what is recorded here. */
  readonly consume?: readonly InletProvider[];
  /** The only source of time. Default: the machine's. */
  readonly clock?: Clock;
  /** Keep the catalogue of living aggregates. Default true. */
  readonly catalogue?: boolean;
  /**
   * Start consumers and projections at boot. Default true; with false call `Concursus.start()`. `'projections'`: views are
   * maintained from boot on; handlers and what settles begin with `Concursus.start()`, as after a first load.
   */
  readonly autoStart?: boolean | 'projections';
  /** Items of a stream that are stored together, 1 to 10,000. Default 512. */
  readonly batchSizeMax?: number;
  /** Events waiting for transient handlers; more are dropped and counted. Default 10,000. */
  readonly publishQueueMax?: number;
  /** Facts of one step of a projection, 1 to 10,000. Default 1,000. */
  readonly projectionPageSize?: number;
  /** How late the events of each source may be, which sources must report, and how time settles. Default: 24 hours each. */
  readonly time?: TimeOptions & {
    /** A heartbeat of a source is recorded when its time is this much after the last one. Default 10,000 ms. */
    readonly heartbeatEveryMs?: number;
  };
  /** An owner of projections that shows no beat this long may be replaced by another process. Default 2,000. */
  readonly leaseMs?: number;
  /** How much of its time a process gives to building views anew: a rest after every 15 ms of it, and aggregates of one commit. */
  readonly rebuild?: RebuildOptions;
  /** Where folds of long histories may start; false: always at the beginning. It never changes an answer. Default on, with the defaults of `SnapshotOptions`. */
  readonly snapshots?: false | SnapshotOptions;
}

export interface ConcursusRootOptions extends ConcursusOptions {
  /** The bounded context's name; contexts of one application share nothing. */
  readonly context?: string;
  /** Export the context's services to every module. Default true. */
  readonly isGlobal?: boolean;
}

/** For `forRootAsync({ useClass })` and `useExisting`. */
export interface ConcursusOptionsFactory {
  createConcursusOptions(): ConcursusOptions | Promise<ConcursusOptions>;
}

/** For `forRootAsync`: exactly one of `useFactory`, `useClass` and `useExisting`. */
export interface ConcursusAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  readonly context?: string;
  readonly isGlobal?: boolean;
  readonly inject?: readonly unknown[];
  readonly useFactory?: (...args: never[]) => ConcursusOptions | Promise<ConcursusOptions>;
  readonly useClass?: Type<ConcursusOptionsFactory>;
  readonly useExisting?: Type<ConcursusOptionsFactory>;
}

const SLOTS: readonly Slot[] = ['persistent', 'durable', 'transient'];
/** Every option, so that a slip of the pen is not taken for a default. */
const KNOWN: Readonly<Record<keyof ConcursusOptions, true>> = {
  time: true,
  persistent: true,
  durable: true,
  transient: true,
  publish: true,
  consume: true,
  clock: true,
  catalogue: true,
  autoStart: true,
  batchSizeMax: true,
  publishQueueMax: true,
  projectionPageSize: true,
  leaseMs: true,
  rebuild: true,
  snapshots: true,
};
const KNOWN_OF_SNAPSHOTS: Readonly<Record<keyof SnapshotOptions, true>> = {
  everyEvents: true,
  keep: true,
  cacheBytes: true,
};

function whole(name: string, value: number | undefined, min: number, max: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) return;
  throw new ConfigurationError('INVALID_OPTION', `The option ${name} is ${String(value)}.`, {
    fix: `Give a whole number from ${min} to ${max}.`,
  });
}

/** @throws ConfigurationError `WRONG_SLOT`, `INVALID_OPTION` */
export function checkOptions(context: string, options: ConcursusOptions): void {
  if (context === '' || utf8Length(context) > limits.contextBytes || !/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(context)) {
    throw new ConfigurationError(
      'INVALID_OPTION',
      `The context name "${context.slice(0, 80)}" cannot be part of keys and topics.`,
      {
        fix: `Use up to ${limits.contextBytes} letters, digits, dots, dashes and underscores.`,
      },
    );
  }
  if (typeof options !== 'object' || options === null) {
    throw new ConfigurationError('INVALID_OPTION', `The options of the context "${context}" are ${String(options)}.`, {
      fix: 'Return an object from useFactory or createConcursusOptions, {} for the defaults.',
    });
  }
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(KNOWN, name));
  if (unknown !== undefined) {
    throw new ConfigurationError(
      'INVALID_OPTION',
      `ConcursusModule (context "${context}") has no option "${unknown}".`,
      {
        fix: `Use ${Object.keys(KNOWN).join(', ')}; forRootAsync takes \`context\` and \`isGlobal\` beside useFactory.`,
      },
    );
  }
  for (const slot of SLOTS) {
    const provider = options[slot] as LayerProvider<Slot> | undefined;
    if (provider === undefined) continue;
    if (typeof provider !== 'object' || provider === null) {
      const what =
        typeof provider === 'function' ? `the function ${(provider as { name: string }).name}` : String(provider);
      throw new ConfigurationError('INVALID_OPTION', `The slot "${slot}" of the context "${context}" holds ${what}.`, {
        fix: 'Give what a provider function returns, such as inMemory(), or leave the slot out.',
      });
    }
    if (provider.slot === slot) continue;
    throw new ConfigurationError(
      'WRONG_SLOT',
      `ConcursusModule (context "${context}") has the provider "${provider.name}" in its slot "${slot}", and it serves "${provider.slot}".`,
      {
        fix: `Move it to ${provider.slot}: ConcursusModule.forRoot({ ${provider.slot}: … }), or put a provider of the ${slot} layer here.`,
      },
    );
  }
  checkNamed(context, 'publish', options.publish);
  checkNamed(context, 'consume', options.consume);
  checkRelays(options.publish);
  timePolicies(options);
  whole('batchSizeMax', options.batchSizeMax, 1, limits.appendEvents);
  whole('publishQueueMax', options.publishQueueMax, 1, 10_000_000);
  whole('projectionPageSize', options.projectionPageSize, 1, 10_000);
  whole('leaseMs', options.leaseMs, 100, 600_000);
  checkSnapshots(options.snapshots);
  checkRebuild(options.rebuild);
}

/** Up to 100 letters, digits, dots, dashes and underscores: names of checkpoints, owner rows and groups. */
const LIST_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** The names of one list, each of which stands once. */
function checkNamed(
  context: string,
  option: 'publish' | 'consume',
  list: readonly { readonly name: string }[] | undefined,
): void {
  if (list === undefined) return;
  const [one, example] = option === 'publish' ? ['relay', 'inMemoryRelay()'] : ['inlet', 'kafkaSource({ … })'];
  if (!Array.isArray(list)) {
    throw new ConfigurationError('INVALID_OPTION', `The option ${option} of the context "${context}" is no list.`, {
      fix: `Give a list: ${option}: [${example}].`,
    });
  }
  const names = new Set<string>();
  for (const each of list as readonly { readonly slot?: unknown; readonly name?: unknown }[]) {
    const name = each?.name;
    if (each?.slot !== option) {
      throw new ConfigurationError(
        'WRONG_SLOT',
        `The list ${option} of the context "${context}" has ${typeof name === 'string' ? `"${name}"` : String(each)}, which is no ${one}.`,
        { fix: `Put there what functions such as ${example} return; layers go to persistent, durable and transient.` },
      );
    }
    if (typeof name !== 'string' || !LIST_NAME.test(name)) {
      throw new ConfigurationError(
        'INVALID_OPTION',
        `A ${one} of the context "${context}" is named "${String(name)}".`,
        {
          fix: 'Name it with up to 100 letters, digits, dots, dashes and underscores.',
        },
      );
    }
    if (names.has(name)) {
      throw new ConfigurationError(
        option === 'publish' ? 'DUPLICATE_RELAY' : 'DUPLICATE_INLET',
        `Two ${one}s of the context "${context}" are named "${name}": they would share one place, and each get a part.`,
        { fix: 'Give each its own name.' },
      );
    }
    names.add(name);
  }
}

function checkRelays(relays: ConcursusOptions['publish']): void {
  for (const { name, from } of relays ?? []) {
    if (from === undefined || from === 'beginning' || from === 'end') continue;
    throw new ConfigurationError('INVALID_OPTION', `The relay "${name}" begins at "${String(from)}".`, {
      fix: "Let it begin at the 'beginning' of the feed or at its 'end'.",
    });
  }
}

function checkRebuild(rebuild: ConcursusOptions['rebuild']): void {
  if (rebuild === undefined) return;
  const unknown =
    typeof rebuild !== 'object' || rebuild === null
      ? String(rebuild)
      : Object.keys(rebuild).find((name) => name !== 'pauseMs' && name !== 'pageSize');
  if (unknown !== undefined) {
    throw new ConfigurationError('INVALID_OPTION', `The option rebuild has no "${unknown}".`, {
      fix: 'Give { pauseMs, pageSize }.',
    });
  }
  whole('rebuild.pauseMs', rebuild.pauseMs, 0, 1_000);
  whole('rebuild.pageSize', rebuild.pageSize, 1, 10_000);
}

function checkSnapshots(snapshots: ConcursusOptions['snapshots']): void {
  if (snapshots === undefined || snapshots === false) return;
  if (typeof snapshots !== 'object' || snapshots === null) {
    throw new ConfigurationError('INVALID_OPTION', `The option snapshots is ${String(snapshots)}.`, {
      fix: 'Give false, or an object with everyEvents, keep and cacheBytes, {} for the defaults.',
    });
  }
  const unknown = Object.keys(snapshots).find((name) => !Object.hasOwn(KNOWN_OF_SNAPSHOTS, name));
  if (unknown !== undefined) {
    throw new ConfigurationError('INVALID_OPTION', `Snapshots have no option "${unknown}".`, {
      fix: `Use ${Object.keys(KNOWN_OF_SNAPSHOTS).join(', ')}.`,
    });
  }
  whole('snapshots.everyEvents', snapshots.everyEvents, 1, 1_000_000);
  whole('snapshots.keep', snapshots.keep, 1, 64);
  whole('snapshots.cacheBytes', snapshots.cacheBytes, 0, 16 * 1_073_741_824);
}

/** The context's time options, checked. @throws ConfigurationError `INVALID_OPTION` */
export function timePolicies(options: Pick<ConcursusOptions, 'time'>): TimePolicies {
  const { heartbeatEveryMs, ...time } = options.time ?? {};
  whole('time.heartbeatEveryMs', heartbeatEveryMs, 1, 86_400_000);
  return new TimePolicies(time);
}
