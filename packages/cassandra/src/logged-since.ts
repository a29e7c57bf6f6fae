/**
 * What anybody logged since a time of some aggregates, whether he lives or has ended. Read where nobody followed the logs: by
 * who finds after his own log that others came or went meanwhile, and by who carries out what a dead writer had logged.
 */
import type { ProcessingTime } from '@concursus/core';
import { textOf } from './append-decision.js';
import type { FeedLog } from './feed-log.js';
import type { LoggedFact } from './feed-row.js';
import { isAfter } from './processing-times.js';
import type { Scene, Writers } from './writers.js';

export class LoggedSince {
  constructor(
    private readonly writers: Writers,
    private readonly log: FeedLog,
  ) {}

  /**
   * All that stood in the logs of the writers of a look, and of those that ended before, when this was called; what will not
   * count may be among it.
   * @param aggregates as `aggregateKeyText` names them
   * @param since exclusive
   * @param except the writer whose own facts are not asked for
   */
  async read(
    { live }: Scene,
    aggregates: ReadonlySet<string>,
    since: ProcessingTime,
    except: string,
  ): Promise<readonly LoggedFact[]> {
    const lastSeqs = new Map<string, number>();
    for (const { node, last, lastSeq } of this.writers.seals.values()) {
      if (isAfter(last, since)) lastSeqs.set(node, lastSeq);
    }
    for (const { node, closedSeq } of live) lastSeqs.set(node, closedSeq);
    lastSeqs.delete(except);
    const found: LoggedFact[] = [];
    const readOne = async (node: string, lastSeq: number): Promise<void> => {
      const seq = lastSeq < 0 ? 0 : await this.log.seqAfter(node, lastSeq, since);
      for await (const row of this.log.tail(node, seq)) {
        for (const logged of row.facts) {
          if (isAfter(logged.time, since) && aggregates.has(textOf(logged.fact))) found.push(logged);
        }
      }
    };
    await Promise.all([...lastSeqs].map(([node, lastSeq]) => readOne(node, lastSeq)));
    return found;
  }
}
