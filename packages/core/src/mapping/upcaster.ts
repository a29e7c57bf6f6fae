/**
 * Upcasters: from a stored version of an event to the current one, step by step. At stop 4 of the walk before validation,
 * and at every read before hydration; stored events are never rewritten.
 */
import { ConfigurationError, HandlerError } from '../model/errors.js';
import type { Parameters } from '../model/event.js';
import type { EventClass } from './event-class.js';
import { nameOf } from './event-class.js';

const UPCASTS = Symbol.for('concursus.upcasts');

/** Parameters of one version, in wire form, to those of the next. Pure: same input, same output. */
export type UpcastFunction = (parameters: Parameters) => Parameters;

export interface UpcastOptions {
  /** The version it reads. */
  readonly from: string;
  /** The version it makes. Default: the next whole number. */
  readonly to?: string;
}

export interface UpcastMeta {
  readonly event: EventClass;
  readonly from: string;
  readonly to: string | undefined;
  readonly upcast: UpcastFunction;
  /** For messages. */
  readonly where: string;
}

type AnyClass = abstract new (...args: never[]) => object;

/**
 * Marks a static method as the step from one version of an event to the next. It may stand on the event class, on the
 * aggregate, or on a class handed to the registry.
 */
export function Upcast(event: EventClass, options: UpcastOptions) {
  return <M extends UpcastFunction>(target: AnyClass, method: string, descriptor: TypedPropertyDescriptor<M>): void => {
    const upcast = descriptor.value;
    if (typeof target !== 'function' || upcast === undefined) {
      throw new ConfigurationError(
        'UPCASTER_CHAIN',
        `@Upcast(${nameOf(event)}) stands on ${method}, which is no static method.`,
        {
          fix: 'Make it a static method: an upcaster is a pure function and has no instance.',
        },
      );
    }
    if (!Object.hasOwn(target, UPCASTS)) Object.defineProperty(target, UPCASTS, { value: [] });
    const recorded = (target as unknown as Record<symbol, UpcastMeta[]>)[UPCASTS]!;
    recorded.push({
      event,
      from: options.from,
      to: options.to,
      upcast: (parameters) => upcast.call(target, parameters),
      where: `${nameOf(target)}.${method}`,
    });
  };
}

/** The upcasters recorded on this very class. */
export function upcastsOf(target: unknown): readonly UpcastMeta[] {
  if (typeof target !== 'function' || !Object.hasOwn(target, UPCASTS)) return [];
  return (target as unknown as Record<symbol, UpcastMeta[]>)[UPCASTS]!;
}

function nextVersion(from: string): string | undefined {
  return /^\d{1,9}$/.test(from) ? String(Number(from) + 1) : undefined;
}

function refuse(cls: EventClass, what: string, fix: string): never {
  throw new ConfigurationError('UPCASTER_CHAIN', `The upcasters of ${nameOf(cls)} ${what}.`, { fix });
}

/** The steps from each older version of an event to the current one. */
export class UpcastChain {
  private readonly steps = new Map<string, readonly UpcastMeta[]>();

  /** @throws ConfigurationError `UPCASTER_CHAIN` when a version has two steps, a chain ends before the current version, or goes in a circle */
  constructor(
    private readonly cls: EventClass,
    private readonly version: string,
    upcasts: readonly UpcastMeta[],
  ) {
    const byFrom = new Map<string, UpcastMeta>();
    for (const step of upcasts) {
      const other = byFrom.get(step.from);
      if (other !== undefined && other !== step) {
        refuse(
          cls,
          `have two steps from version "${step.from}": ${other.where} and ${step.where}`,
          'Remove one of them.',
        );
      }
      byFrom.set(step.from, step);
    }
    for (const from of byFrom.keys()) this.steps.set(from, this.chainFrom(from, byFrom));
  }

  /** Whether events of this version can be read. */
  accepts(version: string): boolean {
    return version === this.version || this.steps.has(version);
  }

  /**
   * The parameters in the current version. `parameters` must be the caller's own copy.
   * @throws HandlerError `HANDLER_FAILED` when a step throws or returns no object
   */
  upcast(parameters: Parameters, version: string): Parameters {
    let current = parameters;
    for (const step of this.steps.get(version) ?? []) {
      try {
        current = step.upcast(current);
      } catch (cause) {
        throw new HandlerError('HANDLER_FAILED', `The upcaster ${step.where} of version "${step.from}" threw.`, {
          fix: 'Upcasters must take every stored event of their version.',
          cause,
        });
      }
      if (typeof current !== 'object' || current === null || Array.isArray(current)) {
        throw new HandlerError(
          'HANDLER_FAILED',
          `The upcaster ${step.where} of version "${step.from}" returned no object.`,
          {
            fix: 'Return the parameters of the next version, in wire form.',
          },
        );
      }
    }
    return current;
  }

  private chainFrom(from: string, byFrom: ReadonlyMap<string, UpcastMeta>): readonly UpcastMeta[] {
    const chain: UpcastMeta[] = [];
    for (let at = from; at !== this.version;) {
      const step = byFrom.get(at);
      if (step === undefined) {
        refuse(
          this.cls,
          `lead from version "${from}" to "${at}", not to the current "${this.version}"`,
          `Add a step from "${at}", or set \`to\` on the last one.`,
        );
      }
      if (chain.includes(step)) {
        refuse(this.cls, `go in a circle from version "${from}"`, 'Give each step a later version as `to`.');
      }
      chain.push(step);
      at = step.to ?? nextVersion(step.from) ?? this.version;
    }
    if (chain.length === 0) {
      refuse(
        this.cls,
        `have a step from "${from}", which is the current version`,
        'Raise the event’s version, or remove the step.',
      );
    }
    return chain;
  }
}
