// What corrections make of the reports they correct: which of them rules each report, and the dialog that sends a new one.

import { byId, html, setText, time } from './dom.js';
import { send } from './live.js';

/** Who corrects, as far as this page is concerned. */
const DESK = 'desk';

const WORDS = { retract: 'withdrawn', amend: 'amended', reinstate: 'counts again' };
// Of a broker in front of the store, which does not know yet.
const OUTCOMES = { buffered: 'buffered; it shows when it is stored' };

/** The correction that rules a report, of those given, or undefined: the one decided last. As the library has it. */
export function rulingOf(report, corrections) {
  let ruling;
  for (const each of corrections) {
    const { target } = each;
    if (target.at !== report.at || target.source !== report.stream || target.type !== report.name) continue;
    if ((target.sequence ?? -1) !== report.sequence) continue;
    if (target.digest !== undefined && target.digest !== report.digest) continue;
    if (ruling === undefined || compare(each, ruling) > 0) ruling = each;
  }
  return ruling;
}

function compare(a, b) {
  const of = (one) => [one.decidedAt, one.stream, one.sequence, one.digest];
  const [x, y] = [of(a), of(b)];
  const at = x.findIndex((value, i) => value !== y[i]);
  return at === -1 ? 0 : x[at] < y[at] ? -1 : 1;
}

/** A report as it counts under its ruling: `state` is `as reported`, `withdrawn` or `amended`. */
export function countsAs(report, ruling) {
  if (ruling === undefined || ruling.kind === 'reinstate') {
    return { state: 'as reported', at: report.at, data: report.parameters };
  }
  if (ruling.kind === 'retract') return { state: 'withdrawn', at: report.at, data: report.parameters };
  return {
    state: 'amended',
    at: ruling.amendment?.at ?? report.at,
    data: ruling.amendment?.data ?? report.parameters,
  };
}

/** A correction in words: "amended: departed of Jan 1, 2013, 10:17:00". */
export function correctionWords(correction) {
  const { target } = correction;
  return `${WORDS[correction.kind]}: ${target.type} of ${time(target.at)}`;
}

let flight = null;
let report = null;
let after = null;
let opener = null;

/** Listens to the dialog's form. `done(outcome)` is called when a correction was taken. To be called once. */
export function startCorrections(done) {
  after = done;
  const dialog = byId('correct');
  const form = byId('correct-form');
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void submit();
  });
  form.addEventListener('change', (event) => {
    if (event.target.name === 'kind') showFields(event.target.value);
  });
  byId('correct-cancel').addEventListener('click', () => dialog.close());
  // The button that opened it may have been drawn anew meanwhile.
  dialog.addEventListener('close', () => document.querySelector(`[data-correct="${opener}"]`)?.focus());
}

/** Opens the dialog for one report of a flight, with a kind chosen. */
export function openCorrection(ofFlight, ofReport, kind, number) {
  flight = ofFlight;
  report = ofReport;
  opener = number;
  setText(byId('correct-title'), `Correct: ${report.name}`);
  setText(
    byId('correct-what'),
    `${flight}, reported by ${report.stream || 'nobody named'} for ${time(report.at)} UTC. What was reported stays recorded; ` +
      'every figure follows what counts.',
  );
  byId('correct-form').reset();
  byId('correct-form').elements.kind.value = kind;
  byId('correct-at').value = report.at.slice(0, 19);
  byId('correct-data').replaceChildren(
    ...Object.entries(report.parameters ?? {}).map(([key, value]) =>
      html(
        'p',
        { class: 'line' },
        html('label', { for: `data-${key}` }, key),
        html('input', {
          id: `data-${key}`,
          'data-key': key,
          'data-number': typeof value === 'number',
          inputmode: typeof value === 'number' ? 'numeric' : null,
          autocomplete: 'off',
          spellcheck: 'false',
          maxlength: 200,
          value: String(value),
        }),
      ),
    ),
  );
  setText(byId('correct-error'), '');
  showFields(kind);
  byId('correct').showModal();
}

function showFields(kind) {
  byId('correct-fields').hidden = kind !== 'amend';
  byId('correct-fields').disabled = kind !== 'amend';
}

/** What was changed in the form: nothing that stayed as it was reported is sent. */
function amendment() {
  const changed = {};
  const at = byId('correct-at').value;
  // The browser leaves out seconds that are zero.
  const iso = at === '' ? report.at : new Date(`${at}Z`).toISOString();
  if (iso.slice(0, 19) !== report.at.slice(0, 19)) changed.at = iso;
  const data = {};
  let differs = false;
  for (const input of byId('correct-data').querySelectorAll('input')) {
    const { key } = input.dataset;
    const before = report.parameters[key];
    const isNumber = input.dataset.number !== undefined && input.value.trim() !== '';
    const value = input.value === String(before) ? before : isNumber ? Number(input.value) : input.value;
    if (value !== before) differs = true;
    data[key] = value;
  }
  if (differs) changed.data = data;
  return changed;
}

async function submit() {
  const kind = byId('correct-form').elements.kind.value;
  const button = byId('correct-send');
  const changes = kind === 'amend' ? amendment() : {};
  if (kind === 'amend' && Object.keys(changes).length === 0) {
    setText(byId('correct-error'), 'Nothing is changed yet: give another time or another content.');
    return;
  }
  const target = { at: report.at, source: report.stream, type: report.name, digest: report.digest };
  if (report.sequence !== -1) target.sequence = report.sequence;
  button.disabled = true;
  try {
    const { outcome } = await send(`flights/${encodeURIComponent(flight)}/corrections`, {
      kind,
      target,
      decidedAt: new Date().toISOString(),
      source: DESK,
      ...changes,
    });
    byId('correct').close();
    after(`${report.name} ${WORDS[kind]}, ${OUTCOMES[outcome] ?? outcome}.`);
  } catch (error) {
    setText(byId('correct-error'), error.message);
  } finally {
    button.disabled = false;
  }
}
