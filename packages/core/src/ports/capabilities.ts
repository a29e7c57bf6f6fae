/** What a provider promises. A lack is declared with its reason; the contract then checks that the call is refused cleanly. */

export type Capability =
  /** `append` of several facts is stored wholly or not at all. */
  | 'atomicAppend'
  /** `append` may save a checkpoint in the same transaction; a `Quarantine.put` called before it is kept no later than that. */
  | 'appendWithCheckpoint'
  /** `decide` records events on the condition that nobody decided in between. */
  | 'conditionalAppend'
  /** Reads as known at a processing time. */
  | 'knownAt'
  /** A feed of every recorded event. */
  | 'feed'
  /** Rows, contributions, changes and checkpoint of a view commit together. */
  | 'transactionalViews'
  /** What is acknowledged survives the process. */
  | 'survivesRestart'
  /** Several processes may use it at once. */
  | 'multiProcess';

/** Each capability is kept (`true`) or lacking, with the reason. */
export type Capabilities = Readonly<Record<Capability, true | { readonly lacking: string }>>;

/** Of a layer that is no store, a buffer say: what only a store promises is lacking, for one reason. */
export function noStore(reason: string, rest: Pick<Capabilities, 'survivesRestart' | 'multiProcess'>): Capabilities {
  const lacking = { lacking: reason };
  return {
    atomicAppend: lacking,
    appendWithCheckpoint: lacking,
    conditionalAppend: lacking,
    knownAt: lacking,
    feed: lacking,
    transactionalViews: lacking,
    ...rest,
  };
}

/** Why a capability is lacking, or undefined when it is kept. */
export function lacks(capabilities: Capabilities, capability: Capability): string | undefined {
  const state = capabilities[capability];
  return state === true ? undefined : state.lacking;
}
