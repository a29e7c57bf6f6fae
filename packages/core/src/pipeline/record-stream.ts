/**
 * One `record()` of a stream: pulls items, cuts them into batches, keeps at most two batches under way (one is decoded
 * while the other commits) and reports them in order. Memory holds two batches and what one pull brought, however long the stream.
 */
import { ConcursusError, UnavailableError } from '../model/errors.js';
import type { EventInput } from '../model/event-input.js';
import type { Position } from '../model/position.js';
import { weightOfBytes } from './admission.js';
import { BatchItem } from './batch.js';
import type { Batch } from './batch.js';
import { isRawInput } from './receiver.js';
import { attachSummary, StreamBatch, Summary, Totals } from './record.js';
import type { RawInput, RecordOptions, RecordSummary, Rejection, StreamItem } from './record.js';

const BATCHES_IN_FLIGHT = 2;
/** Weight of a batch, about: large inputs make short batches, so that a batch never holds much more than 2 MB of them. */
const BATCH_WEIGHT_MAX = 1_024;

/** What a stream needs of the bus. */
export interface StreamHost {
  now(): number;
  /** Waits for the slowed sources among the items, then for room; followed by `leave`. */
  enter(items: readonly BatchItem[], weight: number, options: RecordOptions): Promise<void>;
  leave(weight: number): void;
  /** Takes the items down the road. `turn`, when given, is awaited between validation and everything else. */
  take(items: BatchItem[], options: RecordOptions, firstIndex: number, turn: Promise<void> | undefined): Promise<Batch>;
}

export class RecordStream {
  private readonly totals = new Totals();
  private readonly rejections: Rejection[] = [];
  private position: Position | undefined = undefined;
  private buffer: BatchItem[] = [];
  private head = 0;
  /** Of what is in the buffer. */
  private weight = 0;
  private lines = 0;
  private started = 0;
  private inFlight = 0;
  /** Resolves when the batch before is reported; rejects when it failed. */
  private last: Promise<void> = Promise.resolve();
  private exhausted = false;
  private failed = false;
  private failure: unknown = undefined;
  private sourceFailure: { readonly error: unknown } | undefined = undefined;
  /** Tells the source that nobody listens any more. */
  private closeSource: (() => void) | undefined = undefined;
  private roomMade: (() => void) | undefined = undefined;
  private settle: (() => void) | undefined = undefined;

  constructor(
    private readonly host: StreamHost,
    private readonly options: RecordOptions,
    /** Items of a batch, at most. */
    private readonly sizeMax: number,
  ) {}

  /** Runs the stream to its end. Rejects with the first error of the source, of a batch, or that `stop` was given; `summaryOf(error)` tells what was done by then. */
  async run(stream: AsyncIterable<StreamItem>): Promise<RecordSummary> {
    const { signal } = this.options;
    const abort = (): void =>
      this.stop(
        new UnavailableError('ABORTED', 'The caller ended the stream.', {
          fix: 'Send it again: what is stored already is answered as repeated.',
        }),
      );
    if (signal?.aborted === true) abort();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const settled = new Promise<void>((resolve) => (this.settle = resolve));
      // Not awaited: a source that never yields again must not hold an aborted call.
      void this.pull(stream);
      await settled;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
    const summary = new Summary(this.position);
    summary.add(this.totals);
    summary.rejections = this.rejections;
    if (!this.failed) return summary;
    attachSummary(this.failure, summary);
    throw withSummary(this.failure, summary);
  }

  /** Ends the stream: batches under way are finished, nothing more is taken. */
  stop(error: unknown): void {
    if (this.failed) return;
    this.failed = true;
    this.failure = error;
    this.buffer = [];
    this.head = 0;
    this.weight = 0;
    this.roomMade?.();
    this.advance();
  }

  private async pull(stream: AsyncIterable<StreamItem>): Promise<void> {
    let iterator: AsyncIterator<StreamItem> | undefined;
    let open = true;
    try {
      iterator = stream[Symbol.asyncIterator]();
      this.closeSource = () => {
        if (open) void Promise.resolve(iterator?.return?.()).catch(ignore);
      };
      while (!this.failed) {
        const step = await iterator.next();
        if (step.done === true) {
          open = false;
          break;
        }
        if (this.failed) break;
        this.push(step.value);
        this.advance();
        while (!this.failed && this.full) {
          await new Promise<void>((resolve) => (this.roomMade = resolve));
          this.roomMade = undefined;
        }
      }
    } catch (error) {
      open = false;
      // What came before the break is good: it is stored before the error is told.
      this.sourceFailure = { error };
    }
    this.exhausted = true;
    this.advance();
  }

  private push(value: StreamItem): void {
    const now = this.host.now();
    if (value instanceof StreamBatch) {
      for (let i = 0; i < value.items.length; i++) this.pushOne(value.items[i]!, now);
    } else this.pushOne(value, now);
  }

  private pushOne(input: EventInput | RawInput, now: number): void {
    const raw = isRawInput(input);
    this.lines = raw ? input.line : this.lines + 1;
    const item = new BatchItem(this.lines, input, false);
    if (raw) item.weight = weightOfBytes(input.bytes.byteLength);
    this.weight += item.weight;
    item.receivedAt = now;
    this.buffer.push(item);
  }

  private get full(): boolean {
    return this.buffer.length - this.head >= this.sizeMax || this.weight >= BATCH_WEIGHT_MAX;
  }

  /** How many items of the buffer make the next batch. */
  private nextBatch(): number {
    const available = Math.min(this.buffer.length - this.head, this.sizeMax);
    let weight = 0;
    let taken = 0;
    while (taken < available && weight < BATCH_WEIGHT_MAX) weight += this.buffer[this.head + taken++]!.weight;
    this.weight -= weight;
    return taken;
  }

  /** Starts what may start; ends the run when nothing is left. */
  private advance(): void {
    while (!this.failed && this.inFlight < BATCHES_IN_FLIGHT && this.head < this.buffer.length) {
      const items = this.buffer.slice(this.head, this.head + this.nextBatch());
      this.head += items.length;
      if (this.head === this.buffer.length) {
        this.buffer = [];
        this.head = 0;
      }
      this.inFlight++;
      const firstIndex = this.started;
      this.started += items.length;
      const previous = this.last;
      this.last = this.process(items, firstIndex, previous);
      this.last.catch(ignore); // the next batch and `stop` have it
    }
    if (!this.full) this.roomMade?.();
    if (this.inFlight > 0) return;
    if (this.failed) {
      this.closeSource?.();
      this.settle?.();
    } else if (this.exhausted && this.head === this.buffer.length) {
      if (this.sourceFailure !== undefined) {
        this.failed = true;
        this.failure = this.sourceFailure.error;
      }
      this.settle?.();
    }
  }

  private async process(items: BatchItem[], firstIndex: number, previous: Promise<void>): Promise<void> {
    let entered = false;
    let weight = 0;
    for (let i = 0; i < items.length; i++) weight += items[i]!.weight;
    try {
      await this.host.enter(items, weight, this.options);
      entered = true;
      // A checkpoint covers everything before it: the batch before must be stored first, or a restart would skip it.
      const turn = this.options.checkpoint === undefined ? undefined : previous;
      const batch = await this.host.take(items, this.options, firstIndex, turn);
      await previous;
      await this.report(batch);
    } catch (error) {
      this.stop(error);
      throw error;
    } finally {
      if (entered) this.host.leave(weight);
      this.inFlight--;
      this.advance();
    }
  }

  private async report(batch: Batch): Promise<void> {
    const counts = new Totals();
    batch.countInto(counts);
    this.totals.add(counts);
    const room = (this.options.rejectionsMax ?? 100) - this.rejections.length;
    const rejections = counts.rejected === 0 ? [] : batch.rejections(Math.max(0, room));
    for (const rejection of rejections) this.rejections.push(rejection);
    if (batch.position !== undefined) this.position = this.position?.join(batch.position) ?? batch.position;
    if (this.options.onBatch === undefined) return;
    await this.options.onBatch({
      line: batch.lastLine,
      batch: counts,
      totals: this.totals.copy(),
      rejections,
      position: batch.position,
    });
  }
}

function ignore(): void {}

/** An error of ours says in its details what was done; errors of others are passed on as they are (`summaryOf` knows them). */
function withSummary(error: unknown, summary: RecordSummary): unknown {
  if (!(error instanceof UnavailableError) || !ConcursusError.isInstance(error)) return error;
  const told = new UnavailableError(error.code, error.reason, {
    fix: error.fix,
    details: { ...error.details, summary },
    cause: error.cause ?? error,
  });
  attachSummary(told, summary);
  return told;
}
