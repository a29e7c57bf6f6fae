/** How services of a context are named for injection: the class itself in the default context, a token made from it in a named one. */
import { Inject, type InjectionToken } from '@nestjs/common';
import { DEFAULT_CONTEXT } from './concursus.options.js';

type AnyClass = abstract new (...args: never[]) => object;

/** The token of a port or service in a context. Equal arguments give equal tokens. */
export function getPortToken(port: AnyClass, context: string = DEFAULT_CONTEXT): InjectionToken {
  return context === DEFAULT_CONTEXT ? (port as unknown as InjectionToken) : `concursus:${context}:${port.name}`;
}

/** Injects a port or service of a named context: `@InjectPort(EventBus, 'flights')`. Without a context it is `@Inject(EventBus)`. */
export function InjectPort(port: AnyClass, context: string = DEFAULT_CONTEXT): ParameterDecorator & PropertyDecorator {
  return Inject(getPortToken(port, context));
}

/**
 * Injects the view a projection maintains: `@InjectView(OriginDay) view: View<Cell>`. The projection's provider *is* its view
 * (the explorer gives it the methods of `View`), so it must be visible to the consumer's module like any provider.
 */
export function InjectView(projection: AnyClass): ParameterDecorator & PropertyDecorator {
  return Inject(projection as unknown as InjectionToken);
}

/** @internal The options of one context. */
export const OPTIONS = Symbol.for('concursus.options');
/** @internal One per context: its name. */
export const CONTEXT = Symbol.for('concursus.context');
/** @internal One per `forFeature`: aggregates assigned to a context. */
export const FEATURE = Symbol.for('concursus.feature');
