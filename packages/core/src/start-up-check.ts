/**
 * What handlers and projections need, against what the configured providers can keep; and the boot report.
 * Every wiring mistake ends the start with a code that names the class, the module and the fix.
 */
import type { ConcursusOptions } from './concursus.options.js';
import { eventName, nameOf, type Explored, type Found } from './explorer.js';
import type { HandlerMeta } from './mapping/decorators.js';
import type { AggregateModel, EventModel, EventRegistry } from './mapping/event-registry.js';
import { ConfigurationError } from './model/errors.js';
import { lacks, type Capability } from './ports/capabilities.js';
import type { LayerProvider, Slot } from './ports/layer.js';
import type { DurableConsumer } from './processing/durable-handlers.js';
import type { ProjectionModel } from './projection/projection.js';

/** One `@EventHandler` method of an ordinary provider, placed in its context. */
export interface PlacedHandler {
  readonly found: Found<readonly HandlerMeta[]>;
  readonly handler: HandlerMeta;
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

function aggregateOf(at: string, handler: HandlerMeta, everywhere: ReadonlySet<object>): object {
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

function need(provider: LayerProvider<Slot>, capability: Capability, who: string): void {
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

/** @throws ConfigurationError `MISSING_CAPABILITY` */
export function checkNeeds(
  provider: LayerProvider<'persistent'>,
  handlers: readonly PlacedHandler[],
  projections: readonly Found<unknown>[],
): void {
  for (const { found, handler } of handlers) {
    const schedule = handler.options.schedule ?? 'transient';
    if (schedule === 'transient') continue;
    need(provider, 'feed', `The ${schedule} handler ${found.cls.name}.${handler.method} in ${found.module}`);
    if (handler.options.name === undefined || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(handler.options.name)) {
      throw new ConfigurationError(
        'INVALID_OPTION',
        `The ${schedule} handler ${found.cls.name}.${handler.method} in ${found.module} has no name to keep its progress under.`,
        {
          fix: `Name it: @EventHandler(${nameOf(handler.event)}, { schedule: '${schedule}', name: 'notify' }), up to 100 letters, digits, dots, dashes and underscores.`,
        },
      );
    }
  }
  for (const projection of projections) {
    need(provider, 'feed', `The projection ${projection.cls.name} in ${projection.module}`);
    need(provider, 'transactionalViews', `The projection ${projection.cls.name} in ${projection.module}`);
  }
}

/** Durable handlers by name; several methods may share one. */
export function durableConsumers(handlers: readonly PlacedHandler[]): DurableConsumer[] {
  const byName = new Map<string, DurableConsumer['handlers'][number][]>();
  for (const { found, handler, model } of handlers) {
    if (handler.options.schedule !== 'durable') continue;
    const list = byName.get(handler.options.name!) ?? [];
    byName.set(handler.options.name!, list);
    list.push({ model, handle: methodOf(found, handler.method) });
  }
  return [...byName].map(([name, list]) => ({ name, handlers: list }));
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
  for (const projection of projections) lines.push(`  projection ${projection.name} v${projection.version}`);
  for (const { found, handler, model } of handlers) {
    const schedule = handler.options.schedule ?? 'transient';
    const waits =
      schedule === 'persistent'
        ? ', waits for a watermark: no source of this context has one, so nothing settles and it is not called'
        : '';
    lines.push(
      `  handler ${found.cls.name}.${handler.method} of ${model.aggregateType}.${model.name}, ${schedule}${waits}`,
    );
  }
  return lines;
}
