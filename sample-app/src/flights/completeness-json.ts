/** What a view may be missing, as JSON: the library's plain data with ISO times. */
import type { Completeness, ParkedHold } from '@concursus/core';
import { isoOf } from '../web/iso.js';

const parkedOf = (hold: ParkedHold): object => ({
  ...hold,
  holdsAt: isoOf(hold.holdsAt),
  stragglerAt: isoOf(hold.stragglerAt),
});

export function completenessJson(found: Completeness): object {
  return {
    ...found,
    settledUpTo: isoOf(found.settledUpTo),
    inputWatermark: isoOf(found.inputWatermark),
    holding: found.holding.map((one) => ({ ...one, watermark: isoOf(one.watermark), since: isoOf(one.since) })),
    silent: found.silent.map((one) => ({ ...one, since: isoOf(one.since) })),
    parked: found.parked.map(parkedOf),
    stragglers: found.stragglers.map(parkedOf),
    idle: found.idle.map((one) => ({ ...one, provenAt: isoOf(one.provenAt) })),
  };
}
