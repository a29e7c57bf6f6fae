// Makes elements and words for numbers and times: what every part of the board needs to draw.
// Text only ever goes in as text nodes, so no report can bring markup with it.

const SVG = 'http://www.w3.org/2000/svg';

/** An HTML element with attributes (`null` and `false` leave one out) and children. */
export function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element, likewise. Looks belong to board.css; only geometry is given here. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Puts `text` into `element` only when it differs, so that selections and screen readers are left in peace. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A table with a caption for screen readers; the first cell of each row heads it. A cell is text, a node or `{ value, of }`. */
export function table(caption, heads, rows) {
  return html(
    'table',
    {},
    html('caption', { class: 'unseen' }, caption),
    html(
      'thead',
      {},
      html(
        'tr',
        {},
        ...heads.map((head) => html('th', { scope: 'col', class: head.number ? 'number' : null }, head.text)),
      ),
    ),
    html(
      'tbody',
      {},
      ...rows.map((row) =>
        html(
          'tr',
          {},
          ...row.map((cell, at) =>
            html(
              at === 0 ? 'th' : 'td',
              { scope: at === 0 ? 'row' : null, class: heads[at].number ? 'number' : (heads[at].kind ?? null) },
              cell,
            ),
          ),
        ),
      ),
    ),
  );
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const dayTime = new Intl.DateTimeFormat('en', {
  dateStyle: 'medium',
  timeStyle: 'medium',
  hourCycle: 'h23',
  timeZone: 'UTC',
});
const longDay = new Intl.DateTimeFormat('en', {
  weekday: 'long',
  day: 'numeric',
  month: 'long',
  year: 'numeric',
  timeZone: 'UTC',
});
const monthYear = new Intl.DateTimeFormat('en', { month: 'long', year: 'numeric', timeZone: 'UTC' });

// A true minus sign is as wide as a digit and is read as "minus".
const minus = (text) => text.replace('-', '−');

// Adding zero makes a plain zero of a negative one.
export const count = (value) => minus(whole.format(Math.round(value) + 0));
export const decimal = (value) => minus(tenth.format(value));
export const percent = (share) => `${tenth.format(share * 100)} %`;
export const time = (iso) => dayTime.format(new Date(iso));
export const day = (isoDay) => longDay.format(new Date(`${isoDay}T00:00:00Z`));
export const month = (isoMonth) => monthYear.format(new Date(`${isoMonth}-01T00:00:00Z`));

/** A span of milliseconds in its two greatest units: "3 d 0 h", "13 min 21 s", "0.6 s". */
export function span(ms) {
  const size = Math.abs(ms);
  if (size < 1_000) return `${tenth.format(size / 1_000)} s`;
  const seconds = Math.floor(size / 1_000);
  const units = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ];
  const first = units.findIndex(([value]) => value > 0);
  return units
    .slice(first, first + 2)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(' ');
}

/** Calls `draw(width)` now and whenever the element's width changes, so text in a drawing keeps its size. */
export function onWidth(element, draw) {
  let width = 0;
  new ResizeObserver(([entry]) => {
    const next = Math.floor(entry.contentRect.width);
    if (next === width || next === 0) return;
    width = next;
    draw(width);
  }).observe(element);
}
