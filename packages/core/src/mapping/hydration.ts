/**
 * Parameters in wire form to an event instance and back. At stop 2 (out) and at stops 10 and 13 of the walk (in).
 * Foreign data never runs a constructor, field initialiser or setter, and never reaches a prototype.
 */
import { isForbiddenKey } from '../model/canonical-json.js';
import type { Codec } from '../model/codecs.js';
import { ConfigurationError, InvalidEventError } from '../model/errors.js';
import type { Parameters, WireValue } from '../model/event.js';
import { ShapeMakers, type Shape } from '../model/shape-makers.js';
import type { FieldMeta } from './decorators.js';
import type { EventClass } from './event-class.js';
import { nameOf } from './event-class.js';

interface FieldPlan {
  readonly property: string;
  readonly wire: string;
  readonly codec: Codec<unknown> | undefined;
  /** The prototype has something of this name, a setter perhaps: define, never assign. */
  readonly define: boolean;
  /** Every object inherits something of this name: look for an own key. */
  readonly inherited: boolean;
}

/** A deep copy of a wire value without keys that could reach a prototype. Depth is bounded by what `canonicalJson` lets in. */
export function copyWire<T extends WireValue>(value: T): T;
export function copyWire(value: WireValue): WireValue {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    const items = value as readonly WireValue[];
    const list: WireValue[] = [];
    for (let i = 0; i < items.length; i++) list.push(copyWire(items[i]!));
    return list;
  }
  const copy: Record<string, WireValue> = {};
  for (const key of Object.keys(value)) {
    if (!isForbiddenKey(key)) copy[key] = copyWire((value as Record<string, WireValue>)[key]!);
  }
  return copy;
}

/** False when a class's prototype chain has an accessor or a constant, which an assignment would run or stop at. */
function takesStores(prototype: object): boolean {
  for (let at: object | null = prototype; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    for (const [key, property] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      // The accessor of `Object.prototype` is for a key that no parameter has.
      if (property.writable !== true && key !== '__proto__') return false;
    }
  }
  return true;
}

function define(target: object, property: string, value: unknown): void {
  Object.defineProperty(target, property, { value, writable: true, enumerable: true, configurable: true });
}

/** Maps the parameters of one event class. Built once per class and context. */
export class Hydrator {
  private readonly Instance: new () => Record<string, unknown>;
  /** Undefined when a property has a form or name of its own, or the class's prototype intercepts a store. */
  private readonly makers: ShapeMakers | undefined;
  private readonly prototype: object;
  /** All keys, when the class declares them; undefined when it takes every key. */
  private readonly plans: readonly FieldPlan[] | undefined;
  /** Properties with a name or form of their own, by property and by wire key; both empty for most classes. */
  private readonly byProperty = new Map<string, FieldPlan>();
  private readonly byWire = new Map<string, FieldPlan>();
  /** True when instances and wire form differ in more than their prototype. */
  readonly maps: boolean;

  /** @throws ConfigurationError `INVALID_OPTION` when two properties share a wire name or a wire name is forbidden */
  constructor(cls: EventClass, fields: ReadonlyMap<string, FieldMeta>, declared: ReadonlySet<string> | undefined) {
    this.prototype = cls.prototype as object;
    // A constructor of our own with the class's prototype: its instances are the class's, and V8 gives them one shape.
    const Instance = function () {} as unknown as new () => Record<string, unknown>;
    Instance.prototype = this.prototype;
    this.Instance = Instance;

    const wires = new Map<string, string>();
    const plan = (property: string): FieldPlan => {
      const wire = fields.get(property)?.wireName ?? property;
      const other = wires.get(wire);
      if (other !== undefined || isForbiddenKey(wire) || wire === '') {
        throw new ConfigurationError(
          'INVALID_OPTION',
          `The wire name "${wire}" of ${nameOf(cls)}.${property} ${other === undefined ? 'is not allowed' : `is also that of .${other}`}.`,
          {
            fix: 'Give each property a wire name of its own.',
          },
        );
      }
      wires.set(wire, property);
      return {
        property,
        wire,
        codec: fields.get(property)?.codec,
        define: property in this.prototype,
        inherited: wire in Object.prototype,
      };
    };
    const marked: FieldPlan[] = [];
    const plans: FieldPlan[] = [];
    for (const property of new Set([...(declared ?? []), ...fields.keys()])) {
      const one = plan(property);
      plans.push(one);
      if (one.wire !== property || one.codec !== undefined) marked.push(one);
    }
    for (const one of marked) {
      this.byProperty.set(one.property, one);
      this.byWire.set(one.wire, one);
    }
    this.plans = declared === undefined ? undefined : plans;
    this.maps = marked.length > 0;
    if (this.maps || plans.some(({ inherited }) => inherited) || !takesStores(this.prototype)) this.makers = undefined;
    else {
      const known = plans.map(({ wire }) => wire);
      this.makers = new ShapeMakers(this.prototype, (keys) =>
        declared === undefined ? keys : known.filter((key) => keys.includes(key)),
      );
    }
  }

  /** The declared keys in wire form; undefined when the class takes every key. */
  get declaredWires(): ReadonlySet<string> | undefined {
    return this.plans === undefined ? undefined : new Set(this.plans.map((plan) => plan.wire));
  }

  /**
   * An instance with its own copy of everything. Undeclared keys are left out when the class declares its keys, or by `keep`.
   * @param flat the parameters hold no array, object or key that could reach a prototype (`Fact.isFlat`)
   * @param made how the parameters were made (`Fact.shape`)
   * @throws InvalidEventError what a codec throws (`PARAMETER_TYPE` with the path)
   */
  hydrate(parameters: Parameters, flat: boolean, keep?: ReadonlySet<string>, made?: Shape): object {
    if (flat && keep === undefined && this.makers !== undefined) {
      // The usual event: its keys are those of the one before it, so each store is one that V8 has compiled.
      const { makers } = this;
      const shape = made === undefined ? makers.of(parameters) : makers.ofMade(parameters, made);
      if (shape !== undefined) return new shape.Maker(parameters);
      if (this.plans === undefined) return Object.assign(new this.Instance(), parameters);
    }
    const instance = new this.Instance();
    if (this.plans !== undefined) {
      for (let i = 0; i < this.plans.length; i++) {
        const plan = this.plans[i]!;
        const value = parameters[plan.wire];
        if (value === undefined || (plan.inherited && !Object.hasOwn(parameters, plan.wire))) continue;
        this.set(instance, plan.property, plan.codec, value, plan.define);
      }
      return instance;
    }
    for (const key in parameters) {
      if (!Object.hasOwn(parameters, key)) continue;
      // Of the forbidden keys two are inherited by everything: the set is asked only where one is near.
      const inherited = key in this.prototype;
      if ((inherited || key === 'prototype') && isForbiddenKey(key)) continue;
      let property = key;
      let codec: Codec<unknown> | undefined;
      if (this.maps) {
        const plan = this.byWire.get(key);
        if (plan !== undefined) {
          property = plan.property;
          codec = plan.codec;
        } else if (this.byProperty.has(key)) continue; // the property travels under another name
      }
      if (keep !== undefined && !keep.has(property)) continue;
      this.set(instance, property, codec, parameters[key]!, property === key ? inherited : property in this.prototype);
    }
    return instance;
  }

  /** Plain data under property names with codecs applied: what a schema sees. */
  plain(parameters: Parameters): Record<string, unknown> {
    const plain: Record<string, unknown> = {};
    for (const key of Object.keys(parameters)) {
      if (isForbiddenKey(key)) continue;
      const plan = this.byWire.get(key);
      if (plan === undefined && this.byProperty.has(key)) continue;
      const value = copyWire(parameters[key]!);
      plain[plan?.property ?? key] = plan?.codec === undefined ? value : plan.codec.fromWire(value, key);
    }
    return plain;
  }

  /** The wire key of a property. */
  wireOf(property: string): string {
    return this.byProperty.get(property)?.wire ?? property;
  }

  /**
   * The own data of an instance or payload in wire form. `omitUndefined` leaves out undefined properties, as a class with
   * declared optional fields has them; otherwise they stay, and are refused where content is made.
   * @throws InvalidEventError `FORBIDDEN_KEY`, or what a codec throws
   */
  wire(payload: object, omitUndefined: boolean): Record<string, unknown> {
    const wire: Record<string, unknown> = {};
    for (const property of Object.keys(payload)) {
      if (isForbiddenKey(property)) {
        throw new InvalidEventError('FORBIDDEN_KEY', `${property} is a key that could change an object’s prototype.`, {
          fix: 'Rename or remove the key.',
          details: { path: property },
        });
      }
      const value = (payload as Record<string, unknown>)[property];
      if (value === undefined && omitUndefined) continue;
      const plan = this.maps ? this.byProperty.get(property) : undefined;
      if (plan === undefined) wire[property] = value;
      else
        wire[plan.wire] = plan.codec === undefined || value === undefined ? value : plan.codec.toWire(value, plan.wire);
    }
    return wire;
  }

  private set(
    instance: Record<string, unknown>,
    property: string,
    codec: Codec<unknown> | undefined,
    wire: WireValue,
    guard: boolean,
  ): void {
    const value =
      codec !== undefined
        ? codec.fromWire(copyWire(wire), this.wireOf(property))
        : typeof wire === 'object'
          ? copyWire(wire)
          : wire;
    if (guard) define(instance, property, value);
    else instance[property] = value;
  }
}
