/** What a case of the bench is: sides that do the same work, and what is compared with what. */

/** `ours` is the toolkit · `bare` is the least anybody must do · `peer` is what a user could take instead. */
export type Part = 'ours' | 'bare' | 'peer';

/** One round of a side, made ready and not yet run: only `run` is timed. */
export interface Round {
  /** How many operations `run` does. */
  readonly operations: number;
  run(): unknown;
  /** Not timed: assertions, cleaning up. */
  done?(): unknown;
}

export interface Side {
  readonly name: string;
  readonly part: Part;
  /** Makes a round of about this many operations ready. A side whose work has one size ignores the number. */
  round(operations: number): Round | Promise<Round>;
  close?(): unknown;
}

/** The real servers of a run, each as its clients reach it; what no chosen case asks for is not there. */
export interface ServerAddresses {
  readonly cassandra?: {
    readonly contactPoints: readonly string[];
    readonly port: number;
    readonly localDataCenter: string;
    /** Of a server that runs on this machine, for its core time. */
    readonly pid?: number;
  };
  readonly kafka?: { readonly brokers: readonly string[] };
}

/** Where a case may put its files, and how long it may take. */
export interface CaseContext {
  /** Small inputs: the whole bench in under three minutes. */
  readonly quick: boolean;
  /** True when the peers are installed. */
  readonly peers: boolean;
  readonly servers: ServerAddresses;
  /** A fresh folder on the disk the bench is asked to measure. */
  folder(): string;
  /** A fresh folder where a flush costs nothing, where the machine has one. */
  memoryFolder(): string;
}

export interface BenchCase {
  /** `group/name`, unique. */
  readonly id: string;
  /** What one operation is. */
  readonly operation: string;
  /** Runs on a real server, and only in the run of those. */
  readonly server?: keyof ServerAddresses;
  /** Left out of the quick run. */
  readonly slow?: boolean;
  /** Node as it is started by default: for times of which each counts, and with them the collections of a young generation of its usual size. */
  readonly plainNode?: boolean;
  /** Rounds of a case whose rounds are long; else the harness's. */
  readonly rounds?: number;
  /** Which ratios are told, by names of sides. Default: the first of ours beside every other side. */
  readonly compare?: readonly (readonly [of: string, to: string])[];
  sides?(context: CaseContext): readonly Side[] | Promise<readonly Side[]>;
  /** Exact numbers: transactions, flushes, promises. */
  counts?(context: CaseContext): Promise<Readonly<Record<string, number>>>;
  /** Measured numbers that are no pair: bytes, milliseconds, percentiles. Units at the end of the names. */
  values?(context: CaseContext): Promise<Readonly<Record<string, number>>>;
}

export interface Spread {
  readonly median: number;
  readonly p25: number;
  readonly p75: number;
}

export interface SideResult {
  readonly name: string;
  readonly part: Part;
  readonly perSecond: Spread;
  /** Share of its own time spent collecting garbage, 0 to 1. */
  readonly gcShare: number;
  /** Bytes allocated on the heap by one operation; undefined when a collection came in between each time. */
  readonly allocatedBytes: number | undefined;
}

/** Paired: each round of one side is divided by the round of the other beside it, and two rounds in opposite order make one ratio. */
export interface RatioResult extends Spread {
  readonly of: string;
  readonly to: string;
  readonly rounds: number;
}

export interface CaseResult {
  readonly id: string;
  readonly operation: string;
  readonly sides: readonly SideResult[];
  readonly ratios: readonly RatioResult[];
  readonly counts: Readonly<Record<string, number>>;
  readonly values: Readonly<Record<string, number>>;
  /** After a full collection, all sides still open. */
  readonly heapMB: number;
  /** The most the process ever held. */
  readonly rssMB: number;
  /** The top of the CPU profile, when one was asked for. */
  readonly profile: string | undefined;
}
