/**
 * What handlers and projections need, against what the configured providers can keep; and the boot report.
 * Every wiring mistake ends the start with a code that names the class, the module and the fix.
 */
import type { ConcursusOptions } from './concursus.options.js';
import { eventName, nameOf, type Explored, type Found } from './explorer.js';
import type { CorrectionMeta, EventHandlerOptions, HandlerMeta } from './mapping/decorators.js';
import type { AggregateModel, EventModel, EventRegistry } from './mapping/event-registry.js';
import { ConfigurationError } from './model/errors.js';
import { lacks, type Capability } from './ports/capabilities.js';
import type { LayerProvider, Slot } from './ports/layer.js';
import type { HandlerConsumer } from './processing/handlers.js';
import { retryProblem } from './processing/retry-policy.js';
import { wholeOf } from './projection/shares.js';
import type { ProjectionModel } from './projection/projection.js';

/** One `@EventHandler` method of an ordinary provider, placed in its context. */
export interface PlacedHandler {
  readonly found: Found<readonly HandlerMeta[]>;
  readonly handler: HandlerMeta;
  readonly model: EventModel;
}

/** One `@CorrectionHandler` method, placed in its context. */
export interface PlacedCorrection {
  readonly found: Found<readonly CorrectionMeta[]>;
  readonly correction: CorrectionMeta;
  readonly model: EventModel;
}

function listing(aggregates: Iterable<object>, event: object): object[] {
  const found: object[] = [];
  for (const aggregate of aggregates) {
    const { events } = aggregate as { readonly events?: Readonly<Record<string, object>> };
    if (events !== undefined && Object.values(events).includes(event)) found.push(aggregate);
  }
  return found;
}

/**
 * The handlers whose event belongs to an aggregate of this context.
 * @throws ConfigurationError `REQUEST_SCOPED_HANDLER`, `EVENT_WITHOUT_AGGREGATE`, `AMBIGUOUS_AGGREGATE`
 */
export function placeHandlers(explored: Explored, context: string, registry: EventRegistry): PlacedHandler[] {
  const everywhere = new Set<object>();
  for (const aggregates of explored.aggregates.values()) for (const aggregate of aggregates) everywhere.add(aggregate);
  const here = explored.aggregates.get(context)!;
  const placed: PlacedHandler[] = [];
  for (const found of explored.handlers) {
    const at = `${found.cls.name} in ${found.module}`;
    refuseScoped(found, 'handler');
    for (const handler of found.meta) {
      const aggregate = aggregateOf(at, handler, everywhere);
      if (!here.has(aggregate)) continue;
      placed.push({ found, handler, model: eventModel(registry.aggregate(aggregate), handler.event) });
    }
  }
  return placed;
}

/**
 * The correction methods whose event belongs to an aggregate of this context.
 * @throws ConfigurationError `REQUEST_SCOPED_HANDLER`, `EVENT_WITHOUT_AGGREGATE`, `AMBIGUOUS_AGGREGATE`
 */
export function placeCorrections(explored: Explored, context: string, registry: EventRegistry): PlacedCorrection[] {
  const everywhere = new Set<object>();
  for (const aggregates of explored.aggregates.values()) for (const aggregate of aggregates) everywhere.add(aggregate);
  const here = explored.aggregates.get(context)!;
  const placed: PlacedCorrection[] = [];
  for (const found of explored.corrections) {
    refuseScoped(found, 'handler');
    for (const correction of found.meta) {
      const aggregate = aggregateOf(`${found.cls.name} in ${found.module}`, correction, everywhere);
      if (!here.has(aggregate)) continue;
      placed.push({ found, correction, model: eventModel(registry.aggregate(aggregate), correction.event) });
    }
  }
  return placed;
}

function aggregateOf(at: string, handler: HandlerMeta | CorrectionMeta, everywhere: ReadonlySet<object>): object {
  const owners = listing(handler.options.of === undefined ? everywhere : [handler.options.of], handler.event);
  if (owners.length === 1) return owners[0]!;
  if (owners.length === 0) {
    throw new ConfigurationError(
      'EVENT_WITHOUT_AGGREGATE',
      `${at} handles ${eventName(handler.event)} in ${handler.method}(), and no aggregate lists this event.`,
      {
        fix: `Add it to the \`static events\` of its aggregate, and provide that aggregate or pass it to ConcursusModule.forFeature.`,
      },
    );
  }
  throw new ConfigurationError(
    'AMBIGUOUS_AGGREGATE',
    `${at} handles ${eventName(handler.event)} in ${handler.method}(), and ${owners.map(nameOf).join(' and ')} list this event.`,
    { fix: `Say whose: @EventHandler(${nameOf(handler.event)}, { of: ${nameOf(owners[0])} }).` },
  );
}

function eventModel(aggregate: AggregateModel, event: object): EventModel {
  for (const model of aggregate.events.values()) if (model.cls === event) return model;
  throw new ConfigurationError('EVENT_WITHOUT_AGGREGATE', `${nameOf(event)} is no event of "${aggregate.type}".`, {
    fix: 'List it in the aggregate’s events.',
  });
}

export function refuseScoped(found: Found<unknown>, what: string): void {
  if (!found.scoped()) return;
  throw new ConfigurationError(
    'REQUEST_SCOPED_HANDLER',
    `The ${what} ${found.cls.name} in ${found.module} is request-scoped or transient, or depends on a provider that is.`,
    {
      fix: 'Events come without a request: make it and what it injects singletons (the default scope).',
    },
  );
}

export function need(provider: LayerProvider<Slot>, capability: Capability, who: string): void {
  const lacking = lacks(provider.capabilities, capability);
  if (lacking === undefined) return;
  throw new ConfigurationError(
    'MISSING_CAPABILITY',
    `${who} needs "${capability}", which the persistent provider "${provider.name}" does not keep: ${lacking}.`,
    {
      fix: 'Choose another provider for the slot "persistent", or another schedule.',
    },
  );
}

/** @throws ConfigurationError `MISSING_CAPABILITY`, `INVALID_OPTION` */
export function checkNeeds(
  provider: LayerProvider<'persistent'>,
  handlers: readonly PlacedHandler[],
  projections: readonly Found<unknown>[],
): void {
  for (const { found, handler } of handlers) {
    const schedule = handler.options.schedule ?? 'transient';
    const who = `The ${schedule} handler ${found.cls.name}.${handler.method} in ${found.module}`;
    checkHandlerOptions(who, schedule, handler.options);
    if (schedule === 'transient') continue;
    need(provider, 'feed', who);
    need(provider, 'transactionalViews', who);
    if (handler.options.name === undefined || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(handler.options.name)) {
      throw new ConfigurationError('INVALID_OPTION', `${who} has no name to keep its progress under.`, {
        fix: `Name it: @EventHandler(${nameOf(handler.event)}, { schedule: '${schedule}', name: 'notify' }), up to 100 letters, digits, dots, dashes and underscores.`,
      });
    }
  }
  for (const projection of projections) {
    need(provider, 'feed', `The projection ${projection.cls.name} in ${projection.module}`);
    need(provider, 'transactionalViews', `The projection ${projection.cls.name} in ${projection.module}`);
  }
}

/** Options that say how progress is kept; a transient handler keeps none. */
const KEPT = ['from', 'retry', 'inFlightMax', 'across'] as const;

export function checkHandlerOptions(who: string, schedule: string, options: EventHandlerOptions): void {
  const refuse = (what: string, fix: string): never => {
    throw new ConfigurationError('INVALID_OPTION', `${who} ${what}.`, { fix });
  };
  if (schedule === 'transient') {
    const given = KEPT.find((option) => options[option] !== undefined);
    if (given !== undefined) refuse(`has the option ${given}`, 'Leave it out, or choose another schedule.');
    return;
  }
  const { from, retry, inFlightMax, across } = options;
  if (schedule !== 'durable' && schedule !== 'persistent') {
    refuse('has a schedule that does not exist', "Choose 'transient', 'durable' or 'persistent'.");
  }
  if (from !== undefined && from !== 'end' && from !== 'beginning') {
    refuse(`begins at "${String(from)}"`, "Let it begin at the 'end' of the feed or at the 'beginning'.");
  }
  const problem = retry === undefined ? undefined : retryProblem(retry);
  if (problem !== undefined)
    refuse(`has a retry policy that cannot be kept: ${problem}`, 'Use values within these bounds.');
  if (inFlightMax !== undefined && !(Number.isInteger(inFlightMax) && inFlightMax >= 1 && inFlightMax <= 1_000)) {
    refuse(`has an inFlightMax of ${String(inFlightMax)}`, 'Give a whole number from 1 to 1,000.');
  }
  if (across === undefined) return;
  if (schedule === 'durable') {
    refuse('goes across aggregates', 'Order over aggregates is that of event time: use the persistent schedule.');
  }
  if (across !== 'aggregate' && across !== 'context') {
    refuse(`goes across "${String(across)}"`, "Choose 'aggregate' or 'context'.");
  }
}

/**
 * Durable and persistent handlers by name; several methods may share one, each for an event of its own.
 * @throws ConfigurationError `INVALID_OPTION`
 */
export function handlerConsumers(
  handlers: readonly PlacedHandler[],
  corrections: readonly PlacedCorrection[],
): HandlerConsumer[] {
  const byName = new Map<string, PlacedHandler[]>();
  for (const placed of handlers) {
    if ((placed.handler.options.schedule ?? 'transient') === 'transient') continue;
    const list = byName.get(placed.handler.options.name!) ?? [];
    byName.set(placed.handler.options.name!, list);
    list.push(placed);
  }
  for (const { found, correction, model } of corrections) {
    const target = byName.get(correction.options.name)?.some((placed) => placed.model === model);
    if (target === true) continue;
    throw new ConfigurationError(
      'INVALID_OPTION',
      `${found.cls.name}.${correction.method} in ${found.module} corrects what "${correction.options.name}" did for ${model.name}, and no durable or persistent handler of that name handles it.`,
      {
        fix: `Name one that does: @EventHandler(${nameOf(correction.event)}, { schedule: 'durable', name: '${correction.options.name}' }).`,
      },
    );
  }
  return [...byName].map(([name, list]) =>
    consumerOf(
      name,
      list,
      corrections.filter(({ correction }) => correction.options.name === name),
    ),
  );
}

function consumerOf(
  name: string,
  list: readonly PlacedHandler[],
  corrections: readonly PlacedCorrection[],
): HandlerConsumer {
  const options = new Map<string, unknown>();
  for (const { found, handler } of list) {
    for (const option of ['schedule', ...KEPT] as const) {
      const value = handler.options[option];
      if (value === undefined) continue;
      if (options.has(option) && JSON.stringify(options.get(option)) !== JSON.stringify(value)) {
        throw new ConfigurationError(
          'INVALID_OPTION',
          `Handlers named "${name}" differ in ${option}; one is ${found.cls.name}.${handler.method} in ${found.module}.`,
          { fix: `They share one state: give all of them the same ${option}, or names of their own.` },
        );
      }
      options.set(option, value);
    }
  }
  refuseTwice(
    name,
    list.map(({ found, handler, model }) => ({ model, where: `${found.cls.name}.${handler.method}` })),
  );
  refuseTwice(
    name,
    corrections.map(({ found, correction, model }) => ({ model, where: `${found.cls.name}.${correction.method}` })),
  );
  return {
    ...(Object.fromEntries(options) as Pick<HandlerConsumer, 'schedule' | 'from' | 'retry' | 'inFlightMax' | 'across'>),
    name,
    handlers: list.map(({ found, handler, model }) => ({ model, handle: methodOf(found, handler.method) })),
    corrections: corrections.map(({ found, correction, model }) => ({
      model,
      handle: methodOf(found, correction.method),
    })),
  };
}

function refuseTwice(name: string, methods: readonly { readonly model: EventModel; readonly where: string }[]): void {
  const seen = new Map<EventModel, string>();
  for (const { model, where } of methods) {
    const other = seen.get(model);
    if (other !== undefined) {
      throw new ConfigurationError(
        'INVALID_OPTION',
        `${other} and ${where} both take ${model.aggregateType}.${model.name} under the name "${name}".`,
        { fix: 'What is done is kept by name and event: give one of them a name of its own.' },
      );
    }
    seen.set(model, where);
  }
}

export function methodOf(found: Found<unknown>, method: string): (...args: unknown[]) => unknown {
  const instance = found.instance();
  const call = instance[method] as (...args: unknown[]) => unknown;
  return (...args) => call.apply(instance, args);
}

/** The lines of the boot report. */
export function bootReport(
  context: string,
  options: ConcursusOptions,
  persistent: LayerProvider<'persistent'>,
  registry: EventRegistry,
  handlers: readonly PlacedHandler[],
  projections: readonly ProjectionModel[],
  corrections: readonly PlacedCorrection[] = [],
): string[] {
  const kept = Object.entries(persistent.capabilities);
  const promises = kept.filter(([, state]) => state === true).map(([name]) => name);
  const lacking = kept.flatMap(([name, state]) => (state === true ? [] : [`${name} (${state.lacking})`]));
  const lines = [
    `Context "${context}": persistent ${persistent.name}, durable ${options.durable?.name ?? 'none'}, transient ${options.transient?.name ?? 'none'}`,
    `  ${persistent.name} keeps ${promises.join(', ')}${lacking.length > 0 ? `; lacks ${lacking.join(', ')}` : ''}`,
  ];
  if (options.persistent === undefined)
    lines.push('  no persistent provider is configured: events are kept in memory and end with the process');
  for (const aggregate of registry.aggregates) {
    const names = [...aggregate.events.values()].map((event) =>
      event.unchecked ? `${event.name} (unchecked)` : event.name,
    );
    lines.push(`  aggregate ${aggregate.type} v${aggregate.version}: ${names.join(', ')}`);
  }
  for (const inlet of options.consume ?? []) lines.push(`  inlet ${inlet.name}`);
  for (const relay of options.publish ?? []) lines.push(`  relay ${relay.name}, from the ${relay.from ?? 'beginning'}`);
  for (const { name, version, shares = 1 } of new Set(projections.map(wholeOf)))
    lines.push(`  projection ${name} v${version}${shares === 1 ? '' : ` in ${shares} shares`}`);
  for (const { found, handler, model } of handlers) {
    const schedule = handler.options.schedule ?? 'transient';
    const named = handler.options.name === undefined ? '' : ` "${handler.options.name}"`;
    lines.push(
      `  handler ${found.cls.name}.${handler.method} of ${model.aggregateType}.${model.name}, ${schedule}${named}`,
    );
  }
  for (const { found, correction, model } of corrections) {
    lines.push(
      `  handler ${found.cls.name}.${correction.method} of corrections of ${model.aggregateType}.${model.name}, "${correction.options.name}"`,
    );
  }
  return lines;
}
