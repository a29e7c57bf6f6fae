/**
 * Finds decorated classes wherever they are provided, once each, and says which context each belongs to.
 * It only finds: services do the work. An aggregate belongs where `forFeature` puts it, else to the default context;
 * a projection follows its aggregate, a handler the aggregate that lists its event.
 */
import { Scope } from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';
import { DEFAULT_CONTEXT } from './concursus.options.js';
import {
  aggregateMetaOf,
  correctionHandlersOf,
  eventMetaOf,
  handlersOf,
  type CorrectionMeta,
  type HandlerMeta,
} from './mapping/decorators.js';
import { settlingsOf, type SettlingMeta } from './mapping/settling.js';
import { ConfigurationError } from './model/errors.js';
import { middlewareMetaOf, type MiddlewareMeta } from './pipeline/middleware.js';
import { projectionMetaOf, type ProjectionMeta } from './projection/projection.js';
import { CONTEXT, FEATURE } from './tokens.js';

type AnyClass = abstract new (...args: never[]) => object;

/** What `forFeature` recorded. */
export interface Feature {
  readonly context: string;
  readonly aggregates: readonly object[];
}

/** A decorated class and the first place that provides it. */
export interface Found<M> {
  readonly cls: AnyClass;
  readonly meta: M;
  /** The module that provides it, for messages. */
  readonly module: string;
  /** The container's instance; read it only after all providers are made. */
  readonly instance: () => Record<string, unknown>;
  /** Those of other places that provide the class too. */
  readonly others: (() => Record<string, unknown>)[];
  /** Not one instance for the whole application; ask it only after all providers are made. */
  readonly scoped: () => boolean;
}

export interface Explored {
  readonly contexts: readonly string[];
  /** By context. */
  readonly aggregates: ReadonlyMap<string, ReadonlySet<object>>;
  readonly projections: readonly Found<ProjectionMeta>[];
  readonly handlers: readonly Found<readonly HandlerMeta[]>[];
  readonly corrections: readonly Found<readonly CorrectionMeta[]>[];
  /** What happens when time settles. */
  readonly settlings: readonly Found<readonly SettlingMeta[]>[];
  readonly middleware: readonly Found<MiddlewareMeta>[];
}

interface Wrapper {
  readonly token?: unknown;
  readonly metatype?: unknown;
  readonly instance?: unknown;
  readonly scope?: Scope;
  readonly isNotMetatype?: boolean;
  readonly inject?: unknown;
  isDependencyTreeStatic(): boolean;
}

/** The class of a provider: the one it names, of the instance it has, or, before a factory made one, the one it is asked for by. */
function classOf(wrapper: Wrapper): AnyClass | undefined {
  if (typeof wrapper.metatype === 'function' && wrapper.inject === undefined && wrapper.isNotMetatype !== true) {
    return wrapper.metatype as unknown as AnyClass;
  }
  const { instance, token } = wrapper;
  if (typeof instance === 'object' && instance !== null) return instance.constructor as AnyClass | undefined;
  return typeof token === 'function' ? (token as unknown as AnyClass) : undefined;
}

function isScoped(wrapper: Wrapper): boolean {
  return wrapper.scope === Scope.REQUEST || wrapper.scope === Scope.TRANSIENT || !wrapper.isDependencyTreeStatic();
}

/**
 * Reads the whole application.
 * @throws ConfigurationError `DUPLICATE_CONTEXT`, `NO_CONTEXT`, `NOT_AN_AGGREGATE`
 */
export function explore(container: ModulesContainer): Explored {
  const contexts: string[] = [];
  const features: Feature[] = [];
  const found = { aggregates: new Map<object, string>(), projections: new Map<AnyClass, Found<ProjectionMeta>>() };
  const handlers = new Map<AnyClass, Found<readonly HandlerMeta[]>>();
  const corrections = new Map<AnyClass, Found<readonly CorrectionMeta[]>>();
  const settlings = new Map<AnyClass, Found<readonly SettlingMeta[]>>();
  const middleware = new Map<AnyClass, Found<MiddlewareMeta>>();

  for (const module of container.values()) {
    for (const wrapper of [...module.providers.values(), ...module.controllers.values()] as unknown as Wrapper[]) {
      if (wrapper.token === CONTEXT) contexts.push(wrapper.instance as string);
      else if (wrapper.token === FEATURE) features.push(wrapper.instance as Feature);
      const cls = classOf(wrapper);
      if (cls === undefined) continue;
      const entry = <M>(meta: M): Found<M> => ({
        cls,
        meta,
        module: module.metatype.name,
        instance: () => wrapper.instance as Record<string, unknown>,
        others: [],
        scoped: () => isScoped(wrapper),
      });
      const corrected = correctionHandlersOf(cls);
      if (corrected.length > 0 && !corrections.has(cls)) corrections.set(cls, entry(corrected));
      const settling = settlingsOf(cls);
      if (settling.length > 0 && !settlings.has(cls)) settlings.set(cls, entry(settling));
      if (aggregateMetaOf(cls) !== undefined) {
        if (!found.aggregates.has(cls)) found.aggregates.set(cls, module.metatype.name);
        continue;
      }
      const projection = projectionMetaOf(cls);
      if (projection !== undefined) {
        const first = found.projections.get(cls);
        if (first === undefined) found.projections.set(cls, entry(projection));
        else first.others.push(() => wrapper.instance as Record<string, unknown>);
        continue;
      }
      const stage = middlewareMetaOf(cls);
      if (stage !== undefined && !middleware.has(cls)) middleware.set(cls, entry(stage));
      const declared = handlersOf(cls);
      if (declared.length > 0 && !handlers.has(cls)) handlers.set(cls, entry(declared));
    }
  }
  checkContexts(contexts);
  const projections = [...found.projections.values()];
  return {
    contexts,
    aggregates: assign(contexts, features, found.aggregates, projections, [...settlings.values()]),
    projections,
    handlers: [...handlers.values()],
    corrections: [...corrections.values()],
    settlings: [...settlings.values()],
    middleware: [...middleware.values()],
  };
}

function checkContexts(contexts: readonly string[]): void {
  const twice = contexts.find((name, i) => contexts.indexOf(name) !== i);
  if (twice === undefined) return;
  throw new ConfigurationError('DUPLICATE_CONTEXT', `ConcursusModule is registered twice for the context "${twice}".`, {
    fix: "Import one registration where it is needed, or name the other: forRoot({ context: 'another' }).",
  });
}

/** Which aggregates each context has. */
function assign(
  contexts: readonly string[],
  features: readonly Feature[],
  provided: ReadonlyMap<object, string>,
  projections: readonly Found<ProjectionMeta>[],
  settlings: readonly Found<readonly SettlingMeta[]>[],
): ReadonlyMap<string, ReadonlySet<object>> {
  const assigned = new Map<string, Set<object>>(contexts.map((name) => [name, new Set<object>()]));
  const placed = new Set<object>();
  for (const feature of features) {
    const context = assigned.get(feature.context);
    if (context === undefined) {
      throw new ConfigurationError(
        'NO_CONTEXT',
        `forFeature names the context "${feature.context}", and there is none of this name.`,
        {
          fix: `Register it: ConcursusModule.forRoot({ context: '${feature.context}', … }); known: ${contexts.join(', ')}.`,
        },
      );
    }
    for (const aggregate of feature.aggregates) {
      if (aggregateMetaOf(aggregate) === undefined) {
        throw new ConfigurationError(
          'NOT_AN_AGGREGATE',
          `forFeature was given ${nameOf(aggregate)}, which is no aggregate.`,
          {
            fix: "Mark the class with @Aggregate('type'), or pass what defineAggregate returned.",
          },
        );
      }
      context.add(aggregate);
      placed.add(aggregate);
    }
  }
  const loose = new Map<object, string>(provided);
  const follow = (what: string, of: unknown, module: string): void => {
    if ((typeof of !== 'object' && typeof of !== 'function') || of === null || aggregateMetaOf(of) === undefined) {
      throw new ConfigurationError(
        'NOT_AN_AGGREGATE',
        `${what} in ${module} is of ${nameOf(of)}, which is no aggregate.`,
        {
          fix: "Pass a class marked with @Aggregate('type'), or what defineAggregate returned, as `of`.",
        },
      );
    }
    if (!loose.has(of)) loose.set(of, module);
  };
  for (const { cls, meta, module } of projections) follow(`The projection ${cls.name}`, meta.of, module);
  for (const { cls, meta, module } of settlings) {
    for (const { kind, options } of meta) follow(`What is ${kind} by ${cls.name}`, options.of, module);
  }
  for (const [aggregate, module] of loose) {
    if (placed.has(aggregate)) continue;
    const context = assigned.get(DEFAULT_CONTEXT);
    if (context === undefined) {
      throw new ConfigurationError(
        'NO_CONTEXT',
        `The aggregate ${nameOf(aggregate)}, found in ${module}, is assigned to no context, and there is no default one.`,
        {
          fix: `Assign it: ConcursusModule.forFeature([${nameOf(aggregate)}], { context: '${contexts[0] ?? 'name'}' }).`,
        },
      );
    }
    context.add(aggregate);
  }
  return assigned;
}

export function nameOf(target: unknown): string {
  if (typeof target === 'function') return target.name;
  if (typeof target === 'object' && target !== null)
    return aggregateMetaOf(target)?.type ?? target.constructor?.name ?? 'an object';
  return String(target);
}

/** The name of an event's class and its wire name, for messages. */
export function eventName(cls: object): string {
  return `${nameOf(cls)} ("${eventMetaOf(cls)?.name ?? nameOf(cls)}")`;
}
