/** The messy world: a seeded simulator that drives the production code and checks the laws. */
export type { Features } from './generate.js';
export type { Action, CallPoint, CorrectionDraft, Draft, EventDraft, Plan } from './plan.js';
export { runWorld, type Outcome } from './world.js';
export { shrinkPlan, type Shrunk } from './shrink.js';
export {
  allFeatures,
  plansOf,
  planText,
  simulate,
  type Finding,
  type SimulateOptions,
  type Simulated,
} from './simulate.js';
export { runSettlingWorld, type SettlingOutcome } from './settling-world.js';
export { Violation } from './violation.js';
