/**
 * Keeps rejected inputs with their original bytes (law 11), one call of the port a batch, and slows the sources that
 * have used up their quota: those alone wait before their next batch.
 */
import { createHash } from 'node:crypto';
import { limits } from '../model/limits.js';
import type { InvalidEventCode } from '../model/errors.js';
import type { Clock } from '../ports/clock.js';
import type { Quarantine, QuarantineInput } from '../ports/quarantine.js';
import type { Batch, BatchItem } from './batch.js';
import { isRawInput } from './receiver.js';

/** The first wait of a source over its quota; doubled with each batch that brings more. */
const SLOW_FIRST_MS = 50;
const SLOW_MAX_MS = 1_000;
/** Sources remembered as slow; beyond it the longest known is forgotten, and found again by its next bad batch. */
const SLOW_SOURCES_MAX = 10_000;

export class QuarantineKeeper {
  private readonly slow = new Map<string, number>();

  constructor(
    private readonly quarantine: Quarantine,
    private readonly clock: Clock,
  ) {}

  /** Keeps what is rejected and not yet kept; undefined, without a promise, when there is nothing. */
  keep(batch: Batch): Promise<void> | undefined {
    let rejected: BatchItem[] | undefined;
    for (let i = 0; i < batch.items.length; i++) {
      const item = batch.items[i]!;
      if (item.outcome === 'rejected' && !item.kept) (rejected ??= []).push(item);
    }
    if (rejected !== undefined) return this.put(batch, rejected);
    if (this.slow.size > 0) for (const item of batch.items) this.slow.delete(sourceOf(item, batch.source));
    return undefined;
  }

  /** How long the sources of these items must wait before they are taken: 0 for all that keep within their quota. */
  waitMs(items: readonly BatchItem[], source: string): number {
    if (this.slow.size === 0) return 0;
    let ms = 0;
    for (let i = 0; i < items.length; i++) ms = Math.max(ms, this.slow.get(sourceOf(items[i]!, source)) ?? 0);
    return ms;
  }

  private async put(batch: Batch, rejected: readonly BatchItem[]): Promise<void> {
    const at = this.clock.now();
    const alone = batch.together && batch.items.length === 1;
    const inputs = rejected.map((item) => quarantineInput(item, batch.source, alone, at));
    const kept = await this.quarantine.put(inputs);
    const over = new Set<string>();
    for (let i = 0; i < rejected.length; i++) {
      rejected[i]!.kept = true;
      if (kept[i] === false) over.add(inputs[i]!.source);
      else if (!over.has(inputs[i]!.source)) this.slow.delete(inputs[i]!.source);
    }
    for (const source of over) {
      const before = this.slow.get(source);
      if (before === undefined && this.slow.size >= SLOW_SOURCES_MAX) {
        for (const oldest of this.slow.keys()) {
          this.slow.delete(oldest);
          break;
        }
      }
      this.slow.set(source, Math.min(SLOW_MAX_MS, before === undefined ? SLOW_FIRST_MS : before * 2));
    }
  }
}

function sourceOf(item: BatchItem, source: string): string {
  return isRawInput(item.input) ? item.input.source : source;
}

function quarantineInput(item: BatchItem, source: string, alone: boolean, at: number): QuarantineInput {
  const raw = isRawInput(item.input) ? item.input : undefined;
  const bytes = raw?.bytes ?? new TextEncoder().encode(asJson(item.input));
  return {
    source: raw?.source ?? source,
    // A copy: the line may be a view of a large chunk that would otherwise stay in memory.
    bytes: bytes.slice(0, limits.quarantineBytes),
    sizeBytes: raw?.sizeBytes ?? bytes.byteLength,
    digest: raw?.digest ?? createHash('sha256').update(bytes).digest('hex'),
    line: alone ? 0 : item.line,
    code: item.code as InvalidEventCode,
    reason: item.reason,
    at,
  };
}

/** The JSON text of a value as far as it can be made: what JSON has no form for is written as a text that says what it was. */
export function asJson(value: unknown): string {
  // Longer than anything that is kept, short enough that a hostile object cannot fill the memory.
  let budget = limits.inputBytes;
  const write = (part: unknown, depth: number): string => {
    if (budget <= 0 || depth > limits.parametersDepth + 8) return '"…"';
    budget -= 8;
    if (typeof part === 'string') {
      const text = part.length > budget ? part.slice(0, Math.max(0, budget)) : part;
      budget -= text.length;
      return JSON.stringify(text);
    }
    if (part === null || typeof part === 'boolean' || (typeof part === 'number' && Number.isFinite(part))) {
      return String(part);
    }
    if (typeof part === 'bigint' || typeof part === 'number') return `"${part}"`;
    if (typeof part !== 'object') return `"[${typeof part}]"`;
    if (part instanceof Date) return Number.isNaN(part.getTime()) ? '"Invalid Date"' : `"${part.toISOString()}"`;
    const pieces: string[] = [];
    if (Array.isArray(part)) {
      for (let i = 0; i < part.length && budget > 0; i++) pieces.push(write(part[i], depth + 1));
      return `[${pieces.join(',')}]`;
    }
    for (const key of Object.keys(part)) {
      if (budget <= 0) break;
      budget -= key.length;
      const entry: unknown = (part as Record<string, unknown>)[key];
      if (entry !== undefined) pieces.push(`${JSON.stringify(key)}:${write(entry, depth + 1)}`);
    }
    return `{${pieces.join(',')}}`;
  };
  try {
    return write(value, 0);
  } catch (error) {
    return JSON.stringify(`[unreadable: ${error instanceof Error ? error.message : String(error)}]`);
  }
}
