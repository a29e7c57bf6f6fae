/** What stands behind a server that we started: a process or a container. Each can be begun again on its data. */

export interface Backing {
  /** For people: `process 4711`, `container concursus-kafka-1f`. */
  readonly where: string;
  /** Why it does not run; undefined while it does. */
  readonly ended: string | undefined;
  /** Begins it, or begins it again on the same data and ports. Resolves before it answers. */
  begin(): Promise<void>;
  /** Ends it gently, within 30 s, then not; resolves when it is gone. Does nothing when it is not running. */
  end(): Promise<void>;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
  /** It keeps its connections and does nothing, as a machine in trouble. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** The end of what it printed. */
  logTail(lines: number): Promise<string>;
  /** Removes what it left. Only after `end`. */
  dispose(): Promise<void>;
}
