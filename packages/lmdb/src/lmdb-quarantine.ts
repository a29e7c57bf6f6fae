/** Quarantined input on LMDB: items by arrival, their bytes apart, an index by digest, and counts a source for its quota. */
import { Quarantine } from '@concursus/core';
import type { QuarantinedItem, QuarantineInput, QuarantineQuota } from '@concursus/core';
import type { Bytes, Texts } from './environment.js';
import { after, KeyWriter } from './keys.js';
import type { Session } from './session.js';

/** Ids are padded so that they sort as they were given. */
const ID_DIGITS = 15;

/** An item without its bytes, which are rewritten never; its count is, with each repeat. */
type Head = Omit<QuarantinedItem, 'bytes' | 'id'> & { readonly keptBytes: number; readonly kept: boolean };

/** What one source uses of its quota. */
interface Usage {
  readonly items: number;
  readonly bytes: number;
  readonly digests: number;
}

const UNUSED: Usage = { items: 0, bytes: 0, digests: 0 };
const LAST_ID = Buffer.from('n');

export class LmdbQuarantine extends Quarantine {
  private readonly keys = new KeyWriter();

  constructor(
    private readonly session: Session,
    private readonly quota: QuarantineQuota,
  ) {
    super();
  }

  private get heads(): Texts {
    return this.session.env.texts(this.session.context, 'quarantine');
  }

  private get bodies(): Bytes {
    return this.session.env.bytes(this.session.context, 'quarantined');
  }

  private itemKey(id: string): Buffer {
    return this.keys.start().text('i').tail(id).view();
  }

  private digestKey(source: string, digest: string): Buffer {
    return this.keys.start().text('d').anyText(source).tail(digest).view();
  }

  private usageKey(source: string): Buffer {
    return this.keys.start().text('s').tail(source).view();
  }

  async put(inputs: readonly QuarantineInput[]): Promise<readonly boolean[]> {
    let bytes = 0;
    for (const input of inputs) {
      // A source too long for a key is refused before the transaction.
      this.digestKey(input.source, input.digest);
      bytes += input.bytes.length + 200;
    }
    return this.session.env.queue.run(() => inputs.map((input) => this.putOne(input)), {
      durable: true,
      weight: inputs.length,
      bytes,
    });
  }

  private putOne(input: QuarantineInput): boolean {
    const known = this.heads.get(this.digestKey(input.source, input.digest));
    if (known !== undefined) return this.count(known, input.at);
    const { quota } = this;
    const usage = this.usageOf(input.source);
    if (usage.digests >= quota.digests) {
      // Beyond all quotas a source has one more item, of no digest: its count says how much came.
      const rest = this.heads.get(this.digestKey(input.source, ''));
      return rest === undefined ? this.add(input, '', false) : this.count(rest, input.at);
    }
    const kept = usage.items < quota.items && usage.bytes + input.bytes.length <= quota.bytes;
    this.use(input.source, {
      items: usage.items + (kept ? 1 : 0),
      bytes: usage.bytes + (kept ? input.bytes.length : 0),
      digests: usage.digests + 1,
    });
    return this.add(input, input.digest, kept);
  }

  private add(input: QuarantineInput, digest: string, kept: boolean): boolean {
    const number = Number(this.heads.get(LAST_ID) ?? '0') + 1;
    const id = String(number).padStart(ID_DIGITS, '0');
    this.heads.putSync(LAST_ID, String(number));
    this.putHead(id, {
      source: input.source,
      sizeBytes: input.sizeBytes,
      digest,
      line: input.line,
      code: input.code,
      reason: input.reason,
      count: 1,
      firstAt: input.at,
      lastAt: input.at,
      keptBytes: kept ? input.bytes.length : 0,
      kept,
    });
    this.heads.putSync(this.digestKey(input.source, digest), id);
    if (kept) this.bodies.putSync(this.itemKey(id), input.bytes);
    return kept;
  }

  private count(id: string, at: number): boolean {
    const head = JSON.parse(this.heads.get(this.itemKey(id))!) as Head;
    this.putHead(id, { ...head, count: head.count + 1, lastAt: Math.max(head.lastAt, at) });
    return head.kept;
  }

  private putHead(id: string, head: Head): void {
    this.heads.putSync(this.itemKey(id), JSON.stringify(head));
  }

  private usageOf(source: string): Usage {
    const text = this.heads.get(this.usageKey(source));
    return text === undefined ? UNUSED : (JSON.parse(text) as Usage);
  }

  private use(source: string, usage: Usage): void {
    this.heads.putSync(this.usageKey(source), JSON.stringify(usage));
  }

  async list(afterId: string | undefined, limit: number): Promise<readonly QuarantinedItem[]> {
    const prefix = this.keys.start().text('i').copy();
    const start = afterId === undefined ? prefix : Buffer.concat([this.itemKey(afterId), Buffer.of(0)]);
    const items: QuarantinedItem[] = [];
    for (const { key, value } of this.heads.getRange({ start, end: after(prefix), limit })) {
      const id = Buffer.from(key.subarray(prefix.length)).toString('utf8');
      items.push(this.itemOf(id, JSON.parse(value) as Head));
    }
    return items;
  }

  async get(id: string): Promise<QuarantinedItem | undefined> {
    const text = this.heads.get(this.itemKey(id));
    return text === undefined ? undefined : this.itemOf(id, JSON.parse(text) as Head);
  }

  private itemOf(id: string, head: Head): QuarantinedItem {
    const bytes = head.keptBytes > 0 ? this.bodies.get(this.itemKey(id)) : undefined;
    return {
      id,
      source: head.source,
      bytes: bytes === undefined ? new Uint8Array(0) : new Uint8Array(bytes),
      sizeBytes: head.sizeBytes,
      digest: head.digest,
      line: head.line,
      code: head.code,
      reason: head.reason,
      count: head.count,
      firstAt: head.firstAt,
      lastAt: head.lastAt,
    };
  }

  async remove(id: string): Promise<boolean> {
    return this.session.env.queue.run(
      () => {
        const text = this.heads.get(this.itemKey(id));
        if (text === undefined) return false;
        const head = JSON.parse(text) as Head;
        this.heads.removeSync(this.itemKey(id));
        this.heads.removeSync(this.digestKey(head.source, head.digest));
        if (head.kept) this.bodies.removeSync(this.itemKey(id));
        if (head.digest === '') return true;
        const usage = this.usageOf(head.source);
        this.use(head.source, {
          items: usage.items - (head.kept ? 1 : 0),
          bytes: usage.bytes - head.keptBytes,
          digests: usage.digests - 1,
        });
        return true;
      },
      { durable: true, grows: false },
    );
  }
}
