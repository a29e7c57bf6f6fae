/**
 * `ConcursusModule`: wires the three slots to the services of one bounded context. Sync and async registration share one
 * static graph, OPTIONS → BOOT → each port → each service; only where the options come from differs.
 */
import { Global, Module, type DynamicModule, type InjectionToken, type Provider } from '@nestjs/common';
import {
  DEFAULT_CONTEXT,
  type ConcursusAsyncOptions,
  type ConcursusOptions,
  type ConcursusOptionsFactory,
  type ConcursusRootOptions,
} from './concursus.options.js';
import { PORTS, SERVICES, services } from './concursus.providers.js';
import { type Feature } from './explorer.js';
import type { AggregateLike } from './mapping/event-class.js';
import { ConfigurationError } from './model/errors.js';
import { CONTEXT, FEATURE, getPortToken, OPTIONS } from './tokens.js';

@Module({})
export class ConcursusModule {
  /**
   * Registers a bounded context. Each slot is given a provider: `forRoot({ persistent: lmdb({ path: './data' }) })`.
   * Wiring mistakes end the start with a `ConfigurationError`; nothing is opened before `onModuleInit`.
   */
  static forRoot(options: ConcursusRootOptions = {}): DynamicModule {
    const { context, isGlobal, ...rest } = options;
    return contextModule(context, isGlobal, [{ provide: OPTIONS, useValue: rest satisfies ConcursusOptions }], []);
  }

  /** The same with options made by `useFactory`, `useClass` or `useExisting`. The context's name is known beforehand. */
  static forRootAsync(options: ConcursusAsyncOptions): DynamicModule {
    return contextModule(options.context, options.isGlobal, optionProviders(options), options.imports ?? []);
  }

  /** Assigns aggregates to a context; without a name to the default one. */
  static forFeature(aggregates: readonly AggregateLike[], options: { readonly context?: string } = {}): DynamicModule {
    const feature: Feature = { context: options.context ?? DEFAULT_CONTEXT, aggregates };
    return { module: ConcursusFeatureModule, providers: [{ provide: FEATURE, useValue: feature }] };
  }
}

/** Carries what `forFeature` assigns to where the explorer looks. */
@Global()
@Module({})
class ConcursusFeatureModule {}

function optionProviders(options: ConcursusAsyncOptions): Provider[] {
  if (options.useFactory !== undefined) {
    return [
      {
        provide: OPTIONS,
        useFactory: options.useFactory as (...args: unknown[]) => unknown,
        inject: [...(options.inject ?? [])] as InjectionToken[],
      },
    ];
  }
  const factory = options.useExisting ?? options.useClass;
  if (factory === undefined) {
    throw new ConfigurationError(
      'INVALID_OPTION',
      'forRootAsync was given neither useFactory, useClass nor useExisting.',
      { fix: 'Give one of the three.' },
    );
  }
  const made: Provider = {
    provide: OPTIONS,
    useFactory: (from: ConcursusOptionsFactory) => from.createConcursusOptions(),
    inject: [factory],
  };
  return options.useExisting === undefined ? [{ provide: factory, useClass: factory }, made] : [made];
}

function contextModule(
  name: string | undefined,
  isGlobal: boolean | undefined,
  options: Provider[],
  imports: NonNullable<DynamicModule['imports']>,
): DynamicModule {
  const context = name ?? DEFAULT_CONTEXT;
  const aliases: Provider[] =
    context === DEFAULT_CONTEXT
      ? []
      : PORTS.map((cls) => ({ provide: getPortToken(cls, context), useExisting: cls as InjectionToken }));
  return {
    module: ConcursusModule,
    global: isGlobal ?? true,
    imports,
    providers: [{ provide: CONTEXT, useValue: context }, ...options, ...services(context), ...aliases],
    exports: [...PORTS, ...SERVICES].map((cls) => getPortToken(cls, context)),
  };
}
