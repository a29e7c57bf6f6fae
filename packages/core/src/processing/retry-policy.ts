/** When a handler that threw is called again, and when it is not: exponential back-off with a random part. */
import type { RetryPolicy } from '../mapping/decorators.js';
import { ConcursusError } from '../model/errors.js';
import type { Clock } from '../ports/clock.js';

export const RETRY_DEFAULTS: Required<RetryPolicy> = { attempts: 5, firstMs: 100, maxMs: 30_000, jitter: 0.2 };

/** What is wrong with a policy, or undefined. */
export function retryProblem(policy: RetryPolicy): string | undefined {
  const { attempts, firstMs, maxMs, jitter } = { ...RETRY_DEFAULTS, ...policy };
  if (!Number.isInteger(attempts) || attempts < 1 || attempts > 1_000) return `attempts is ${attempts}, not 1 to 1,000`;
  if (!Number.isInteger(maxMs) || maxMs < 1 || maxMs > 86_400_000) return `maxMs is ${maxMs}, not 1 to 86,400,000`;
  if (!Number.isInteger(firstMs) || firstMs < 1 || firstMs > maxMs) return `firstMs is ${firstMs}, not 1 to ${maxMs}`;
  if (!(jitter >= 0 && jitter <= 1)) return `jitter is ${jitter}, not 0 to 1`;
  return undefined;
}

/** The wait after the n-th failure, in milliseconds, from 1. */
export function waitMs(policy: Required<RetryPolicy>, failures: number, clock: Clock): number {
  const plain = Math.min(policy.firstMs * 2 ** Math.min(Math.max(failures, 1) - 1, 40), policy.maxMs);
  const [a = 0, b = 0] = clock.randomBytes(2);
  const random = ((a << 8) | b) / 65_535;
  return Math.max(0, Math.round(plain * (1 + policy.jitter * (2 * random - 1))));
}

/** Trouble of our own store: it passes, and parks nobody. */
export function isPassing(error: unknown): boolean {
  return ConcursusError.isInstance(error) && error.retryable;
}
