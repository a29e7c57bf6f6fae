// The slider over what was known: draws the whole board as it stood at any moment at which something was learned.

import { byId, setText, time } from './dom.js';
import { ask, latestOnly } from './live.js';

/** Pictures kept: a way back over a week costs no request. */
const KEPT_MAX = 200;
/** A month of hours in about a minute. */
const PLAY_EVERY_MS = 80;

const kept = new Map();
let moments = [];
let shown = null;
let playing = null;
let onThen = null;

/** `draw(board)` is called with the board as known at a moment, and with null for now. To be called once. */
export function startReplay(draw) {
  onThen = draw;
  const range = byId('then');
  range.addEventListener('input', () => {
    stop();
    void show(Number(range.value));
  });
  byId('then-now').addEventListener('click', () => {
    stop();
    range.value = range.max;
    void show(moments.length);
    range.focus();
  });
  byId('then-play').addEventListener('click', () => {
    if (playing === null) void play();
    else stop();
  });
}

/** Which moments there are to go back to; called when something was recorded. Whoever stands at now stays there. */
export async function refreshMoments() {
  let next;
  try {
    next = await ask('board/moments');
  } catch {
    return;
  }
  moments = next;
  byId('replay').hidden = moments.length < 2;
  const range = byId('then');
  range.max = String(moments.length);
  const at = shown === null ? moments.length : moments.findLastIndex((moment) => moment <= shown);
  range.value = String(at);
  name(at);
}

const read = latestOnly(async (signal, moment) => {
  const known = kept.get(moment);
  if (known !== undefined) return known;
  const board = await ask(`board/at?knownAt=${encodeURIComponent(moment)}`, signal);
  kept.set(moment, board);
  if (kept.size > KEPT_MAX) kept.delete(kept.keys().next().value);
  return board;
});

async function show(at) {
  name(at);
  const moment = at >= moments.length ? null : moments[at];
  shown = moment;
  document.documentElement.classList.toggle('then', moment !== null);
  byId('then-now').hidden = moment === null;
  if (moment === null) {
    onThen(null);
    return true;
  }
  try {
    const board = await read(moment);
    if (board !== undefined && shown === moment) onThen(board);
  } catch (error) {
    setText(byId('then-name'), error.message);
    stop();
  }
  return true;
}

function name(at) {
  const text = at >= moments.length ? 'now' : `${time(moments[at]).replace(/:00$/, '')} UTC`;
  setText(byId('then-name'), text);
  byId('then').setAttribute('aria-valuetext', text);
}

async function play() {
  const range = byId('then');
  const button = byId('then-play');
  const own = {};
  playing = own;
  setText(button, 'Pause');
  let at = Number(range.value) >= moments.length ? 0 : Number(range.value);
  while (playing === own && at <= moments.length) {
    range.value = String(at);
    await Promise.all([show(at), new Promise((resolve) => setTimeout(resolve, PLAY_EVERY_MS))]);
    at++;
  }
  if (playing === own) stop();
}

function stop() {
  playing = null;
  setText(byId('then-play'), 'Play');
}
