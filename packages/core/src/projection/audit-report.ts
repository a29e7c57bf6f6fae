/** What an audit found: one form for store and views, for people, logs and health checks. */
import type { AggregateKey } from '../model/event.js';

/**
 * - `not-in-history`, `not-in-feed`: a fact that only the other one has
 * - `contribution`: not what the history comes to · `orphan-contribution`: of an aggregate without a history
 * - `row`: not the merge of the contributions · `orphan-row`: nobody contributes · `missing-row` · `index`: entries of a row's index
 */
export type AuditFindingKind =
  | 'not-in-history'
  | 'not-in-feed'
  | 'contribution'
  | 'orphan-contribution'
  | 'row'
  | 'orphan-row'
  | 'missing-row'
  | 'index';

export interface AuditFinding {
  readonly kind: AuditFindingKind;
  readonly view?: string;
  readonly aggregate?: AggregateKey;
  /** The row's key. */
  readonly row?: string;
  /** What stands there, and what should; of facts their ids. At most 1,000 characters each. */
  readonly found: string;
  readonly expected: string;
  /** `no`: it was not asked for, or cannot be. `commit`: put right in the view. `rebuild`: the view is built anew. `recorded`: the fact was recorded again. */
  readonly mended: 'no' | 'commit' | 'rebuild' | 'recorded';
}

export interface ViewAuditCounts {
  readonly view: string;
  /** Where it stood when the audit ended. */
  readonly position: string | undefined;
  readonly aggregates: number;
  readonly rows: number;
  /** Differences that could not be judged, as the view moved all the time and is run by another process. */
  readonly unjudged: number;
}

export interface AuditReport {
  readonly startedAt: number;
  readonly endedAt: number;
  /** False when `signal` ended it. */
  readonly complete: boolean;
  /** The feed was read up to here. */
  readonly position: string;
  readonly facts: number;
  readonly aggregates: number;
  readonly views: readonly ViewAuditCounts[];
  /** At most 1,000. */
  readonly findings: readonly AuditFinding[];
  /** All of them. */
  readonly found: number;
}

export interface AuditProgress {
  readonly part: 'store' | 'contributions' | 'rows';
  readonly view: string | undefined;
  /** Facts, aggregates or rows so far. */
  readonly done: number;
}

export const FINDINGS_MAX = 1_000;
const TEXT_MAX = 1_000;

export function shortText(value: unknown): string {
  return (typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing')).slice(0, TEXT_MAX);
}

/** Collects within the bound. */
export class Findings {
  readonly list: AuditFinding[] = [];
  found = 0;

  add(finding: AuditFinding): void {
    this.found++;
    if (this.list.length < FINDINGS_MAX) this.list.push(finding);
  }
}
