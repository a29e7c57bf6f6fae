// Flights per day and origin: one small drawing an airport on shared scales, a day to move along, and tables behind it.

import { byId, count, day as dayName, decimal, html, month as monthName, onWidth, setText, svg, table } from './dom.js';
import { linear, ticks } from './scale.js';

const AIRPORTS = { EWR: 'Newark Liberty', JFK: 'John F. Kennedy', LGA: 'LaGuardia' };
// Bottom to top, so that what went wrong sits on what went well.
const KINDS = ['arrived', 'pending', 'diverted', 'cancelled'];

const BOX = { left: 38, right: 6, top: 10, flights: 130, gap: 30, delay: 90, axis: 24 };
const HEIGHT = BOX.top + BOX.flights + BOX.gap + BOX.delay + BOX.axis;

const HEADS = [
  { text: 'Origin' },
  { text: 'Flights', number: true },
  { text: 'Arrived', number: true },
  { text: 'Diverted', number: true },
  { text: 'Cancelled', number: true },
  { text: 'Departure delay, minutes', number: true },
];

let cells = [];
let settledUpTo = null;
let months = [];
let shownMonth = null;
let monthChosen = false;
let selected = null;
let dayChosen = false;
const multiples = new Map();

/** Listens to the month, the day and the pointer. To be called once. */
export function startDays() {
  byId('month').addEventListener('change', (event) => {
    monthChosen = true;
    shownMonth = event.target.value;
    dayChosen = false;
    draw();
  });
  byId('day').addEventListener('input', (event) => select(Number(event.target.value)));
  byId('days-details').addEventListener('toggle', drawTable);
}

/** Shows the summary's cells: the latest month there is, until the user chooses another. */
export function drawDays(summary) {
  cells = summary.origins;
  // Of a moment only up to when was settled is known, not what of a day was provisional.
  settledUpTo = summary.settledUpTo;
  const found = [...new Set(cells.map((cell) => cell.day.slice(0, 7)))].sort((a, b) => (a < b ? -1 : 1));
  if (found.join() !== months.join()) {
    months = found;
    byId('month').replaceChildren(...months.map((each) => html('option', { value: each }, monthName(each))));
    byId('month-field').hidden = months.length < 2;
  }
  const isNow = settledUpTo !== undefined;
  if ((isNow && !monthChosen) || !months.includes(shownMonth)) shownMonth = fullestMonth();
  if (shownMonth !== null) byId('month').value = shownMonth;
  draw();
}

// A month's first flights bring one of the next month's; the fullest is the one to look at.
function fullestMonth() {
  let best = null;
  let most = -1;
  for (const each of months) {
    const flights = cells.reduce((sum, cell) => (cell.day.startsWith(each) ? sum + cell.flights : sum), 0);
    if (flights > most) [best, most] = [each, flights];
  }
  return best;
}

/** The shown month: its days, and per origin a sparse array of cells by day. */
function shown() {
  if (shownMonth === null) return { days: [], origins: [] };
  const [year, month] = shownMonth.split('-').map(Number);
  const length = new Date(Date.UTC(year, month, 0)).getUTCDate();
  const days = Array.from({ length }, (_, at) => `${shownMonth}-${String(at + 1).padStart(2, '0')}`);
  const byOrigin = new Map();
  for (const cell of cells) {
    if (!cell.day.startsWith(shownMonth)) continue;
    if (!byOrigin.has(cell.origin)) byOrigin.set(cell.origin, new Array(length).fill(null));
    byOrigin.get(cell.origin)[Number(cell.day.slice(8)) - 1] = cell;
  }
  const origins = [...byOrigin].sort(([a], [b]) => (a < b ? -1 : 1)).map(([origin, row]) => ({ origin, row }));
  return { days, origins };
}

function draw() {
  const view = shown();
  const host = byId('days');
  const range = byId('day');
  const isEmpty = view.origins.length === 0;
  range.disabled = isEmpty;
  byId('day-reader').hidden = isEmpty;
  byId('days-details').hidden = isEmpty;
  if (isEmpty) {
    multiples.clear();
    host.replaceChildren(html('p', { class: 'empty' }, 'No flight has been reported yet.'));
    byId('day-table').replaceChildren();
    setText(byId('day-name'), '');
    drawTable();
    return;
  }
  if (multiples.size === 0) host.replaceChildren();
  for (const [origin, multiple] of multiples) {
    if (view.origins.some((each) => each.origin === origin)) continue;
    multiple.root.remove();
    multiples.delete(origin);
  }
  for (const { origin } of view.origins) if (!multiples.has(origin)) multiples.set(origin, makeMultiple(origin));
  host.append(
    ...view.origins
      .filter(({ origin }, at) => host.children[at] !== multiples.get(origin).root)
      .map(({ origin }) => multiples.get(origin).root),
  );
  range.max = String(view.days.length - 1);
  // Whoever goes back in time keeps the day in sight.
  if (!dayChosen && (settledUpTo !== undefined || selected === null)) selected = worstDay(view);
  range.value = String(selected);
  for (const each of view.origins) drawMultiple(multiples.get(each.origin), each, view);
  drawDay(view);
  drawTable();
}

// To begin with, the day with the most delay: there is something to see.
function worstDay({ days, origins }) {
  const delays = days.map((_, at) => origins.reduce((sum, { row }) => sum + (row[at]?.departureDelayMinutes ?? 0), 0));
  return delays.indexOf(Math.max(...delays));
}

function makeMultiple(origin) {
  const picture = svg('svg', { role: 'img', height: HEIGHT });
  const root = html(
    'div',
    { class: 'multiple' },
    html('h3', {}, origin, ' ', html('span', {}, AIRPORTS[origin] ?? '')),
    html('div', { class: 'drawing' }, picture),
  );
  const multiple = { root, picture, width: 0, marks: [] };
  onWidth(picture.parentElement, (width) => {
    multiple.width = width;
    const view = shown();
    const each = view.origins.find((candidate) => candidate.origin === origin);
    if (each !== undefined) drawMultiple(multiple, each, view);
  });
  const point = (event) => {
    const { days } = shown();
    const x = event.clientX - picture.getBoundingClientRect().left - BOX.left;
    const at = Math.floor((x / (multiple.width - BOX.left - BOX.right)) * days.length);
    if (at >= 0 && at < days.length && at !== selected) select(at);
  };
  picture.addEventListener('pointermove', point);
  picture.addEventListener('pointerdown', point);
  return multiple;
}

function drawMultiple(multiple, { origin, row }, { days, origins }) {
  const { picture, width } = multiple;
  if (width === 0) return;
  const all = origins.flatMap((each) => each.row.filter((cell) => cell !== null));
  const flightsMax = Math.max(10, ...all.map((cell) => cell.flights));
  const hours = all.map((cell) => cell.departureDelayMinutes / 60);
  const [hoursMin, hoursMax] = [Math.min(0, ...hours), Math.max(1, ...hours)];

  const right = width - BOX.right;
  const slot = (right - BOX.left) / days.length;
  const bar = Math.max(1, slot - Math.max(1, slot * 0.22));
  const x = (at) => BOX.left + at * slot + (slot - bar) / 2;
  const flightsY = linear(0, flightsMax, BOX.top + BOX.flights, BOX.top);
  const delayTop = BOX.top + BOX.flights + BOX.gap;
  const delayY = linear(hoursMin, hoursMax, delayTop + BOX.delay, delayTop);

  const mark = svg('rect', { class: 'mark', y: BOX.top - 6, height: HEIGHT - BOX.top - BOX.axis + 10, width: slot });
  const hatch = `hatch-${origin}`;
  const parts = [mark, svg('defs', {}, stripes(hatch))];
  const marksSettled = settledUpTo !== undefined;
  for (const tick of ticks(0, flightsMax, 4)) parts.push(...gridLine(tick, flightsY(tick), right));
  for (const tick of ticks(hoursMin, hoursMax, 5)) parts.push(...gridLine(tick, delayY(tick), right));
  parts.push(svg('text', { class: 'band-name', x: BOX.left, y: delayTop - 9 }, 'Departure delay, hours'));

  for (const [at, cell] of row.entries()) {
    if (cell === null) continue;
    let below = 0;
    for (const kind of KINDS) {
      const value = kind === 'pending' ? pending(cell) : cell[kind];
      if (value <= 0) continue;
      const [from, to] = [flightsY(below), flightsY(below + value)];
      parts.push(svg('rect', { 'data-kind': kind, x: x(at), y: to, width: bar, height: from - to }));
      below += value;
    }
    const [zero, end] = [delayY(0), delayY(cell.departureDelayMinutes / 60)];
    const delay = { x: x(at), y: Math.min(zero, end), width: bar, height: Math.abs(zero - end) };
    parts.push(svg('rect', { 'data-kind': 'delay', ...delay }));
    if (!marksSettled || cell.settled) continue;
    const whole = { x: x(at), y: flightsY(below), width: bar, height: flightsY(0) - flightsY(below) };
    parts.push(
      svg('rect', { class: 'provisional', fill: `url(#${hatch})`, ...whole }),
      svg('rect', { class: 'provisional', fill: `url(#${hatch})`, ...delay }),
    );
  }
  // A line under the days that are settled, in one piece where they follow each other.
  for (const [from, to] of marksSettled ? runs(row.map((cell) => cell?.settled === true)) : []) {
    parts.push(
      svg('line', {
        class: 'settled',
        x1: BOX.left + from * slot,
        x2: BOX.left + (to + 1) * slot,
        y1: HEIGHT - 20.5,
        y2: HEIGHT - 20.5,
      }),
    );
  }
  parts.push(svg('line', { class: 'base', x1: BOX.left, x2: right, y1: flightsY(0), y2: flightsY(0) }));
  parts.push(svg('line', { class: 'base', x1: BOX.left, x2: right, y1: delayY(0), y2: delayY(0) }));
  for (let at = 0; at < days.length; at += 7) {
    parts.push(svg('text', { class: 'tick middle', x: BOX.left + (at + 0.5) * slot, y: HEIGHT - 6 }, String(at + 1)));
  }

  multiple.place = (at) => mark.setAttribute('x', String(BOX.left + at * slot));
  multiple.place(selected ?? 0);
  picture.setAttribute('width', String(width));
  picture.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
  picture.setAttribute('aria-label', sentence(origin, row));
  picture.replaceChildren(...parts);
}

/** Stripes in the colour of the ground: what lies under them shows through in part. */
function stripes(id) {
  return svg(
    'pattern',
    { id, width: 5, height: 5, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
    svg('rect', { class: 'stripe', width: 2.5, height: 5 }),
  );
}

/** [first, last] of each run of true. */
function runs(flags) {
  const found = [];
  for (const [at, flag] of flags.entries()) {
    if (!flag) continue;
    if (found.at(-1)?.[1] === at - 1) found.at(-1)[1] = at;
    else found.push([at, at]);
  }
  return found;
}

function gridLine(value, y, right) {
  return [
    svg('line', { class: 'grid', x1: BOX.left, x2: right, y1: y, y2: y }),
    svg('text', { class: 'tick end', x: BOX.left - 6, y: y + 4 }, count(value)),
  ];
}

const pending = (cell) => cell.flights - cell.arrived - cell.cancelled - cell.diverted;

function sentence(origin, row) {
  const cellsOf = row.filter((cell) => cell !== null);
  const sum = (read) => cellsOf.reduce((total, cell) => total + read(cell), 0);
  const worst = cellsOf.reduce((a, b) => (b.departureDelayMinutes > a.departureDelayMinutes ? b : a));
  return (
    `${origin}, ${monthName(shownMonth)}: ${count(sum((cell) => cell.flights))} flights, ` +
    `${count(sum((cell) => cell.cancelled))} cancelled, ${count(sum((cell) => cell.diverted))} diverted. ` +
    `Most departure delay on ${dayName(worst.day)}, ${count(worst.departureDelayMinutes / 60)} hours.` +
    (settledUpTo === undefined
      ? ''
      : ` ${count(sum((cell) => (cell.settled ? 1 : 0)))} of ${cellsOf.length} days are settled.`)
  );
}

function select(at) {
  dayChosen = true;
  selected = at;
  byId('day').value = String(at);
  for (const multiple of multiples.values()) multiple.place?.(at);
  drawDay(shown());
}

function drawDay({ days, origins }) {
  const name = dayName(days[selected]);
  setText(byId('day-name'), name);
  byId('day').setAttribute('aria-valuetext', name);
  const rows = origins.map(({ origin, row }) => numbers(origin, row[selected]));
  byId('day-table').replaceChildren(table(`Flights on ${name}`, HEADS, rows));
}

function numbers(head, cell) {
  if (cell === null) return [head, '–', '–', '–', '–', '–'];
  const late = cell.flights === 0 ? '' : ` (${decimal(cell.departureDelayMinutes / cell.flights)} a flight)`;
  const mark = cell.settled === undefined ? null : cell.settled ? 'settled' : 'provisional';
  return [
    mark === null
      ? head
      : html('span', { class: 'row-name' }, head, ' ', html('span', { class: 'tag', 'data-state': mark }, mark)),
    count(cell.flights),
    count(cell.arrived),
    count(cell.diverted),
    count(cell.cancelled),
    html('span', {}, count(cell.departureDelayMinutes), html('small', {}, late)),
  ];
}

// Some hundred rows: only made while somebody looks at them.
function drawTable() {
  const host = byId('days-table');
  if (!byId('days-details').open) return host.replaceChildren();
  const { origins } = shown();
  const rows = origins.flatMap(({ row }) =>
    row.filter((cell) => cell !== null).map((cell) => numbers(`${cell.origin} ${cell.day}`, cell)),
  );
  host.replaceChildren(table('Flights per day and origin', HEADS, rows));
}
