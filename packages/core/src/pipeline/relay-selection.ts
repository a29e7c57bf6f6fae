/** Which events a relay is given: what its options name is looked up once at start-up, so that a slip of the pen ends the start and publishes nothing. */
import type { EventRegistry } from '../mapping/event-registry.js';
import { correctionOf, isCorrection } from '../model/correction.js';
import { ConfigurationError } from '../model/errors.js';
import type { Fact } from '../model/event.js';
import type { EventRelay, RelayProvider, RelayTarget } from '../ports/event-relay.js';
import type { LayerContext } from '../ports/layer.js';
import { isReserved } from '../time/source-facts.js';

/** What a relay publishes, looked up. */
export interface Selection {
  /** Types of aggregates of which it may publish something. */
  readonly aggregateTypes: readonly string[];
  /** Whether an event is published. What is said of sources is no event of a user's, and never is. */
  wants(fact: Fact): boolean;
}

/** One relay to run. */
export interface RelayWork {
  readonly provider: Pick<RelayProvider, 'name' | 'from'>;
  readonly relay: EventRelay;
  readonly selection: Selection;
}

/** The relays of one context, made and not connected. @throws ConfigurationError as `selectionOf`, and whatever a provider refuses */
export function relaysOf(
  providers: readonly RelayProvider[],
  registry: EventRegistry,
  context: LayerContext,
): readonly RelayWork[] {
  return providers.map((provider) => {
    const selection = selectionOf(provider, registry);
    return { provider, selection, relay: provider.create({ ...context, aggregateTypes: selection.aggregateTypes }) };
  });
}

/** Looks up what a relay is to publish. @throws ConfigurationError `EVENT_WITHOUT_AGGREGATE` when an aggregate or event is none of this context's */
export function selectionOf(provider: RelayProvider, registry: EventRegistry): Selection {
  const { name, types, where } = provider;
  const all = registry.aggregates.map(({ type }) => type);
  const aggregates = provider.aggregates?.map((target) => aggregateType(name, target, registry));
  /** By aggregate type, its events that are chosen. */
  const chosen = new Map<string, Set<string>>();
  for (const target of types ?? []) {
    for (const [type, event] of eventsOf(name, target, registry)) {
      const events = chosen.get(type) ?? new Set<string>();
      chosen.set(type, events.add(event));
    }
  }
  const named = new Set(types === undefined ? all : chosen.keys());
  const aggregateTypes = (aggregates ?? all).filter((type) => named.has(type));
  const wanted = new Set(aggregateTypes);
  // Without a choice of aggregates also those are published whose class is not known here any more.
  const anyAggregate = aggregates === undefined && types === undefined;
  return {
    aggregateTypes,
    wants: (fact) => {
      if (isReserved(fact.aggregateType)) return false;
      if (!anyAggregate && !wanted.has(fact.aggregateType)) return false;
      if (types !== undefined) {
        const event = isCorrection(fact) ? correctionOf(fact).target.name : fact.name;
        if (chosen.get(fact.aggregateType)?.has(event) !== true) return false;
      }
      return where === undefined || where(fact);
    },
  };
}

function aggregateType(relay: string, target: RelayTarget, registry: EventRegistry): string {
  if (registry.has(target)) return registry.aggregate(target).type;
  throw unknown(relay, 'aggregate', target, registry);
}

function eventsOf(relay: string, target: RelayTarget, registry: EventRegistry): [type: string, event: string][] {
  const found: [string, string][] = [];
  for (const { type, events } of registry.aggregates) {
    for (const event of events.values()) {
      if (event.cls === target || event.name === target) found.push([type, event.name]);
    }
  }
  if (found.length === 0) throw unknown(relay, 'event', target, registry);
  return found;
}

function unknown(
  relay: string,
  what: 'aggregate' | 'event',
  target: RelayTarget,
  registry: EventRegistry,
): ConfigurationError {
  const name = typeof target === 'string' ? `"${target}"` : ((target as { name?: string }).name ?? 'an object');
  return new ConfigurationError(
    'EVENT_WITHOUT_AGGREGATE',
    `The relay "${relay}" is to publish the ${what} ${name}, and the context "${registry.context}" has none of it.`,
    {
      fix: `Name one it has, by class or name; its aggregates are ${registry.aggregates.map(({ type }) => type).join(', ')}.`,
    },
  );
}
