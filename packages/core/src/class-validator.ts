/** class-validator is an optional peer: it is used when the application has it. */

/** What the mapping needs of class-validator; see `mapping/validation.ts`. */
export async function loadClassValidator(): Promise<typeof import('class-validator') | undefined> {
  try {
    return await import('class-validator');
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}
