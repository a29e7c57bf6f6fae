/**
 * The event types of one application context: what aggregates there are, and which class a stored event maps to. Built
 * once at boot; every wiring mistake in events and aggregates shows here, before anything is read or written.
 */
import { ConfigurationError, InvalidEventError } from '../model/errors.js';
import { checkName } from '../model/identity.js';
import type { NameKind } from '../model/identity.js';
import { RANK_INITIAL, RANK_PLAIN } from '../model/event-order.js';
import { limits } from '../model/limits.js';
import { AggregateModel } from './aggregate-model.js';
import { aggregateMetaOf, eventMetaOf, handlersOf } from './decorators.js';
import type { AggregateMeta, EventMeta } from './decorators.js';
import type { AggregateLike, EventClass } from './event-class.js';
import { nameOf } from './event-class.js';
import { EventModel } from './event-model.js';
import { foldDefinitionOf } from './fold-aggregate.js';
import { upcastsOf } from './upcaster.js';
import type { UpcastMeta } from './upcaster.js';
import type { ClassValidator } from './validation.js';

export { AggregateModel, type FoldInfo, type FoldState } from './aggregate-model.js';
export { EventModel } from './event-model.js';

export interface EventRegistryOptions {
  /** The module `class-validator`, where it is installed. Without it its decorators are not seen. */
  readonly classValidator?: ClassValidator | undefined;
  /** Classes with static `@Upcast` methods, beside those on event and aggregate classes. */
  readonly upcasters?: readonly object[];
}

export class EventRegistry {
  private readonly byTarget = new Map<object, AggregateModel>();
  private readonly byType = new Map<string, AggregateModel>();
  private readonly byEvent = new Map<EventClass, AggregateModel[]>();

  /**
   * A class given twice counts once.
   * @throws ConfigurationError `NOT_AN_AGGREGATE`, `DUPLICATE_AGGREGATE`, `AGGREGATE_CONSTRUCTOR`, `AGGREGATE_WITHOUT_EVENTS`,
   * `NOT_AN_EVENT`, `DUPLICATE_EVENT_TYPE`, `EVENT_NOT_LISTED`, `UPCASTER_CHAIN`, `STATE_NOT_PLAIN`, `INVALID_OPTION`
   */
  constructor(
    /** The context's name. */
    readonly context: string,
    aggregates: readonly AggregateLike[],
    options: EventRegistryOptions = {},
  ) {
    const shared = (options.upcasters ?? []).flatMap(upcastsOf);
    for (const target of new Set(aggregates)) this.add(target, shared, options.classValidator);
  }

  /** In the order given. */
  get aggregates(): readonly AggregateModel[] {
    return [...this.byTarget.values()];
  }

  /** Whether this context has the aggregate, by its class or type. */
  has(target: object | string): boolean {
    return typeof target === 'string' ? this.byType.has(target) : this.byTarget.has(target);
  }

  /**
   * The model of an aggregate, by its class or type. It never registers one.
   * @throws InvalidEventError `UNKNOWN_AGGREGATE`
   */
  aggregate<A extends AggregateLike>(target: A): AggregateModel<A>;
  aggregate(target: string | object): AggregateModel;
  aggregate(target: string | object): AggregateModel {
    const model = typeof target === 'string' ? this.byType.get(target) : this.byTarget.get(target);
    if (model !== undefined) return model;
    const known = [...this.byType.keys()].slice(0, 20).join(', ');
    const context = this.context === '' ? 'The default context' : `Context "${this.context}"`;
    throw new InvalidEventError(
      'UNKNOWN_AGGREGATE',
      `${context} has no aggregate ${nameOf(target)}; it has ${known === '' ? 'none' : known}.`,
      {
        fix:
          typeof target === 'string'
            ? 'Use a known type, or register its aggregate class.'
            : `Register it: ConcursusModule.forFeature([${nameOf(target)}]), among the module’s providers, or as the \`of\` of a projection.`,
      },
    );
  }

  /** The model of an aggregate by its type, or undefined: for facts of types this context does not know. */
  find(type: string): AggregateModel | undefined {
    return this.byType.get(type);
  }

  /** The aggregates that list an event class; empty for an unlisted one. */
  aggregatesOf(event: EventClass): readonly AggregateModel[] {
    return this.byEvent.get(event) ?? [];
  }

  private add(target: AggregateLike, shared: readonly UpcastMeta[], classValidator: ClassValidator | undefined): void {
    const meta = aggregateMetaOf(target);
    if (meta === undefined) {
      throw new ConfigurationError(
        'NOT_AN_AGGREGATE',
        `${nameOf(target)} is registered as an aggregate of context "${this.context}" but is none.`,
        {
          fix: 'Decorate it with @Aggregate(type), or pass what defineAggregate returned.',
        },
      );
    }
    checkText('aggregate type', meta.type, nameOf(target));
    if (!Number.isSafeInteger(meta.version) || meta.version < 1) {
      throw new ConfigurationError(
        'INVALID_OPTION',
        `${nameOf(target)} has the reducer version ${String(meta.version)}.`,
        { fix: 'Use a whole number from 1.' },
      );
    }
    const other = this.byType.get(meta.type);
    if (other !== undefined) {
      throw new ConfigurationError(
        'DUPLICATE_AGGREGATE',
        `${nameOf(other.target)} and ${nameOf(target)} are both the aggregate "${meta.type}" of context "${this.context}".`,
        {
          fix: 'Give one of them another type, or assign it to another context.',
        },
      );
    }
    if (typeof target === 'function' && target.length > 0) {
      throw new ConfigurationError(
        'AGGREGATE_CONSTRUCTOR',
        `${nameOf(target)} has ${target.length} constructor parameter${target.length === 1 ? '' : 's'}, but its state is made anew for each fold.`,
        {
          fix: 'Remove the constructor parameters; an aggregate gets everything from its events. Inject services into handlers and projections.',
        },
      );
    }
    const model = new AggregateModel(target, meta, eventModels(target, meta, shared, classValidator));
    this.byTarget.set(target, model);
    this.byType.set(model.type, model);
    for (const event of model.events.values()) {
      const listing = this.byEvent.get(event.cls);
      if (listing === undefined) this.byEvent.set(event.cls, [model]);
      else listing.push(model);
    }
  }
}

/** The models of an aggregate's events, by their keys. */
function eventModels(
  target: AggregateLike,
  meta: AggregateMeta,
  shared: readonly UpcastMeta[],
  classValidator: ClassValidator | undefined,
): ReadonlyMap<string, EventModel> {
  const entries: readonly (readonly [string, unknown])[] = Object.entries((target as { events?: object }).events ?? {});
  if (entries.length === 0) {
    throw new ConfigurationError('AGGREGATE_WITHOUT_EVENTS', `The aggregate ${nameOf(target)} lists no events.`, {
      fix: 'Add `static readonly events = { … }` with its event classes.',
    });
  }
  const upcasts = [...upcastsOf(target), ...shared];
  const models = new Map<string, EventModel>();
  const classes = new Map<string, EventClass>();
  for (const [key, candidate] of entries) {
    const eventMeta = eventMetaOf(candidate);
    if (eventMeta === undefined) {
      throw new ConfigurationError(
        'NOT_AN_EVENT',
        `${nameOf(target)} lists ${nameOf(candidate)} as ${key}, which is no event.`,
        {
          fix: 'Decorate the class with @Event().',
        },
      );
    }
    const cls = candidate as EventClass;
    checkEvent(cls, eventMeta);
    const other = classes.get(eventMeta.name);
    if (other !== undefined) {
      throw new ConfigurationError(
        'DUPLICATE_EVENT_TYPE',
        `${nameOf(target)} lists the event "${eventMeta.name}" twice, as ${nameOf(other)} and as ${nameOf(cls)}: a stored event of this name could not be mapped back to one class.`,
        { fix: 'Give one of them @Event({ name }), or make it an older version with @Upcast.' },
      );
    }
    classes.set(eventMeta.name, cls);
    const own = [...upcastsOf(cls), ...upcasts].filter((step) => step.event === cls);
    models.set(key, new EventModel(cls, meta.type, eventMeta, own, classValidator));
  }
  checkHandlers(target, new Set(classes.values()), models);
  return models;
}

function checkHandlers(
  target: AggregateLike,
  listed: ReadonlySet<EventClass>,
  models: ReadonlyMap<string, EventModel>,
): void {
  const definition = foldDefinitionOf(target);
  if (definition !== undefined) {
    for (const key of Object.keys(definition.fold)) {
      if (!models.has(key)) notListed(target, `the fold case ${key}`, key);
    }
    for (const key of models.keys()) {
      if (typeof definition.fold[key] !== 'function') {
        throw new ConfigurationError('INVALID_OPTION', `${nameOf(target)} has no fold for its event ${key}.`, {
          fix: `Add the case ${key} to \`fold\`; return the state as it is to ignore the event.`,
        });
      }
    }
    return;
  }
  for (const handler of handlersOf(target)) {
    if (eventMetaOf(handler.event) === undefined) {
      throw new ConfigurationError(
        'NOT_AN_EVENT',
        `${nameOf(target)}.${handler.method} handles ${nameOf(handler.event)}, which is no event.`,
        {
          fix: 'Decorate the class with @Event().',
        },
      );
    }
    if (!listed.has(handler.event)) notListed(target, `${handler.method}()`, nameOf(handler.event));
  }
  for (const step of upcastsOf(target)) {
    if (!listed.has(step.event)) notListed(target, `the upcaster ${step.where}`, nameOf(step.event));
  }
}

function notListed(target: AggregateLike, what: string, event: string): never {
  throw new ConfigurationError(
    'EVENT_NOT_LISTED',
    `${what} of the aggregate ${nameOf(target)} names ${event}, which its \`events\` do not list.`,
    {
      fix: `Add ${event} to the \`events\` of ${nameOf(target)}, or remove ${what}.`,
    },
  );
}

function checkEvent(cls: EventClass, meta: EventMeta): void {
  checkText('event name', meta.name, nameOf(cls));
  checkText('version', meta.version, nameOf(cls));
  const { order } = meta;
  if (order === undefined) return;
  if (meta.initial || meta.terminal) {
    throw new ConfigurationError(
      'INVALID_OPTION',
      `${nameOf(cls)} is ${meta.initial ? 'initial' : 'terminal'} and also ordered (${order}), which are two ranks.`,
      {
        fix: 'Keep one of them: the initial event folds first, the terminal one last.',
      },
    );
  }
  if (!Number.isSafeInteger(order) || order <= RANK_INITIAL || order >= RANK_PLAIN) {
    throw new ConfigurationError('INVALID_OPTION', `${nameOf(cls)} has the order ${order}.`, {
      fix: 'Use a whole number between ±1,000,000,000.',
    });
  }
}

function checkText(kind: NameKind, text: unknown, where: string): void {
  try {
    checkName(kind, text);
  } catch (cause) {
    const reason = cause instanceof InvalidEventError ? cause.reason : 'It is refused.';
    throw new ConfigurationError('INVALID_OPTION', `The ${kind} of ${where} is not allowed: ${reason}`, {
      fix: `Use 1 to ${limits.nameBytes} bytes of text without control characters.`,
      cause,
    });
  }
  if (kind !== 'version' && (text as string).startsWith('$')) {
    throw new ConfigurationError(
      'INVALID_OPTION',
      `The ${kind} of ${where} is "${text as string}": names with $ are the library’s own.`,
      {
        fix: 'Begin it with another character.',
      },
    );
  }
}
