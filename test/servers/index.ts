/** `@concursus/test/servers`: real servers for specs and benches. */
export { ownServer, serverOf } from './server-of.js';
export { prepareServer, startServer, type RunningServer, type StartOptions } from './start-server.js';
export { prepareJava, startJava, type JavaProgram, type JavaProgramOptions } from './java-program.js';
export { fetchJars, findJava, type JarSet } from './jars.js';
export type { CassandraAddress, KafkaAddress, ServerAddresses, ServerName } from './server-kind.js';
