/**
 * One event class as one context knows it: its name, version and rank, and the way between its instances and wire form.
 * Used at stop 2 (out), stop 4 (validation) and wherever an event is handled (in).
 */
import { CanonicalCopier } from '../model/canonical-copier.js';
import { ConcursusError, InvalidEventError } from '../model/errors.js';
import { INITIAL, TERMINAL } from '../model/event.js';
import type { Fact, Parameters } from '../model/event.js';
import { RANK_INITIAL, RANK_PLAIN, RANK_TERMINAL } from '../model/event-order.js';
import type { Shape } from '../model/shape-makers.js';
import { fieldsOf } from './decorators.js';
import type { EventMeta, FieldMeta } from './decorators.js';
import type { EventClass } from './event-class.js';
import { nameOf } from './event-class.js';
import { copyWire, Hydrator } from './hydration.js';
import { UpcastChain } from './upcaster.js';
import type { UpcastMeta } from './upcaster.js';
import { DecoratedValidator, invalid, VALID, validateBySchema } from './validation.js';
import type { ClassValidator, InvalidParameters, SchemaResult, ValidationResult } from './validation.js';

/** Built by the registry; the same class in two aggregates has two models. */
export class EventModel {
  readonly name: string;
  /** The current version; older ones are read through upcasters. */
  readonly version: string;
  /** Bits 1 initial, 2 terminal. */
  readonly characteristics: number;
  /** The causal rank: where the event folds among the others of its aggregate. */
  readonly rank: number;
  /** The keys the class declares, in wire form; undefined when it declares none, or a schema does. */
  readonly declaredKeys: ReadonlySet<string> | undefined;
  /** True when the class declares nothing: any keys and values pass. The boot report says so. */
  readonly unchecked: boolean;
  /** The marked properties: wire names, codecs, index and thread markers. */
  readonly fields: ReadonlyMap<string, FieldMeta>;
  /** @internal Copies the parameters of its events. */
  readonly copier = new CanonicalCopier();
  private readonly hydrator: Hydrator;
  private readonly chain: UpcastChain;
  private readonly validator: DecoratedValidator | undefined;
  private readonly wireOf: (property: string) => string;

  /** @throws ConfigurationError `INVALID_OPTION` (wire names, nested validation), `UPCASTER_CHAIN` */
  constructor(
    readonly cls: EventClass,
    readonly aggregateType: string,
    private readonly meta: EventMeta,
    upcasts: readonly UpcastMeta[],
    classValidator: ClassValidator | undefined,
  ) {
    this.name = meta.name;
    this.version = meta.version;
    this.characteristics = (meta.initial ? INITIAL : 0) | (meta.terminal ? TERMINAL : 0);
    this.rank = meta.initial ? RANK_INITIAL : meta.terminal ? RANK_TERMINAL : (meta.order ?? RANK_PLAIN);
    this.fields = fieldsOf(cls);
    this.validator = meta.schema === undefined ? DecoratedValidator.of(cls, classValidator) : undefined;
    const declaring = [...this.fields].some(([, field]) => field.indexed === true || field.threads !== undefined);
    const declared =
      meta.schema === undefined && (this.validator !== undefined || declaring)
        ? new Set([...(this.validator?.properties ?? []), ...this.fields.keys()])
        : undefined;
    this.hydrator = new Hydrator(cls, this.fields, declared);
    this.declaredKeys = this.hydrator.declaredWires;
    this.unchecked = meta.schema === undefined && declared === undefined;
    this.chain = new UpcastChain(cls, meta.version, upcasts);
    this.wireOf = (property) => this.hydrator.wireOf(property);
  }

  /** Whether events of this stored version can be read: the current one, or one an upcaster leads from. */
  accepts(version: string): boolean {
    return version === this.version || this.chain.accepts(version);
  }

  /**
   * The parameters of an instance or plain payload in wire form: codecs and wire names applied. Undefined properties are
   * left out where the class declares its keys, so that the validator judges them; elsewhere content refuses them.
   * @throws InvalidEventError `FORBIDDEN_KEY`, `PARAMETER_TYPE` from a codec
   */
  wire(payload: object): Record<string, unknown> {
    return this.hydrator.wire(payload, !this.unchecked);
  }

  /**
   * Judges parameters in wire form; those of an older version are upcast first, and nothing received is changed.
   * A promise only when the schema or a constraint is asynchronous. Never throws on bad input: it says why.
   */
  validate(
    parameters: Readonly<Record<string, unknown>>,
    version: string = this.version,
  ): ValidationResult | Promise<ValidationResult> {
    if (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters)) {
      return invalid('PARAMETER_TYPE', 'The parameters are no object.', '', 'Send them as an object of named values.');
    }
    try {
      // Whether the values are wire values is `canonicalJson`'s to say, before or after.
      return this.judge(this.current(parameters as Parameters, version));
    } catch (error) {
      return this.refusal(error);
    }
  }

  /**
   * An instance of the event class with its own copy of everything: what one handler changes, the next does not see.
   * @throws InvalidEventError `UNKNOWN_EVENT_TYPE` for a version without an upcaster, `PARAMETER_TYPE` from a codec;
   * HandlerError `HANDLER_FAILED` from an upcaster
   */
  hydrate(fact: Fact): object {
    if (fact.version !== this.version) return this.instance(this.current(fact.wire, fact.version), false);
    return this.instance(fact.wire, fact.isFlat, fact.shape);
  }

  private instance(parameters: Parameters, flat: boolean, made?: Shape): object {
    return this.meta.schema === undefined
      ? this.hydrator.hydrate(parameters, flat, undefined, made)
      : this.hydrator.hydrate(parameters, flat, this.keptBySchema(parameters));
  }

  /** The parameters in the current version. */
  private current(parameters: Parameters, version: string): Parameters {
    if (version === this.version) return parameters;
    if (!this.chain.accepts(version)) {
      throw new InvalidEventError(
        'UNKNOWN_EVENT_TYPE',
        `${this.aggregateType} "${this.name}" has no version "${version}"; the current one is "${this.version}".`,
        {
          fix: `Send version "${this.version}", or add @Upcast(${nameOf(this.cls)}, { from: '${version}' }).`,
          details: { aggregateType: this.aggregateType, name: this.name, version },
        },
      );
    }
    return this.chain.upcast(copyWire(parameters), version);
  }

  private judge(parameters: Parameters): ValidationResult | Promise<ValidationResult> {
    const schema = this.meta.schema;
    if (schema !== undefined) {
      const value = this.hydrator.plain(parameters);
      const result = validateBySchema(schema, value, this.wireOf);
      return result instanceof Promise
        ? result.then(
            (one) => this.bySchema(parameters, one),
            (error: unknown) => this.refusal(error),
          )
        : this.bySchema(parameters, result);
    }
    const undeclared = this.undeclaredOf(parameters, this.declaredKeys);
    if (undeclared !== undefined && this.meta.onUndeclared === 'reject') return this.refuseUndeclared(undeclared);
    const verdict: ValidationResult = undeclared === undefined ? VALID : { ok: true, undeclared };
    // Without decorators only codecs can object, by hydrating.
    if (this.validator === undefined) {
      if (this.hydrator.maps) this.hydrator.hydrate(parameters, false);
      return verdict;
    }
    const answer = this.validator.validate(this.hydrator.hydrate(parameters, false), this.wireOf);
    if (answer === undefined) return verdict;
    return answer instanceof Promise
      ? answer.then(
          (refused) => refused ?? verdict,
          (error: unknown) => this.refusal(error),
        )
      : answer;
  }

  private bySchema(parameters: Parameters, result: SchemaResult): ValidationResult {
    if ('refused' in result) return result.refused;
    const kept = result.kept;
    const undeclared = this.undeclaredOf(
      parameters,
      kept === undefined ? undefined : new Set([...kept].map(this.wireOf)),
    );
    if (undeclared === undefined) return VALID;
    return this.meta.onUndeclared === 'reject' ? this.refuseUndeclared(undeclared) : { ok: true, undeclared };
  }

  private undeclaredOf(parameters: Parameters, declared: ReadonlySet<string> | undefined): string[] | undefined {
    if (declared === undefined) return undefined;
    let undeclared: string[] | undefined;
    for (const key in parameters) if (!declared.has(key)) (undeclared ??= []).push(key);
    return undeclared;
  }

  private refuseUndeclared(undeclared: readonly string[]): InvalidParameters {
    const path = undeclared[0]!;
    return invalid(
      'PARAMETER_UNDECLARED',
      `${undeclared.slice(0, 5).join(', ')} ${undeclared.length === 1 ? 'is' : 'are'} not declared by ${nameOf(this.cls)}.`,
      path,
      'Leave undeclared keys out, or declare them.',
    );
  }

  /** Stored before the schema was tightened, or by an asynchronous schema: then every key is kept. */
  private keptBySchema(parameters: Parameters): ReadonlySet<string> | undefined {
    const result = validateBySchema(this.meta.schema!, this.hydrator.plain(parameters), this.wireOf);
    if (result instanceof Promise) {
      result.catch(() => undefined);
      return undefined;
    }
    return 'kept' in result ? result.kept : undefined;
  }

  private refusal(error: unknown): InvalidParameters {
    if (ConcursusError.isInstance(error)) {
      const code = error instanceof InvalidEventError ? error.code : 'INVALID_EVENT';
      const path = typeof error.details['path'] === 'string' ? error.details['path'] : '';
      return invalid(code, error.reason, path, error.fix);
    }
    return invalid(
      'INVALID_EVENT',
      `The validation of ${nameOf(this.cls)} threw: ${error instanceof Error ? error.message : String(error)}.`,
      '',
      'A validator must answer any value without throwing.',
    );
  }
}
