/**
 * Goal: whichever way Kafka stands to the store, an acknowledged event is stored once and published, whatever is killed.
 * Method: an application of its own process records and is killed at random points; then the LMDB store is compared with
 * what was acknowledged, and the topics, read with the bare client, with the store. `KILLS=50` for the long run.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { SystemClock, toEventJson, type Fact } from '@concursus/core';
import { eventHeaders } from '@concursus/kafka';
import { lmdb } from '@concursus/lmdb';
import { serverOf } from '@concursus/test/servers';
import { afterAll, describe, expect, it } from 'vitest';
import { fresh, readTopics, type ReadMessage } from '../packages/kafka/test/support.js';

const kills = Number(process.env['KILLS'] ?? 4);
const brokers = serverOf('kafka').brokers;
const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'concursus-topologies-'));

afterAll(() => rmSync(folder, { recursive: true, force: true }));

class Child {
  readonly acknowledged: number[] = [];
  private readonly process;
  private readonly ended: Promise<unknown>;
  private readonly told = new Set<string>();
  private news: () => void = () => undefined;

  constructor(topology: string, path: string, context: string, first: number) {
    const loader = new URL('./run-typescript.mjs', import.meta.url).href;
    const file = fileURLToPath(new URL('./topology-child.ts', import.meta.url));
    const given = [topology, path, brokers.join(','), context, String(first)];
    this.process = spawn(process.execPath, ['--import', loader, file, ...given], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.ended = once(this.process, 'exit').then(() => {
      this.told.add('ended');
      this.news();
    });
    createInterface({ input: this.process.stdout! }).on('line', (line) => {
      if (/^\d+$/.test(line)) this.acknowledged.push(Number(line));
      else this.told.add(line);
      this.news();
    });
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.told.has('ended')) await new Promise<void>((resolve) => (this.news = resolve));
  }

  ready(): Promise<void> {
    return this.until(() => this.told.has('ready'));
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.ended;
  }

  async settle(): Promise<void> {
    this.process.stdin!.write('settle\n');
    await this.until(() => this.told.has('settled'));
    expect([...this.told]).toContain('settled');
    await this.ended;
  }
}

/** Everything the store has, in recorded order. */
async function stored(path: string, context: string): Promise<Fact[]> {
  const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };
  const layer = await lmdb({ path }).create({ context, clock: new SystemClock(), logger: silent });
  await layer.connect();
  const { eventFeed } = layer.ports;
  const facts: Fact[] = [];
  for (let position = eventFeed.start(); ;) {
    const page = await eventFeed.read(position, 1_000);
    if (page.facts.length === 0) break;
    facts.push(...page.facts);
    position = page.next;
  }
  await layer.close();
  return facts;
}

/** As a careful reader takes it: what it has seen by its key is dropped. */
function firstOfEach(messages: readonly ReadMessage[]): ReadMessage[] {
  const seen = new Set<string>();
  return messages.filter(({ message }) => {
    const key = message.headers![eventHeaders.key]!.toString();
    return !seen.has(key) && seen.add(key);
  });
}

describe.each([
  { topology: 'store', published: undefined, buffered: false },
  { topology: 'store-relay', published: 'parcel', buffered: false },
  { topology: 'buffer', published: undefined, buffered: true },
  { topology: 'both', published: 'parcel', buffered: true },
])('the topology $topology', ({ topology, published, buffered }) => {
  it(
    `stores what was acknowledged and publishes what is stored, in recorded order per aggregate, over ${kills} kills`,
    { timeout: 120_000 + kills * 30_000 },
    async () => {
      const path = join(folder, topology);
      const context = fresh(topology);
      const acknowledged: number[] = [];
      for (let round = 0; round < kills; round++) {
        const child = new Child(topology, path, context, (round + 1) * 1_000_000);
        await child.ready();
        const some = Math.floor(Math.random() * 400);
        await child.until(() => child.acknowledged.length > some);
        await child.kill();
        acknowledged.push(...child.acknowledged);
      }
      const last = new Child(topology, path, context, 100_000_000);
      await last.ready();
      await last.until(() => last.acknowledged.length > 100);
      await last.settle();
      acknowledged.push(...last.acknowledged);

      const facts = await stored(path, context);
      const numbers = facts.map((fact) => fact.parameters['n'] as number);
      expect(new Set(numbers).size).toBe(numbers.length);
      expect(acknowledged.length).toBeGreaterThan(100);
      const known = new Set(numbers);
      expect(acknowledged.filter((number) => !known.has(number))).toEqual([]);

      if (buffered) {
        const accepted = await readTopics(brokers, [`${context}.buffer`]);
        const held = new Set(
          accepted.map(({ message }) => (JSON.parse(message.value!.toString()) as { sequence: number }).sequence),
        );
        expect(held).toEqual(known);
      }
      if (published === undefined) return;
      const all = await readTopics(brokers, [`${context}.${published}`]);
      const read = firstOfEach(all);
      // eslint-disable-next-line no-console
      console.log(`${topology}: ${facts.length} events, ${kills} kills, ${all.length - read.length} published again`);
      expect(read.length).toBe(facts.length);
      const inOrder = (texts: readonly { readonly id: string; readonly json: string }[], id: string): string[] =>
        texts.filter((one) => one.id === id).map((one) => one.json);
      const messages = read.map(({ message }) => ({ id: message.key!.toString(), json: message.value!.toString() }));
      const recorded = facts.map((fact) => ({ id: fact.aggregateId, json: toEventJson(fact) }));
      for (let n = 0; n < 23; n++) expect(inOrder(messages, `p${n}`)).toEqual(inOrder(recorded, `p${n}`));
    },
  );
});
