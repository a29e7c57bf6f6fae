/**
 * The container files say what the rest of the repository says: compose.yaml starts the servers of the starter, of the same
 * versions and settings and for this machine only, and the Dockerfile runs the sample app as its script does.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from './repository.js';
import { serverKinds, serverNames } from './servers/server-kinds.js';

const read = (path: string): string => readFileSync(join(root, path), 'utf8');

type Tree = { [key: string]: Tree | string | string[] };

/** The part of YAML that compose.yaml keeps to: maps by two spaces, lists of scalars, quotes where they are needed. */
function parse(text: string): Tree {
  const tree: Tree = {};
  const path: { readonly indent: number; readonly into: Tree; key: string }[] = [{ indent: 0, into: tree, key: '' }];
  text.split('\n').forEach((line, at) => {
    if (line.trim() === '' || line.startsWith('#')) return;
    const [, spaces = '', dash, key, value = ''] = /^((?: {2})*)(?:(- )|([\w-]+):(?: |$))(.*)$/.exec(line) ?? [];
    if (dash === undefined && key === undefined) throw new Error(`compose.yaml:${at + 1}: ${line}`);
    const scalar = value.replace(/^'(.*)'$/, '$1');
    while ((path.at(-1)?.indent ?? 0) > spaces.length) path.pop();
    const level = path.at(-1);
    if (level === undefined || level.indent !== spaces.length)
      throw new Error(`compose.yaml:${at + 1}: indented ${line}`);
    if (dash !== undefined) {
      // The items of the key above, which was taken for a map.
      const owner = path.at(-2);
      if (owner === undefined) throw new Error(`compose.yaml:${at + 1}: an item of nothing`);
      const list = owner.into[owner.key];
      if (Array.isArray(list)) list.push(scalar);
      else owner.into[owner.key] = [scalar];
      return;
    }
    level.key = key ?? '';
    if (level.into[level.key] !== undefined) throw new Error(`compose.yaml:${at + 1}: ${level.key} twice`);
    if (value !== '') level.into[level.key] = scalar;
    else {
      const below: Tree = {};
      level.into[level.key] = below;
      path.push({ indent: spaces.length + 2, into: below, key: '' });
    }
  });
  return tree;
}

interface Service {
  readonly image: string;
  readonly ports: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** The values that follow an option in a container's arguments. */
const valuesOf = (args: readonly string[], option: string): readonly string[] =>
  args.flatMap((arg, at) => (arg === option ? [args[at + 1] ?? ''] : []));

describe('compose.yaml', () => {
  const services = parse(read('compose.yaml'))['services'] as unknown as Readonly<Record<string, Service>>;
  const usual = { cassandra: 9042, kafka: 9092 };

  it('has the servers of the starter', () => {
    expect(Object.keys(services)).toEqual([...serverNames]);
  });

  it.each(serverNames)('starts %s from the image of the starter, with its settings, for this machine only', (name) => {
    const kind = serverKinds[name];
    const args = kind.containerArguments(usual[name], { fast: false, sync: 'periodic' });
    expect(services[name]?.image).toBe(kind.image);
    expect(kind.image.endsWith(`:${kind.version}`)).toBe(true);
    expect(services[name]?.ports).toEqual(valuesOf(args, '--publish'));
    expect(services[name]?.ports).toEqual([`127.0.0.1:${usual[name]}:${usual[name]}`]);
    // Where its data lies is the one thing that is the composition's own.
    const settings = Object.entries(services[name]?.environment ?? {}).filter(([key]) => key !== 'KAFKA_LOG_DIRS');
    expect(settings.map(([key, value]) => `${key}=${value}`).sort()).toEqual([...valuesOf(args, '--env')].sort());
  });
});

describe('the Dockerfile', () => {
  const lines = read('Dockerfile').split('\n');

  it('runs what npm run start:prod runs, on the oldest Node we promise, and not as root', () => {
    const { scripts } = JSON.parse(read('package.json')) as { readonly scripts: Readonly<Record<string, string>> };
    const command = JSON.parse(lines.find((line) => line.startsWith('CMD '))?.slice(4) ?? '[]') as readonly string[];
    expect(command.join(' ')).toBe(scripts['start:prod']);
    expect(lines.filter((line) => line.startsWith('FROM ')).map((line) => line.split(' ')[1])).toEqual(
      Array<string>(2).fill('node:20-slim'),
    );
    expect(lines.indexOf('USER node')).toBeGreaterThan(lines.lastIndexOf('FROM node:20-slim'));
  });

  it('is given neither what was built or installed outside nor anybody’s data', () => {
    expect(read('.dockerignore').split('\n')).toEqual(
      expect.arrayContaining(['.git', '**/node_modules', '**/dist', 'data']),
    );
  });
});
