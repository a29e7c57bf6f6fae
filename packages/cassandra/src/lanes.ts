/** Work under one name, one after the other, in the order of the calls; under other names beside it. */
export class Lanes {
  private readonly last = new Map<string, Promise<unknown>>();

  /** Runs `work` when what was called before under `name` has ended, well or not. */
  run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.last.get(name);
    const done = before === undefined ? work() : before.then(work);
    const ended: Promise<unknown> = done
      .catch(() => undefined)
      .then(() => {
        if (this.last.get(name) === ended) this.last.delete(name);
      });
    this.last.set(name, ended);
    return done;
  }
}
