/** What a call is refused with, for specs: the error itself, so that code, path and fix can be looked at. */
import { expect } from 'vitest';
import { InvalidEventError } from '../../src/model/errors.js';

export function refusalOf(call: () => unknown): InvalidEventError {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidEventError);
    const refusal = error as InvalidEventError;
    expect(refusal.fix, 'every refusal says how to go on').not.toBe('');
    expect(refusal.message.isWellFormed()).toBe(true);
    return refusal;
  }
  return expect.fail('the call was not refused');
}
