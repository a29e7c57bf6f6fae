/** The app that pack.spec.ts compiles and runs outside the repository: only what a user can import. */
import { ConcursusError, InvalidEventError } from '@concursus/core';

const error = new InvalidEventError('INVALID_ID', 'the id is empty', { fix: 'Give the parcel an id.' });
if (!ConcursusError.isInstance(error)) throw new Error('an error of the package is not recognised');
process.stdout.write('ok\n');
