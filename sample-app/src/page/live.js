// Brings the figures to the page: the summary by server-sent events, and by asking every 2 s while the stream is down.
// The only file of the board that waits or talks to the server.

const POLL_MS = 2_000;
// A stream the server closed for good is tried anew after this many polls, that is every 10 s.
const POLLS_BEFORE_STREAM = 5;

/** A refused request: `status` and what the server said, with its advice. */
export class Refused extends Error {
  constructor(status, body) {
    super([body?.message, body?.fix].filter(Boolean).join(' ') || `The server answered ${status}.`);
    this.status = status;
  }
}

/** The JSON at `path` (relative to the page); rejects with `Refused`, or with the browser's error without a connection. */
export async function ask(path, signal) {
  const response = await fetch(path, { headers: { accept: 'application/json' }, signal });
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, body);
  return body;
}

/**
 * Hands each new summary to `onSummary`, and to `onConnection` how it comes: `live` (stream), `polling`, or `lost`
 * (no answer; it keeps asking). An unchanged revision is handed on again, as load progress is not part of it.
 */
export function follow(onSummary, onConnection) {
  let polling = false;
  let polls = 0;
  let source = null;

  const live = () => {
    polling = false;
    onConnection('live');
  };

  const listen = () => {
    source = new EventSource('board/stream');
    source.addEventListener('open', live);
    source.addEventListener('summary', (event) => {
      live();
      onSummary(JSON.parse(event.data));
    });
    source.addEventListener('error', () => {
      if (polling) return;
      polling = true;
      polls = 0;
      void poll();
    });
  };

  const poll = async () => {
    if (!polling) return;
    try {
      const summary = await ask('board/summary');
      if (!polling) return;
      onConnection('polling');
      onSummary(summary);
    } catch {
      if (polling) onConnection('lost');
    }
    polls++;
    // The browser renews a broken stream by itself, but not one that was refused.
    if (polls % POLLS_BEFORE_STREAM === 0 && source.readyState === EventSource.CLOSED) listen();
    setTimeout(() => void poll(), POLL_MS);
  };

  // Ask once beside the stream: the first picture must not wait for the first change.
  ask('board/summary').then(onSummary, () => undefined);
  listen();
}

/** Runs `action` at once, then at most every `ms`; a call in between is made up for when the time is over. */
export function atMostEvery(ms, action) {
  let resting = false;
  let again = false;
  return function run() {
    if (resting) {
      again = true;
      return;
    }
    resting = true;
    again = false;
    action();
    setTimeout(() => {
      resting = false;
      if (again) run();
    }, ms);
  };
}

/** Posts `body` as JSON to `path`; answers and rejects like `ask`. */
export async function send(path, body) {
  const response = await fetch(path, {
    method: 'POST',
    headers: { accept: 'application/json', 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

/** Calls `action(signal)` for the latest of several calls only: an earlier one is aborted, and its answer dropped. */
export function latestOnly(action) {
  let under = null;
  return async (...args) => {
    under?.abort();
    const own = new AbortController();
    under = own;
    try {
      return await action(own.signal, ...args);
    } catch (error) {
      if (!own.signal.aborted) throw error;
      return undefined;
    }
  };
}
