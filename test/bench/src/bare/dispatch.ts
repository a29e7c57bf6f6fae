/** Bare part: a change needs its reason in the same commit. The least a typed bus must do: a map from class to handlers, awaited. */

export interface BareHandler {
  handle(event: object): unknown;
}

export class MapDispatch {
  private readonly routes = new Map<unknown, BareHandler[]>();

  on(type: unknown, handler: BareHandler): void {
    this.routes.set(type, [...(this.routes.get(type) ?? []), handler]);
  }

  /** An error of a handler rejects: nothing is swallowed. */
  async publish(event: object): Promise<void> {
    const handlers = this.routes.get(event.constructor);
    if (handlers === undefined) return;
    for (let i = 0; i < handlers.length; i++) await handlers[i]!.handle(event);
  }
}
