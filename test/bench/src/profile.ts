/** The top of a CPU profile: where the time of a case went, by function. The whole of it opens in any flame graph viewer. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const LINES = 16;
/** Time that nobody spends. */
const IDLE = /^\((?:idle|root)\)$/;

/** The functions with the most time of their own, and what they come to with what they call. */
export function profileText(folder: string): string {
  const file = readdirSync(folder).find((name) => name.endsWith('.cpuprofile'));
  if (file === undefined) return '  no profile was written';
  const profile = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Profile;
  const own = new Map<number, number>();
  for (let i = 0; i < profile.samples.length; i++) {
    const id = profile.samples[i]!;
    own.set(id, (own.get(id) ?? 0) + profile.timeDeltas[i]!);
  }
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
    .filter(([name]) => !IDLE.test(name))
    .sort((a, b) => b[1] - a[1])
    .slice(0, LINES)
    .map(([name, us]) => `  ${share(us)} own ${share(total.get(name) ?? 0)} with callees  ${name}`)
    .join('\n');
}

function nameOf({ callFrame }: ProfileNode): string {
  const { functionName, url, lineNumber } = callFrame;
  const name = functionName === '' ? 'anonymous' : functionName;
  return url === '' ? name : `${name} (${basename(url)}:${lineNumber + 1})`;
}
