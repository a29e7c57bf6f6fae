/** Whether this process is fit to be asked: for load balancers and watchers. */
import { Controller, Get, Inject } from '@nestjs/common';
import { HealthCheck, HealthCheckService, type HealthCheckResult } from '@nestjs/terminus';
import { ApiTags } from '@nestjs/swagger';
import type { ConcursusHealthIndicator } from '@concursus/core/terminus';

/** The indicators of both contexts. */
export const FLIGHTS_HEALTH = 'health of flights';
export const PARCELS_HEALTH = 'health of parcels';

@ApiTags('health')
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    @Inject(FLIGHTS_HEALTH) private readonly flights: ConcursusHealthIndicator,
    @Inject(PARCELS_HEALTH) private readonly parcels: ConcursusHealthIndicator,
  ) {}

  @Get()
  @HealthCheck()
  check(): Promise<HealthCheckResult> {
    return this.health.check([() => this.flights.isHealthy('flights'), () => this.parcels.isHealthy('parcels')]);
  }
}
