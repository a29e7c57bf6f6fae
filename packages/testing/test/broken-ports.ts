/**
 * Ports broken on purpose, for contract-has-teeth.spec.ts: each is the in-memory one with one promise left out.
 * Long, and still one subject: a list a port.
 */
import {
  ConflictError,
  Fact,
  OrdinalPosition,
  type AggregateKey,
  type Append,
  type AppendOptions,
  type AppendOutcome,
  type DecisionAnswer,
  type DecisionAppend,
  type EventRelay,
  type EventStore,
  type EventTransport,
  type FeedPage,
  type PersistentPorts,
  type Position,
  type ReadOptions,
  type StoredRow,
  type TransportItem,
  type ViewCommit,
} from '@concursus/core';

/** The port with some methods replaced. */
export function override<P extends object>(port: P, methods: Partial<P>): P {
  return Object.assign(Object.create(port) as P, methods);
}

/** The options less one of them. */
function without<O extends object>(options: O, name: keyof O): O {
  const rest = Object.assign({}, options);
  delete rest[name];
  return rest;
}

type Persistent = (ports: PersistentPorts) => Partial<PersistentPorts>;

/** Changes what every read of histories returns. */
function reading(change: (facts: Fact[], options: ReadOptions | undefined, key: AggregateKey) => Fact[]): Persistent {
  return ({ eventStore }) => ({
    eventStore: override(eventStore, {
      async *read(key, options) {
        const all: Fact[] = [];
        for await (const page of eventStore.read(key, options)) all.push(...page);
        const facts = change(all, options, key);
        if (facts.length > 0) yield facts;
      },
      async readMany(keys, options) {
        const many = await eventStore.readMany(keys, options);
        return many.map((facts, i) => change([...facts], options, keys[i]!));
      },
    }),
  });
}

/** Changes the options that every read of histories is asked with. */
function readingWith(change: (options: ReadOptions) => ReadOptions): Persistent {
  return ({ eventStore }) => ({
    eventStore: override(eventStore, {
      read: (key, options) => eventStore.read(key, change(options ?? {})),
      readMany: (keys, options) => eventStore.readMany(keys, change(options ?? {})),
    }),
  });
}

/** Changes what is appended, and what is answered. */
function appending(
  given: (appends: readonly Append[], options: AppendOptions | undefined) => readonly Append[],
  answered: (outcomes: readonly AppendOutcome[], append: Append) => readonly AppendOutcome[] = (outcomes) => outcomes,
): Persistent {
  return ({ eventStore }) => ({
    eventStore: override(eventStore, {
      async append(appends, options) {
        const results = await eventStore.append(given(appends, options), options);
        return results.map((result, i) => ({
          outcomes: answered(result.outcomes, appends[i]!),
          position: result.position,
        }));
      },
    }),
  });
}

/** Changes what is asked to be decided, and what is answered. */
function deciding(
  given: (decision: DecisionAppend, store: EventStore) => DecisionAppend | Promise<DecisionAppend>,
  answered: (answer: DecisionAnswer, decision: DecisionAppend) => DecisionAnswer = (answer) => answer,
): Persistent {
  return ({ eventStore }) => ({
    eventStore: override(eventStore, {
      decide: async (decision) => answered(await eventStore.decide(await given(decision, eventStore)), decision),
    }),
  });
}

const utf16 = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const identity = (fact: Fact): string => JSON.stringify([fact.eventTime, fact.streamId, fact.sequence, fact.name]);
const copy = (fact: Fact): Fact => new Fact(fact);

export const brokenStores: readonly [name: string, broken: Persistent][] = [
  [
    'decides on any head',
    deciding(async (decision, store) => ({ ...decision, head: await store.readHead(decision.aggregate) })),
  ],
  [
    'looks at the head before it decides, and not while',
    ({ eventStore }) => ({
      eventStore: override(eventStore, {
        async decide(decision) {
          const head = await eventStore.readHead(decision.aggregate);
          if (head !== decision.head) return { outcome: 'stale', head };
          for (;;) {
            const answer = await eventStore.decide({
              ...decision,
              head: await eventStore.readHead(decision.aggregate),
            });
            if (answer.outcome !== 'stale') return answer;
          }
        },
      }),
    }),
  ],
  [
    'forgets which commands were decided',
    ({ eventStore }) => {
      let n = 0;
      return {
        eventStore: override(eventStore, {
          decide: (decision) =>
            eventStore.decide({ ...decision, commandId: `${++n}${decision.commandId}`.slice(0, 512) }),
        }),
      };
    },
  ],
  [
    'answers a command that comes again as it is asked now',
    deciding(
      (decision) => decision,
      (answer, { result }) => (answer.outcome === 'answered' ? { ...answer, result } : answer),
    ),
  ],
  ['ignores who decides', deciding((decision) => without(decision, 'epoch'))],
  ['records nothing of a decision', deciding((decision) => ({ ...decision, facts: [] }))],
  [
    'records what it calls stale',
    ({ eventStore }) => ({
      eventStore: override(eventStore, {
        async decide(decision) {
          const answer = await eventStore.decide(decision);
          const { facts, receivedAt } = decision;
          if (answer.outcome === 'stale') await eventStore.append([{ facts, receivedAt }]);
          return answer;
        },
      }),
    }),
  ],
  [
    'records what it answered before once more',
    ({ eventStore }) => ({
      eventStore: override(eventStore, {
        async decide(decision) {
          const answer = await eventStore.decide(decision);
          const { facts, receivedAt } = decision;
          if (answer.outcome === 'answered') await eventStore.append([{ facts, receivedAt }]);
          return answer;
        },
      }),
    }),
  ],
  [
    'moves the head with every fact',
    ({ eventStore }) => {
      let moved = 0;
      return {
        eventStore: override(eventStore, {
          async append(appends, options) {
            moved += 1;
            return eventStore.append(appends, options);
          },
          readHead: async (aggregate) => (await eventStore.readHead(aggregate)) + moved,
        }),
      };
    },
  ],
  [
    'takes a decision of any size',
    deciding((decision) => ({ ...decision, facts: decision.facts.slice(0, 100), result: decision.result.slice(0, 9) })),
  ],
  [
    'forgets what it acknowledged',
    ({ eventStore }) => ({
      eventStore: override(eventStore, {
        async append(appends) {
          return appends.map(({ facts }) => ({
            outcomes: facts.map(() => 'recorded' as const),
            position: new OrdinalPosition(0),
          }));
        },
      }),
    }),
  ],
  [
    'shows late facts as known before they were',
    ({ eventStore }) => ({
      eventStore: override(eventStore, {
        readLate: (key, { after, limit }) => eventStore.readLate(key, { after, limit }),
      }),
    }),
  ],
  ['forgets late facts', ({ eventStore }) => ({ eventStore: override(eventStore, { readLate: async () => [] }) })],
  [
    'takes every event for a correction',
    ({ eventStore }) => ({
      eventStore: override(eventStore, {
        readCorrections: (keys, options) => eventStore.readMany(keys, options),
      }),
    }),
  ],
  [
    'knows corrections before they were recorded',
    ({ eventStore }) => ({
      eventStore: override(eventStore, { readCorrections: (keys) => eventStore.readCorrections(keys) }),
    }),
  ],
  [
    'lists an aggregate twice',
    ({ eventStore }) => ({
      eventStore: override(eventStore, {
        scanAggregates: async (after, limit) =>
          (await eventStore.scanAggregates(after, limit)).flatMap((key) => [key, key]),
      }),
    }),
  ],
  [
    'counts repeats and conflicts alike',
    ({ eventStore }) => ({
      eventStore: override(eventStore, {
        readSourceCounts: async () =>
          (await eventStore.readSourceCounts()).map((one) => ({ ...one, repeated: one.repeated + one.conflicting })),
      }),
    }),
  ],
  ['gives each fact twice', reading((facts) => facts.flatMap((fact) => [fact, fact]))],
  [
    'gives facts in the order of arrival',
    reading((facts) => facts.sort((a, b) => utf16(a.processingId, b.processingId))),
  ],
  [
    'orders streams by UTF-16 units',
    reading((facts, options) =>
      options?.descending === true
        ? facts
        : facts.sort((a, b) => a.eventTime - b.eventTime || utf16(a.streamId, b.streamId)),
    ),
  ],
  [
    'orders conflicting contents by arrival',
    reading((facts, options) =>
      options?.descending === true
        ? facts
        : facts.sort((a, b) => (identity(a) === identity(b) ? utf16(a.processingId, b.processingId) : 0)),
    ),
  ],
  [
    'shows only the last of conflicting contents',
    reading((facts) => [...new Map(facts.map((fact) => [identity(fact), fact])).values()]),
  ],
  [
    'shows only the first of two events of one millisecond',
    reading((facts) => facts.filter((fact, i) => facts[i - 1]?.eventTime !== fact.eventTime)),
  ],
  [
    'loses metadata',
    reading((facts) =>
      facts.map((fact) =>
        Object.assign(
          new Fact({ ...fact, content: fact.content, metadata: undefined }, fact.processingId, fact.processedAt),
          { repeats: fact.repeats },
        ),
      ),
    ),
  ],
  [
    'never says how often a fact came again',
    reading((facts) => facts.map((fact) => new Fact(fact, fact.processingId, fact.processedAt))),
  ],
  [
    'reads all tenants as one',
    ({ eventStore }) => ({
      eventStore: override(eventStore, {
        append: (appends, options) =>
          eventStore.append(
            appends.map((append) => ({
              ...append,
              facts: append.facts.map((fact) => new Fact({ ...fact, content: fact.content, tenant: '' })),
            })),
            options,
          ),
        read: (key, options) => eventStore.read({ ...key, tenant: '' }, options),
      }),
    }),
  ],
  [
    'takes exclusive bounds as inclusive',
    readingWith((options) => ({
      ...options,
      range: options.range === undefined ? {} : { ...options.range, fromExclusive: false, toExclusive: false },
    })),
  ],
  ['ignores the range', readingWith((options) => ({ ...options, range: {} }))],
  ['ignores the names', readingWith((options) => without(options, 'names'))],
  ['ignores knownAt', readingWith((options) => without(options, 'knownAt'))],
  ['ignores upTo', readingWith((options) => without(options, 'upTo'))],
  ['ignores descending', readingWith((options) => ({ ...options, descending: false }))],
  ['ignores an abort', readingWith((options) => without(options, 'signal'))],
  [
    'hands out its own lists',
    reading((facts, _, key) => {
      const kept = lists.get(key.id);
      if (kept?.length === 0) return kept;
      lists.set(key.id, facts);
      return facts;
    }),
  ],
  [
    'calls a repeat recorded',
    appending(
      (appends) => appends,
      (outcomes) => outcomes.map((outcome) => (outcome === 'repeated' ? 'recorded' : outcome)),
    ),
  ],
  [
    'calls a conflict recorded',
    appending(
      (appends) => appends,
      (outcomes) => outcomes.map((outcome) => (outcome === 'conflicting' ? 'recorded' : outcome)),
    ),
  ],
  [
    'calls a conflict a repeat, and drops it',
    appending((appends) => {
      const seen = new Map<string, string>();
      return appends.map((append) => ({
        ...append,
        facts: append.facts.map((fact) => {
          const key = fact.tenant + fact.aggregateId + identity(fact);
          const first = seen.get(key) ?? fact.content;
          seen.set(key, first);
          return new Fact({ ...fact, content: first });
        }),
      }));
    }),
  ],
  [
    'answers outcomes in another order',
    appending(
      (appends) => appends,
      (outcomes) => outcomes.toReversed(),
    ),
  ],
  [
    'stamps copies, not the facts it was given',
    appending((appends) => appends.map((append) => ({ ...append, facts: append.facts.map(copy) }))),
  ],
  [
    'stamps repeats',
    ({ eventStore }) => ({
      eventStore: override(eventStore, {
        async append(appends, options) {
          const results = await eventStore.append(appends, options);
          for (const { facts } of appends)
            for (const fact of facts)
              if (fact.processingId === '') {
                fact.processingId = 'x';
                fact.processedAt = 1;
              }
          return results;
        },
      }),
    }),
  ],
  [
    'gives all events of an append one id',
    ({ eventStore }) => ({
      eventStore: override(eventStore, {
        async append(appends, options) {
          const results = await eventStore.append(appends, options);
          for (const { facts } of appends)
            for (const fact of facts) if (fact.processingId !== '') fact.processingId = facts[0]!.processingId;
          return results;
        },
      }),
    }),
  ],
  [
    'takes the time of the first append for all',
    appending((appends) => appends.map((append) => ({ ...append, receivedAt: appends[0]!.receivedAt }))),
  ],
  ['keeps no floor', ({ eventStore }) => ({ eventStore: override(eventStore, { keepFloor: async () => undefined }) })],
  [
    'stores a call by halves',
    ({ eventStore }) => ({
      eventStore: override(eventStore, {
        async append(appends, options) {
          const results = [];
          for (const append of appends) results.push(...(await eventStore.append([append], options)));
          return results;
        },
      }),
    }),
  ],
  [
    'takes an append of any size',
    appending((appends) => appends.map((append) => ({ ...append, facts: append.facts.slice(0, 100) }))),
  ],
  [
    'ignores the checkpoint’s epoch',
    ({ eventStore, checkpointStore }) => ({
      eventStore: override(eventStore, {
        async append(appends, options) {
          const checkpoint = options?.checkpoint;
          const epoch = checkpoint === undefined ? 0 : ((await checkpointStore.readOwner(checkpoint.name))?.epoch ?? 0);
          return eventStore.append(appends, checkpoint === undefined ? {} : { checkpoint: { ...checkpoint, epoch } });
        },
      }),
    }),
  ],
  [
    'forgets the checkpoint of an append',
    ({ eventStore }) => ({ eventStore: override(eventStore, { append: (appends) => eventStore.append(appends) }) }),
  ],
  [
    'answers positions before what it appended',
    ({ eventStore }) => ({
      eventStore: override(eventStore, {
        async append(appends, options) {
          const results = await eventStore.append(appends, options);
          return results.map(({ outcomes }) => ({ outcomes, position: new OrdinalPosition(0) }));
        },
      }),
    }),
  ],
  [
    'loses a race of two equal facts',
    ({ eventStore }) => ({
      eventStore: override(eventStore, {
        async append(appends, options) {
          const known = await eventStore.readMany(
            appends.flatMap(({ facts }) =>
              facts.map((fact) => ({ tenant: fact.tenant, type: fact.aggregateType, id: fact.aggregateId })),
            ),
          );
          await Promise.resolve();
          const results = await eventStore.append(appends, options);
          let i = 0;
          return results.map(({ outcomes, position }) => ({
            position,
            outcomes: outcomes.map((outcome) =>
              known[i++]!.length === 0 && outcome === 'repeated' ? 'recorded' : outcome,
            ),
          }));
        },
      }),
    }),
  ],
];

const lists = new Map<string, Fact[]>();

/** Changes every page of the feed. */
function feeding(change: (page: FeedPage, from: Position, limit: number) => FeedPage): Persistent {
  return ({ eventFeed }) => ({
    eventFeed: override(eventFeed, {
      read: async (from, limit) => change(await eventFeed.read(from, limit), from, limit),
    }),
  });
}

export const brokenFeeds: readonly [name: string, broken: Persistent][] = [
  [
    'passes over a fact',
    feeding((page) => ({ ...page, facts: page.facts.filter((fact) => fact.eventTime % 5 !== 3) })),
  ],
  [
    'gives facts in event-time order',
    feeding((page) => ({ ...page, facts: page.facts.toSorted((a, b) => a.eventTime - b.eventTime) })),
  ],
  ['gives a fact twice', feeding((page) => ({ ...page, facts: page.facts.flatMap((fact) => [fact, fact]) }))],
  [
    'leaves conflicting contents out',
    feeding((page) => ({ ...page, facts: page.facts.filter((fact) => fact.content === '{}') })),
  ],
  ['moves past what it did not give', feeding((page, _, limit) => ({ ...page, facts: page.facts.slice(0, limit) }))],
  ['stays where it is', feeding((page, from) => ({ ...page, next: from }))],
  ['says it is at the end too early', feeding((page) => ({ ...page, atEnd: true }))],
  [
    'moves on when there is nothing',
    feeding((page, from) =>
      page.facts.length === 0 ? { ...page, next: new OrdinalPosition(OrdinalPosition.of(from).ordinal + 1) } : page,
    ),
  ],
  ['gives the facts without their stamps', feeding((page) => ({ ...page, facts: page.facts.map(copy) }))],
  [
    'has an end that lags',
    ({ eventFeed }) => ({ eventFeed: override(eventFeed, { end: async () => eventFeed.start() }) }),
  ],
  [
    'takes any text as a position',
    ({ eventFeed }) => ({
      eventFeed: override(eventFeed, {
        parsePosition: (text) => {
          try {
            return eventFeed.parsePosition(text);
          } catch {
            return eventFeed.start();
          }
        },
      }),
    }),
  ],
  [
    'never wakes',
    ({ eventFeed }) => ({ eventFeed: override(eventFeed, { wait: () => new Promise(() => undefined) }) }),
  ],
  [
    'rejects an aborted wait',
    ({ eventFeed }) => ({
      eventFeed: override(eventFeed, {
        wait: async (from, signal) => {
          await eventFeed.wait(from, signal);
          signal.throwIfAborted();
        },
      }),
    }),
  ],
];

const quiet = (call: Promise<unknown>): Promise<void> =>
  call.then(
    () => undefined,
    () => undefined,
  );

/** Changes what is committed. */
function committing(
  change: (commit: ViewCommit, ports: PersistentPorts) => ViewCommit | Promise<ViewCommit>,
): Persistent {
  return (ports) => ({
    viewStore: override(ports.viewStore, {
      commit: async (commit) => ports.viewStore.commit(await change(commit, ports)),
    }),
  });
}

/** Changes what is found. */
function finding(change: (rows: readonly StoredRow[]) => readonly StoredRow[]): Persistent {
  return ({ viewStore }) => ({
    viewStore: override(viewStore, {
      findRows: async (view, options) => change(await viewStore.findRows(view, options)),
    }),
  });
}

export const brokenViews: readonly [name: string, broken: Persistent][] = [
  [
    'ignores the epoch',
    committing(async (commit, { checkpointStore }) => ({
      ...commit,
      epoch: (await checkpointStore.readOwner(commit.owner))?.epoch ?? 0,
    })),
  ],
  [
    'does not fence what is durable',
    committing(async (commit, { viewStore, checkpointStore }) =>
      commit.durable === true
        ? {
            ...commit,
            epoch: (await checkpointStore.readOwner(commit.owner))?.epoch ?? 0,
            expected: await viewStore.readCheckpoint(commit.view),
          }
        : commit,
    ),
  ],
  [
    'ignores the expected checkpoint',
    committing(async (commit, { viewStore }) => ({ ...commit, expected: await viewStore.readCheckpoint(commit.view) })),
  ],
  [
    'writes rows of a commit it refuses',
    ({ viewStore, checkpointStore }) => ({
      viewStore: override(viewStore, {
        async commit(commit) {
          try {
            await viewStore.commit(commit);
          } catch (error) {
            if (error instanceof ConflictError) {
              const expected = await viewStore.readCheckpoint(commit.view);
              const epoch = (await checkpointStore.readOwner(commit.owner))?.epoch ?? 0;
              await quiet(
                viewStore.commit({ ...commit, epoch, expected, checkpoint: expected ?? '', changes: [], notes: [] }),
              );
            }
            throw error;
          }
        },
      }),
    }),
  ],
  ['forgets contributions it should keep', committing((commit) => ({ ...commit, contributions: [] }))],
  ['keeps contributions it should forget', committing((commit) => ({ ...commit, forget: [] }))],
  ['never removes index entries', committing((commit) => ({ ...commit, indexRemove: [] }))],
  [
    'removes index entries after adding',
    committing((commit) => ({
      ...commit,
      indexAdd: commit.indexAdd.filter((entry) => !commit.indexRemove.some((other) => other.order === entry.order)),
    })),
  ],
  ['loses changes', committing((commit) => ({ ...commit, changes: commit.changes.slice(0, 1) }))],
  ['loses notes', committing((commit) => ({ ...commit, notes: [] }))],
  [
    'keeps removed notes',
    committing((commit) => ({ ...commit, notes: commit.notes.filter((note) => note.value !== null) })),
  ],
  ['mixes versions', committing((commit) => ({ ...commit, view: { ...commit.view, version: 1 } }))],
  ['orders keys by UTF-16 units', finding((rows) => rows.toSorted((a, b) => utf16(a.key, b.key)))],
  ['finds rows the wrong way round', finding((rows) => rows.toReversed())],
  [
    'forgets the revision of a removed row',
    ({ viewStore }) => ({
      viewStore: override(viewStore, {
        readRows: async (view, keys) =>
          (await viewStore.readRows(view, keys)).map((row) => (row?.contributors === 0 ? undefined : row)),
      }),
    }),
  ],
  [
    'counts removed rows for the limit',
    ({ viewStore }) => ({
      viewStore: override(viewStore, {
        findRows: async (view, options) =>
          await viewStore.findRows(view, { ...options, limit: Math.max(1, options.limit - 1) }),
      }),
    }),
  ],
  [
    'ignores the prefix of the index',
    ({ viewStore }) => ({
      viewStore: override(viewStore, {
        readIndex: (view, row, field, options) => viewStore.readIndex(view, row, field, without(options, 'prefix')),
      }),
    }),
  ],
  [
    'ignores where the index was read to',
    ({ viewStore }) => ({
      viewStore: override(viewStore, {
        readIndex: (view, row, field, options) => viewStore.readIndex(view, row, field, without(options, 'after')),
      }),
    }),
  ],
  [
    'reads changes again',
    ({ viewStore }) => ({
      viewStore: override(viewStore, {
        readChanges: (view, after, limit) => viewStore.readChanges(view, Math.max(0, after - 1), limit),
      }),
    }),
  ],
  [
    'lists an index for each of its entries',
    ({ viewStore }) => ({
      viewStore: override(viewStore, {
        async *scanIndexes(view) {
          for await (const page of viewStore.scanIndexes(view)) {
            const entries = await Promise.all(
              page.map(({ row, field }) => viewStore.readIndex(view, row, field, { limit: 10 })),
            );
            yield entries.flat();
          }
        },
      }),
    }),
  ],
  ['drops nothing', ({ viewStore }) => ({ viewStore: override(viewStore, { drop: async () => undefined }) })],
  [
    'drops every version',
    ({ viewStore }) => ({
      viewStore: override(viewStore, {
        drop: async (view) => {
          for (const version of await viewStore.versions(view.name)) await viewStore.drop({ ...view, version });
        },
      }),
    }),
  ],
  [
    'never wakes',
    ({ viewStore }) => ({ viewStore: override(viewStore, { waitForChange: () => new Promise(() => undefined) }) }),
  ],
];

export const brokenCheckpoints: readonly [name: string, broken: Persistent][] = [
  [
    'ignores the epoch',
    ({ checkpointStore }) => ({
      checkpointStore: override(checkpointStore, {
        save: async (name, value, options) =>
          checkpointStore.save(name, value, { ...options, epoch: (await checkpointStore.readOwner(name))?.epoch ?? 0 }),
      }),
    }),
  ],
  [
    'ignores what was expected',
    ({ checkpointStore }) => ({
      checkpointStore: override(checkpointStore, {
        save: async (name, value, options) =>
          checkpointStore.save(name, value, { ...options, expected: await checkpointStore.read(name) }),
      }),
    }),
  ],
  [
    'lets everybody claim',
    ({ checkpointStore }) => ({
      checkpointStore: override(checkpointStore, {
        claim: async (name, owner) => checkpointStore.claim(name, owner, await checkpointStore.readOwner(name)),
      }),
    }),
  ],
  [
    'gives a new owner the old epoch',
    ({ checkpointStore }) => ({
      checkpointStore: override(checkpointStore, {
        claim: async (name, owner, seen) => {
          const row = await checkpointStore.claim(name, owner, seen);
          return row === undefined ? undefined : { ...row, epoch: 1 };
        },
      }),
    }),
  ],
  [
    'renews without a beat',
    ({ checkpointStore }) => ({ checkpointStore: override(checkpointStore, { renew: async (row) => row }) }),
  ],
  [
    'releases another’s row',
    ({ checkpointStore }) => ({
      checkpointStore: override(checkpointStore, {
        release: async (row) => {
          const now = await checkpointStore.readOwner(row.name);
          if (now !== undefined) await checkpointStore.release(now);
        },
      }),
    }),
  ],
  [
    'releases nothing',
    ({ checkpointStore }) => ({ checkpointStore: override(checkpointStore, { release: async () => undefined }) }),
  ],
];

export const brokenSnapshots: readonly [name: string, broken: Persistent][] = [
  [
    'gives the least fold key first',
    ({ snapshotStore }) => ({
      snapshotStore: override(snapshotStore, {
        read: async (key, version, limit) => (await snapshotStore.read(key, version, 100)).toReversed().slice(0, limit),
      }),
    }),
  ],
  [
    'mixes reducer versions',
    ({ snapshotStore }) => ({
      snapshotStore: override(snapshotStore, {
        read: (key, _, limit) => snapshotStore.read(key, 1, limit),
        save: (snapshot) => snapshotStore.save({ ...snapshot, reducerVersion: 1 }),
      }),
    }),
  ],
  [
    'removes nothing',
    ({ snapshotStore }) => ({ snapshotStore: override(snapshotStore, { remove: async () => undefined }) }),
  ],
  [
    'removes all',
    ({ snapshotStore }) => ({
      snapshotStore: override(snapshotStore, { remove: (key, version) => snapshotStore.remove(key, version, '') }),
    }),
  ],
  [
    'removes what is above the fold keys it is given',
    ({ snapshotStore }) => ({
      snapshotStore: override(snapshotStore, {
        removeEach: (key, version, foldKeys) => snapshotStore.remove(key, version, [...foldKeys].sort()[0] ?? 'z'),
      }),
    }),
  ],
  [
    'cuts long contents',
    ({ snapshotStore }) => ({
      snapshotStore: override(snapshotStore, {
        save: (snapshot) => snapshotStore.save({ ...snapshot, content: snapshot.content.slice(0, 65_536) }),
      }),
    }),
  ],
];

export const brokenQuarantines: readonly [name: string, broken: Persistent][] = [
  [
    'keeps no bytes',
    ({ quarantine }) => ({
      quarantine: override(quarantine, {
        put: (inputs) => quarantine.put(inputs.map((input) => ({ ...input, bytes: new Uint8Array(0) }))),
      }),
    }),
  ],
  [
    'keeps identical bytes each time',
    ({ quarantine }) => {
      let n = 0;
      return {
        quarantine: override(quarantine, {
          put: (inputs) => quarantine.put(inputs.map((input) => ({ ...input, digest: `${input.digest}${++n}` }))),
        }),
      };
    },
  ],
  [
    'mixes sources',
    ({ quarantine }) => ({
      quarantine: override(quarantine, {
        put: (inputs) => quarantine.put(inputs.map((input) => ({ ...input, source: 'reports' }))),
      }),
    }),
  ],
  [
    'lists the page again',
    ({ quarantine }) => ({
      quarantine: override(quarantine, { list: (_, limit) => quarantine.list(undefined, limit) }),
    }),
  ],
  [
    'removes nothing',
    ({ quarantine }) => ({
      quarantine: override(quarantine, { remove: async (id) => (await quarantine.get(id)) !== undefined }),
    }),
  ],
];

type Handle = (items: readonly TransportItem[]) => Promise<void>;

/** Changes how batches are handled. */
function handling(change: (handle: Handle) => Handle): (transport: EventTransport) => EventTransport {
  return (transport) =>
    override(transport, { subscribe: (group, handle, options) => transport.subscribe(group, change(handle), options) });
}

export const brokenTransports: readonly [name: string, broken: (transport: EventTransport) => EventTransport][] = [
  ['acknowledges before handling', handling((handle) => async (items) => void quiet(handle(items)))],
  ['acknowledges what was rejected', handling((handle) => (items) => quiet(handle(items)))],
  ['hands out batches backwards', handling((handle) => (items) => handle(items.toReversed()))],
  [
    'hands each batch out twice',
    handling((handle) => async (items) => {
      await handle(items);
      await handle(items);
    }),
  ],
  [
    'ignores the batch size',
    (transport) => override(transport, { subscribe: (group, handle) => transport.subscribe(group, handle) }),
  ],
  [
    'has one group',
    (transport) =>
      override(transport, {
        subscribe: (_, handle, options) => transport.subscribe('g', handle, options),
        lag: () => transport.lag('g'),
      }),
  ],
  [
    'closes without waiting',
    (transport) =>
      override(transport, {
        subscribe: async (group, handle, options) => {
          const real = await transport.subscribe(group, handle, options);
          return { close: async () => void real.close() };
        },
      }),
  ],
  [
    'loses what is published before anybody subscribes',
    (transport) => {
      let open = false;
      return override(transport, {
        publish: async (items) => (open ? transport.publish(items) : undefined),
        subscribe: (...args) => {
          open = true;
          return transport.subscribe(...args);
        },
      });
    },
  ],
  [
    'never closes a subscription',
    (transport) =>
      override(transport, {
        subscribe: async (group, handle, options) => {
          await transport.subscribe(group, handle, options);
          return { close: async () => undefined };
        },
      }),
  ],
];

/** The relay with some calls replaced; the others reach the real one, which keeps its state. */
function changed(relay: EventRelay, methods: Partial<EventRelay>): EventRelay {
  return {
    connect: () => relay.connect(),
    publish: (facts) => relay.publish(facts),
    close: () => relay.close(),
    ...methods,
  };
}

/** Changes what is handed to the other side. */
function relaying(change: (facts: readonly Fact[]) => readonly Fact[]): (relay: EventRelay) => EventRelay {
  return (relay) => changed(relay, { publish: (facts) => relay.publish(change(facts)) });
}

export const brokenRelays: readonly [name: string, broken: (relay: EventRelay) => EventRelay][] = [
  ['loses the last event of a page', relaying((facts) => facts.slice(0, Math.max(1, facts.length - 1)))],
  ['publishes pages backwards', relaying((facts) => facts.toReversed())],
  ['drops repeats itself', relaying((facts) => [...new Map(facts.map((fact) => [fact.digest, fact])).values()])],
  [
    'forgets the source’s number',
    relaying((facts) =>
      facts.map(
        (fact) => new Fact({ ...fact, content: fact.content, sequence: -1 }, fact.processingId, fact.processedAt),
      ),
    ),
  ],
  [
    'resolves before it is held',
    (relay) => changed(relay, { publish: async (facts) => later(() => relay.publish(facts)) }),
  ],
  ['cuts large pages', relaying((facts) => facts.slice(0, 5_000))],
  [
    'closes when it is connected again',
    (relay) => {
      let connected = false;
      return changed(relay, {
        publish: (facts) => {
          connected = true;
          return relay.publish(facts);
        },
        connect: () => (connected ? relay.close() : relay.connect()),
      });
    },
  ],
  ['goes on after close', (relay) => changed(relay, { close: async () => undefined })],
];

/** After everything that is to be done now. */
function later(action: () => Promise<void>): void {
  setImmediate(() => void quiet(action()));
}
