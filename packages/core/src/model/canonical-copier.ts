/**
 * Copies parameters and checks them in one pass, at stop 4 of the walk: the copy is what parsing their canonical text would
 * give, keys in its order, and nothing of the original is kept.
 */
import { isOrdinaryKey, isWireNumber, sortedKeys } from './canonical-json.js';
import { limits } from './limits.js';
import { ShapeMakers, type Shape } from './shape-makers.js';
import type { Parameters, WireValue } from './wire-value.js';

/** Bytes of text that a character can become: a control character is written as six. */
const BYTES_A_CHARACTER = 6;
/** Bytes of text around or in place of a value: quotes, colon and comma, or the longest number. */
const BYTES_A_VALUE = 30;

/** What is found out about one copy on the way. */
interface Tally {
  bytes: number;
  flat: boolean;
  refused: boolean;
}

/** One for each kind of event: events of a kind have the same keys in the same order mostly, which are sorted and checked once. */
export class CanonicalCopier {
  /** Of the last copy: true when no value of it is an array or object. */
  flat = true;
  /** Of the last copy, when it is flat: how it was made, if by compiled code. `JSON.stringify` writes its canonical text then. */
  shape: Shape | undefined = undefined;
  private known: readonly string[] = [];
  private sorted: readonly string[] = [];
  private readonly makers = new ShapeMakers(Object.prototype, (keys) => keys.toSorted(), checked);

  /**
   * The copy, or undefined where anything is out of the ordinary: a value or key that `canonicalJson` may refuse, or
   * so much of it that the text may have more than `bytesMax`. The text says then what it is.
   */
  copy(parameters: object, bytesMax: number): Parameters | undefined {
    const prototype: unknown = Object.getPrototypeOf(parameters);
    if (prototype !== Object.prototype && prototype !== null) return undefined;
    const tally: Tally = { bytes: 0, flat: true, refused: false };
    const shape = this.shapeOf(parameters as Parameters);
    const copy = shape === undefined ? this.byKey(parameters, tally) : new shape.Maker(parameters as Parameters, tally);
    if (shape !== undefined) tally.bytes += shape.characters * BYTES_A_CHARACTER;
    if (copy === undefined || tally.refused || tally.bytes > bytesMax) return undefined;
    // Only keys that were found in order are ever compiled.
    if (shape === undefined) this.makers.learn(parameters as Parameters);
    // Last: a getter of the original may have used this copier meanwhile.
    this.flat = tally.flat;
    // Compiled keys are in canonical order and none is a number, which every object has in front.
    this.shape = tally.flat && !('toJSON' in Object.prototype) ? shape : undefined;
    return copy as Parameters;
  }

  private shapeOf(parameters: Parameters): Shape | undefined {
    const shape = this.makers.find(parameters);
    // What everything inherits comes behind an object's own keys: where the last is its own, all are.
    const last = shape?.keys.at(-1);
    return last === undefined || Object.hasOwn(parameters, last) ? shape : undefined;
  }

  private byKey(parameters: object, tally: Tally): Parameters | undefined {
    const sorted = this.inOrder(Object.keys(parameters));
    if (sorted === undefined) return undefined;
    const copy: Record<string, WireValue> = {};
    for (let i = 0; i < sorted.length; i++) {
      const key = sorted[i]!;
      const value = checked((parameters as Record<string, unknown>)[key], tally);
      if (value === undefined) return undefined;
      tally.bytes += key.length * BYTES_A_CHARACTER;
      copy[key] = value;
    }
    return copy;
  }

  /** The keys in canonical order; undefined when one of them is not ordinary. */
  private inOrder(keys: readonly string[]): readonly string[] | undefined {
    const { known } = this;
    if (keys.length === known.length) {
      let i = 0;
      while (i < keys.length && keys[i] === known[i]) i++;
      if (i === keys.length) return this.sorted;
    }
    for (let i = 0; i < keys.length; i++) if (!isOrdinaryKey(keys[i]!)) return undefined;
    this.known = keys;
    return (this.sorted = keys.toSorted());
  }
}

/** The copy of a value of the parameters' own; undefined, and noted, where it is out of the ordinary. */
function checked(value: unknown, tally: Tally): WireValue | undefined {
  const copy = copyOf(value, 1, tally);
  if (copy === undefined) tally.refused = true;
  else if (typeof copy === 'object' && copy !== null) tally.flat = false;
  return copy;
}

/** A checked copy of one value, undefined where `canonicalJson` may refuse it. */
function copyOf(value: unknown, depth: number, size: Tally): WireValue | undefined {
  size.bytes += BYTES_A_VALUE;
  switch (typeof value) {
    case 'string':
      size.bytes += value.length * BYTES_A_CHARACTER;
      return value.isWellFormed() ? value : undefined;
    case 'number':
      // -0 is written as 0.
      return isWireNumber(value) ? value + 0 : undefined;
    case 'boolean':
      return value;
    case 'object':
      break;
    default:
      return undefined;
  }
  if (value === null) return null;
  if (depth > limits.parametersDepth) return undefined;
  if (Array.isArray(value)) {
    const list: WireValue[] = [];
    for (let i = 0; i < value.length; i++) {
      const item = copyOf(value[i], depth + 1, size);
      if (item === undefined) return undefined;
      list.push(item);
    }
    return list;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return undefined;
  const keys = sortedKeys(value);
  const copy: Record<string, WireValue> = {};
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    const part = isOrdinaryKey(key) ? copyOf((value as Record<string, unknown>)[key], depth + 1, size) : undefined;
    if (part === undefined) return undefined;
    size.bytes += key.length * BYTES_A_CHARACTER;
    copy[key] = part;
  }
  return copy;
}
