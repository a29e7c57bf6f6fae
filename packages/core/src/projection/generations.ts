/**
 * Generations of a view: the same projection built anew beside the one that is read. A pointer in the checkpoint store says
 * which one is read; every reader asks it at every call, so that all processes go over at once.
 *
 * The way over has two writes. First the old generation is *retired*: a mark under the name of its owner row, so that only who
 * owns it can write it, and whoever claims it later finds it and steps no further. Then the pointer is moved, by whoever finds
 * the mark; the new one may have gone on meanwhile, and has kept its changes. So an owner that was paused between the two, and
 * replaced, cannot move the pointer over what its follower committed:
 *
 *   paused owner: … reads both views equal …                            retire ✗ LEASE_LOST
 *   its follower:                            claims, commits more changes
 */
import { ConflictError, InvalidEventError } from '../model/errors.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { ViewRef, ViewStore } from '../ports/view-store.js';

/** The user's version of a projection, and how often that version was built. */
export interface Generation {
  readonly version: number;
  /** 0 for the first. */
  readonly generation: number;
}

/** What is to be built. */
export interface RebuildRequest extends Generation {
  readonly startedAt: number;
  /** `version`: the code has another version than the view that is read. `asked`: by `Projections.rebuild`. */
  readonly reason: 'version' | 'asked';
}

/** User versions are below it, so that a generation's place in the store is one number: version + generation × 1,000,000. */
export const VERSIONS_MAX = 1_000_000;
/** Stores keep that number in 32 bits. */
const GENERATIONS_MAX = 4_000;

/** A note of a view: from which generation it took over, or tried to, and where the sequence of its changes began. */
export const TAKEN_FROM = 'rebuild/taken-from';

/** Generation 0 stands where views without generations stood. */
export function viewRefOf(name: string, { version, generation }: Generation): ViewRef {
  return { name, version: version + generation * VERSIONS_MAX, slice: -1 };
}

export function generationOf(ref: number): Generation {
  return { version: ref % VERSIONS_MAX, generation: Math.floor(ref / VERSIONS_MAX) };
}

/** The owner row of one generation; of its retirement the checkpoint of the same name. */
export function ownerNameOf(name: string, generation: Generation): string {
  return `projection:${name}:${viewRefOf(name, generation).version}`;
}

export function sameGeneration(a: Generation | undefined, b: Generation | undefined): boolean {
  return a?.version === b?.version && a?.generation === b?.generation;
}

export function generationText({ version, generation }: Generation): string {
  return generation === 0 ? `version ${version}` : `version ${version}, generation ${generation}`;
}

const pointerOf = (name: string): string => `view:${name}`;
const requestOf = (name: string): string => `rebuild:${name}`;

/** Which generation of a view is read. */
export async function readPointer(checkpoints: CheckpointStore, name: string, version: number): Promise<Generation> {
  const text = await checkpoints.read(pointerOf(name));
  return text === undefined ? { version, generation: 0 } : generationOf(Number(text));
}

/** Where the rows are that answer now; `version` counts before anything was built. */
export async function currentView(checkpoints: CheckpointStore, name: string, version: number): Promise<ViewRef> {
  return viewRefOf(name, await readPointer(checkpoints, name, version));
}

export class Generations {
  constructor(
    private readonly checkpoints: CheckpointStore,
    private readonly views: ViewStore,
  ) {}

  read(name: string, version: number): Promise<Generation> {
    return readPointer(this.checkpoints, name, version);
  }

  /**
   * Sees that the pointer is set, and that a view of another version than `version` is built anew: what a process does first.
   * Views from before there were pointers are found by what the store holds.
   */
  async open(name: string, version: number, now: number): Promise<Generation> {
    let text = await this.checkpoints.read(pointerOf(name));
    if (text === undefined) {
      const kept = await this.views.versions(name);
      const first = kept.includes(version) || kept.length === 0 ? version : Math.max(...kept);
      await this.set(pointerOf(name), String(first), undefined);
      text = (await this.checkpoints.read(pointerOf(name)))!;
    }
    const live = generationOf(Number(text));
    if (live.version !== version) await this.request(name, version, now, 'version');
    return live;
  }

  /** Whether the store holds anything of a view. */
  async isKept(name: string): Promise<boolean> {
    return (await this.views.versions(name)).length > 0;
  }

  async requested(name: string): Promise<RebuildRequest | undefined> {
    return parseRequest(await this.checkpoints.read(requestOf(name)));
  }

  /**
   * Asks for the next generation of a version; one that is asked for already is what is answered. One that is read is not: who
   * let the readers go over to it died before it took the request away.
   */
  async request(name: string, version: number, now: number, reason: RebuildRequest['reason']): Promise<RebuildRequest> {
    for (;;) {
      const text = await this.checkpoints.read(requestOf(name));
      const found = parseRequest(text);
      if (found?.version === version && !sameGeneration(found, await this.read(name, version))) return found;
      const next: RebuildRequest = { ...(await this.next(name, version)), startedAt: now, reason };
      if (await this.set(requestOf(name), JSON.stringify(next), text)) return next;
    }
  }

  /** A request that is done. Another one that came meanwhile stays. */
  async done(name: string, generation: Generation): Promise<void> {
    const text = await this.checkpoints.read(requestOf(name));
    if (sameGeneration(parseRequest(text), generation)) await this.set(requestOf(name), '', text);
  }

  /** The generation that takes over from one, once it is decided. */
  async retiredFor(name: string, from: Generation): Promise<Generation | undefined> {
    const text = await this.checkpoints.read(ownerNameOf(name, from));
    return text === undefined ? undefined : generationOf(Number(text));
  }

  /**
   * Ends a generation. Only its owner can: nothing is committed to it afterwards.
   * @throws ConflictError `LEASE_LOST`, `CHECKPOINT_MOVED`
   */
  async retire(name: string, from: Generation, to: Generation, epoch: number): Promise<void> {
    if (sameGeneration(await this.retiredFor(name, from), to)) return;
    const value = String(viewRefOf(name, to).version);
    await this.checkpoints.save(ownerNameOf(name, from), value, { epoch, expected: undefined });
  }

  /** Lets all readers go over from a retired generation. Whoever does it second changes nothing. */
  async follow(name: string, from: Generation, to: Generation): Promise<void> {
    await this.set(pointerOf(name), String(viewRefOf(name, to).version), String(viewRefOf(name, from).version));
    await this.done(name, to);
  }

  /** Never one that was: its owner row and its retirement would speak of another view. */
  private async next(name: string, version: number): Promise<Generation> {
    // What is read may hold nothing yet, and be nobody's.
    const known = [await this.read(name, version), ...(await this.views.versions(name)).map(generationOf)];
    const kept = known.filter((one) => one.version === version);
    for (let generation = Math.max(-1, ...kept.map((one) => one.generation)) + 1; ; generation++) {
      if (generation > GENERATIONS_MAX) {
        throw new InvalidEventError(
          'LIMIT_EXCEEDED',
          `"${name}" was built ${generation} times in version ${version}.`,
          {
            fix: 'Give the projection the next version.',
          },
        );
      }
      const next = { version, generation };
      const owner = ownerNameOf(name, next);
      if ((await this.checkpoints.readOwner(owner)) !== undefined) continue;
      if ((await this.checkpoints.read(owner)) === undefined) return next;
    }
  }

  /** Saves a value that nobody owns, if it is as expected. @returns whether it was */
  async set(name: string, value: string, expected: string | undefined): Promise<boolean> {
    try {
      await this.checkpoints.save(name, value, { epoch: 0, expected });
      return true;
    } catch (error) {
      if (error instanceof ConflictError) return false;
      throw error;
    }
  }
}

function parseRequest(text: string | undefined): RebuildRequest | undefined {
  return text === undefined || text === '' ? undefined : (JSON.parse(text) as RebuildRequest);
}
