/** Shows how far a load is: a bar on a terminal, else one line per 10 %. */

const BAR_WIDTH = 30;

export interface ProgressOut {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export class Progress {
  private shownTenth = -1;
  private shownPercent = -1;
  private open = false;

  constructor(
    private readonly title: string,
    private readonly out: ProgressOut,
  ) {}

  /** `done` of `total` units, and what to say beside it. */
  update(done: number, total: number, beside: string): void {
    const percent = total === 0 ? 100 : Math.min(100, Math.floor((done / total) * 100));
    if (this.out.isTTY === true) {
      if (percent === this.shownPercent) return;
      this.shownPercent = percent;
      const filled = Math.round((percent / 100) * BAR_WIDTH);
      const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled);
      this.out.write(`\r${this.title} ${bar} ${String(percent).padStart(3)} %  ${beside}\u001b[K`);
      this.open = true;
      return;
    }
    const tenth = Math.floor(percent / 10);
    if (tenth <= this.shownTenth) return;
    this.shownTenth = tenth;
    this.out.write(`${this.title}: ${tenth * 10} %  ${beside}\n`);
  }

  /** Ends the bar's line, so that what is printed next starts its own. */
  end(): void {
    if (this.open) this.out.write('\n');
    this.open = false;
  }
}
