/**
 * RFC 8785 (JSON Canonicalization Scheme), and the one place where values are checked: what passes here can be stored,
 * digested and read back equal by every provider. Finite numbers print as ECMAScript prints them, keys sort by UTF-16 unit.
 */
import { InvalidEventError } from './errors.js';
import type { InvalidEventCode } from './errors.js';
import { limits } from './limits.js';

const PLAIN_TEXT = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;
const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype']);

/** True for keys that could reach an object's prototype; they are refused wherever they stand. */
export function isForbiddenKey(key: string): boolean {
  return FORBIDDEN.has(key);
}

function refuse(code: InvalidEventCode, path: string, what: string, fix: string): never {
  throw new InvalidEventError(code, `${path === '' ? 'the value' : path} ${what}.`, { fix, details: { path } });
}

function text(value: string, path: string): string {
  if (PLAIN_TEXT.test(value)) return `"${value}"`;
  if (!value.isWellFormed()) {
    refuse(
      'INVALID_TEXT',
      path,
      'holds a lone surrogate, which UTF-8 cannot express',
      'Send well-formed Unicode text.',
    );
  }
  return JSON.stringify(value);
}

/** True for `Object.prototype` of another realm: test runners and pages in frames hand over plain objects made there. */
function isForeignObjectPrototype(prototype: unknown): boolean {
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype as object, 'isPrototypeOf');
}

function write(value: unknown, path: string, depth: number): string {
  switch (typeof value) {
    case 'string':
      return text(value, path);
    case 'number':
      if (Number.isInteger(value)) {
        if (!Number.isSafeInteger(value)) {
          refuse(
            'PARAMETER_TYPE',
            path,
            'is an integer outside ±(2^53 − 1), which a JSON number cannot hold exactly',
            'Declare it as bigint with a codec, or send it as text.',
          );
        }
        return value === 0 ? '0' : String(value);
      }
      if (!Number.isFinite(value)) {
        refuse('PARAMETER_TYPE', path, 'is not a finite number', 'Send a finite number or null.');
      }
      return String(value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      break;
    default:
      refuse(
        'PARAMETER_TYPE',
        path,
        `is of type ${typeof value}`,
        'Send text, finite numbers, booleans, null, arrays and plain objects; declare a codec for bigint, Date and bytes.',
      );
  }
  if (value === null) return 'null';
  if (depth > limits.parametersDepth) {
    refuse(
      'LIMIT_EXCEEDED',
      path.slice(0, 80),
      `is nested deeper than ${limits.parametersDepth} levels`,
      'Flatten it, or check it for a cycle.',
    );
  }
  if (Array.isArray(value)) {
    let out = '[';
    for (let i = 0; i < value.length; i++) {
      if (i > 0) out += ',';
      out += write(value[i], `${path}[${i}]`, depth + 1);
    }
    return `${out}]`;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype && !isForeignObjectPrototype(prototype)) {
    const name = (value as { constructor?: { name?: string } }).constructor?.name ?? 'an object with a prototype';
    refuse('PARAMETER_TYPE', path, `is a ${name}, not a plain object`, 'Declare a codec for it, or send plain data.');
  }
  const object = value as Record<string, unknown>;
  const keys = Object.keys(object);
  for (let i = 1; i < keys.length; i++) {
    if (keys[i - 1]! > keys[i]!) {
      keys.sort();
      break;
    }
  }
  let out = '{';
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    const at = path === '' ? key : `${path}.${key}`;
    if (FORBIDDEN.has(key)) {
      refuse('FORBIDDEN_KEY', at, 'is a key that could change an object’s prototype', 'Rename or remove the key.');
    }
    if (i > 0) out += ',';
    out += `${text(key, at)}:${write(object[key], at, depth + 1)}`;
  }
  return `${out}}`;
}

/**
 * The same text for what is in order, without a path; undefined for everything else, which `write` then judges with
 * the path. Most events are in order, and a path is only for the message of one that is not.
 */
function quick(value: unknown, depth: number): string | undefined {
  switch (typeof value) {
    case 'string':
      if (PLAIN_TEXT.test(value)) return `"${value}"`;
      return value.isWellFormed() ? JSON.stringify(value) : undefined;
    case 'number':
      return isWireNumber(value) ? (value === 0 ? '0' : String(value)) : undefined;
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      break;
    default:
      return undefined;
  }
  if (value === null) return 'null';
  if (depth > limits.parametersDepth) return undefined;
  if (Array.isArray(value)) {
    let out = '[';
    for (let i = 0; i < value.length; i++) {
      const item = quick(value[i], depth + 1);
      if (item === undefined) return undefined;
      out += i > 0 ? `,${item}` : item;
    }
    return `${out}]`;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return undefined;
  const object = value as Record<string, unknown>;
  const keys = sortedKeys(object);
  let out = '{';
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    const item = isOrdinaryKey(key) ? quick(object[key], depth + 1) : undefined;
    if (item === undefined) return undefined;
    out += i > 0 ? `,"${key}":${item}` : `"${key}":${item}`;
  }
  return `${out}}`;
}

/** Whether the wire form has this number. */
export function isWireNumber(value: number): boolean {
  return Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value);
}

/** An object's keys in canonical order. */
export function sortedKeys(object: object): string[] {
  const keys = Object.keys(object);
  for (let i = 1; i < keys.length; i++) if (keys[i - 1]! > keys[i]!) return keys.sort();
  return keys;
}

/**
 * The RFC 8785 text of a value in wire form. Nothing of the value is kept, so later changes to it cannot reach the event.
 * @throws InvalidEventError with the path: `PARAMETER_TYPE` (undefined, functions, NaN, unsafe integers, class instances),
 * `FORBIDDEN_KEY`, `INVALID_TEXT` (lone surrogates), `LIMIT_EXCEEDED` (depth; cycles end here too).
 */
export function canonicalJson(value: unknown): string {
  return quick(value, 0) ?? write(value, '', 0);
}

/** True for a key that is written as it is and reaches no prototype. */
export function isOrdinaryKey(key: string): boolean {
  return PLAIN_TEXT.test(key) && !FORBIDDEN.has(key);
}
