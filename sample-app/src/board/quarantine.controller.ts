/** `GET /quarantine`: what was no valid report, of both contexts, the flights' first. */
import { Controller, Get, Query } from '@nestjs/common';
import { ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { formatTime, InjectPort, InvalidEventError, Quarantine, type QuarantinedItem } from '@concursus/core';
import { FLIGHTS } from '../flights/context.js';
import { PARCELS } from '../parcels/context.js';
import { oneOf, wholeOf } from '../web/query.js';

/** A page ends early rather than grow beyond this: items of 64 kB each would fill the memory. */
const PAGE_BYTES = 4 * 1_048_576;
const LOOK_AHEAD = 50;

interface Item {
  readonly id: string;
  readonly line: number;
  readonly code: string;
  readonly reason: string;
  /** base64 */
  readonly bytes: string;
  readonly count: number;
  readonly firstAt: string;
  readonly lastAt: string;
}

function itemOf(context: string, item: QuarantinedItem): Item {
  return {
    id: `${context}-${item.id}`,
    line: item.line,
    code: item.code,
    reason: item.reason,
    bytes: Buffer.from(item.bytes).toString('base64'),
    count: item.count,
    firstAt: formatTime(item.firstAt),
    lastAt: formatTime(item.lastAt),
  };
}

@ApiTags('quarantine')
@Controller('quarantine')
export class QuarantineController {
  private readonly kept: readonly (readonly [context: string, quarantine: Quarantine])[];

  constructor(
    @InjectPort(Quarantine, FLIGHTS) flights: Quarantine,
    @InjectPort(Quarantine, PARCELS) parcels: Quarantine,
  ) {
    this.kept = [
      [FLIGHTS, flights],
      [PARCELS, parcels],
    ];
  }

  @Get()
  @ApiOperation({ summary: 'Bad input with its bytes and why, in pages; equal bytes are one item with a count.' })
  @ApiQuery({ name: 'after', required: false })
  @ApiQuery({ name: 'limit', required: false })
  async list(@Query() query: Readonly<Record<string, unknown>>): Promise<{ items: Item[]; next: string | null }> {
    const limit = wholeOf('limit', query['limit'], 100, 1_000);
    let [at, after] = this.place(oneOf('after', query['after']));
    const items: Item[] = [];
    let bytes = 0;
    for (; at < this.kept.length; at++, after = undefined) {
      const [context, quarantine] = this.kept[at]!;
      for (;;) {
        const wanted = Math.min(LOOK_AHEAD, limit + 1 - items.length);
        const page = await quarantine.list(after, wanted);
        for (const item of page) {
          if (items.length === limit || bytes >= PAGE_BYTES) return { items, next: items.at(-1)!.id };
          items.push(itemOf(context, item));
          bytes += item.bytes.byteLength;
          after = item.id;
        }
        if (page.length < wanted) break;
      }
    }
    return { items, next: null };
  }

  /** @throws InvalidEventError `INVALID_ARGUMENT` */
  private place(after: string | undefined): [number, string | undefined] {
    if (after === undefined) return [0, undefined];
    const at = this.kept.findIndex(([context]) => after.startsWith(`${context}-`));
    const id = at === -1 ? '' : after.slice(this.kept[at]![0].length + 1);
    if (/^[0-9A-Za-z]{1,64}$/.test(id)) return [at, id];
    throw new InvalidEventError('INVALID_ARGUMENT', `The parameter after is "${after.slice(0, 60).toWellFormed()}".`, {
      fix: 'Send the next of the page before, or leave it out.',
    });
  }
}
