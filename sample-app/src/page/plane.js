// The plane of two times: where each report stands, how late it came, and where a correction has moved it.

import { byId, count, span, svg, time } from './dom.js';
import { linear, timeLabels, timeTicks } from './scale.js';

const BOX = { left: 62, right: 18, top: 22, bottom: 48 };
const RADIUS = 11;
// Rings beyond this many say nothing more; the label counts on.
const RINGS_MAX = 4;
// Widths of a label's characters, for keeping labels apart: measured on the widest common system font.
const CHARACTER_PX = 7.4;
const LINE_PX = 15;

/**
 * Draws a flight's reports as they count now; only those in `known` as known. `corrections` are all there are, so that the axes
 * stay while the slider moves.
 */
export function drawPlane(picture, points, corrections, width, known) {
  if (width <= 0) return;
  picture.setAttribute('aria-label', sentence(byId('history').dataset.flight, points));
  const narrow = width < 560;
  const height = narrow ? 360 : Math.min(520, Math.max(400, Math.round(width * 0.46)));
  const right = width - BOX.right;
  const bottom = height - BOX.bottom;
  // Where anything stands at any step, so that the axes stay while the slider moves.
  const moved = corrections.map((each) => Date.parse(each.amendment?.at ?? each.target.at));
  const happened = [...points.map((point) => point.happened), ...moved];
  const recorded = points.map((point) => point.recorded);
  const [xFrom, xTo] = padded(Math.min(...happened), Math.max(...happened), 0.1);
  const [yFrom, yTo] = padded(Math.min(...happened, ...recorded), Math.max(...happened, ...recorded), 0.08);
  const x = linear(xFrom, xTo, BOX.left, right);
  const y = linear(yFrom, yTo, bottom, BOX.top);

  const clip = svg(
    'clipPath',
    { id: 'plane' },
    svg('rect', { x: BOX.left, y: BOX.top, width: right - BOX.left, height: bottom - BOX.top }),
  );
  const parts = [svg('defs', {}, clip)];
  const clipped = (...children) => svg('g', { 'clip-path': 'url(#plane)' }, ...children);

  parts.push(
    clipped(
      svg('polygon', {
        class: 'future',
        points: [x(xFrom), y(xFrom), x(xTo), y(xTo), x(xTo), bottom + height, x(xFrom), bottom + height].join(' '),
      }),
    ),
  );
  for (const { at, hour, day } of timeLabels(timeTicks(xFrom, xTo, narrow ? 4 : 9))) {
    parts.push(
      svg('line', { class: 'grid', x1: x(at), x2: x(at), y1: BOX.top, y2: bottom }),
      svg('text', { class: 'tick middle', x: x(at), y: bottom + 17 }, hour || day),
      svg('text', { class: 'tick middle strong', x: x(at), y: bottom + 32 }, hour === '' ? '' : day),
    );
  }
  for (const { at, hour, day } of timeLabels(timeTicks(yFrom, yTo, 8))) {
    const second = hour !== '' && day !== '';
    parts.push(
      svg('line', { class: 'grid', x1: BOX.left, x2: right, y1: y(at), y2: y(at) }),
      svg('text', { class: `tick end${hour === '' ? ' strong' : ''}`, x: BOX.left - 8, y: y(at) + 4 }, hour || day),
      svg('text', { class: 'tick end strong', x: BOX.left - 8, y: y(at) - 9 }, second ? day : ''),
    );
  }
  parts.push(
    svg('text', { class: 'axis end', x: right, y: height - 3 }, 'happened (event time) →'),
    svg('text', { class: 'axis', x: 2, y: 13 }, '↑ reported (processing time)'),
    clipped(svg('line', { class: 'at-once', x1: x(xFrom), y1: y(xFrom), x2: x(xTo), y2: y(xTo) })),
    diagonalName(points, x, y, { xFrom, xTo }),
  );

  // What the slider has not reached yet lies under this veil.
  const veil = svg('rect', { class: 'veil', x: BOX.left, y: BOX.top, width: right - BOX.left, height: 0 });
  const edge = svg('line', { class: 'edge', x1: BOX.left, x2: right });
  const groups = [];
  const taken = points.flatMap((point) => {
    const [cx, cy, once] = [x(point.counted), y(point.recorded), y(point.counted)];
    return [
      ...(point.counted === point.happened
        ? []
        : [box(x(point.happened) - RADIUS, cy - RADIUS, 2 * RADIUS, 2 * RADIUS)]),
      box(cx - RADIUS, cy - RADIUS, 2 * RADIUS, 2 * RADIUS),
      box(cx - 3, Math.min(cy, once), 6, Math.abs(once - cy)),
    ];
  });
  // The dashed line as a row of small boxes: labels keep off it where they can.
  const line = Array.from({ length: 80 }, (_, at) => {
    const when = xFrom + ((xTo - xFrom) * at) / 79;
    return box(x(when) - 5, y(when) - 5, 10, 10);
  });
  for (const point of points) {
    const [cx, cy] = [x(point.counted), y(point.recorded)];
    const group = svg('g', {
      class: `point${known.has(point) ? '' : ' unknown'}`,
      'data-kind': point.event.name,
      'data-number': point.number,
      'data-state': point.counts.state,
    });
    if (point.counted !== point.happened) group.append(...movement(x(point.happened), cx, cy));
    group.append(svg('line', { class: 'lateness', x1: cx, x2: cx, y1: y(point.counted), y2: cy }));
    for (let ring = Math.min(point.repeats, RINGS_MAX); ring > 0; ring--) {
      group.append(svg('circle', { class: 'ring', cx, cy, r: RADIUS + 4 * ring }));
    }
    group.append(point.conflicting ? diamond(cx, cy) : svg('circle', { class: 'body', cx, cy, r: RADIUS }));
    group.append(svg('text', { class: 'number-in', x: cx, y: cy + 4 }, String(point.number)));
    if (point.counts.state === 'withdrawn') {
      const reach = RADIUS + 5;
      group.append(svg('line', { class: 'strike', x1: cx - reach, x2: cx + reach, y1: cy + reach, y2: cy - reach }));
    }
    group.append(label(point, cx, cy, taken, line, { left: BOX.left, right, top: BOX.top, bottom }));
    groups.push(group);
  }
  parts.push(...groups, veil, edge);

  picture.setAttribute('width', String(width));
  picture.setAttribute('height', String(height));
  picture.setAttribute('viewBox', `0 0 ${width} ${height}`);
  picture.replaceChildren(...parts);

  const all = known.size === points.length;
  const level = all ? BOX.top : Math.min(bottom, ...[...known].map((point) => y(point.recorded) - RADIUS - 6));
  veil.setAttribute('height', String(Math.max(0, level - BOX.top)));
  edge.setAttribute('y1', String(level));
  edge.setAttribute('y2', String(level));
  edge.classList.toggle('hidden', all);
}

/** From where a report stood to where it stands: a ring left behind, and an arrow where there is room for one. */
function movement(from, to, y) {
  const sign = to < from ? -1 : 1;
  const [start, tip] = [from + sign * (RADIUS - 2), to - sign * (RADIUS + 3)];
  const ring = svg('circle', { class: 'moved-from', cx: from, cy: y, r: RADIUS - 2 });
  const line = svg('line', { class: 'moved', x1: start, x2: tip, y1: y, y2: y });
  if (sign * (tip - start) < 10) return [ring, line];
  const head = [tip, y, tip - sign * 9, y - 5, tip - sign * 9, y + 5].join(' ');
  return [ring, line, svg('polygon', { class: 'moved-tip', points: head })];
}

function padded(from, to, share) {
  // A lone event gets an hour around it.
  const pad = Math.max((to - from) * share, from === to ? 3_600_000 : 0);
  return [from - pad, to + pad];
}

const box = (x, y, width, height) => ({ x, y, width, height });
const overlaps = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

/** A point's two lines of text, at the first side where they cover nothing, if need be but the dashed line. */
function label(point, cx, cy, taken, line, plane) {
  const note = point.counts.state === 'as reported' ? (point.conflicting ? 'conflict' : '') : point.counts.state;
  const first = point.event.name + (note === '' ? '' : ` (${note})`);
  const second = lateness(point) + (point.repeats > 0 ? ` · +${count(point.repeats)} repeated` : '');
  const width = Math.max(first.length, second.length) * CHARACTER_PX;
  const height = 2 * LINE_PX + 2;
  const gap = RADIUS + 4 * Math.min(point.repeats, RINGS_MAX) + 6;
  const places = [
    { anchor: 'start', x: cx + gap, y: cy - height / 2 },
    { anchor: 'end', x: cx - gap - width, y: cy - height / 2 },
    { anchor: 'start', x: cx + gap * 0.7, y: cy - gap - height + 4 },
    { anchor: 'end', x: cx - gap * 0.7 - width, y: cy - gap - height + 4 },
    { anchor: 'middle', x: cx - width / 2, y: cy - gap - height },
    { anchor: 'middle', x: cx - width / 2, y: cy + gap },
    { anchor: 'end', x: cx - gap * 0.7 - width, y: cy + gap - 4 },
    { anchor: 'start', x: cx + gap * 0.7, y: cy + gap - 4 },
  ].map((place) => ({ ...place, box: box(place.x, place.y, width, height) }));
  const inside = (place) =>
    place.box.x >= plane.left &&
    place.box.x + width <= plane.right &&
    place.box.y >= plane.top - 4 &&
    place.box.y + height <= plane.bottom;
  const isFree = (place, others) => inside(place) && !others.some((other) => overlaps(place.box, other));
  const place =
    places.find((each) => isFree(each, [...taken, ...line])) ??
    places.find((each) => isFree(each, taken)) ??
    places.find(inside) ??
    places[0];
  taken.push(place.box);
  const x = place.anchor === 'start' ? place.x : place.anchor === 'end' ? place.x + width : cx;
  return svg(
    'text',
    { class: 'label', 'text-anchor': place.anchor, x, y: place.y + LINE_PX - 3 },
    svg('tspan', { class: 'strong', x }, first),
    svg('tspan', { x, dy: LINE_PX }, second),
  );
}

function diamond(cx, cy) {
  const size = RADIUS + 3;
  return svg('polygon', {
    class: 'body',
    points: [cx, cy - size, cx + size, cy, cx, cy + size, cx - size, cy].join(' '),
  });
}

/** Names the dashed line in the widest stretch between two events, along its slope. */
function diagonalName(points, x, y, { xFrom, xTo }) {
  const stops = [xFrom, ...points.map((point) => point.happened), xTo].sort((a, b) => a - b);
  let [from, to] = [stops[0], stops[1]];
  for (let at = 1; at < stops.length; at++)
    if (stops[at] - stops[at - 1] > to - from) [from, to] = [stops[at - 1], stops[at]];
  const middle = (from + to) / 2;
  const [cx, cy] = [x(middle), y(middle)];
  const angle = (Math.atan2(y(xTo) - y(xFrom), x(xTo) - x(xFrom)) * 180) / Math.PI;
  return svg(
    'text',
    { class: 'diagonal-name', x: cx, y: cy - 7, transform: `rotate(${angle.toFixed(2)} ${cx} ${cy})` },
    'reported at once',
  );
}

/** In words: how long after it happened it was reported. */
export function lateness(point) {
  const ms = point.recorded - point.happened;
  return `${span(ms)} ${ms < 0 ? 'ahead' : 'late'}`;
}

/** The drawing in words. */
export function sentence(flight, points) {
  const each = points.map(
    (point) =>
      `${point.event.name} at ${time(point.event.at)}, reported ${lateness(point)}` +
      `${point.repeats > 0 ? `, repeated ${point.repeats} times` : ''}${point.conflicting ? ', in conflict' : ''}` +
      corrected(point),
  );
  return `History of ${flight} by event time and processing time. ${each.join('. ')}.`;
}

/** For sentences: what a correction made of it. */
function corrected({ counts, event }) {
  if (counts.state === 'as reported') return '';
  return counts.at === event.at ? `, ${counts.state}` : `, ${counts.state} to ${time(counts.at)}`;
}
