/**
 * One view kept in shares: each reads the whole feed, folds the aggregates of its range of slices, and keeps what they add in a
 * view of its own, with rows that are partial. So each share has its own owner, epoch, checkpoint, generations and audit, and
 * goes to another process like any other name. Who reads merges the partial rows of a key (`shared-view.ts`).
 *
 * A share reads what it does not fold, because what is known of sources comes from the whole feed; reading costs little beside
 * folding and committing.
 */
import { ConfigurationError } from '../model/errors.js';
import type { AggregateKey } from '../model/event.js';
import { sliceOf, SLICES } from '../model/slices.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import { isReserved } from '../time/source-facts.js';
import type { Generations } from './generations.js';
import type { ProjectionModel } from './projection.js';

/** More owners than a context has processes help nobody, and each reads the feed. */
export const SHARES_MAX = 64;

/**
 * What is run of a projection: itself, or its shares. A `#` is in no name a user can give.
 * @param context in which aggregates are, as their slices depend on it
 */
export function sharesOf(model: ProjectionModel, context: string): readonly ProjectionModel[] {
  const count = model.shares ?? 1;
  if (count === 1) return [model];
  // A reader must tell which of two partial rows is later, so the rows of shares keep it.
  const fields = model.fields.map((field) =>
    field.merge === 'latest' || field.merge === 'earliest' ? { ...field, placed: true } : field,
  );
  return Array.from({ length: count }, (_, index) => {
    const from = Math.ceil((index * SLICES) / count);
    const to = Math.ceil(((index + 1) * SLICES) / count);
    const has = ({ tenant, type, id }: AggregateKey): boolean => {
      const slice = sliceOf(context, tenant, type, id);
      return slice >= from && slice < to;
    };
    return { ...model, name: `${model.name}#${index}/${count}`, fields, share: { of: model, index, count, has } };
  });
}

/** The view that a model keeps, or keeps a share of. */
export function wholeOf(model: ProjectionModel): ProjectionModel {
  return model.share?.of ?? model;
}

/** Whether an aggregate is one the model folds. */
export function isWanted(model: ProjectionModel, key: AggregateKey): boolean {
  if (model.types === undefined ? isReserved(key.type) : !model.types.has(key.type)) return false;
  return model.share === undefined || model.share.has(key);
}

const layoutOf = (name: string): string => `shares:${name}`;

/**
 * Sees that a view is kept in the number of shares that the code says, and keeps it with the first start.
 * @throws ConfigurationError `SHARES_CHANGED`
 */
export async function checkShares(
  checkpoints: CheckpointStore,
  generations: Generations,
  model: ProjectionModel,
): Promise<void> {
  const { name } = model;
  const wanted = model.shares ?? 1;
  const text = await checkpoints.read(layoutOf(name));
  const kept = text === undefined ? ((await generations.isKept(name)) ? 1 : undefined) : Number(text);
  if (kept === undefined && wanted !== 1) {
    if (await generations.set(layoutOf(name), String(wanted), undefined)) return;
    return checkShares(checkpoints, generations, model);
  }
  if (kept === undefined || kept === wanted) return;
  throw new ConfigurationError(
    'SHARES_CHANGED',
    `The view "${name}" is kept in ${kept} ${kept === 1 ? 'piece' : 'shares'}, and its projection asks for ${wanted}.`,
    { fix: `Give it { shares: ${kept} }, or another name: the view of that name is then built from the beginning.` },
  );
}
