/** Whether a run may leave out what this machine lacks: with `CI` set it may not. */
export function inCi(env: NodeJS.ProcessEnv = process.env): boolean {
  return (env['CI'] ?? '') !== '' && env['CI'] !== 'false';
}
