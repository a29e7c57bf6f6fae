// One flight's history on two axes: left to right when a thing happened, bottom to top when it was reported.
// A report at once lies on the line; a late one as far above it as it is late. A corrected one is struck through, or moved
// with a line from old to new. Below, what was known at each step, and a way to correct each report.

import { correctionWords, countsAs, openCorrection, rulingOf } from './corrections.js';
import { byId, count, html, onWidth, setText, svg, table, time } from './dom.js';
import { drawPlane, lateness, sentence } from './plane.js';

const HEADS = [
  { text: 'Event' },
  { text: 'Happened' },
  { text: 'Recorded' },
  { text: 'Late by', number: true },
  { text: 'Repeats', number: true },
  { text: 'Source' },
  { text: 'Sequence', number: true },
  { text: 'Content' },
];

const CORRECTION_HEADS = [{ text: 'Correction' }, { text: 'Decided' }, { text: 'Recorded' }, { text: 'Source' }];

let redraw = null;
let observed = false;

/** Shows a sentence instead of a drawing. */
export function drawNoHistory(text) {
  redraw = null;
  delete byId('history').dataset.flight;
  byId('history').replaceChildren(html('p', { class: 'empty' }, text));
}

/**
 * Draws `recorded` (as `/flights/:flight/history?recorded=true` gives it: reports in fold order, corrections among them). `stateAt(knownAt, signal)` answers what the
 * flight's state was as known at an ISO time, or now for `null`.
 */
export function drawHistory(flight, recorded, stateAt) {
  const host = byId('history');
  const corrections = recorded.filter((each) => each.kind !== undefined);
  const points = toPoints(recorded.filter((each) => each.kind === undefined));
  if (points.length === 0)
    return drawNoHistory(`Nothing is known of ${flight} but corrections of what is still to come.`);
  /** In the order of knowledge: each is a step of the slider. */
  const arrivals = [
    ...points,
    ...corrections.map((correction) => ({ correction, recorded: Date.parse(correction.processedAt) })),
  ].sort((a, b) => a.recorded - b.recorded);
  rule(points, corrections);

  const picture = svg('svg', { role: 'img', 'aria-label': sentence(flight, points) });
  const frame = html('div', { class: 'drawing plane' }, picture);
  const known = html('input', { id: 'known', type: 'range', min: 1, max: arrivals.length, value: arrivals.length });
  const knownName = html('output', { id: 'known-name', for: 'known' });
  const state = html('p', { class: 'state', role: 'status' });
  const details = html(
    'details',
    { open: true },
    html('summary', {}, 'The history as a table'),
    html(
      'div',
      { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `History of ${flight} as a table` },
      table(
        `History of ${flight}, in the order things happened`,
        HEADS,
        points.map((point) => row(flight, point)),
      ),
      corrections.length === 0
        ? null
        : table(`Corrections of ${flight}`, CORRECTION_HEADS, corrections.map(correctionRow)),
    ),
  );
  const wasClosed = host.querySelector('details:not([open])') !== null;
  if (wasClosed) details.open = false;
  // New reports of the same flight leave the slider where it was, unless it stood at now.
  const before = byId('known');
  if (host.dataset.flight === flight && before !== null && before.value !== before.max) known.value = before.value;
  host.dataset.flight = flight;
  const hadFocus = document.activeElement?.id === 'known';
  const corrected = document.activeElement?.dataset?.correct;

  host.replaceChildren(
    html(
      'figure',
      {},
      html(
        'figcaption',
        {},
        html('b', { id: 'history-flight' }, flight),
        ' Left to right: what happened. Bottom to top: when it was reported. On the dashed line a report comes at once; ' +
          'a late one hangs above it. A ring is a repeat; what was withdrawn is struck through, what was moved hangs on a line.',
      ),
      frame,
    ),
    html(
      'div',
      { class: 'known' },
      html('p', { class: 'field' }, html('label', { for: 'known' }, 'What was known ', knownName), known),
      state,
    ),
    details,
  );

  let width = Math.floor(host.clientWidth);
  // What is known at a step decides how each report is drawn, so each step is a picture of its own.
  const cut = (step) => {
    const until = arrivals.slice(0, step);
    rule(
      points,
      until.filter((each) => each.correction !== undefined).map((each) => each.correction),
    );
    const reports = new Set(until.filter((each) => each.correction === undefined));
    drawPlane(picture, points, corrections, width, reports);
  };
  redraw = (next) => {
    width = next;
    cut(Number(known.value));
  };
  if (!observed) {
    observed = true;
    onWidth(host, (width) => redraw?.(width));
  }

  let asking = null;
  const step = async () => {
    const at = Number(known.value);
    const last = arrivals[at - 1];
    const isNow = at === arrivals.length;
    const what = last.correction === undefined ? 'report' : 'correction';
    const processedAt = (last.correction ?? last.event).processedAt;
    const name = isNow ? 'now' : `after ${what} ${at} of ${arrivals.length}, ${time(processedAt)}`;
    setText(knownName, name);
    known.setAttribute('aria-valuetext', name);
    cut(at);
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking;
    try {
      const answer = await stateAt(isNow ? null : processedAt, signal);
      state.replaceChildren('The flight was ', html('b', { 'data-kind': answer.status }, answer.status));
      if (isNow) state.firstChild.textContent = 'The flight is ';
    } catch (error) {
      if (!signal.aborted) setText(state, error.status === 404 ? 'Nothing was known yet.' : error.message);
    }
  };
  known.addEventListener('input', step);
  if (hadFocus) known.focus();
  if (corrected !== undefined) host.querySelector(`[data-correct="${corrected}"]`)?.focus();
  void step();
}

function toPoints(events) {
  const identities = new Map();
  const identity = (event) => JSON.stringify([event.name, event.at, event.stream, event.sequence ?? null]);
  for (const event of events) identities.set(identity(event), (identities.get(identity(event)) ?? 0) + 1);
  const points = events.map((event, at) => ({
    event,
    number: at + 1,
    happened: Date.parse(event.at),
    recorded: Date.parse(event.processedAt),
    repeats: event.repeats ?? 0,
    conflicting: identities.get(identity(event)) > 1,
  }));
  return points;
}

/** Says of each report how it counts under these corrections. */
function rule(points, corrections) {
  for (const point of points) {
    point.ruling = rulingOf(point.event, corrections);
    Object.assign(point, { counts: countsAs(point.event, point.ruling) });
    point.counted = Date.parse(point.counts.at);
  }
}

function row(flight, point) {
  const { event, counts } = point;
  const isMoved = counts.at !== event.at;
  const name = html(
    'span',
    { class: 'event-name', 'data-kind': event.name, 'data-state': counts.state },
    html('i', { 'aria-hidden': 'true' }, String(point.number)),
    counts.state === 'withdrawn' ? html('del', {}, event.name) : event.name,
    point.conflicting ? html('em', {}, ' conflict') : null,
    counts.state === 'as reported' ? null : html('span', { class: 'tag', 'data-state': counts.state }, counts.state),
  );
  return [
    html('span', {}, name, actions(flight, point)),
    isMoved
      ? html('span', {}, html('del', {}, time(event.at)), html('br'), html('ins', {}, time(counts.at)))
      : time(event.at),
    time(event.processedAt),
    lateness(point),
    point.repeats === 0 ? '–' : `${count(point.repeats)} ×`,
    html('code', {}, event.stream === '' || event.stream === undefined ? '–' : event.stream),
    event.sequence === null || event.sequence === undefined || event.sequence === -1 ? '–' : String(event.sequence),
    content(event.parameters ?? {}, counts.data ?? {}),
  ];
}

function content(before, now) {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])];
  if (keys.length === 0) return '–';
  return html(
    'span',
    { class: 'content' },
    ...keys.map((key) => {
      const [old, value] = [before[key], now[key]].map((each) => (each === undefined ? '' : plain(each)));
      return html(
        'span',
        {},
        html('b', {}, key),
        ' ',
        ...(old === value ? [value] : [html('del', {}, old), ' ', html('ins', {}, value)]),
      );
    }),
  );
}

/** What can be done about a report as it counts now. */
function actions(flight, point) {
  const { event, counts } = point;
  const offers =
    counts.state === 'withdrawn'
      ? [['reinstate', 'Let count']]
      : [
          ['retract', 'Withdraw'],
          ['amend', 'Amend'],
          ...(counts.state === 'amended' ? [['reinstate', 'As reported']] : []),
        ];
  return html(
    'span',
    { class: 'actions' },
    ...offers.map(([kind, text]) => {
      const button = html(
        'button',
        {
          type: 'button',
          class: 'small',
          'data-correct': `${point.number}-${kind}`,
          'aria-label': `${text}: ${event.name} of ${time(event.at)}`,
        },
        text,
      );
      button.addEventListener('click', () => openCorrection(flight, event, kind, `${point.number}-${kind}`));
      return button;
    }),
  );
}

function correctionRow(correction) {
  return [
    correctionWords(correction),
    time(correction.decidedAt),
    time(correction.processedAt),
    html('code', {}, correction.stream),
  ];
}

const plain = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
