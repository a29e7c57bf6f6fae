/** Where recorded events leave for other systems: a topic, an exchange. What has been published, how far, and by whom is core's to keep. */
import { sha256Hex } from '../model/digest.js';
import type { Fact } from '../model/event.js';
import { identityKey } from '../model/identity.js';
import type { LayerContext } from './layer.js';

export abstract class EventRelay {
  /**
   * Opens what `create` did not; opens again what was lost. Idempotent.
   * @throws ConfigurationError (the other side is not fit: it ends the start) · UnavailableError (tried again; the start goes on)
   */
  abstract connect(): Promise<void>;
  /**
   * Resolves when the other side holds all of them for good, those of one aggregate in the order given. Each goes with its `relayKey`, by
   * which a reader drops repeats: a call that rejects may have published some, and comes again whole. One call at a time.
   * @throws UnavailableError `STORE_UNREACHABLE`, `TIMEOUT`, `STORE_CLOSED`
   */
  abstract publish(facts: readonly Fact[]): Promise<void>;
  /** Ends the connection; later calls are refused with `STORE_CLOSED`. Idempotent. */
  abstract close(): Promise<void>;
}

/** What a relay is told of its context. */
export interface RelayContext extends LayerContext {
  /** The aggregate types whose events it will be given. */
  readonly aggregateTypes: readonly string[];
}

/** A class, or the name it is declared with. */
export type RelayTarget = string | object;

/** What is published. Everything that is given must hold of an event; without any of it all events are. */
export interface RelaySelection {
  /** Aggregates, by class or type. */
  readonly aggregates?: readonly RelayTarget[];
  /** Events, by class or name; with a correction goes by what it corrects. */
  readonly types?: readonly RelayTarget[];
  /** Must be a pure function of the fact: after a crash it is asked again. One that throws stops its relay, and only that, until it does not. */
  readonly where?: (fact: Fact) => boolean;
}

/** A relay of `ConcursusModule.forRoot({ publish: […] })`: a value, from which each context makes its own. */
export interface RelayProvider extends RelaySelection {
  readonly slot: 'publish';
  /** Its place in the feed and its owner are kept under this name; it may stand once in a context. */
  readonly name: string;
  /** Where a name begins that is new: with the first event there is, or with the next. Default `beginning`. */
  readonly from?: 'beginning' | 'end';
  /** Makes the relay of one context; opens nothing. @throws ConfigurationError */
  create(context: RelayContext): EventRelay;
}

/** What `relayKey` is the hash of: context, identity, version and content, with NUL between them. Same text: same event. */
export function relayKeyText(context: string, fact: Fact): string {
  return `${context}\u0000${identityKey(fact)}\u0000${fact.version}\u0000${fact.content}`;
}

/** Tells a reader whether it has an event already: SHA-256, in hex, of `relayKeyText`. Equal for two exactly when they are one content under one identity. */
export function relayKey(context: string, fact: Fact): string {
  return sha256Hex(relayKeyText(context, fact));
}
