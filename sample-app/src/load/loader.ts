/**
 * Loads the sample file once: by one process, each line under the time it was received, resumed where a killed load was.
 * Until the store says loaded, live posts wait. One row of the store holds the progress (with the events, in their own
 * transactions) and, in the end, the marker; the owner row of the same name says who loads.
 *
 * A store that saves no progress with the events cannot resume a load under past times, for lines between would get them
 * twice. There the load is like one more sender: under live time, beside posts, and from the start again after a kill, when
 * what is stored comes as repeats.
 */
import { basename } from 'node:path';
import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import {
  CheckpointStore,
  ConcursusError,
  EventBus,
  EventStore,
  InjectPort,
  lacks,
  Ownership,
  parseEventTime,
  StreamBatch,
  SystemClock,
  UnavailableError,
  type EventInput,
  type OwnerRow,
  type RawInput,
} from '@concursus/core';
import { FLIGHTS, REPORTS } from '../flights/context.js';
import { readReport } from '../flights/flight-report.js';
import { LineSplitter } from '../flights/ndjson-lines.js';
import { SETTINGS, type Settings } from '../settings.js';
import { LoadClock } from './load-clock.js';
import { Progress } from './progress.js';
import { inspect, readFileBytes, type SampleFile } from './sample-file.js';

/** The name of the row and of its owner. */
const ROW = 'sample-load';
/** How often a process that does not load looks how far the other is. */
const LOOK_MS = 100;
/** How soon a store that did not answer is asked again. */
const AGAIN_MS = 1_000;

/** What the row says. */
interface Saved {
  /** Digests of the files that are loaded. */
  readonly loaded: readonly string[];
  /** The file under way. */
  readonly file: string | null;
  /** Lines of it that are stored. */
  readonly line: number;
  /** Where the load's clock stands, epoch ms. */
  readonly at: number;
  /** True once the machine's time was given to events: from then on no load can turn it back. */
  readonly live: boolean;
}

const NOTHING_SAVED: Saved = { loaded: [], file: null, line: 0, at: 0, live: false };

/** As the board shows it. */
export interface Loading {
  readonly line: number;
  readonly total: number | null;
  readonly done: boolean;
}

/** Where the load's clock stands after each line on its way: a batch is read while the one before is still being stored. */
class LineTimes {
  private readonly marks: { readonly line: number; readonly at: number }[] = [];

  constructor(private before: number) {}

  get latest(): number {
    return this.marks.at(-1)?.at ?? this.before;
  }

  note(line: number, at: number): void {
    if (at > this.latest) this.marks.push({ line, at });
  }

  upTo(line: number): number {
    const index = this.marks.findLastIndex((mark) => mark.line <= line);
    return index === -1 ? this.before : this.marks[index]!.at;
  }

  forgetUpTo(line: number): number {
    this.before = this.upTo(line);
    const passed = this.marks.findIndex((mark) => mark.line > line);
    this.marks.splice(0, passed === -1 ? this.marks.length : passed);
    return this.before;
  }
}

@Injectable()
export class Loader implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger('Load');
  private readonly machine = new SystemClock();
  private readonly stopping = new AbortController();
  private readonly ownership: Ownership;
  /** Whether lines get the times they were received at, and progress is saved with them. */
  private readonly asReceived: boolean;
  private running: Promise<void> = Promise.resolve();
  private won: () => void = () => undefined;
  private progress: Loading | undefined;
  private isLive = false;
  /** Posts that wait for the load's end. */
  private readonly waiting = new Set<() => void>();

  constructor(
    @Inject(SETTINGS) private readonly settings: Settings,
    @InjectPort(EventBus, FLIGHTS) private readonly bus: EventBus,
    @InjectPort(CheckpointStore, FLIGHTS) private readonly checkpoints: CheckpointStore,
    @InjectPort(EventStore, FLIGHTS) store: EventStore,
    @Inject(LoadClock) private readonly clock: LoadClock,
  ) {
    this.asReceived = lacks(store.capabilities, 'appendWithCheckpoint') === undefined;
    const process = Buffer.from(this.machine.randomBytes(8)).toString('hex');
    this.ownership = new Ownership(checkpoints, this.machine, this.logger, process, () => this.won());
    this.ownership.watch(ROW);
  }

  /** How far the load is; undefined when there was nothing to load. */
  get loading(): Loading | undefined {
    return this.progress;
  }

  /** The app listens meanwhile. */
  async onApplicationBootstrap(): Promise<void> {
    if (this.asReceived) await this.beginAsReceived();
    else this.goLive();
    this.running = this.runUntilDone().catch((error: unknown) => {
      if (this.stopping.signal.aborted) return;
      this.logger.error(`The sample could not be loaded: ${error instanceof Error ? error.message : String(error)}`);
      this.goLive();
    });
  }

  /** A store that does not answer now is asked again. */
  private async runUntilDone(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      try {
        return await this.run();
      } catch (error) {
        if (!ConcursusError.isInstance(error) || !error.retryable) throw error;
        this.logger.warn(`The store does not say whether there is something to load, asked again: ${error.reason}`);
        await this.machine.sleep(AGAIN_MS, this.stopping.signal);
      }
    }
  }

  /** Before anybody can ask the clock. */
  private async beginAsReceived(): Promise<void> {
    const saved = await this.read();
    if (this.settings.sampleData !== undefined && (saved.file !== null || saved.loaded.length === 0)) {
      this.progress = { line: saved.line, total: null, done: false };
    }
    if (!saved.live && this.settings.sampleData !== undefined) {
      this.clock.beginLoad();
      this.clock.follow(saved.at);
    }
  }

  async onModuleDestroy(): Promise<void> {
    this.stopping.abort();
    this.wakeWaiting();
    this.won();
    await this.running;
  }

  /**
   * Resolves once nothing is to be loaded any more and events get live time.
   * @throws UnavailableError `SHUTTING_DOWN`, or `ABORTED` when `signal` aborts first
   */
  async loaded(signal: AbortSignal): Promise<void> {
    if (this.isLive) return;
    if (!this.stopping.signal.aborted && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.waiting.add(resolve);
        const gone = (): void => {
          this.waiting.delete(resolve);
          resolve();
        };
        signal.addEventListener('abort', gone, { once: true });
      });
    }
    if (this.isLive) return;
    throw this.stopping.signal.aborted
      ? new UnavailableError('SHUTTING_DOWN', 'The application is shutting down.', {
          fix: 'Send it again to the next instance.',
        })
      : new UnavailableError('ABORTED', 'The sender has gone.', { fix: 'Send it again.' });
  }

  private wakeWaiting(): void {
    for (const wake of this.waiting) wake();
    this.waiting.clear();
  }

  private goLive(): void {
    this.clock.endLoad();
    this.isLive = true;
    this.wakeWaiting();
  }

  private async run(): Promise<void> {
    const path = this.settings.sampleData;
    const file = path === undefined ? undefined : await inspect(path);
    let saved = await this.read();
    if (file !== undefined && !saved.loaded.includes(file.digest)) {
      // Of a load without saved progress only its own process knows how far it is.
      if (this.asReceived) this.progress = { line: 0, total: file.lines, done: false };
      await this.loadOrWait(file);
      if (this.stopping.signal.aborted) return;
      this.progress = { line: file.lines, total: file.lines, done: true };
      saved = await this.read();
    } else this.progress = undefined;
    this.goLive();
    if (!saved.live) await this.markLive();
  }

  /** Loads as soon as this process may; done when the marker is there, whoever wrote it. */
  private async loadOrWait(file: SampleFile): Promise<void> {
    await this.ownership.start();
    try {
      while (!this.stopping.signal.aborted) {
        const saved = await this.read();
        if (saved.loaded.includes(file.digest)) return;
        const owner = this.ownership.held(ROW);
        if (owner !== undefined) {
          try {
            if (await this.load(file, saved, owner)) return;
          } catch (error) {
            // Another process took over, or the store was busy: look again. Everything else ends the load.
            if (!ConcursusError.isInstance(error) || !(error.retryable || error.name === 'ConflictError')) throw error;
            if (this.stopping.signal.aborted || error.code === 'SHUTTING_DOWN') return;
            this.logger.warn(`The load was interrupted and goes on: ${error.reason}`);
            if (error.name === 'ConflictError') this.ownership.lost(ROW);
          }
        } else {
          if (saved.file === file.digest) this.show(file, saved.line, saved.at);
        }
        await Promise.race([
          this.machine.sleep(LOOK_MS, this.stopping.signal),
          new Promise<void>((resolve) => (this.won = resolve)),
        ]);
      }
    } finally {
      await this.ownership.stop();
    }
  }

  /** One run over the file from where the row says, or from its start. True when it is loaded. */
  private async load(file: SampleFile, saved: Saved, owner: OwnerRow): Promise<boolean> {
    const from = saved.file === file.digest ? saved.line : 0;
    const bar = new Progress(`Loading ${basename(file.path)}`, process.stdout);
    const times = new LineTimes(Math.max(saved.at, 0));
    const value = (line: number): string =>
      JSON.stringify({
        loaded: saved.loaded,
        file: file.digest,
        line,
        at: times.upTo(line),
        live: saved.live,
      } satisfies Saved);
    this.show(file, from, saved.at);
    bar.update(from, file.lines, `${from} of ${file.lines} lines`);
    try {
      const summary = await this.bus.record(this.lines(file, from), {
        decode: (text, { line }) => {
          const input = readReport(text);
          const receivedAt = input.metadata?.['receivedAt'];
          if (receivedAt !== undefined) times.note(line, Math.min(parseEventTime(receivedAt), this.machine.now()));
          return input;
        },
        source: REPORTS,
        signal: this.stopping.signal,
        ...(this.asReceived
          ? {
              checkpoint: { name: ROW, epoch: owner.epoch, valueOf: value },
              receivedAt: (input: EventInput) => {
                const receivedAt = input.metadata?.['receivedAt'];
                // A line without one, or from the past, comes just above the last id: the store sees to it.
                return receivedAt === undefined
                  ? 0
                  : Math.max(0, Math.min(parseEventTime(receivedAt), this.machine.now()));
              },
            }
          : {}),
        onBatch: ({ line, totals }) => {
          this.show(file, line, times.forgetUpTo(line));
          bar.update(line, file.lines, `${line} of ${file.lines} lines, ${totals.rejected} rejected`);
        },
      });
      bar.update(file.lines, file.lines, `${file.lines} of ${file.lines} lines, ${summary.rejected} rejected`);
    } finally {
      bar.end();
    }
    // The beats of the owner have gone on meanwhile; its epoch is the same, or the row is refused.
    const done: Saved = {
      loaded: [...saved.loaded, file.digest],
      file: null,
      line: 0,
      at: times.latest,
      live: saved.live || !this.asReceived,
    };
    const expected = await this.checkpoints.read(ROW);
    await this.checkpoints.save(ROW, JSON.stringify(done), { epoch: owner.epoch, expected });
    return true;
  }

  private show(file: SampleFile, line: number, at: number): void {
    this.clock.follow(at);
    this.progress = { line, total: file.lines, done: false };
  }

  /** The file's lines behind `from`. */
  private async *lines(file: SampleFile, from: number): AsyncGenerator<StreamBatch<RawInput>> {
    const splitter = new LineSplitter(REPORTS);
    const behind = (lines: RawInput[]): RawInput[] =>
      lines.length === 0 || lines[0]!.line > from ? lines : lines.filter(({ line }) => line > from);
    for await (const chunk of await readFileBytes(file.path)) {
      const lines = behind(splitter.push(chunk));
      if (lines.length > 0) yield new StreamBatch(lines);
    }
    const last = behind(splitter.flush());
    if (last.length > 0) yield new StreamBatch(last);
  }

  private async read(): Promise<Saved> {
    const text = await this.checkpoints.read(ROW);
    return text === undefined ? NOTHING_SAVED : (JSON.parse(text) as Saved);
  }

  /** From here on the machine's time is in the store. Best effort: who comes second finds it said. */
  private async markLive(): Promise<void> {
    const text = await this.checkpoints.read(ROW);
    const saved = text === undefined ? NOTHING_SAVED : (JSON.parse(text) as Saved);
    if (saved.live) return;
    const epoch = (await this.checkpoints.readOwner(ROW))?.epoch ?? 0;
    try {
      await this.checkpoints.save(ROW, JSON.stringify({ ...saved, live: true } satisfies Saved), {
        epoch,
        expected: text,
      });
    } catch (error) {
      if (!ConcursusError.isInstance(error) || error.name !== 'ConflictError') throw error;
    }
  }
}
