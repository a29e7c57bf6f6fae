/** Quarantined input on LMDB: items by arrival, their bytes apart, an index by digest, and counts a source for its quota. */
import { Quarantine } from '@concursus/core';
import type { QuarantinedItem, QuarantineInput, QuarantineQuota } from '@concursus/core';
import type { Bytes, Texts } from './environment.js';
import { after, KeyWriter } from './keys.js';
import type { Session } from './session.js';

/** Ids are padded so that they sort as they were given. */
const ID_DIGITS = 16;

type Head = Omit<QuarantinedItem, 'bytes' | 'id'> & { readonly kept: boolean; readonly keptBytes: number };

/** What a source holds: items with bytes, their bytes, digests without bytes, and how often the rest came. */
interface SourceCounts {
  readonly items: number;
  readonly bytes: number;
  readonly digests: number;
  readonly rest: number;
}

const NOTHING: SourceCounts = { items: 0, bytes: 0, digests: 0, rest: 0 };
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

  private item(id: string): Buffer {
    return this.keys.start().text('i').tail(id).view();
  }

  private digest(source: string, digest: string): Buffer {
    return this.keys.start().text('d').anyText(source).tail(digest).view();
  }

  private source(source: string): Buffer {
    return this.keys.start().text('s').tail(source).view();
  }

  async put(inputs: readonly QuarantineInput[]): Promise<readonly boolean[]> {
    for (const input of inputs) this.digest(input.source, input.digest);
    let bytes = 0;
    for (const input of inputs) bytes += input.bytes.length + 200;
    return this.session.env.queue.run(() => inputs.map((input) => this.putOne(input)), {
      durable: true,
      weight: inputs.length,
      bytes,
    });
  }

  private putOne(input: QuarantineInput): boolean {
    const { heads } = this;
    const id = heads.get(this.digest(input.source, input.digest));
    if (id !== undefined) {
      const head = JSON.parse(heads.get(this.item(id))!) as Head;
      heads.putSync(this.item(id), JSON.stringify({ ...head, count: head.count + 1, lastAt: input.at }));
      return head.kept;
    }
    const counts = this.countsOf(input.source);
    const keptBytes = input.bytes.length;
    const kept = counts.items < this.quota.items && counts.bytes + keptBytes <= this.quota.bytes;
    if (!kept && counts.digests >= this.quota.digests) {
      this.count(input.source, counts, 0, 0, 0, 1);
      return false;
    }
    const next = Number(heads.get(LAST_ID) ?? '0') + 1;
    const nextId = String(next).padStart(ID_DIGITS, '0');
    const head: Head = {
      source: input.source,
      sizeBytes: input.sizeBytes,
      digest: input.digest,
      line: input.line,
      code: input.code,
      reason: input.reason,
      count: 1,
      firstAt: input.at,
      lastAt: input.at,
      kept,
      keptBytes: kept ? keptBytes : 0,
    };
    heads.putSync(LAST_ID, String(next));
    heads.putSync(this.item(nextId), JSON.stringify(head));
    heads.putSync(this.digest(input.source, input.digest), nextId);
    if (kept) {
      this.bodies.putSync(this.item(nextId), input.bytes);
      this.count(input.source, counts, 1, keptBytes, 0, 0);
    } else this.count(input.source, counts, 0, 0, 1, 0);
    return kept;
  }

  private countsOf(source: string): SourceCounts {
    const text = this.heads.get(this.source(source));
    return text === undefined ? NOTHING : (JSON.parse(text) as SourceCounts);
  }

  private count(source: string, counts: SourceCounts, items: number, bytes: number, digests: number, rest: number) {
    const next: SourceCounts = {
      items: counts.items + items,
      bytes: counts.bytes + bytes,
      digests: counts.digests + digests,
      rest: counts.rest + rest,
    };
    this.heads.putSync(this.source(source), JSON.stringify(next));
  }

  async list(afterId: string | undefined, limit: number): Promise<readonly QuarantinedItem[]> {
    const prefix = this.keys.start().text('i').copy();
    const start = afterId === undefined ? prefix : Buffer.concat([this.item(afterId), Buffer.of(0)]);
    const items: QuarantinedItem[] = [];
    for (const { key, value } of this.heads.getRange({ start, end: after(prefix), limit })) {
      const id = Buffer.from((key as Uint8Array).subarray(prefix.length)).toString('utf8');
      items.push(this.itemOf(id, JSON.parse(value) as Head));
    }
    return items;
  }

  async get(id: string): Promise<QuarantinedItem | undefined> {
    const text = this.heads.get(this.item(id));
    return text === undefined ? undefined : this.itemOf(id, JSON.parse(text) as Head);
  }

  private itemOf(id: string, head: Head): QuarantinedItem {
    const bytes = head.kept ? this.bodies.get(this.item(id)) : undefined;
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
        const { heads } = this;
        const text = heads.get(this.item(id));
        if (text === undefined) return false;
        const head = JSON.parse(text) as Head;
        const counts = this.countsOf(head.source);
        heads.removeSync(this.item(id));
        heads.removeSync(this.digest(head.source, head.digest));
        if (head.kept) {
          this.bodies.removeSync(this.item(id));
          this.count(head.source, counts, -1, -head.keptBytes, 0, 0);
        } else this.count(head.source, counts, 0, 0, -1, 0);
        return true;
      },
      { durable: true, grows: false },
    );
  }
}
