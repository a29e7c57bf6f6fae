/** A session whose requests a spec holds back, so that what several writers do at once happens in one order, or that dies. */
import type { types } from 'cassandra-driver';
import { eventPorts, type CassandraEventOptions, type EventPorts } from '../src/event-ports.js';
import { Session } from '../src/session.js';
import { contextOf, specOptions } from './support.js';

/** One request that waits. */
export interface Held {
  /** Resolves when it came. */
  readonly reached: Promise<void>;
  release(): void;
}

interface Hold {
  readonly part: string;
  readonly reach: () => void;
  readonly released: Promise<void>;
}

/** Each request waits until this resolves. */
export type Pace = () => Promise<void>;

export class GatedSession extends Session {
  private readonly holds: Hold[] = [];
  isDead = false;
  private readonly ended = new Promise<never>((_, reject) => (this.end = () => reject(new Error('It is over.'))));
  private end: () => void = () => undefined;

  constructor(
    context: string,
    private readonly pace: Pace = () => Promise.resolve(),
  ) {
    super(specOptions(), contextOf(context));
    this.ended.catch(() => undefined);
  }

  /** The next request whose text has this part waits. */
  hold(part: string): Held {
    let reach = (): void => undefined;
    let release = (): void => undefined;
    const reached = new Promise<void>((resolve) => (reach = resolve));
    const released = new Promise<void>((resolve) => (release = resolve));
    this.holds.push({ part, reach, released });
    return { reached, release };
  }

  /** From now on nothing that it asks reaches the server, and it hears of nothing: until it is closed. */
  die(): void {
    this.isDead = true;
  }

  override async close(): Promise<void> {
    if (this.isDead) this.end();
    await super.close();
  }

  override async execute(...args: Parameters<Session['execute']>): Promise<types.ResultSet> {
    await this.pass(args[0]);
    return super.execute(...args);
  }

  override async batch(...args: Parameters<Session['batch']>): Promise<void> {
    await this.pass(args[0][0]?.query ?? '');
    return super.batch(...args);
  }

  override async conditional(...args: Parameters<Session['conditional']>): ReturnType<Session['conditional']> {
    const [statements] = args;
    await this.pass('query' in statements ? statements.query : (statements[0]?.query ?? ''));
    return super.conditional(...args);
  }

  private async pass(query: string): Promise<void> {
    await this.pace();
    const at = this.holds.findIndex(({ part }) => query.includes(part));
    if (at >= 0) {
      const [hold] = this.holds.splice(at, 1);
      hold!.reach();
      await hold!.released;
    }
    if (this.isDead) await this.ended;
  }
}

/** The ports of events over a session of their own. */
export async function gatedPorts(
  context: string,
  options: CassandraEventOptions,
  pace?: Pace,
): Promise<EventPorts & { readonly session: GatedSession }> {
  const session = new GatedSession(context, pace);
  await session.connect();
  const ports = eventPorts(session, options);
  await ports.start();
  return Object.assign(ports, { session });
}
