/**
 * Goal: a process of a cluster is begun again when it ends by itself, is given up when that comes to nothing, and ends with
 * us. Method: small real processes that print a port, end when they are told, or never come so far.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { AppProcess } from './cluster/app-process.js';

/** Ends on SIGTERM as the application does, says its port, and stays. */
const LIVES = `process.on('SIGTERM', () => process.exit(0)); setInterval(() => 0, 1e6); console.log('port ' + process.pid);`;

describe('a process of a cluster', () => {
  let process: AppProcess | undefined;
  const said: string[] = [];
  const lines: string[] = [];

  afterEach(async () => {
    await process?.stop();
    said.length = lines.length = 0;
  });

  function begin(script: string, restartMs = 1, command = globalThis.process.execPath): AppProcess {
    process = new AppProcess({
      name: 'app 1',
      command,
      arguments: ['-e', script],
      env: globalThis.process.env,
      restartMs,
      portIn: (line) => (line.startsWith('port ') ? Number(line.slice(5)) : undefined),
      say: (line) => said.push(line),
      onLine: (line) => lines.push(line),
    });
    return process;
  }

  it('is begun again after a kill, and takes requests elsewhere', async () => {
    const app = begin(LIVES);
    const first = await app.listening();
    expect(app.url).toBe(`http://127.0.0.1:${first}`);
    expect(app.signal('SIGKILL')).toBe(true);
    while (app.port === first) await new Promise((resolve) => setTimeout(resolve, 5));
    const second = await app.listening();
    expect(second).not.toBe(first);
    expect(app.starts).toBe(2);
    expect(said.join('\n')).toContain('app 1: ended by itself (SIGKILL), begun again in 1 ms');
    expect(lines).toEqual([`port ${first}`, `port ${second}`]);
  });

  it('ends gently, also when it stands still, and is not begun again', async () => {
    const app = begin(LIVES);
    await app.listening();
    app.signal('SIGSTOP');
    await app.stop();
    expect(said.at(-1)).toBe('app 1: ended (exit code 0)');
    expect([app.port, app.pid, app.starts]).toEqual([undefined, undefined, 1]);
    expect(app.signal('SIGCONT')).toBe(false);
    await expect(app.listening()).rejects.toThrow('app 1 was stopped.');
  });

  it('waits longer after each start that came to nothing', async () => {
    const app = begin(`console.error('no store'); process.exit(1);`);
    const waiting = app.listening();
    waiting.catch(() => undefined);
    while (app.starts < 4) await new Promise((resolve) => setTimeout(resolve, 5));
    await app.stop();
    await expect(waiting).rejects.toThrow('app 1 was stopped.');
    const waits = said.flatMap((line) => /begun again in (\d+) ms/.exec(line)?.[1] ?? []);
    expect(waits.slice(0, 3)).toEqual(['1', '2', '4']);
    expect(app.tail()).toContain('no store');
  });

  it('is given up in the end, with what it printed last', async () => {
    const app = begin('', 1, '/nowhere/node');
    await expect(app.listening()).rejects.toThrow(/^app 1 ended 9 times in a row; the last time: .*ENOENT/);
    await expect(app.listening()).rejects.toThrow('app 1 ended 9 times');
    expect(app.starts).toBe(9);
  });
});
