/** A relay into memory, for tests: what was published stands in a list, as a reader of a topic would find it. */
import { ConfigurationError, UnavailableError } from '../model/errors.js';
import { toEventJson } from '../model/event-json.js';
import type { Fact } from '../model/event.js';
import { EventRelay, relayKey, type RelayProvider, type RelaySelection } from '../ports/event-relay.js';

/** One published event, as a reader finds it. */
export interface PublishedEvent {
  readonly context: string;
  /** By which repeats are dropped: see `relayKey`. */
  readonly key: string;
  readonly tenant: string;
  readonly aggregateType: string;
  readonly aggregateId: string;
  /** The event as wire JSON. */
  readonly json: string;
}

/** What `inMemoryRelay` takes. */
export interface InMemoryRelayOptions extends RelaySelection {
  /** Default `in-memory`. */
  readonly name?: string;
  readonly from?: 'beginning' | 'end';
  /** Kept at most, the oldest go first. Default 100,000. */
  readonly publishedMax?: number;
}

/** What `inMemoryRelay` returns: a relay, and what it published so far, over all contexts and restarts that share the value. */
export interface InMemoryRelayProvider extends RelayProvider {
  readonly published: readonly PublishedEvent[];
}

class InMemoryRelay extends EventRelay {
  private open = false;
  private closed = false;

  constructor(
    private readonly context: string,
    private readonly published: PublishedEvent[],
    private readonly publishedMax: number,
  ) {
    super();
  }

  async connect(): Promise<void> {
    if (this.closed) throw this.closedError();
    this.open = true;
  }

  async publish(facts: readonly Fact[]): Promise<void> {
    if (!this.open) throw this.closedError();
    for (const fact of facts) {
      this.published.push({
        context: this.context,
        key: relayKey(this.context, fact),
        tenant: fact.tenant,
        aggregateType: fact.aggregateType,
        aggregateId: fact.aggregateId,
        json: toEventJson(fact),
      });
    }
    const over = this.published.length - this.publishedMax;
    if (over > 0) this.published.splice(0, over);
  }

  async close(): Promise<void> {
    this.open = false;
    this.closed = true;
  }

  private closedError(): UnavailableError {
    return new UnavailableError('STORE_CLOSED', `The in-memory relay of the context "${this.context}" is not open.`, {
      fix: 'Publish only between connect() and close().',
    });
  }
}

/** A relay for tests: `ConcursusModule.forRoot({ publish: [relay] })`, then look at `relay.published`. @throws ConfigurationError `INVALID_OPTION` */
export function inMemoryRelay(options: InMemoryRelayOptions = {}): InMemoryRelayProvider {
  const { name = 'in-memory', publishedMax = 100_000, ...rest } = options;
  if (!Number.isSafeInteger(publishedMax) || publishedMax < 1) {
    throw new ConfigurationError('INVALID_OPTION', `publishedMax is ${publishedMax}.`, {
      fix: 'Give publishedMax as a whole number above 0.',
    });
  }
  const published: PublishedEvent[] = [];
  return {
    ...rest,
    slot: 'publish',
    name,
    published,
    create: ({ context }) => new InMemoryRelay(context, published, publishedMax),
  };
}
