/** One in-memory store for several applications of one spec, as a real store would be for several processes. */
import { inMemory, type Layer, type LayerProvider } from '@concursus/core';

/** It is never closed: who closes its application leaves the store to the others. */
export function shared(): LayerProvider<'persistent'> {
  const provider = inMemory();
  let layer: Layer<'persistent'> | undefined;
  return {
    ...provider,
    create: (context) => {
      layer ??= provider.create(context) as Layer<'persistent'>;
      return { ...layer, connect: async () => undefined, close: async () => undefined };
    },
  };
}
