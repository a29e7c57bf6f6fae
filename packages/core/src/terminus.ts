/** How a context is doing as an indicator of `@nestjs/terminus`, an optional peer: imported as `@concursus/core/terminus`. */
import { Inject, Injectable, type Provider } from '@nestjs/common';
import { HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';
import { ConcursusHealth, type HealthOptions } from './concursus.health.js';
import { DEFAULT_CONTEXT } from './concursus.options.js';
import { getPortToken } from './tokens.js';

/**
 * `up` with the figures of `HealthReport`, `degraded` (HTTP 200) when something is behind, parked or failing, `down` (HTTP 503)
 * when the store or the buffer does not answer. Of the default context; see `concursusHealthIndicator` for others.
 */
@Injectable()
export class ConcursusHealthIndicator {
  constructor(
    @Inject(HealthIndicatorService) private readonly indicators: HealthIndicatorService,
    @Inject(ConcursusHealth) private readonly health: ConcursusHealth,
  ) {}

  /** @throws InvalidEventError `INVALID_ARGUMENT` for an option out of its bounds */
  async isHealthy<const Key extends string>(
    key: Key,
    options: HealthOptions = {},
  ): Promise<HealthIndicatorResult<Key>> {
    const { status, ...told } = await this.health.report(options);
    const session = this.indicators.check(key);
    if (status === 'up') return session.up(told);
    return status === 'degraded' ? session.degraded(told) : session.down(told);
  }
}

/** The indicator of a named context, provided under `token`: `providers: [concursusHealthIndicator('flights', FLIGHTS_HEALTH)]`. */
export function concursusHealthIndicator(context: string, token: string | symbol): Provider {
  return {
    provide: token,
    useFactory: (indicators: HealthIndicatorService, health: ConcursusHealth) =>
      new ConcursusHealthIndicator(indicators, health),
    inject: [
      HealthIndicatorService,
      context === DEFAULT_CONTEXT ? ConcursusHealth : getPortToken(ConcursusHealth, context),
    ],
  };
}
