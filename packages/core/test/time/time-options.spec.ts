/** Options of time: what is refused at once, which policy rules a stream, what a wildcard matches. */
import { describe, expect, it } from 'vitest';
import { ConfigurationError } from '../../src/model/errors.js';
import { matches, TimePolicies, type TimeOptions } from '../../src/time/time-options.js';

describe('options of time', () => {
  it('have defaults', () => {
    const policies = new TimePolicies();
    expect(policies.maxSkewMs).toBe(60_000);
    expect(policies.of('any')).toEqual({
      boundMs: 86_400_000,
      joins: false,
      sequencedFrom: undefined,
      expireAfterMs: Number.POSITIVE_INFINITY,
    });
  });

  it('rule a stream by the first pattern that matches, and leave the rest as it is for all', () => {
    const policies = new TimePolicies({
      boundMs: 10,
      newSources: 'join',
      sources: [
        { match: 'carrier-UA', boundMs: 1, sequenced: { from: 5 }, expected: ['carrier-UA'] },
        { match: 'carrier-*', join: false, sequenced: true, expireAfterMs: 7, expected: ['carrier-DL'] },
      ],
      expected: ['x', 'carrier-UA'],
    });
    expect(policies.of('carrier-UA')).toMatchObject({ boundMs: 1, joins: true, sequencedFrom: 5 });
    expect(policies.of('carrier-DL')).toMatchObject({ boundMs: 10, joins: false, sequencedFrom: -1, expireAfterMs: 7 });
    expect(policies.of('carrier')).toMatchObject({ boundMs: 10, joins: true, sequencedFrom: undefined });
    expect(policies.expected).toEqual(['x', 'carrier-UA', 'carrier-DL']);
  });

  it('INVALID_OPTION: are refused outside their bounds', () => {
    const bad: readonly unknown[] = [
      { boundMs: -1 },
      { boundMs: 1.5 },
      { boundMs: 4e11 },
      { maxSkewMs: '1' },
      { newSources: 'wait' },
      { sources: {} },
      { sources: [{}] },
      { sources: [{ match: 'a', boundMs: -1 }] },
      { sources: [{ match: 'a', join: 'hold' }] },
      { sources: [{ match: 'a', sequenced: 1 }] },
      { sources: [{ match: 'a', sequenced: { from: -1 } }] },
      { sources: [{ match: 'a', expireAfterMs: 0 }] },
      { sources: [{ match: 'a', expected: ['b'] }] },
      { sources: [{ match: '*' }, { match: 'a', expected: ['a'] }] },
      { sources: [{ match: '*', expected: ['\0'] }] },
      { expected: 'a' },
      { sources: Array.from({ length: 1_001 }, () => ({ match: 'a' })) },
    ];
    for (const options of bad) {
      try {
        new TimePolicies(options as TimeOptions);
      } catch (error) {
        expect(error).toBeInstanceOf(ConfigurationError);
        expect(error).toMatchObject({ code: 'INVALID_OPTION', fix: expect.stringMatching(/\S/) as string });
        continue;
      }
      expect.fail(`accepted ${JSON.stringify(options).slice(0, 80)}`);
    }
  });

  it('take * for any characters, and everything else for itself', () => {
    const cases: readonly (readonly [string, string, boolean])[] = [
      ['*', '', true],
      ['*', 'a\nb', true],
      ['', '', true],
      ['', 'a', false],
      ['a*', 'a', true],
      ['a*a', 'a', false],
      ['a*a', 'aa', true],
      ['*b*', 'abc', true],
      ['a*b*c', 'axxbyyc', true],
      ['a*b*c', 'acb', false],
      ['*ab*ab*', 'xabx', false],
      ['a.c', 'abc', false],
    ];
    for (const [pattern, text, expected] of cases) expect(matches(pattern, text), `${pattern} ${text}`).toBe(expected);
  });
});
