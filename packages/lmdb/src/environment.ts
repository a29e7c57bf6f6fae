/**
 * One LMDB environment of one real path, shared by every context and slot of this process and safely by other processes.
 * Opens it with its parents, checks its format, keeps the database handles and the write queue, closes with its last user.
 */
import { mkdirSync, realpathSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ConfigurationError } from '@concursus/core';
import { open } from 'lmdb';
import type { Database, RootDatabase } from 'lmdb';
import { fullError, translated } from './errors.js';
import { WriteQueue } from './write-queue.js';

/** Raised when stored bytes change their meaning. */
const FORMAT = 'concursus-lmdb-2';
/** Thirteen databases a context: room for 39 contexts. Each costs a few bytes a transaction. */
const DATABASES_MAX = 512;
/** LZ4 takes the chunks of real reports to a third and costs less than the pages it saves; below this it saves no page. */
const COMPRESSED_BYTES_MIN = 300;
/** Address space taken at first, not disk; LMDB takes more when the file outgrows it. */
const MAP_BYTES_INITIAL = 1_073_741_824;

export type Bytes = Database<Uint8Array, Uint8Array>;
/** Values as JSON text. */
export type Texts = Database<string, Uint8Array>;

const opened = new Map<string, Environment>();

export class Environment {
  readonly queue: WriteQueue;
  private readonly root: RootDatabase<Uint8Array, Uint8Array>;
  private readonly databases = new Map<string, Bytes | Texts>();
  private readonly shared = new Map<string, unknown>();
  private readonly file: string;
  private users = 0;
  private bound: number | undefined;

  private constructor(readonly path: string) {
    this.file = join(path, 'data.mdb');
    this.root = open<Uint8Array, Uint8Array>({
      path,
      noSubdir: false,
      keyEncoding: 'binary',
      encoding: 'binary',
      maxDbs: DATABASES_MAX,
      mapSize: MAP_BYTES_INITIAL,
    });
    this.queue = new WriteQueue(
      this.root,
      () => {
        this.checkRoom();
      },
      async (error) => {
        // The driver keeps the cause of a failed commit behind a promise of its own.
        const cause = (error as { commitError?: Promise<never> }).commitError;
        if (cause === undefined) return translated(error, path);
        return translated(await cause.catch((reason: unknown) => reason), path);
      },
    );
  }

  /**
   * The environment at a path, which is created with its parents; the same object for the same real path.
   * @throws ConfigurationError `SCHEMA_MISMATCH` @throws UnavailableError `STORE_UNREACHABLE`, `STORE_FULL`
   */
  static acquire(path: string, mapSizeBytes: number | undefined): Environment {
    try {
      const folder = resolve(path);
      mkdirSync(folder, { recursive: true });
      const real = realpathSync(folder);
      let environment = opened.get(real);
      if (environment === undefined) {
        environment = new Environment(real);
        environment.checkFormat();
        opened.set(real, environment);
      }
      environment.users++;
      if (mapSizeBytes !== undefined) environment.bound = Math.max(environment.bound ?? 0, mapSizeBytes);
      return environment;
    } catch (error) {
      throw translated(error, path);
    }
  }

  private checkFormat(): void {
    const key = Buffer.from('concursus');
    const database = this.root.openDB<Uint8Array, Uint8Array>('concursus', {
      keyEncoding: 'binary',
      encoding: 'binary',
    });
    const found = database.get(key);
    if (found === undefined) {
      // LMDB lists the databases by name, with the NUL of a C string behind some.
      const others = [...this.root.getKeys()].filter((name) => !Buffer.from(name).toString().startsWith('concursus'));
      if (others.length === 0) {
        database.transactionSync(() => {
          if (database.get(key) === undefined) database.putSync(key, Buffer.from(FORMAT));
        });
        return;
      }
    }
    const text = found === undefined ? 'no format row' : `the format "${Buffer.from(found).toString()}"`;
    if (found !== undefined && Buffer.from(found).toString() === FORMAT) return;
    void this.root.close();
    throw new ConfigurationError(
      'SCHEMA_MISMATCH',
      `The LMDB environment at ${this.path} has ${text}, and this version of @concursus/lmdb reads "${FORMAT}".`,
      { fix: 'Give it a folder of its own, or open it with the version that wrote it.', details: { path: this.path } },
    );
  }

  /** A named database of binary values. Compressed ones hold values whose first byte is below 250. */
  bytes(context: string, name: string, compressed = false): Bytes {
    return this.database(context, name, 'binary', compressed) as Bytes;
  }

  /** A named database of texts. */
  texts(context: string, name: string): Texts {
    return this.database(context, name, 'string', false) as Texts;
  }

  /** A named database of binary values, each with a version that a write can be made to depend on. */
  versioned(context: string, name: string): Bytes {
    return this.database(context, name, 'binary', false, true) as Bytes;
  }

  private database(
    context: string,
    name: string,
    encoding: 'binary' | 'string',
    compressed: boolean,
    useVersions = false,
  ): Bytes | Texts {
    const full = `${name}/${context}`;
    let database = this.databases.get(full);
    if (database === undefined) {
      const compression = compressed ? { threshold: COMPRESSED_BYTES_MIN } : false;
      const options = { keyEncoding: 'binary', encoding, compression, useVersions } as const;
      database = this.root.openDB(full, options) as Bytes | Texts;
      this.databases.set(full, database);
    }
    return database;
  }

  /** Reads that follow in this turn see what was committed until now, not only until its first read. */
  renewSnapshot(): void {
    this.root.resetReadTxn();
  }

  /** One object for all users of this environment in this process, such as a context's log. */
  share<T>(name: string, make: () => T): T {
    let value = this.shared.get(name);
    if (value === undefined) {
      value = make();
      this.shared.set(name, value);
    }
    return value as T;
  }

  /** Bytes of its file. LMDB reuses freed pages but never shrinks the file. */
  get usedBytes(): number {
    return statSync(this.file).size;
  }

  private checkRoom(): void {
    const { bound } = this;
    if (bound === undefined) return;
    const used = this.usedBytes;
    if (used >= bound) throw fullError(this.path, used, bound);
  }

  /** Waits for what was queued; the last user closes the file. */
  async release(): Promise<void> {
    await this.queue.drained();
    if (--this.users > 0) return;
    opened.delete(this.path);
    await this.root.close();
  }
}
