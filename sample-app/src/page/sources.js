// Who reports, how far each is and how late: the sources' table, with a word for a source that is complete or gone.

import { byId, count, decimal, html, setText, span, svg, time } from './dom.js';
import { ask, send } from './live.js';

const FIRST = 10;
const BAR = { width: 150, height: 16 };
/** The bars' shared logarithmic scale: a second to a week. */
const [SCALE_FROM, SCALE_TO] = [1_000, 7 * 86_400_000];
const TICKS = [
  [60_000, '1 min'],
  [3_600_000, '1 h'],
  [86_400_000, '1 d'],
];

let sources = [];
let all = false;
let wanted = null;
let told = null;

/** Listens to the panel and its dialog. `announce(text)` is called when a source was spoken for. To be called once. */
export function startSources(announce) {
  told = announce;
  byId('sources-more').addEventListener('click', () => {
    all = !all;
    draw();
  });
  byId('complete-all').addEventListener('click', () => open(null));
  // No second submit button: the first one would be what the Enter key presses.
  byId('complete-retire').addEventListener('click', () => void submit('retire'));
  byId('complete-cancel').addEventListener('click', () => byId('complete').close());
  byId('complete').addEventListener('close', () => focusOn(wanted));
  byId('complete-form').addEventListener('submit', (event) => {
    event.preventDefault();
    void submit('complete');
  });
}

/** Reads the sources again and shows them. Without a connection what is shown stays. */
export async function drawSources() {
  try {
    sources = await ask('sources');
  } catch {
    return;
  }
  // Whoever holds comes first, then whoever is not as it should be, then by name.
  const rank = (one) => (one.holds ? 0 : one.conflicting > 0 || (one.gaps?.count ?? 0) > 0 ? 1 : 2);
  sources.sort((a, b) => rank(a) - rank(b) || states[a.state] - states[b.state] || (a.stream < b.stream ? -1 : 1));
  draw();
}

const states = { active: 0, idle: 1, retired: 2 };

function draw() {
  const host = byId('sources');
  const isEmpty = sources.length === 0;
  byId('complete-all').hidden = isEmpty;
  byId('sources-more').hidden = sources.length <= FIRST;
  setText(byId('sources-more'), all ? `Show ${FIRST}` : `Show all ${count(sources.length)}`);
  if (isEmpty) {
    setText(byId('sources-lead'), '');
    host.replaceChildren(html('p', { class: 'empty' }, 'Nobody has reported yet.'));
    return;
  }
  const number = (test) => count(sources.filter(test).length);
  setText(
    byId('sources-lead'),
    `${count(sources.length)} sources: ${number((one) => one.state === 'active')} active, ` +
      `${number((one) => one.silent)} of them silent for 15 minutes or more, ` +
      `${number((one) => one.state === 'retired')} retired. Days settle as far as the slowest active one.`,
  );
  const focused = host.contains(document.activeElement) ? document.activeElement.dataset.stream : undefined;
  host.replaceChildren(
    html(
      'table',
      { class: 'sources' },
      html('caption', { class: 'unseen' }, 'Sources of reports'),
      html('thead', {}, html('tr', {}, ...HEADS.map(head))),
      html('tbody', {}, ...(all ? sources : sources.slice(0, FIRST)).map(row)),
    ),
  );
  if (focused !== undefined) focusOn(focused);
}

const HEADS = [
  { text: 'Source' },
  { text: 'Complete up to' },
  { text: 'Lateness', scale: true },
  { text: 'Reports an hour', number: true },
  { text: 'Repeats', number: true },
  { text: 'Conflicts', number: true },
  { text: 'Gaps', number: true },
  { text: '' },
];

function head({ text, number, scale }) {
  if (text === '') return html('td', {});
  const x = scaleOf;
  const labels = !scale
    ? null
    : svg(
        'svg',
        {
          class: 'lateness-scale',
          width: BAR.width,
          height: 14,
          viewBox: `0 0 ${BAR.width} 14`,
          'aria-hidden': 'true',
        },
        ...TICKS.map(([ms, label]) => svg('text', { class: 'tick middle', x: x(ms), y: 11 }, label)),
      );
  return html('th', { scope: 'col', class: number ? 'number' : null }, text, labels);
}

function row(source) {
  const { statistics } = source;
  const gaps = source.gaps?.count ?? 0;
  const state = [source.state === 'active' ? (source.silent ? 'silent' : 'active') : source.state];
  if (source.holds) state.push('holds');
  return html(
    'tr',
    { 'data-source': source.stream },
    html(
      'th',
      { scope: 'row' },
      html('code', {}, source.stream),
      ' ',
      ...state.map((word) => html('span', { class: 'tag', 'data-state': word }, word)),
    ),
    html('td', {}, source.watermark === null ? '–' : time(source.watermark)),
    html('td', {}, lateness(statistics)),
    html(
      'td',
      { class: 'number' },
      typeof statistics?.ratePerHour === 'number' ? decimal(statistics.ratePerHour) : '–',
    ),
    html('td', { class: 'number' }, count(source.repeated)),
    html('td', { class: 'number' }, count(source.conflicting)),
    html('td', { class: 'number', title: gaps === 0 ? null : missing(source.gaps) }, count(gaps)),
    html('td', { class: 'number' }, completeButton(source)),
  );
}

function completeButton({ stream }) {
  const button = html(
    'button',
    { type: 'button', class: 'small', 'data-stream': stream, 'aria-label': `Complete up to: ${stream}` },
    'Complete up to…',
  );
  button.addEventListener('click', () => open(stream));
  return button;
}

function missing({ missing: ranges }) {
  const shown = ranges.slice(0, 5).map(([from, to]) => (from === to ? String(from) : `${from}–${to}`));
  return `Missing: ${shown.join(', ')}${ranges.length > 5 ? ' …' : ''}`;
}

function scaleOf(ms) {
  const clamped = Math.min(Math.max(ms, SCALE_FROM), SCALE_TO);
  return (Math.log(clamped / SCALE_FROM) / Math.log(SCALE_TO / SCALE_FROM)) * BAR.width;
}

/** Half of all, 95 %, 99 % and the latest, on one scale: a bar that thins out. */
function lateness(statistics) {
  const of = statistics?.lateness;
  if (of === undefined || of.max === null) return '–';
  const middle = BAR.height / 2;
  const band = (from, to, height, name) =>
    svg('rect', { class: name, x: from, y: middle - height / 2, width: Math.max(1.5, to - from), height, rx: 1 });
  const words = `half within ${span(of.p50)}, 95 % within ${span(of.p95)}, 99 % within ${span(of.p99)}, at most ${span(of.max)}`;
  return svg(
    'svg',
    {
      class: 'lateness-bar',
      role: 'img',
      'aria-label': words,
      width: BAR.width,
      height: BAR.height,
      viewBox: `0 0 ${BAR.width} ${BAR.height}`,
    },
    svg('title', {}, words),
    ...TICKS.map(([ms]) => svg('line', { class: 'grid', x1: scaleOf(ms), x2: scaleOf(ms), y1: 0, y2: BAR.height })),
    band(scaleOf(of.p99), scaleOf(of.max), 2, 'to-max'),
    band(scaleOf(of.p95), scaleOf(of.p99), 5, 'to-p99'),
    band(scaleOf(of.p50), scaleOf(of.p95), 9, 'to-p95'),
    band(0, scaleOf(of.p50), 14, 'to-p50'),
  );
}

function open(stream) {
  wanted = stream;
  const one = sources.find((each) => each.stream === stream);
  setText(byId('complete-title'), stream === null ? 'All sources are complete' : `${stream} is complete`);
  setText(
    byId('complete-what'),
    stream === null
      ? `Nothing of the ${count(active().length)} active sources at or before this time comes any more.`
      : 'Nothing of this source at or before this time comes any more. What comes all the same is counted, as late.',
  );
  const newest = stream === null ? sources.reduce((a, b) => later(a, b.newestEventTime), null) : one?.newestEventTime;
  byId('complete-up-to').value = (newest ?? new Date().toISOString()).slice(0, 19);
  byId('complete-retire').hidden = stream === null;
  setText(byId('complete-error'), '');
  byId('complete').showModal();
}

const later = (a, b) => (a === null || (b !== null && b > a) ? b : a);

const active = () => sources.filter((each) => each.state === 'active');

async function submit(what) {
  const upTo = new Date(`${byId('complete-up-to').value}Z`);
  if (Number.isNaN(upTo.getTime())) {
    setText(byId('complete-error'), 'Give a day and a time.');
    return;
  }
  const streams = wanted === null ? active().map((each) => each.stream) : [wanted];
  const body = what === 'retire' ? {} : { upTo: upTo.toISOString() };
  const buttons = byId('complete').querySelectorAll('button');
  for (const button of buttons) button.disabled = true;
  try {
    // One after the other: a page must not crowd out those who report.
    for (const stream of streams) await send(`sources/${encodeURIComponent(stream)}/${what}`, body);
    byId('complete').close();
    const who = wanted ?? `${streams.length} sources`;
    told(what === 'retire' ? `${who} retired.` : `${who} complete up to ${time(body.upTo)}.`);
  } catch (error) {
    setText(byId('complete-error'), error.message);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function focusOn(stream) {
  const button =
    stream === null ? byId('complete-all') : document.querySelector(`button[data-stream="${CSS.escape(stream)}"]`);
  button?.focus();
}
