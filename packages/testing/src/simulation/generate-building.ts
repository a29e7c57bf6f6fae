/**
 * Worlds about one thing: views are built anew and deployed again and again, with little in them, so that most of what goes
 * wrong goes wrong between one generation and the next.
 */
import { KEPT } from './domain.js';
import { sendOf } from './generate.js';
import { VIEWS } from './model.js';
import type { Action, Draft, EventDraft, Plan } from './plan.js';
import { Random } from './random.js';

const SPAN_MS = 8_000;

/** The world of building of a seed. */
export function buildingPlanOf(seed: number): Plan {
  const random = new Random(seed ^ 0x6e44);
  const processes = random.chance(0.8) ? 2 : 1;
  const view = random.pick(VIEWS);
  const at = (): number => random.real() * (random.chance(0.3) ? 300 : SPAN_MS);
  const to = (): number => random.int(0, processes - 1);
  const actions: Action[] = sent(random).map((draft) => sendOf(random, at(), [draft], processes));
  for (let i = random.int(5, 30); i > 0; i--)
    actions.push({ at: at(), kind: 'rebuild', to: to(), view: random.chance(0.5) ? view : random.pick(KEPT) });
  for (let i = random.pick([0, 1, 1, 2]); i > 0; i--)
    actions.push({ at: at(), kind: 'deploy', view, everyMs: random.pick([10, 500, 2_000]) });
  for (let i = random.int(0, 3); i > 0; i--) {
    const method = random.pick(['switch', 'save', 'claim', 'commit'] as const);
    const phase = method === 'switch' ? 'done' : random.pick(['before', 'done', 'answered'] as const);
    const on = { method, nth: random.int(1, method === 'switch' ? 2 : 9), phase };
    actions.push({ at: at(), kind: 'kill', to: to(), restartMs: random.pick([0, 50, 1_000, 4_000]), on });
  }
  if (random.chance(0.3))
    actions.push({ at: at(), kind: 'pause', to: to(), forMs: 5_000, replaced: random.chance(0.5) });
  for (let i = random.int(0, 3); i > 0; i--) actions.push({ at: at(), kind: 'inspect' });
  actions.sort((a, b) => a.at - b.at);
  const bad = (): number => random.pick([0, 0.02, 0.1, 0.2]);
  return {
    seed,
    processes,
    networkSeed: random.bits(),
    latencyMs: random.pick([0.5, 5, 60]),
    failRate: bad(),
    lostAckRate: bad(),
    twiceRate: bad(),
    pageMax: random.pick([1, 2, 1_000]),
    leaseMs: 900,
    sharing: processes > 1 && random.chance(0.5),
    shares: random.chance(0.3) ? 2 : 1,
    cache: false,
    snapshots: false,
    policy: 'both',
    durable: 'none',
    persistent: 'none',
    persistentCorrected: false,
    settling: undefined,
    time: { boundMs: 0, joins: false },
    clockOffsets: Array.from({ length: processes }, () => 0),
    actions,
  };
}

/** A few events of one or two things, some withdrawn: rows come and go. */
function sent(random: Random): Draft[] {
  const ids = random.pick([['a'], ['a', 'b']]);
  const drafts: Draft[] = [];
  for (let sequence = random.int(2, 20); sequence > 0; sequence--) {
    const event: EventDraft = {
      kind: 'event',
      id: random.pick(ids),
      name: random.pick(['begun', 'moved', 'moved', 'ended'] as const),
      time: random.int(0, SPAN_MS),
      stream: 's',
      sequence,
      who: random.pick(['x', 'y']),
      amount: random.int(-1, 1),
    };
    drafts.push(event);
    if (random.chance(0.2)) {
      const who = { decidedAt: 10_000, stream: 'desk', sequence: -1, exact: false };
      drafts.push({ kind: 'correction', id: event.id, does: 'retract', target: event, ...who });
    }
  }
  return drafts;
}
