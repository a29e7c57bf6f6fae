/**
 * Quarantined input on Cassandra: the row of a digest is an item, changed by conditions only, so that counts are exact however
 * many processes put. Bytes and the way from an id to its item stand apart and are written before it.
 *
 * A crash in the middle of a `put` may leave an id without an item, which nobody sees, and a place of the source's quota taken.
 */
import { Quarantine } from '@concursus/core';
import type { QuarantinedItem, QuarantineInput, QuarantineQuota } from '@concursus/core';
import type { types } from 'cassandra-driver';
import { unknownOutcomeError } from './errors.js';
import { Lanes } from './lanes.js';
import type { Session } from './session.js';

/** Ids are padded so that they sort as they were given. */
const ID_DIGITS = 15;
/** Ids of one partition. */
const BLOCK = 1_000;
/** A row that others change meanwhile is read and tried again this often: each of them got through. */
const TRIES = 50;
/** Items of one list that are read side by side. */
const STEP = 32;

const READ_LAST = 'SELECT last FROM quarantine_last WHERE context = ?';
const SET_LAST = 'UPDATE quarantine_last SET last = ? WHERE context = ? IF last = ?';
const READ_USAGE = 'SELECT usage FROM quarantine_source WHERE context = ? AND source = ?';
const SET_USAGE = 'UPDATE quarantine_source SET usage = ? WHERE context = ? AND source = ? IF usage = ?';
const OF_DIGEST = 'context = ? AND source = ? AND digest = ?';
const READ_ITEM = `SELECT id, head, count, last_at FROM quarantine_digest WHERE ${OF_DIGEST}`;
const ADD_ITEM =
  'INSERT INTO quarantine_digest (context, source, digest, id, head, count, last_at) VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS';
const COUNT_ITEM = `UPDATE quarantine_digest SET count = ?, last_at = ? WHERE ${OF_DIGEST} IF id = ? AND count = ?`;
const REMOVE_ITEM = `DELETE FROM quarantine_digest WHERE ${OF_DIGEST} IF id = ?`;
const READ_IDS = 'SELECT id, source, digest FROM quarantine_item WHERE context = ? AND block = ? AND id > ?';
const READ_ID = 'SELECT source, digest FROM quarantine_item WHERE context = ? AND block = ? AND id = ?';
const ADD_ID = 'INSERT INTO quarantine_item (context, block, id, source, digest) VALUES (?, ?, ?, ?, ?)';
const REMOVE_ID = 'DELETE FROM quarantine_item WHERE context = ? AND block = ? AND id = ?';
const READ_BODY = 'SELECT bytes FROM quarantine_body WHERE context = ? AND id = ?';
const ADD_BODY = 'INSERT INTO quarantine_body (context, id, bytes) VALUES (?, ?, ?)';
const REMOVE_BODY = 'DELETE FROM quarantine_body WHERE context = ? AND id = ?';

/** What one source uses of its quota. */
interface Usage {
  readonly items: number;
  readonly bytes: number;
  readonly digests: number;
}

/** What of an item never changes. */
interface Head {
  readonly sizeBytes: number;
  readonly line: number;
  readonly code: QuarantinedItem['code'];
  readonly reason: string;
  readonly firstAt: number;
  readonly keptBytes: number;
  readonly kept: boolean;
}

interface Item {
  readonly id: string;
  readonly head: Head;
  readonly count: number;
  readonly lastAt: number;
}

const UNUSED: Usage = { items: 0, bytes: 0, digests: 0 };

export class CassandraQuarantine extends Quarantine {
  /** Of one source one at a time: conditions on one row would only hinder each other. */
  private readonly lanes = new Lanes();

  constructor(
    private readonly session: Session,
    private readonly quota: QuarantineQuota,
  ) {
    super();
  }

  async put(inputs: readonly QuarantineInput[]): Promise<readonly boolean[]> {
    this.session.checkOpen();
    if (inputs.length === 0) return [];
    const bySource = new Map<string, number[]>();
    for (const [i, { source }] of inputs.entries()) {
      const same = bySource.get(source);
      if (same === undefined) bySource.set(source, [i]);
      else same.push(i);
    }
    // The caller may change its bytes as soon as it has the promise.
    const own = inputs.map((input) => ({ ...input, bytes: input.bytes.slice() }));
    const firstId = await this.takeIds(inputs.length);
    const kept = new Array<boolean>(inputs.length).fill(false);
    const work = [...bySource].map(([source, places]) =>
      this.lanes.run(source, async () => {
        for (const i of places) kept[i] = await this.putOne(own[i]!, idText(firstId + i));
      }),
    );
    for (const each of await Promise.allSettled(work)) if (each.status === 'rejected') throw each.reason;
    return kept;
  }

  private async putOne(input: QuarantineInput, id: string): Promise<boolean> {
    const { source } = input;
    for (;;) {
      const known = await this.countIfKnown(source, input.digest, input.at);
      if (known !== undefined) return known;
      const place = await this.takePlace(source, input.bytes.length);
      if (place === undefined) {
        // Beyond all quotas a source has one more item, of no digest: its count says how much came.
        const rest = await this.countIfKnown(source, '', input.at);
        if (rest !== undefined) return false;
        if (await this.add(input, '', id, false)) return false;
        continue;
      }
      if (await this.add(input, input.digest, id, place.kept)) return place.kept;
      // Another process added it meanwhile.
      await this.givePlace(source, place.kept, input.bytes.length);
    }
  }

  /** The first of so many ids in a row, each above every id given before. */
  private takeIds(count: number): Promise<number> {
    const { session } = this;
    return this.lanes.run('', async () => {
      for (let tries = 0; tries < TRIES; tries++) {
        const found = (await session.readSerial(READ_LAST, [session.context])).first()?.get('last') as
          types.Long | null | undefined;
        const last = found === undefined || found === null ? undefined : Number(found);
        const next = (last ?? 0) + count;
        const outcome = await session.conditional(
          { query: SET_LAST, params: [next, session.context, last ?? null] },
          'ids for quarantined input were taken',
          // Ids that may have been taken are passed over.
          () => Promise.resolve(false),
        );
        if (outcome.applied) return (last ?? 0) + 1;
      }
      throw tooManyTries('ids for quarantined input were taken');
    });
  }

  /** A place of the source's quota for a new digest; undefined when it has none. */
  private takePlace(source: string, bytes: number): Promise<{ readonly kept: boolean } | undefined> {
    const { quota } = this;
    let kept = false;
    return this.changeUsage(source, (usage) => {
      if (usage.digests >= quota.digests) return undefined;
      kept = usage.items < quota.items && usage.bytes + bytes <= quota.bytes;
      return {
        items: usage.items + (kept ? 1 : 0),
        bytes: usage.bytes + (kept ? bytes : 0),
        digests: usage.digests + 1,
      };
    }).then((changed) => (changed ? { kept } : undefined));
  }

  private async givePlace(source: string, kept: boolean, bytes: number): Promise<void> {
    await this.changeUsage(source, (usage) => ({
      items: Math.max(0, usage.items - (kept ? 1 : 0)),
      bytes: Math.max(0, usage.bytes - (kept ? bytes : 0)),
      digests: Math.max(0, usage.digests - 1),
    }));
  }

  private async changeUsage(source: string, change: (usage: Usage) => Usage | undefined): Promise<boolean> {
    const { session } = this;
    const key = [session.context, source];
    for (let tries = 0; tries < TRIES; tries++) {
      const text = await this.readText(READ_USAGE, key, 'usage');
      const next = change(text === undefined ? UNUSED : (JSON.parse(text) as Usage));
      if (next === undefined) return false;
      const nextText = JSON.stringify(next);
      const outcome = await session.conditional(
        { query: SET_USAGE, params: [nextText, ...key, text ?? null] },
        `the quota of "${source}" was taken`,
        // Of two who write the same one may be counted for both: a quota need not be exact after a time-out.
        async () => (await this.readText(READ_USAGE, key, 'usage')) === nextText,
      );
      if (outcome.applied) return true;
    }
    throw tooManyTries(`the quota of "${source}" was taken`);
  }

  private async readText(query: string, key: readonly unknown[], column: string): Promise<string | undefined> {
    const found = await this.session.readSerial(query, key);
    return (found.first()?.get(column) as string | null | undefined) ?? undefined;
  }

  /** Counts once more what is there; resolves to whether its bytes are kept, or to undefined when it is not there. */
  private async countIfKnown(source: string, digest: string, at: number): Promise<boolean | undefined> {
    const key = [this.session.context, source, digest];
    for (let tries = 0; tries < TRIES; tries++) {
      const item = await this.itemAt(source, digest);
      if (item === undefined) return undefined;
      const { id, count } = item;
      const outcome = await this.session.conditional(
        { query: COUNT_ITEM, params: [count + 1, Math.max(item.lastAt, at), ...key, id, count] },
        `input of "${source}" was counted`,
        // After a time-out one of two processes that counted at the same moment may be taken for both.
        async () => (await this.itemAt(source, digest))?.count === count + 1,
      );
      if (outcome.applied) return item.head.kept;
    }
    throw tooManyTries(`input of "${source}" was counted`);
  }

  /** Adds an item; false when another process was faster. */
  private async add(input: QuarantineInput, digest: string, id: string, kept: boolean): Promise<boolean> {
    const { session } = this;
    const { context } = session;
    const { source, sizeBytes, line, code, reason, at } = input;
    const keptBytes = kept ? input.bytes.length : 0;
    const head: Head = { sizeBytes, line, code, reason, firstAt: at, keptBytes, kept };
    if (keptBytes > 0) await session.execute(ADD_BODY, [context, id, Buffer.from(input.bytes)]);
    await session.execute(ADD_ID, [context, blockOf(id), id, source, digest]);
    const outcome = await session.conditional(
      { query: ADD_ITEM, params: [context, source, digest, id, JSON.stringify(head), 1, at] },
      `input of "${source}" was quarantined`,
      async () => (await this.itemAt(source, digest))?.id === id,
    );
    if (!outcome.applied) await this.forget(id, kept);
    return outcome.applied;
  }

  private async forget(id: string, kept: boolean): Promise<void> {
    const { context } = this.session;
    await this.session.execute(REMOVE_ID, [context, blockOf(id), id]);
    if (kept) await this.session.execute(REMOVE_BODY, [context, id]);
  }

  private async itemAt(source: string, digest: string): Promise<Item | undefined> {
    const found = await this.session.readSerial(READ_ITEM, [this.session.context, source, digest]);
    return itemOf(found.first() ?? undefined);
  }

  async list(after: string | undefined, limit: number): Promise<readonly QuarantinedItem[]> {
    const { session } = this;
    const found = (await session.execute(READ_LAST, [session.context])).first()?.get('last') as
      types.Long | null | undefined;
    const lastBlock = blockOf(idText(found === undefined || found === null ? 0 : Number(found)));
    const items: QuarantinedItem[] = [];
    const from = after ?? '';
    for (let block = after === undefined ? 0 : blockOf(after); block <= lastBlock; block++) {
      const rows = await session.rows(READ_IDS, [session.context, block, from]);
      for (let i = 0; i < rows.length; i += STEP) {
        const step = rows.slice(i, i + STEP);
        const read = await Promise.all(
          step.map((row) =>
            this.readItem(row.get('id') as string, row.get('source') as string, row.get('digest') as string),
          ),
        );
        for (const item of read) if (item !== undefined && items.length < limit) items.push(item);
        if (items.length >= limit) return items;
      }
    }
    return items;
  }

  async get(id: string): Promise<QuarantinedItem | undefined> {
    const place = await this.placeOf(id);
    return place === undefined ? undefined : this.readItem(id, place.source, place.digest);
  }

  private async placeOf(id: string): Promise<{ readonly source: string; readonly digest: string } | undefined> {
    this.session.checkOpen();
    if (!/^\d{15}$/.test(id)) return undefined;
    const row = (
      await this.session.execute(READ_ID, [this.session.context, blockOf(id), id])
    ).first() as types.Row | null;
    if (row === null || row === undefined) return undefined;
    return { source: row.get('source') as string, digest: row.get('digest') as string };
  }

  private async readItem(id: string, source: string, digest: string): Promise<QuarantinedItem | undefined> {
    const { session } = this;
    const row = (await session.execute(READ_ITEM, [session.context, source, digest])).first() ?? undefined;
    const item = itemOf(row);
    if (item === undefined || item.id !== id) return undefined;
    const { head } = item;
    let bytes = new Uint8Array(0);
    if (head.keptBytes > 0) {
      const body = (await session.execute(READ_BODY, [session.context, id])).first()?.get('bytes') as Buffer | null;
      if (body !== null && body !== undefined) bytes = new Uint8Array(body);
    }
    return {
      id,
      source,
      bytes,
      sizeBytes: head.sizeBytes,
      digest,
      line: head.line,
      code: head.code,
      reason: head.reason,
      count: item.count,
      firstAt: head.firstAt,
      lastAt: item.lastAt,
    };
  }

  async remove(id: string): Promise<boolean> {
    const place = await this.placeOf(id);
    if (place === undefined) return false;
    const { source, digest } = place;
    return this.lanes.run(source, async () => {
      const item = await this.itemAt(source, digest);
      if (item === undefined || item.id !== id) return false;
      const outcome = await this.session.conditional(
        { query: REMOVE_ITEM, params: [this.session.context, source, digest, id] },
        `the item ${id} was removed`,
        async () => (await this.itemAt(source, digest))?.id !== id,
      );
      if (!outcome.applied) return false;
      await this.forget(id, item.head.kept);
      if (digest !== '') await this.givePlace(source, item.head.kept, item.head.keptBytes);
      return true;
    });
  }
}

function idText(id: number): string {
  return String(id).padStart(ID_DIGITS, '0');
}

function blockOf(id: string): number {
  return Math.floor(Number(id) / BLOCK);
}

function itemOf(row: types.Row | undefined): Item | undefined {
  if (row === undefined) return undefined;
  return {
    id: row.get('id') as string,
    head: JSON.parse(row.get('head') as string) as Head,
    count: Number(row.get('count')),
    lastAt: Number(row.get('last_at')),
  };
}

function tooManyTries(what: string): Error {
  return unknownOutcomeError(what, new Error(`others changed it ${TRIES} times meanwhile`));
}
