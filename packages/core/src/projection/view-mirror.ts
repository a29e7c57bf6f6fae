/**
 * A view held by somebody who only follows its changes, in this process or another: the same rows as the view's own at
 * every change (law 6). Behind stop 14 of the walk: `for await (const change of view.changes({ from: mirror.token })) mirror.apply(change)`.
 */
import { canonicalJson } from '../model/canonical-json.js';
import { UnavailableError } from '../model/errors.js';
import { countOf, covers } from './change-token.js';
import type { View, ViewChange } from './view.js';

/** Rows read at once when a mirror begins in the middle. */
const PAGE = 1_000;

interface Held<V> {
  readonly value: V;
  readonly revision: number;
}

export class ViewMirror<V extends object> {
  private readonly held = new Map<string, Held<V>>();
  private last = '0';
  /** Changes up to here may be in the rows that were read at the beginning already. */
  private seededUpTo = '0';

  /**
   * A mirror that begins with the view's rows as they are, for views whose first changes are no longer kept. Without it,
   * `new ViewMirror()` follows from the first change.
   */
  static async of<V extends object>(view: View<V>): Promise<ViewMirror<V>> {
    const mirror = new ViewMirror<V>();
    mirror.last = await view.lastToken();
    let after: string | undefined;
    do {
      const page = await view.find({ limit: PAGE, ...(after === undefined ? {} : { after }) });
      for (const { key, value, revision } of page.rows) mirror.held.set(key, { value, revision });
      after = page.next;
    } while (after !== undefined);
    // What was changed while the rows were read comes again as a change, and may be in them.
    mirror.seededUpTo = await view.lastToken();
    return mirror;
  }

  /** The sequence of the last change applied. */
  get sequence(): number {
    return countOf(this.last);
  }

  /** Its place: go on from here, also after a restart that kept the rows with it. */
  get token(): string {
    return this.last;
  }

  get size(): number {
    return this.held.size;
  }

  get(key: string): V | undefined {
    return this.held.get(key)?.value;
  }

  /** Rows as they stand, in no order. */
  *rows(): Generator<readonly [key: string, value: V]> {
    for (const [key, { value }] of this.held) yield [key, value];
  }

  /**
   * Takes one change in, in the order of their sequences; one that is known already changes nothing.
   * @throws UnavailableError `CHANGES_TRIMMED` when changes before it are missing, or it retracts what is not held: begin again with `ViewMirror.of`
   */
  apply(change: Omit<ViewChange<V>, 'token'> & { readonly token?: string }): void {
    const { token = String(change.sequence) } = change;
    if (covers(this.last, token)) return;
    const held = this.held.get(change.key);
    if (covers(token, this.seededUpTo) && token !== this.seededUpTo) {
      const differs = change.sequence !== this.sequence + 1 || text(change.retract) !== text(held?.value ?? null);
      if (differs) {
        throw new UnavailableError(
          'CHANGES_TRIMMED',
          `Change ${change.sequence} of row "${change.key}" does not follow on ${this.last}.`,
          { fix: 'Read the view’s rows anew: ViewMirror.of(view).' },
        );
      }
    }
    this.last = token;
    if (held !== undefined && held.revision >= change.revision) return;
    if (change.assert === null) this.held.delete(change.key);
    else this.held.set(change.key, { value: change.assert, revision: change.revision });
  }
}

function text(value: object | null): string {
  return canonicalJson(value);
}
