/** The collected rules of a class say the same as class-validator's own `validateSync`, for any values. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as cv from 'class-validator';
import { Aggregate, Event } from '../../src/mapping/decorators.js';
import { EventRegistry } from '../../src/mapping/event-registry.js';
import { fact } from './parcels.js';
import { Fact } from '../../src/model/event.js';
import { canonicalJson } from '../../src/model/canonical-json.js';

class Inherited {
  @cv.IsOptional() @cv.IsBoolean() readonly flag?: boolean;
  @cv.IsDefined() readonly something!: unknown;
}

@Event()
class Common extends Inherited {
  @cv.IsString() @cv.IsNotEmpty() @cv.Length(1, 4) readonly text!: string;
  @cv.IsInt() @cv.Min(-2) @cv.Max(5) readonly whole!: number;
  @cv.IsOptional() @cv.IsNumber() @cv.IsPositive() readonly number?: number;
  @cv.IsIn(['a', 'b', 1]) readonly choice!: unknown;
  @cv.IsOptional() @cv.Matches(/^[a-c]+$/) readonly pattern?: string;
  @cv.IsOptional() @cv.IsISO8601({ strict: true }) readonly when?: string;
  @cv.IsOptional() @cv.IsArray() @cv.ArrayMaxSize(2) readonly list?: unknown[];
  @cv.Allow() readonly anything!: unknown;
  @cv.ValidateIf((event: Common) => event.whole > 0) @cv.IsString() readonly onlyWhenPositive!: unknown;
}

@Event()
class Unusual {
  @cv.IsOptional() @cv.IsString({ each: true }) readonly texts?: unknown;
  @cv.IsInt({ groups: ['x'] }) readonly grouped!: unknown;
  @cv.IsString({ validateIf: (_event: object, value: unknown) => value !== 0 }) readonly conditional!: unknown;
  @cv.IsOptional() @cv.IsObject() readonly object?: unknown;
}

@Aggregate('lamp')
class Lamp {
  static readonly events = { Common, Unusual };
}
const events = new EventRegistry('', [Lamp], { classValidator: cv }).aggregate(Lamp).events;

const value = fc.oneof(
  fc.constantFrom('', 'a', 'b', 'abc', 'abcde', '2013-01-01', '2013-02-30', 'true'),
  fc.constantFrom(-3, -2, 0, 1, 2.5, 5, 6),
  fc.boolean(),
  fc.constant(null),
  fc.array(fc.constantFrom<string | number | null>('a', 1, null), { maxLength: 3 }),
  fc.constantFrom<object>({}, { a: 1 }),
);
const likely = (good: fc.Arbitrary<unknown>) =>
  fc.option(fc.oneof({ arbitrary: good, weight: 4 }, { arbitrary: value, weight: 1 }), { freq: 8, nil: undefined });
const common = fc.record(
  {
    flag: likely(fc.boolean()),
    something: likely(value),
    text: likely(fc.constantFrom('a', 'abcd')),
    whole: likely(fc.constantFrom(-2, 0, 5)),
    number: likely(fc.constantFrom(1, 2.5)),
    choice: likely(fc.constantFrom<unknown>('a', 'b', 1)),
    pattern: likely(fc.constant('abc')),
    when: likely(fc.constant('2013-01-01T00:00:00Z')),
    list: likely(fc.constant(['a'])),
    anything: value,
    onlyWhenPositive: likely(fc.constant('x')),
  },
  { requiredKeys: [] },
);
const unusual = fc.record({ texts: value, grouped: value, conditional: value, object: value }, { requiredKeys: [] });

function agree(name: string, parameters: object): boolean {
  const wire = JSON.parse(JSON.stringify(parameters)) as Record<string, unknown>;
  const model = events.get(name)!;
  const instance = model.hydrate(new Fact({ ...fact(name, 0), content: canonicalJson(wire) } as never));
  const errors = cv.validateSync(instance);
  const verdict = model.validate(wire);
  if (verdict instanceof Promise) throw new Error('nothing here is asynchronous');
  expect(verdict.ok).toBe(errors.length === 0);
  if (!verdict.ok) expect(verdict.path).toBe(errors[0]!.property);
  return verdict.ok;
}

describe('validation by collected rules', () => {
  it('agrees with class-validator on common decorators, with and without a mistake', () => {
    let passed = 0;
    fc.assert(
      fc.property(common, (parameters) => {
        if (agree('common', parameters)) passed++;
      }),
      { numRuns: 2_000 },
    );
    expect(passed).toBeGreaterThan(20);
  });

  it('agrees with class-validator where it does the work itself', () => {
    fc.assert(
      fc.property(unusual, (parameters) => {
        agree('unusual', parameters);
      }),
      { numRuns: 1_000 },
    );
  });
});
