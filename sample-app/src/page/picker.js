// Chooses the flight whose history is drawn: the latest-reported one until the user asks for another.

import { byId, html, setText, span } from './dom.js';
import { drawHistory, drawNoHistory } from './history.js';

const SUGGESTIONS = 20;
// As buttons; the others are suggestions of the input.
const BUTTONS = 4;

let ask = null;
// What is drawn, and what was last asked for: the same except while an answer is under way.
let flight = null;
let wanted = null;
let chosen = false;
let drawn = '';
let asking = null;

/** Listens to the form, and takes the flight of the page's address (`?flight=`) when there is one. To be called once. */
export function startHistory(askServer) {
  ask = askServer;
  drawNoHistory('No flight has been reported yet.');
  byId('picker').addEventListener('submit', (event) => {
    event.preventDefault();
    const typed = byId('flight').value.trim();
    if (typed !== '') choose(typed);
  });
  // Typing replaces what is there, so that all suggestions show again.
  byId('flight').addEventListener('focus', (event) => event.target.select());
  const linked = new URLSearchParams(location.search).get('flight');
  if (linked !== null && linked !== '') {
    byId('flight').value = linked;
    choose(linked);
  }
}

/** Draws a flight's history and remembers it in the page's address. */
export function choose(next) {
  chosen = true;
  const url = new URL(location.href);
  url.searchParams.set('flight', next);
  history.replaceState(null, '', url);
  void show(next);
}

/** Asks which flights were reported latest; without a choice of the user the first of them is drawn. */
export async function refreshSuggestions() {
  let late;
  try {
    late = await ask(`board/late?limit=${SUGGESTIONS}`);
  } catch {
    return;
  }
  const first = new Map();
  for (const each of late) if (!first.has(each.flight)) first.set(each.flight, each);
  byId('late').replaceChildren(
    ...[...first.values()].map((each) =>
      html('option', { value: each.flight }, `${each.name} reported ${span(each.lateMinutes * 60_000)} late`),
    ),
  );
  drawLatest([...first.values()].slice(0, BUTTONS));
  const [latest] = first.keys();
  // Nobody's drawing is exchanged under their hands.
  const isInUse = byId('history').contains(document.activeElement) || byId('correct').open;
  if (chosen || isInUse || latest === undefined || latest === wanted) return;
  void show(latest);
}

function drawLatest(late) {
  byId('latest').hidden = late.length === 0;
  const list = byId('latest-list');
  const ids = late.map((each) => each.flight).join();
  // The same ones keep their buttons, and with them the focus.
  if (list.dataset.ids === ids) return;
  list.dataset.ids = ids;
  list.replaceChildren(
    ...late.map((each) => {
      const [on, number] = each.flight.split('/');
      const button = html(
        'button',
        { type: 'button' },
        html('b', {}, number),
        ` ${on}, ${span(each.lateMinutes * 60_000)} late`,
      );
      button.addEventListener('click', () => {
        byId('flight').value = each.flight;
        choose(each.flight);
      });
      return html('li', {}, button);
    }),
  );
}

/** Reads the shown flight again, as new reports may have come. */
export function refreshHistory() {
  if (wanted !== null) void show(wanted);
}

async function show(next) {
  asking?.abort();
  const own = new AbortController();
  asking = own;
  wanted = next;
  const isNew = next !== flight;
  try {
    const events = await ask(`flights/${encodeURIComponent(next)}/history?recorded=true`, own.signal);
    flight = next;
    complain('');
    const text = next + JSON.stringify(events);
    if (text === drawn) return;
    drawn = text;
    drawHistory(next, events, (knownAt, signal) => {
      const query = knownAt === null ? '' : `?knownAt=${encodeURIComponent(knownAt)}`;
      return ask(`flights/${encodeURIComponent(next)}${query}`, signal);
    });
    if (isNew && chosen) setText(byId('announce'), `History of ${next} drawn, ${events.length} events.`);
  } catch (error) {
    if (own.signal.aborted) return;
    wanted = flight;
    if (isNew) complain(error.status === 404 ? `No report of ${next} has come. ${error.message}` : error.message);
  }
}

function complain(text) {
  setText(byId('flight-error'), text);
  if (text === '') byId('flight').removeAttribute('aria-invalid');
  else byId('flight').setAttribute('aria-invalid', 'true');
}
