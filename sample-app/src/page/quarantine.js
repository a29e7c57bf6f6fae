// The quarantine list: what was no valid report, why, and how often the same bytes came.

import { byId, count, html, setText, table, time } from './dom.js';
import { ask } from './live.js';

const PAGE_SIZE = 25;
// Enough to recognise a line by; whole bytes are an answer of /quarantine.
const SHOWN_BYTES = 160;

const HEADS = [
  { text: 'First line', number: true },
  { text: 'Came', number: true },
  { text: 'Code' },
  { text: 'Reason' },
  { text: 'First bytes' },
  { text: 'Last seen' },
];

let pages = 1;

/** Listens to "Show more". To be called once. */
export function startQuarantine() {
  byId('quarantine-more').addEventListener('click', () => {
    pages++;
    void drawQuarantine();
  });
}

/** Reads as many pages as are shown, and shows them. Without a connection what is shown stays. */
export async function drawQuarantine() {
  const items = [];
  let next = null;
  try {
    for (let page = 0; page < pages; page++) {
      const after = next === null ? '' : `&after=${encodeURIComponent(next)}`;
      const answer = await ask(`quarantine?limit=${PAGE_SIZE}${after}`);
      items.push(...answer.items);
      next = answer.next ?? null;
      if (next === null) break;
    }
  } catch {
    return;
  }
  byId('quarantine-more').hidden = next === null;
  const host = byId('quarantine');
  if (items.length === 0) {
    setText(byId('quarantine-lead'), '');
    host.replaceChildren(html('p', { class: 'empty' }, 'Nothing: every line so far was a report.'));
    return;
  }
  const lines = items.reduce((sum, item) => sum + item.count, 0);
  setText(
    byId('quarantine-lead'),
    `${count(items.length)}${next === null ? '' : ' or more'} different inputs, ${count(lines)} deliveries of them. ` +
      'Each is kept as it came, with why, and can be tried again.',
  );
  host.replaceChildren(table('Quarantined input', HEADS, items.map(row)));
}

function row(item) {
  return [
    item.line === null || item.line === undefined ? '–' : count(item.line),
    `${count(item.count)} ×`,
    html('code', {}, item.code),
    item.reason,
    html('code', { class: 'bytes' }, firstBytes(item.bytes)),
    time(item.lastAt),
  ];
}

/** The first bytes as text: controls as pictures, what is no UTF-8 as U+FFFD, and an ellipsis where it goes on. */
function firstBytes(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const text = new TextDecoder().decode(bytes.subarray(0, SHOWN_BYTES));
  const visible = text.replace(/[\u0000-\u001f]/g, (control) => String.fromCharCode(0x2400 + control.charCodeAt(0)));
  return bytes.length > SHOWN_BYTES ? `${visible}…` : visible;
}
