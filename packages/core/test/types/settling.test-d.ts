/** What the methods of what settles take, and mistakes in them that must not compile. */
import {
  Deadline,
  defineAggregate,
  OnCorrected,
  OnSettled,
  OnWithdrawn,
  session,
  sliding,
  tumbling,
  type CorrectedContext,
  type SettledContext,
} from '../../src/index.js';
import { Delivered, LoadedOntoTruck, Parcel, ReceivedAtDepot } from '../mapping/parcels.js';

const fold = defineAggregate('counter', {
  events: { Delivered },
  initial: { count: 0 },
  fold: { Delivered: (state) => ({ count: state.count + 1 }) },
});

@Deadline({ of: Parcel, name: 'listed', after: [ReceivedAtDepot], withinMs: 1, unless: [Delivered] })
export class Right {
  @OnSettled({ of: Parcel, name: 'a', quietMs: 5 }) whole(_parcel: Parcel, _context: SettledContext): void {}
  @OnSettled({ of: Parcel, name: 'b', window: tumbling({ sizeMs: 5 }) }) nothing(): void {}
  @OnSettled({ of: Parcel, name: 'c', window: sliding({ sizeMs: 5, everyMs: 1 }) }) async later(_parcel: Parcel) {}
  @OnSettled({ of: fold, name: 'd', window: session({ gapMs: 5 }) }) pure(_state: { count: number }): void {}
  @OnCorrected({ of: Parcel, name: 'a' })
  corrected(_before: readonly Parcel[], _after: readonly Parcel[], _context: CorrectedContext): void {}
  @OnSettled({ of: Parcel, name: 'f', quietMs: 5, keepToldMs: 1 }) short(): void {}
  @OnCorrected({ of: Parcel, name: 'f' }) forgotten(_before: readonly (Parcel | undefined)[]): void {}
  @Deadline({ of: Parcel, name: 'e', after: [LoadedOntoTruck], withinMs: 1, unless: [] })
  overdue(_parcel: Parcel, _context: SettledContext): void {}
  @OnWithdrawn({ of: Parcel, name: 'e' }) withdrawn(_before: Parcel, _now: Parcel, _context: SettledContext): void {}
}

export class Wrong {
  // @ts-expect-error the state is that of another aggregate
  @OnSettled({ of: Parcel, name: 'a' }) another(_state: { count: number }): void {}
  // @ts-expect-error the second parameter is no context
  @OnSettled({ of: Parcel, name: 'a' }) context(_parcel: Parcel, _context: string): void {}
  // @ts-expect-error there is no such option
  @OnSettled({ of: Parcel, name: 'a', quiet: 5 }) option(): void {}
  // @ts-expect-error it has no name
  @OnSettled({ of: Parcel }) nameless(): void {}
  // @ts-expect-error one correction may be of several
  @OnCorrected({ of: Parcel, name: 'a' }) one(_before: Parcel, _after: Parcel): void {}
  // @ts-expect-error the context of a correction has both sides
  @OnCorrected({ of: Parcel, name: 'a' }) side(
    _b: readonly Parcel[],
    _a: readonly Parcel[],
    _c: SettledContext,
  ): void {}
  // @ts-expect-error the state is that of another aggregate
  @Deadline({ of: Parcel, name: 'e', after: [], withinMs: 1, unless: [] }) due(_state: { count: number }): void {}
  // @ts-expect-error a property is no method; a deadline that is only listed stands on the class
  @Deadline({ of: Parcel, name: 'e', after: [], withinMs: 1, unless: [] }) readonly property = 1;
  // @ts-expect-error no text is an event
  @Deadline({ of: Parcel, name: 'e', after: ['delivered'], withinMs: 1, unless: [] }) text(): void {}
  // @ts-expect-error withdrawn is one
  @OnWithdrawn({ of: Parcel, name: 'e' }) many(_before: readonly Parcel[]): void {}
}
