/**
 * Whether an event's parameters are what its class declares: by class-validator's decorators or a Standard Schema.
 * Stop 4 of the walk. class-validator costs tens of microseconds an event, so the rules of a class are collected once and
 * its constraints called directly; whatever they refuse, and whatever is out of the ordinary, goes to class-validator itself.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { ConfigurationError } from '../model/errors.js';
import type { InvalidEventCode } from '../model/errors.js';
import type { EventClass } from './event-class.js';
import { nameOf } from './event-class.js';

export interface ValidParameters {
  readonly ok: true;
  /** Keys the class does not declare, in wire form. */
  readonly undeclared: readonly string[];
}

export interface InvalidParameters {
  readonly ok: false;
  readonly code: InvalidEventCode;
  readonly reason: string;
  /** Where, in wire form. */
  readonly path: string;
  readonly fix: string;
}

/** Whether parameters fit their event, and what else they hold. */
export type ValidationResult = ValidParameters | InvalidParameters;

const NONE: readonly string[] = Object.freeze([]);
export const VALID: ValidParameters = Object.freeze({ ok: true, undeclared: NONE });

export function invalid(code: InvalidEventCode, reason: string, path: string, fix: string): InvalidParameters {
  return { ok: false, code, reason, path, fix };
}

interface ValidationErrorLike {
  readonly property: string;
  readonly constraints?: Readonly<Record<string, string>> | undefined;
  readonly children?: readonly ValidationErrorLike[] | undefined;
}

/** One rule on one property, as class-validator records it. */
interface RuleLike {
  readonly type: string;
  readonly propertyName: string;
  readonly constraints: readonly unknown[] | undefined;
  readonly constraintCls: unknown;
  readonly each: boolean;
  readonly validateIf?: unknown;
}

interface ConstraintLike {
  readonly async: boolean;
  readonly instance: { validate(value: unknown, args?: never): unknown };
}

interface ValidateOptions {
  readonly validationError?: { readonly target?: boolean; readonly value?: boolean };
}

/** The part of the module `class-validator` that is used: handed to the registry, since it is an optional peer. */
export interface ClassValidator {
  validateSync(instance: object, options?: ValidateOptions): readonly ValidationErrorLike[];
  validate(instance: object, options?: ValidateOptions): Promise<readonly ValidationErrorLike[]>;
  getMetadataStorage(): {
    getTargetValidationMetadatas(
      target: Function,
      schema: string,
      always: boolean,
      strictGroups: boolean,
    ): readonly RuleLike[];
    getTargetValidatorConstraints(target: Function): readonly ConstraintLike[];
  };
}

type Condition = (object: object, value: unknown) => unknown;
type Validate = (value: unknown, args: object) => unknown;

interface Check {
  readonly property: string;
  readonly conditions: readonly Condition[];
  readonly constraints: readonly Constraint[];
}

interface Constraint {
  readonly source: ConstraintLike;
  readonly args: readonly unknown[] | undefined;
  /** Resolved at the first use: class-validator may take it from Nest's container, which is filled later. */
  owner: { validate: Validate } | undefined;
}

/** `@IsOptional`, `@ValidateIf` · `@IsDefined` · every other check · `@Allow`. The remaining types go to class-validator itself. */
const CONDITIONAL = 'conditionalValidation';
const CHECKING = new Set(['customValidation', 'isDefined']);
const ALLOW = 'whitelistValidation';
const OPTIONS: ValidateOptions = { validationError: { target: false, value: false } };

/** Validates instances of one class by its class-validator decorators, with the same result as `validateSync`. */
export class DecoratedValidator {
  /** The properties that carry a decorator of class-validator. */
  readonly properties: ReadonlySet<string>;
  /** Undefined when class-validator must do all the work. */
  private readonly checks: readonly Check[] | undefined;
  private readonly asynchronous: boolean;

  /** The validator of a class, or undefined when it has no decorators of class-validator. */
  static of(cls: EventClass, library: ClassValidator | undefined): DecoratedValidator | undefined {
    const rules = library?.getMetadataStorage().getTargetValidationMetadatas(cls, '', false, false) ?? [];
    return library === undefined || rules.length === 0 ? undefined : new DecoratedValidator(cls, library, rules);
  }

  private constructor(
    private readonly cls: EventClass,
    private readonly library: ClassValidator,
    rules: readonly RuleLike[],
  ) {
    const storage = library.getMetadataStorage();
    this.properties = new Set(rules.map((rule) => rule.propertyName));
    let simple = true;
    let asynchronous = false;
    const checks: Check[] = [];
    for (const property of this.properties) {
      const conditions: Condition[] = [];
      const constraints: Constraint[] = [];
      const ofProperty = rules.filter((rule) => rule.propertyName === property);
      // class-validator checks @IsDefined before all others.
      for (const rule of [...ofProperty].sort(
        (a, b) => Number(b.type === 'isDefined') - Number(a.type === 'isDefined'),
      )) {
        if (rule.type === 'nestedValidation') {
          throw new ConfigurationError(
            'INVALID_OPTION',
            `${nameOf(cls)}.${property} has @ValidateNested, but nested values are plain data, not instances.`,
            {
              fix: 'Validate this event with a Standard Schema: @Event({ schema }).',
            },
          );
        }
        if (rule.type === CONDITIONAL) conditions.push(rule.constraints![0] as Condition);
        else if (CHECKING.has(rule.type)) {
          if (rule.each || rule.validateIf !== undefined) simple = false;
          for (const constraint of storage.getTargetValidatorConstraints(rule.constraintCls as Function)) {
            if (constraint.async) asynchronous = true;
            constraints.push({ source: constraint, args: rule.constraints, owner: undefined });
          }
        } else if (rule.type !== ALLOW) simple = false;
      }
      checks.push({ property, conditions, constraints });
    }
    this.asynchronous = asynchronous;
    this.checks = simple && !asynchronous ? checks : undefined;
  }

  /** Undefined when valid. A promise only where the class has asynchronous constraints. */
  validate(
    instance: object,
    wireOf: (property: string) => string,
  ): InvalidParameters | undefined | Promise<InvalidParameters | undefined> {
    if (this.asynchronous)
      return this.library.validate(instance, OPTIONS).then((errors) => this.answer(instance, errors, wireOf));
    if (this.checks !== undefined && this.passes(this.checks, instance)) return undefined;
    return this.answer(instance, this.library.validateSync(instance, OPTIONS), wireOf);
  }

  private passes(checks: readonly Check[], instance: object): boolean {
    for (let i = 0; i < checks.length; i++) {
      const { property, conditions, constraints } = checks[i]!;
      const value = (instance as Record<string, unknown>)[property];
      let applies = true;
      for (let c = 0; c < conditions.length; c++) if (!conditions[c]!(instance, value)) applies = false;
      if (!applies) continue;
      for (let c = 0; c < constraints.length; c++) {
        const constraint = constraints[c]!;
        const owner = (constraint.owner ??= constraint.source.instance as unknown as { validate: Validate });
        const passed = owner.validate(value, {
          targetName: this.cls.name,
          property,
          object: instance,
          value,
          constraints: constraint.args,
        });
        // Anything but a plain yes, a promise too, is for class-validator to judge.
        if (passed !== true) return false;
      }
    }
    return true;
  }

  private answer(
    instance: object,
    errors: readonly ValidationErrorLike[],
    wireOf: (property: string) => string,
  ): InvalidParameters | undefined {
    const error = errors[0];
    if (error === undefined) return undefined;
    const path = wireOf(error.property);
    const said = Object.values(error.constraints ?? {}).join(', ');
    if ((instance as Record<string, unknown>)[error.property] === undefined) {
      return invalid(
        'PARAMETER_MISSING',
        `${path} is missing: ${said}.`,
        path,
        `Send ${path}, or declare it @IsOptional().`,
      );
    }
    return invalid(
      'PARAMETER_TYPE',
      `${path} is not valid: ${said}.`,
      path,
      `Send ${path} as ${nameOf(this.cls)} declares it.`,
    );
  }
}

/** What a schema says of a value: its keys kept, or why not. */
export type SchemaResult = { readonly kept: ReadonlySet<string> | undefined } | { readonly refused: InvalidParameters };

/** Validates by a Standard Schema. Only its verdict and the keys it keeps count; the stored parameters stay as received. */
export function validateBySchema(
  schema: StandardSchemaV1,
  value: object,
  wireOf: (property: string) => string,
): SchemaResult | Promise<SchemaResult> {
  const result = schema['~standard'].validate(value);
  return result instanceof Promise
    ? result.then((one) => schemaResult(one, value, wireOf))
    : schemaResult(result, value, wireOf);
}

function schemaResult(
  result: StandardSchemaV1.Result<unknown>,
  value: object,
  wireOf: (property: string) => string,
): SchemaResult {
  if (result.issues === undefined) {
    const output = result.value;
    return { kept: typeof output === 'object' && output !== null ? new Set(Object.keys(output)) : undefined };
  }
  const issue = result.issues[0];
  const keys = (issue?.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part));
  const first = keys[0];
  const path = first === undefined ? '' : [wireOf(first), ...keys.slice(1)].join('.');
  const missing = keys.length === 1 && first !== undefined && !Object.hasOwn(value, first);
  const what = path === '' ? 'The parameters' : path;
  return {
    refused: invalid(
      missing ? 'PARAMETER_MISSING' : 'PARAMETER_TYPE',
      `${what} ${path === '' ? 'are' : 'is'} ${missing ? 'missing' : 'not valid'}: ${issue?.message ?? 'refused by the schema'}.`,
      path,
      'Send what the event’s schema declares.',
    ),
  };
}
