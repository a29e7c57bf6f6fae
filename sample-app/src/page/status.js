// The head of the board: how many flights are in each state, on split flaps, and how far a load has come.

import { byId, count, html, percent, setText } from './dom.js';

export const STATUSES = ['scheduled', 'departed', 'arrived', 'cancelled', 'diverted'];

// Five flaps hold a month of three airports (27,004 flights); more grow by themselves.
const FLAPS_MIN = 5;

const figures = new Map();

/** Shows the summary's status figures, the totals and the load. Flaps turn only where a digit changed. */
export function drawStatus(summary) {
  const list = byId('status');
  for (const status of STATUSES) {
    const value = summary.status[status] ?? 0;
    let figure = figures.get(status);
    if (figure === undefined) {
      figure = makeFigure(status);
      figures.set(status, figure);
      list.append(figure.root);
    }
    figure.data.value = String(value);
    setText(figure.data, count(value));
    turn(figure.tiles, String(value));
  }
  drawStrip(summary.status);
  setFigure('recorded', summary.recorded);
  setFigure('quarantined', summary.quarantined);
  drawLoad(summary.loading);
}

function makeFigure(status) {
  // The number is there once as text, for everyone who does not see the flaps.
  const data = html('data', { class: 'unseen', value: 0, 'data-figure': status }, '0');
  const tiles = html('span', { class: 'tiles', 'aria-hidden': 'true' });
  const root = html('div', { class: 'flap', 'data-kind': status }, html('dt', {}, status), html('dd', {}, data, tiles));
  return { root, data, tiles };
}

function turn(tiles, digits) {
  const text = digits.padStart(FLAPS_MIN, ' ');
  while (tiles.childElementCount > text.length) tiles.firstElementChild.remove();
  while (tiles.childElementCount < text.length) tiles.prepend(html('span'));
  for (const [at, tile] of [...tiles.children].entries()) {
    // A new element, so that its turning animation starts anew.
    if (tile.textContent !== text[at]) tile.replaceWith(html('span', {}, text[at]));
  }
}

function drawStrip(status) {
  const strip = byId('status-strip');
  if (strip.childElementCount === 0) {
    strip.append(...STATUSES.map((name) => html('span', { 'data-kind': name })));
  }
  for (const [at, name] of STATUSES.entries()) {
    strip.children[at].style.flexGrow = String(status[name] ?? 0);
    strip.children[at].hidden = (status[name] ?? 0) === 0;
  }
}

function setFigure(id, value) {
  byId(id).value = String(value);
  setText(byId(id), count(value));
}

function drawLoad(loading) {
  const box = byId('load');
  box.hidden = loading === null;
  if (loading === null) return;
  const { line, total, done } = loading;
  const bar = byId('load-bar');
  box.dataset.done = String(done);
  bar.hidden = done;
  if (done) {
    setText(byId('load-text'), `Loaded, ${count(line)} reports`);
    return;
  }
  if (total === null) {
    bar.removeAttribute('value');
    setText(byId('load-text'), `Loading, report ${count(line)}`);
    return;
  }
  bar.max = Math.max(total, 1);
  bar.value = line;
  setText(
    byId('load-text'),
    `Loading, report ${count(line)} of ${count(total)} (${percent(total === 0 ? 1 : line / total)})`,
  );
}

/** The figures as one sentence, for the polite announcement. */
export function statusSentence(summary) {
  const parts = STATUSES.map((status) => `${count(summary.status[status] ?? 0)} ${status}`).join(', ');
  const { loading } = summary;
  if (loading === null || loading.done || loading.total === null) return `Flights: ${parts}.`;
  return `Loading, ${percent(loading.line / Math.max(loading.total, 1))}. Flights so far: ${parts}.`;
}
