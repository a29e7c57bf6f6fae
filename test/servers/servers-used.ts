/** Which servers a spec uses: what its text says by calling `serverOf` or `ownServer`, else what its folder says. */

/** By name, and how: the run's, or one of its own. Empty when neither text nor folder says. */
export function serversUsed(path: string, text: string): ReadonlyMap<string, 'shared' | 'own'> {
  const used = new Map<string, 'shared' | 'own'>();
  for (const [, call, name = ''] of text.matchAll(/\b(serverOf|ownServer)\(\s*'(\w+)'/g))
    if (call === 'serverOf' || !used.has(name)) used.set(name, call === 'serverOf' ? 'shared' : 'own');
  const folder = /(?:^|\/)packages\/([^/]+)\/test\//.exec(path)?.[1];
  if (used.size === 0 && folder !== undefined) used.set(folder, 'shared');
  return used;
}
