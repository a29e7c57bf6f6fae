/** Bad input in memory, bounded per source: first items with bytes, then digests and counts, then one count for all the rest. */
import {
  defaultQuarantineQuota,
  Quarantine,
  type QuarantinedItem,
  type QuarantineInput,
  type QuarantineQuota,
} from '../ports/quarantine.js';
import type { MemorySession } from './session.js';

const NO_BYTES = new Uint8Array(0);

type Kept = { -readonly [K in keyof QuarantinedItem]: QuarantinedItem[K] };

/** What one source uses of its quota. */
interface Usage {
  items: number;
  bytes: number;
  digests: number;
}

export class InMemoryQuarantine extends Quarantine {
  /** In the order of their ids. */
  private readonly items = new Map<string, Kept>();
  private readonly byDigest = new Map<string, Kept>();
  private readonly usage = new Map<string, Usage>();
  private lastId = 0;

  constructor(
    private readonly session: MemorySession,
    private readonly quota: QuarantineQuota = defaultQuarantineQuota,
  ) {
    super();
  }

  async put(inputs: readonly QuarantineInput[]): Promise<readonly boolean[]> {
    this.session.checkOpen();
    return inputs.map((input) => this.putOne(input));
  }

  async list(after: string | undefined, limit: number): Promise<readonly QuarantinedItem[]> {
    this.session.checkOpen();
    const found: QuarantinedItem[] = [];
    for (const item of this.items.values()) {
      if (found.length >= limit) break;
      if (after === undefined || item.id > after) found.push(copyOf(item));
    }
    return found;
  }

  async get(id: string): Promise<QuarantinedItem | undefined> {
    this.session.checkOpen();
    const item = this.items.get(id);
    return item === undefined ? undefined : copyOf(item);
  }

  async remove(id: string): Promise<boolean> {
    this.session.checkOpen();
    const item = this.items.get(id);
    if (item === undefined) return false;
    this.items.delete(id);
    this.byDigest.delete(digestKey(item.source, item.digest));
    if (item.digest === '') return true;
    const usage = this.usageOf(item.source);
    usage.digests -= 1;
    if (item.bytes !== NO_BYTES) {
      usage.items -= 1;
      usage.bytes -= item.bytes.length;
    }
    return true;
  }

  private putOne(input: QuarantineInput): boolean {
    const known = this.byDigest.get(digestKey(input.source, input.digest));
    if (known !== undefined) {
      count(known, input.at);
      return known.bytes !== NO_BYTES;
    }
    const usage = this.usageOf(input.source);
    if (usage.digests >= this.quota.digests) {
      this.countRest(input);
      return false;
    }
    usage.digests += 1;
    const keeps = usage.items < this.quota.items && usage.bytes + input.bytes.length <= this.quota.bytes;
    if (keeps) {
      usage.items += 1;
      usage.bytes += input.bytes.length;
    }
    this.add(input, input.digest, keeps ? input.bytes.slice() : NO_BYTES);
    return keeps;
  }

  /** Beyond all quotas a source has one more item, of no digest: its count says how much came. */
  private countRest(input: QuarantineInput): void {
    const rest = this.byDigest.get(digestKey(input.source, ''));
    if (rest === undefined) this.add(input, '', NO_BYTES);
    else count(rest, input.at);
  }

  private add(input: QuarantineInput, digest: string, bytes: Uint8Array): void {
    this.lastId += 1;
    const item: Kept = {
      id: String(this.lastId).padStart(15, '0'),
      source: input.source,
      bytes,
      sizeBytes: input.sizeBytes,
      digest,
      line: input.line,
      code: input.code,
      reason: input.reason,
      count: 1,
      firstAt: input.at,
      lastAt: input.at,
    };
    this.items.set(item.id, item);
    this.byDigest.set(digestKey(item.source, digest), item);
  }

  private usageOf(source: string): Usage {
    let usage = this.usage.get(source);
    if (usage === undefined) this.usage.set(source, (usage = { items: 0, bytes: 0, digests: 0 }));
    return usage;
  }
}

function count(item: Kept, at: number): void {
  item.count += 1;
  item.lastAt = Math.max(item.lastAt, at);
}

function digestKey(source: string, digest: string): string {
  return `${source}\u0000${digest}`;
}

/** The caller's own: the item goes on counting. */
function copyOf(item: Kept): QuarantinedItem {
  return { ...item, bytes: item.bytes.slice() };
}
