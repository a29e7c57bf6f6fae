/** `@concursus/test/cluster`: the sample application on real servers, as several processes behind one address. */
export { startCluster, type Cluster, type ClusterOptions, type Servers } from './start-cluster.js';
export type { AppProcess } from './app-process.js';
