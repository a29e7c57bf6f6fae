/** Goal: what a load balancer is told is true: 200 with every view's figures, of both contexts. Method: asked over HTTP, before and after reports. */
import { describe, expect, it } from 'vitest';
import { ServiceUnavailableException } from '@nestjs/common';
import { problemOf } from '../src/web/problem.js';
import { getJson, monthLines, postLines } from './reports.js';
import { appFor } from './spec-app.js';

const app = appFor('all');

interface Told {
  readonly status: string;
  readonly views: readonly { readonly name: string; readonly lagMs: number; readonly parked: number }[];
  readonly problems: readonly string[];
}

interface Health {
  readonly status: string;
  readonly details: Readonly<Record<string, Told>>;
}

const WITHIN_MS = 5_000;

/** Views follow within some milliseconds; what is told last is returned. */
async function whenTakenIn(): Promise<Health> {
  const until = performance.now() + WITHIN_MS;
  for (;;) {
    const health = await getJson<Health>(`${app.url}/health`);
    const isBehind = Object.values(health.details).some(({ views }) => views.some(({ lagMs }) => lagMs > 0));
    if (!isBehind || performance.now() > until) return health;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('GET /health', () => {
  it('is 200, and says how far each view is', async () => {
    const response = await fetch(`${app.url}/health`);
    expect(response.status).toBe(200);
    await postLines(app.url, monthLines().slice(0, 500));
    const { status, details } = await whenTakenIn();
    expect(status).toBe('ok');
    expect(Object.keys(details).sort()).toEqual(['flights', 'parcels']);
    const { flights } = details;
    expect(flights).toMatchObject({ status: 'up', problems: [] });
    expect(flights!.views.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['carriers', 'flight-status', 'origin-day']),
    );
    expect(flights!.views.every(({ lagMs, parked }) => lagMs === 0 && parked === 0)).toBe(true);
  });

  it('says in its own form what is down', () => {
    const told = { status: 'error', details: { flights: { status: 'down', problems: ['does not answer'] } } };
    expect(problemOf(new ServiceUnavailableException(told))).toMatchObject({
      statusCode: 503,
      code: 'UNHEALTHY',
      ...told,
    });
  });
});
