/** Sums that grow step by step along one axis of time: what each column amounts to at any moment, found in microseconds. */

/** A whole picture is kept every so many steps: an answer adds at most this many to one of them. */
const PICTURE_EVERY = 4_096;

export class Steps {
  private moments: Float64Array = new Float64Array(4_096);
  private columns: Int32Array = new Int32Array(4_096);
  private amounts: Float64Array = new Float64Array(4_096);
  /** Sums before each step that is a multiple of `PICTURE_EVERY`. */
  private readonly pictures: Float64Array[] = [];
  private sums: Float64Array = new Float64Array(0);
  private length = 0;
  private waiting: { readonly moment: number; readonly column: number; readonly amount: number }[] = [];

  get count(): number {
    return this.length + this.waiting.length;
  }

  /** The first moment, and the last. */
  get ends(): readonly [number, number] | undefined {
    return this.length === 0 ? undefined : [this.moments[0]!, this.moments[this.length - 1]!];
  }

  /** Takes a step, at any moment not before the last that was put in order. */
  add(moment: number, column: number, amount: number): void {
    if (amount !== 0) this.waiting.push({ moment, column, amount });
  }

  /** Forgets what was not put in order. */
  drop(): void {
    this.waiting = [];
  }

  /** Puts what was added in order, behind what is. */
  order(): void {
    const steps = this.waiting.sort((a, b) => a.moment - b.moment);
    this.waiting = [];
    this.grow(this.length + steps.length);
    for (const { moment, column, amount } of steps) {
      if (this.length % PICTURE_EVERY === 0) this.pictures.push(this.sums.slice());
      this.moments[this.length] = moment;
      this.columns[this.length] = column;
      this.amounts[this.length] = amount;
      this.length++;
      if (column >= this.sums.length) this.sums = widened(this.sums, column + 1);
      this.sums[column]! += amount;
    }
  }

  /** Sums of the first `width` columns over all steps at or before a moment. */
  at(moment: number, width: number): Float64Array {
    const end = this.end(moment);
    if (end === this.length) return widened(this.sums, width).slice(0, width);
    const picture = Math.floor(end / PICTURE_EVERY);
    const sums = widened(this.pictures[picture]!, width).slice(0, width);
    for (let i = picture * PICTURE_EVERY; i < end; i++) sums[this.columns[i]!]! += this.amounts[i]!;
    return sums;
  }

  /** Moments of a grid, each the first point at or after some step, ascending. */
  grid(every: number): number[] {
    const found: number[] = [];
    for (let i = 0; i < this.length; i++) {
      const point = Math.ceil(this.moments[i]! / every) * every;
      if (point !== found.at(-1)) found.push(point);
    }
    return found;
  }

  /** How many steps are at or before a moment. */
  private end(moment: number): number {
    let [low, high] = [0, this.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.moments[middle]! <= moment) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private grow(length: number): void {
    if (length <= this.moments.length) return;
    const size = Math.max(length, this.moments.length * 2);
    this.moments = widened(this.moments, size);
    this.amounts = widened(this.amounts, size);
    const columns = new Int32Array(size);
    columns.set(this.columns);
    this.columns = columns;
  }
}

function widened(array: Float64Array, length: number): Float64Array {
  if (array.length >= length) return array;
  const wide = new Float64Array(length);
  wide.set(array);
  return wide;
}
