/** What a simulated world found: the law that was broken, and how. */

export class Violation extends Error {
  constructor(
    /** Its number in the list of laws; 0 for an error that nobody may see. */
    readonly law: number,
    message: string,
  ) {
    super(`law ${law}: ${message}`);
    this.name = 'Violation';
  }
}

/** @throws Violation always */
export function violated(law: number, message: string): never {
  throw new Violation(law, message.length > 2_000 ? `${message.slice(0, 2_000)}…` : message);
}
