/**
 * A flight's history as JSON. Beside what every event shows, an event that an amendment changed says what it was recorded
 * as; and where a history is shown as recorded, corrections say what they decide, and what they correct says which of them rules.
 */
import {
  correctionOf,
  formatTime,
  isCorrection,
  Rulings,
  toHistoryJson,
  type Correction,
  type Fact,
  type HistoryJson,
} from '@concursus/core';

/** What an amendment puts in the place of what was recorded: only what it changes. */
interface Amendment {
  readonly at?: string;
  readonly data?: unknown;
}

interface CorrectionJson extends HistoryJson {
  readonly kind: Correction['kind'];
  /** As it is sent. */
  readonly target: {
    readonly at: string;
    readonly source: string;
    readonly sequence?: number;
    readonly type: string;
    readonly digest?: string;
  };
  readonly decidedAt: string;
  readonly amendment?: Amendment;
}

interface ReportJson extends HistoryJson {
  /** Of an amended report: as it was recorded. */
  readonly amends?: { readonly at: string; readonly digest: string };
  /** As recorded: the correction that rules it. */
  readonly ruling?: {
    readonly kind: Correction['kind'];
    readonly decidedAt: string;
    readonly source: string;
    readonly amendment?: Amendment;
  };
}

/** Of facts that are all of one flight, in the order given. */
export function historyJson(facts: readonly Fact[]): (CorrectionJson | ReportJson)[] {
  const rulings = new Rulings(facts);
  return facts.map((fact) => {
    const json = toHistoryJson(fact);
    if (isCorrection(fact)) return { ...json, ...correctionJson(correctionOf(fact)) };
    const { amends } = fact;
    if (amends !== undefined) return { ...json, amends: { at: formatTime(amends.eventTime), digest: amends.digest } };
    const ruling = rulings.isEmpty ? undefined : rulings.of(fact);
    if (ruling === undefined) return json;
    const { correction } = ruling;
    return {
      ...json,
      ruling: {
        kind: correction.kind,
        decidedAt: formatTime(correction.decidedAt),
        source: ruling.fact.streamId,
        ...amendmentOf(correction),
      },
    };
  });
}

function correctionJson(correction: Correction): Omit<CorrectionJson, keyof HistoryJson> {
  const { eventTime, streamId, sequence, name, digest } = correction.target;
  return {
    kind: correction.kind,
    target: {
      at: formatTime(eventTime),
      source: streamId,
      ...(sequence === -1 ? {} : { sequence }),
      type: name,
      ...(digest === undefined ? {} : { digest }),
    },
    decidedAt: formatTime(correction.decidedAt),
    ...amendmentOf(correction),
  };
}

function amendmentOf({ kind, at, content }: Correction): { readonly amendment?: Amendment } {
  if (kind !== 'amend') return {};
  return {
    amendment: {
      ...(at === undefined ? {} : { at: formatTime(at) }),
      ...(content === undefined ? {} : { data: JSON.parse(content) as unknown }),
    },
  };
}
