// Delays by carrier: one sortable table whose cells draw their own bars, so the chart is the table.

import { byId, count, decimal, html, percent, svg } from './dom.js';
import { linear } from './scale.js';

const NAMES = {
  '9E': 'Endeavor',
  AA: 'American',
  AS: 'Alaska',
  B6: 'JetBlue',
  DL: 'Delta',
  EV: 'ExpressJet',
  F9: 'Frontier',
  FL: 'AirTran',
  HA: 'Hawaiian',
  MQ: 'Envoy',
  OO: 'SkyWest',
  UA: 'United',
  US: 'US Airways',
  VX: 'Virgin America',
  WN: 'Southwest',
  YV: 'Mesa',
};

const COLUMNS = [
  { key: 'carrier', text: 'Carrier', read: (row) => row.carrier },
  { key: 'arrived', text: 'Arrived', read: (row) => row.arrived, bar: 'arrived', write: count },
  { key: 'average', text: 'Average delay, minutes', read: (row) => row.average, bar: 'delay', write: decimal },
  { key: 'share', text: 'Over 15 min late', read: (row) => row.share, bar: 'share', write: percent },
];

// Fewer flights make no average to set a scale by: January's one SkyWest flight was 107 minutes late.
const SCALE_ARRIVED_MIN = 10;

const BAR = { width: 160, height: 14 };

let sort = { key: 'average', descending: true };
let carriers = [];
let body = null;
const heads = new Map();

/** Shows the summary's carriers in the chosen order. The headings stay, so the focus does too. */
export function drawCarriers(summary) {
  carriers = summary.carriers.map((row) => ({
    ...row,
    average: row.arrived === 0 ? 0 : row.arrivalDelayMinutes / row.arrived,
    share: row.arrived === 0 ? 0 : row.over15MinutesLate / row.arrived,
  }));
  const host = byId('carriers');
  if (carriers.length === 0) {
    body = null;
    host.replaceChildren(html('p', { class: 'empty' }, 'No flight has arrived yet.'));
    return;
  }
  if (body === null) host.replaceChildren(makeTable());
  drawRows();
}

function makeTable() {
  body = html('tbody');
  const row = html('tr');
  for (const column of COLUMNS) {
    const button = html('button', { type: 'button', class: 'sort' }, column.text);
    button.addEventListener('click', () => {
      const descending = sort.key === column.key ? !sort.descending : column.bar !== undefined;
      sort = { key: column.key, descending };
      drawRows();
    });
    const head = html('th', { scope: 'col', class: column.bar === undefined ? null : 'number' }, button);
    heads.set(column.key, head);
    row.append(head);
  }
  return html(
    'table',
    { class: 'carriers' },
    html('caption', { class: 'unseen' }, 'Delays by carrier'),
    html('thead', {}, row),
    body,
  );
}

function drawRows() {
  const { read } = COLUMNS.find((column) => column.key === sort.key);
  const sign = sort.descending ? -1 : 1;
  const rows = [...carriers].sort((a, b) => {
    const [x, y] = [read(a), read(b)];
    if (x === y) return a.carrier < b.carrier ? -1 : 1;
    return x < y ? -sign : sign;
  });
  for (const [key, head] of heads) {
    head.setAttribute('aria-sort', key !== sort.key ? 'none' : sort.descending ? 'descending' : 'ascending');
  }
  const bounds = new Map(
    COLUMNS.filter((column) => column.bar !== undefined).map((column) => {
      const many = rows.filter((row) => row.arrived >= SCALE_ARRIVED_MIN);
      const values = (many.length === 0 ? rows : many).map(column.read);
      return [column.key, [Math.min(0, ...values), Math.max(0, ...values)]];
    }),
  );
  body.replaceChildren(
    ...rows.map((row) =>
      html(
        'tr',
        { 'data-carrier': row.carrier },
        html('th', { scope: 'row' }, html('b', {}, row.carrier), ' ', html('span', {}, NAMES[row.carrier] ?? '')),
        ...COLUMNS.filter((column) => column.bar !== undefined).map((column) => {
          const value = column.read(row);
          return html(
            'td',
            { class: 'number' },
            html(
              'span',
              { class: 'bar-cell' },
              bar(column.bar, value, bounds.get(column.key)),
              html('span', {}, column.write(value)),
            ),
          );
        }),
      ),
    ),
  );
}

function bar(kind, value, [min, max]) {
  const x = linear(min, max, 0, BAR.width);
  const drawn = Math.min(Math.max(value, min), max);
  const [zero, end] = min === max ? [0, 0] : [x(0), x(drawn)];
  const gap = drawn === value ? null : svg('rect', { class: 'gap', x: end * 0.85, width: 8, height: BAR.height });
  return svg(
    'svg',
    // Stretched to its cell's width by board.css; beside it stands the number, so it is not read out.
    { class: 'bar', viewBox: `0 0 ${BAR.width} ${BAR.height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    svg('rect', {
      'data-kind': kind === 'delay' && value < 0 ? 'early' : kind,
      x: Math.min(zero, end),
      width: Math.abs(end - zero),
      height: BAR.height,
    }),
    gap,
    svg('line', { class: 'base', x1: zero, x2: zero, y1: 0, y2: BAR.height }),
  );
}
