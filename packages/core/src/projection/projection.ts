/**
 * Declaring a projection: a pure function from one aggregate's history to contributions. Two forms, one engine:
 * `rows(state)`, or `@EventHandler` methods that return the rows one event adds.
 */
import type { AggregateKey, Fact } from '../model/event.js';
import { ConfigurationError } from '../model/errors.js';
import type { FieldModel } from './merge.js';

/** Rows contributed: each a key and the fields it adds to. `V` is the view class. */
export type Rows<V> = readonly (readonly [key: string, fields: Partial<V>])[];

/** Beside a state: whose it is, and what is odd about its history. */
export interface RowsContext {
  readonly tenant: string;
  readonly id: string;
  /** True when the aggregate declares an initial event and none has come. */
  readonly incomplete: boolean;
  readonly events: number;
}

type AnyClass = abstract new (...args: never[]) => object;

export interface ProjectionOptions<V extends object> {
  /** Unique within its context. */
  readonly name: string;
  /** Raise it when the projection or its aggregate's fold changes: the view is then built anew beside the old. Default 1. */
  readonly version?: number;
  /** The aggregate whose histories it reads: a class of `@Aggregate` or what `defineAggregate` returned. */
  readonly of: object;
  /** The class of a row, its fields marked with their merges. */
  readonly view: abstract new () => V;
  /**
   * Keeps the view in so many shares of the aggregates, 1 to 64, which processes run beside one another: for views that one
   * process is too slow for. Readers merge the shares. It stays as it is at the first start. Default 1.
   */
  readonly shares?: number;
}

const PROJECTION = Symbol.for('concursus.projection');

/** What `@Projection` recorded. */
export type ProjectionMeta = Required<Omit<ProjectionOptions<object>, 'shares'>> &
  Pick<ProjectionOptions<object>, 'shares'>;

/**
 * Marks a provider as a projection. It only records; the explorer finds it at boot.
 * Its methods must be pure: same history, same rows. A method that throws parks that aggregate (see `Projections`).
 */
export function Projection<V extends object>(options: ProjectionOptions<V>) {
  return (target: AnyClass): void => {
    const meta: ProjectionMeta = {
      name: options.name,
      version: options.version ?? 1,
      shares: options.shares ?? 1,
      of: options.of,
      view: options.view,
    };
    Object.defineProperty(target, PROJECTION, { value: meta });
  };
}

/** What `@Projection` recorded on this very class, or undefined. */
export function projectionMetaOf(target: object): ProjectionMeta | undefined {
  return Object.hasOwn(target, PROJECTION)
    ? (target as unknown as Record<symbol, ProjectionMeta>)[PROJECTION]
    : undefined;
}

/** Whether a name fits in keys and owner rows. */
export function checkProjectionName(name: string, cls: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)) {
    throw new ConfigurationError('PROJECTION_SHAPE', `The projection ${cls} is named "${name.slice(0, 120)}".`, {
      fix: 'Use up to 100 letters, digits, dots, dashes and underscores.',
    });
  }
}

/** Which part of a view a model keeps. */
export interface Share {
  /** The whole: its name is the view's. */
  readonly of: ProjectionModel;
  /** From 0. */
  readonly index: number;
  readonly count: number;
  /** Whether an aggregate is one of its slices'. */
  has(key: AggregateKey): boolean;
}

/** A projection as the engine runs it. Built by the explorer from a decorated class, or by hand for built-in ones. */
export interface ProjectionModel {
  readonly name: string;
  readonly version: number;
  /** Aggregate types it reads; undefined for all. */
  readonly types: ReadonlySet<string> | undefined;
  readonly fields: readonly FieldModel[];
  /** The `rows(state)` form. The state is the caller's to keep: a copy is passed. */
  readonly rowsOf?: (state: object, context: RowsContext) => unknown;
  /** The event form: what one fact adds; undefined when nothing. */
  readonly rowsOfEvent?: (fact: Fact) => unknown;
  /** Of the event form: the causal rank of a fact, which decides first between two of one aggregate and instant. Absent: all are plain. */
  readonly rankOf?: (fact: Fact) => number;
  /** The built-in view of sources: it keeps lateness, rates and gaps. */
  readonly statistics?: boolean;
  /** In how many shares it is kept; what is run is made of it by `sharesOf`. */
  readonly shares?: number;
  /** Of one that keeps a part. */
  readonly share?: Share;
}
