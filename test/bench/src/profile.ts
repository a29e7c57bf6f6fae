/**
 * A CPU profile of the timed windows alone: what a round prepares, and the collections between rounds, are not in it.
 * Kept whole as a file, which any flame graph viewer opens, and told by its top.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { Session, type Profiler } from 'node:inspector/promises';
import { basename, dirname } from 'node:path';

const LINES = 16;
const SAMPLE_US = 200;
/** Time that nobody spends. */
const IDLE = /^\((?:idle|root)\)$/;

/** From and to, ns of `now()`: the profiler's clock. */
export type Window = readonly [start: number, end: number];

export class CpuProfile {
  private readonly session = new Session();

  async start(): Promise<void> {
    this.session.connect();
    await this.session.post('Profiler.enable');
    await this.session.post('Profiler.setSamplingInterval', { interval: SAMPLE_US });
    await this.session.post('Profiler.start');
  }

  /** Writes the file. @returns its top */
  async stop(file: string, windows: readonly Window[]): Promise<string> {
    const { profile } = await this.session.post('Profiler.stop');
    this.session.disconnect();
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, JSON.stringify(profile));
    return topOf(profile, windows);
  }
}

/** The functions with the most time of their own, and what they come to with what they call. */
function topOf(profile: Profiler.Profile, windows: readonly Window[]): string {
  const own = ownTimes(profile, windows);
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const self = new Map<string, number>();
  const total = new Map<string, number>();
  const visit = (id: number, above: ReadonlySet<string>): number => {
    const node = byId.get(id)!;
    const name = nameOf(node);
    const mine = own.get(id) ?? 0;
    let sum = mine;
    const path = new Set(above).add(name);
    for (const child of node.children ?? []) sum += visit(child, path);
    self.set(name, (self.get(name) ?? 0) + mine);
    // A function that calls itself is counted where it began.
    if (!above.has(name)) total.set(name, (total.get(name) ?? 0) + sum);
    return sum;
  };
  visit(profile.nodes[0]!.id, new Set());
  const busy = [...self].reduce((sum, [name, us]) => sum + (IDLE.test(name) ? 0 : us), 0);
  const share = (us: number): string => `${((us / busy) * 100).toFixed(1)} %`.padStart(7);
  return [...self]
    .filter(([name, us]) => us > 0 && !IDLE.test(name))
    .sort((a, b) => b[1] - a[1])
    .slice(0, LINES)
    .map(([name, us]) => `  ${share(us)} own ${share(total.get(name) ?? 0)} with callees  ${name}`)
    .join('\n');
}

/** Microseconds of each node within the windows. */
function ownTimes(profile: Profiler.Profile, windows: readonly Window[]): Map<number, number> {
  const own = new Map<number, number>();
  const { samples = [], timeDeltas = [] } = profile;
  let at = profile.startTime;
  let w = 0;
  for (let i = 0; i < samples.length; i++) {
    const us = timeDeltas[i]!;
    at += us;
    while (w < windows.length && windows[w]![1] / 1_000 < at) w++;
    const window = windows[w];
    if (window !== undefined && at >= window[0] / 1_000) own.set(samples[i]!, (own.get(samples[i]!) ?? 0) + us);
  }
  return own;
}

function nameOf({ callFrame }: Profiler.ProfileNode): string {
  const { functionName, url, lineNumber } = callFrame;
  const name = functionName !== '' ? functionName : url === '' ? 'native code' : 'anonymous';
  return url === '' ? name : `${name} (${basename(url)}:${lineNumber + 1})`;
}
