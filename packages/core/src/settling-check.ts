/** What is declared to happen when time settles, placed in a context and checked; and its lines of the boot report. */
import { nameOf, type Explored, type Found } from './explorer.js';
import type { AggregateLike, EventClass } from './mapping/event-class.js';
import type { AggregateModel, EventRegistry } from './mapping/event-registry.js';
import type { OnSettledOptions, SettlingMeta, SettlingOptions, SettlingWindow } from './mapping/settling.js';
import { ConfigurationError } from './model/errors.js';
import type { LayerProvider } from './ports/layer.js';
import { encodeState } from './query/state-codec.js';
import type { SettlingConsumer } from './settling/settling-name.js';
import { checkHandlerOptions, methodOf, need, refuseScoped } from './start-up-check.js';
import type { Settling } from './time/settled-items.js';

/** One name under which something settles. */
export interface PlacedSettling {
  readonly consumer: SettlingConsumer;
  /** Who is told, for the boot report. */
  readonly told: readonly string[];
}

interface Placed {
  readonly found: Found<readonly SettlingMeta[]>;
  readonly meta: SettlingMeta;
  readonly where: string;
}

/** Ten years: what is later than that is a new history. */
const SPAN_MS_MAX = 3_653 * 86_400_000;
/** Windows that one event may stand in: each is a timer and a state of its own. */
const WINDOWS_MAX = 1_000;

function refuse(where: string, what: string, fix: string): never {
  throw new ConfigurationError('INVALID_OPTION', `${where} ${what}.`, { fix });
}

/**
 * What settles of the aggregates of this context, by name.
 * @param taken names of its handlers
 * @throws ConfigurationError `REQUEST_SCOPED_HANDLER`, `MISSING_CAPABILITY`, `EVENT_NOT_LISTED`, `STATE_NOT_PLAIN`, `INVALID_OPTION`
 */
export function placeSettlings(
  explored: Explored,
  context: string,
  registry: EventRegistry,
  persistent: LayerProvider<'persistent'>,
  taken: readonly string[],
): PlacedSettling[] {
  const here: Placed[] = [];
  for (const found of explored.settlings) {
    refuseScoped(found, 'provider');
    for (const meta of found.meta) {
      const where = `The ${decoratorOf[meta.kind]} of ${found.cls.name}${meta.method === undefined ? '' : `.${meta.method}`} in ${found.module}`;
      if (!registry.has(meta.options.of)) {
        if (explored.aggregates.get(context)?.has(meta.options.of) !== true) continue;
        refuse(
          where,
          'is made by a factory under another name than its class, so it was found too late',
          `Provide it under its class: { provide: ${found.cls.name}, useFactory: … }, or provide ${nameOf(meta.options.of)} itself.`,
        );
      }
      const { name } = meta.options;
      if (typeof name !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)) {
        refuse(
          where,
          'has no name to keep its progress under',
          'Name it with up to 100 letters, digits, dots, dashes and underscores.',
        );
      }
      here.push({ found, meta, where });
    }
  }
  const heads = new Map<string, Placed>();
  for (const placed of here) {
    const { meta, where } = placed;
    if (meta.kind !== 'settled' && meta.kind !== 'deadline') continue;
    const { name } = meta.options;
    const other = heads.get(name)?.where ?? (taken.includes(name) ? 'A handler' : undefined);
    if (other !== undefined) {
      refuse(where, `is named "${name}". ${other} is too`, 'Progress is kept by name: give each its own.');
    }
    heads.set(name, placed);
    need(persistent, 'feed', where);
    need(persistent, 'transactionalViews', where);
  }
  const followers = here.filter(({ meta }) => meta.kind === 'corrected' || meta.kind === 'withdrawn');
  for (const follower of followers) checkFollower(follower, heads, followers);
  return [...heads.values()].map((head) =>
    placed(
      head,
      followers.find(({ meta }) => meta.options.name === head.meta.options.name),
      registry,
    ),
  );
}

const decoratorOf = {
  settled: '@OnSettled',
  corrected: '@OnCorrected',
  deadline: '@Deadline',
  withdrawn: '@OnWithdrawn',
} as const;

function checkFollower(follower: Placed, heads: ReadonlyMap<string, Placed>, followers: readonly Placed[]): void {
  const { meta, where } = follower;
  const { name, of } = meta.options;
  const wanted = meta.kind === 'corrected' ? 'settled' : 'deadline';
  const head = heads.get(name)?.meta;
  if (head?.kind !== wanted || head.options.of !== of) {
    refuse(
      where,
      `names "${name}" of ${nameOf(of)}, and there is no ${decoratorOf[wanted]} of that name and aggregate`,
      `Name one: @${decoratorOf[wanted].slice(1)}({ of: ${nameOf(of)}, name: '${name}' }).`,
    );
  }
  if (head.method === undefined) {
    refuse(where, `withdraws what nobody is told: the deadline "${name}" is only listed`, 'Put @Deadline on a method.');
  }
  const twice = followers.find((other) => other !== follower && other.meta.options.name === name);
  if (twice !== undefined) {
    refuse(where, `takes what ${twice.where} takes too`, 'Keep one method for it, and call the other from there.');
  }
}

function placed(head: Placed, follower: Placed | undefined, registry: EventRegistry): PlacedSettling {
  const { found, meta, where } = head;
  const options = meta.options as SettlingOptions<AggregateLike>;
  const { from, retry, inFlightMax, keepToldMs } = options;
  checkHandlerOptions(where, 'durable', {
    ...(from === undefined ? {} : { from }),
    ...(retry === undefined ? {} : { retry }),
    ...(inFlightMax === undefined ? {} : { inFlightMax }),
  });
  if (keepToldMs !== undefined) milliseconds(where, 'keepToldMs', keepToldMs, 0);
  const aggregate = registry.aggregate(options.of);
  checkState(where, aggregate);
  const settling = settlingOf(meta, where, aggregate);
  const consumer: SettlingConsumer = {
    name: options.name,
    aggregate,
    settling,
    ...(from === undefined ? {} : { from }),
    ...(retry === undefined ? {} : { retry }),
    ...(inFlightMax === undefined ? {} : { inFlightMax }),
    ...(keepToldMs === undefined ? {} : { keepToldMs }),
    ...(meta.method === undefined ? {} : { settled: methodOf(found, meta.method) }),
    ...(follower?.meta.method === undefined
      ? {}
      : { [follower.meta.kind]: methodOf(follower.found, follower.meta.method) }),
  };
  const told = [head, follower].flatMap((one) =>
    one?.meta.method === undefined ? [] : [`${one.found.cls.name}.${one.meta.method}`],
  );
  return { consumer, told };
}

/** What is handed over is kept as text: a state of which that cannot be done is refused before anything is told. */
function checkState(where: string, aggregate: AggregateModel): void {
  try {
    encodeState(aggregate, aggregate.newState());
  } catch (cause) {
    throw new ConfigurationError(
      'STATE_NOT_PLAIN',
      `${where} is of ${nameOf(aggregate.target)}, whose states cannot be kept: ${(cause as Error).message}.`,
      { fix: 'Keep plain data in it, without private fields.', cause },
    );
  }
}

function settlingOf(meta: SettlingMeta, where: string, aggregate: AggregateModel): Settling {
  if (meta.kind === 'deadline') {
    const { after, unless, withinMs } = meta.options;
    if (after.length === 0) refuse(where, 'begins after no event', 'List at least one event in `after`.');
    milliseconds(where, 'withinMs', withinMs, 0);
    return {
      kind: 'deadline',
      after: new Set(after.map((event) => listed(where, aggregate, event))),
      withinMs,
      unless: new Set(unless.map((event) => listed(where, aggregate, event))),
    };
  }
  const { window, quietMs } = meta.options as OnSettledOptions<AggregateLike>;
  if (window !== undefined) {
    if (quietMs !== undefined)
      refuse(where, 'has both a window and quietMs', 'Choose one: a session has its own pause.');
    checkWindow(where, window);
    return window;
  }
  if (quietMs !== undefined) milliseconds(where, 'quietMs', quietMs, 1);
  else if (!aggregate.hasTerminal) {
    refuse(
      where,
      `never settles: ${nameOf(aggregate.target)} has no terminal event`,
      'Give quietMs or a window, or mark the event that ends a history with @Terminal().',
    );
  }
  return { kind: 'history', quietMs };
}

function checkWindow(where: string, window: SettlingWindow): void {
  switch (window.kind) {
    case 'session':
      return milliseconds(where, 'gapMs', window.gapMs, 1);
    case 'sliding':
      milliseconds(where, 'everyMs', window.everyMs, 1);
      milliseconds(where, 'sizeMs', window.sizeMs, window.everyMs);
      if (window.sizeMs / window.everyMs > WINDOWS_MAX) {
        refuse(where, `puts each event into more than ${WINDOWS_MAX} windows`, 'Begin them less often.');
      }
      break;
    case 'tumbling':
      milliseconds(where, 'sizeMs', window.sizeMs, 1);
      break;
    default:
      refuse(where, 'has a window of a kind that does not exist', 'Use tumbling(…), sliding(…) or session(…).');
  }
  milliseconds(where, 'offsetMs', window.offsetMs, -SPAN_MS_MAX);
}

function milliseconds(where: string, name: string, value: unknown, min: number): void {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= SPAN_MS_MAX) return;
  refuse(where, `has a ${name} of ${String(value)}`, `Use whole milliseconds from ${min} to ${SPAN_MS_MAX}.`);
}

function listed(where: string, aggregate: AggregateModel, event: EventClass): string {
  for (const model of aggregate.events.values()) if (model.cls === event) return model.name;
  throw new ConfigurationError(
    'EVENT_NOT_LISTED',
    `${where} names ${nameOf(event)}, which ${nameOf(aggregate.target)} does not list.`,
    { fix: `Add it to the \`events\` of ${nameOf(aggregate.target)}, or leave it out.` },
  );
}

/** A line for each name. */
export function settlingReport(settlings: readonly PlacedSettling[]): string[] {
  return settlings.map(({ consumer: { name, aggregate, settling }, told }) => {
    const who = told.length === 0 ? 'only listed' : told.join(', ');
    return `  ${settling.kind === 'deadline' ? 'deadline' : `settling ${settling.kind}`} "${name}" of ${aggregate.type}: ${who}`;
  });
}
