/** What a secured server shows its clients and asks of them: a certificate of its own, made by the JDK for one server, and a password. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { promisify } from 'node:util';
import type { Keys } from './server-kind.js';

/** A JVM starts twice. */
const MAKE_MAX_MS = 60_000;
/** Of a server that only this machine reaches, and that is gone with its spec. Cassandra's first user has this one. */
const PASSWORD = 'cassandra';

/** Makes them in the folder, with the keytool that lies beside `java`. The certificate is for 127.0.0.1. */
export async function makeKeys(folder: string, java: string): Promise<Keys> {
  const keytool = isAbsolute(java) ? join(dirname(java), 'keytool') : 'keytool';
  const keystore = join(folder, 'keys.p12');
  const authority = join(folder, 'authority.pem');
  const store = ['-alias', 'server', '-keystore', keystore, '-storetype', 'PKCS12', '-storepass', PASSWORD];
  const call = promisify(execFile);
  const make = [
    '-genkeypair',
    ...store,
    ...['-keyalg', 'EC', '-dname', 'CN=127.0.0.1', '-ext', 'san=ip:127.0.0.1', '-validity', '2'],
  ];
  await call(keytool, make, { timeout: MAKE_MAX_MS });
  await call(keytool, ['-exportcert', '-rfc', ...store, '-file', authority], { timeout: MAKE_MAX_MS });
  return {
    keystore,
    authority,
    password: PASSWORD,
    access: { ca: readFileSync(authority, 'utf8'), username: PASSWORD, password: PASSWORD },
  };
}
