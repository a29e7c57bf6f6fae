/** Which servers a spec uses: what its text says by calling `serverOf` or `ownServer`, else what its folder says. */

/** One use of a server: the run's shared one, or one of the spec's own. */
export interface Use {
  readonly how: 'shared' | 'own';
  readonly name: string;
}

/** Each use once, in the order of the text. Empty when neither text nor folder says. */
export function serversUsed(path: string, text: string): readonly Use[] {
  const calls = [...text.matchAll(/\b(serverOf|ownServer)\(\s*'(\w+)'/g)].map(([, call, name = '']): Use => {
    return { how: call === 'serverOf' ? 'shared' : 'own', name };
  });
  const folder = /(?:^|\/)packages\/([^/]+)\/test\//.exec(path)?.[1];
  if (calls.length === 0 && folder !== undefined) return [{ how: 'shared', name: folder }];
  return calls.filter((use, at) => calls.findIndex((one) => one.how === use.how && one.name === use.name) === at);
}
