// The board's beginning: follows the summary and hands it to each part of the page.

import { drawCarriers } from './carriers.js';
import { startCorrections } from './corrections.js';
import { drawDays, startDays } from './days.js';
import { byId, setText, time } from './dom.js';
import { drawOverdue } from './overdue.js';
import { choose, refreshHistory, refreshSuggestions, startHistory } from './picker.js';
import { ask, atMostEvery, follow } from './live.js';
import { drawQuarantine, startQuarantine } from './quarantine.js';
import { refreshMoments, startReplay } from './replay.js';
import { drawSources, startSources } from './sources.js';
import { drawStatus, statusSentence } from './status.js';

// Figures move twice a second during a load; being told so more often than this would drown everything else.
const ANNOUNCE_EVERY_MS = 15_000;
const HISTORY_EVERY_MS = 2_000;
const SUGGEST_EVERY_MS = 10_000;
const MOMENTS_EVERY_MS = 30_000;
const SOURCES_EVERY_MS = 3_000;
// Sources that are named as holding; the others are in their table.
const HOLDING_SHOWN = 2;

const CONNECTIONS = { live: 'live', polling: 'asking every 2 s', lost: 'no connection, trying again' };

let latest = null;
// The board as known at a moment that was chosen, or null for now.
let then = null;
let quarantined = null;
let revision = null;
let sentence = '';

const draw = () => {
  const shown = then === null ? latest : { ...latest, ...then, settledUpTo: undefined };
  drawStatus(shown);
  drawDays(shown);
  drawCarriers(shown);
  drawSettled();
};

function drawSettled() {
  const { settledUpTo, holding, loading } = latest;
  const text = byId('settled');
  text.hidden = latest.recorded === 0;
  if (then !== null) {
    const upTo = then.settledUpTo;
    setText(text, upTo === null ? 'Nothing was settled then.' : `Then settled up to ${time(upTo)} UTC.`);
    return;
  }
  if (settledUpTo === null) {
    setText(text, loading?.done === false ? 'Nothing is settled yet: the load goes on.' : 'Nothing is settled yet.');
    return;
  }
  const names = holding.slice(0, HOLDING_SHOWN).map(({ stream, why }) => `${stream} (${REASONS[why]})`);
  const more = holding.length > HOLDING_SHOWN ? ' and others' : '';
  const holds = names.length === 0 ? '' : ` Held by ${names.join(', ')}${more}.`;
  setText(text, `Settled up to ${time(settledUpTo)} UTC.${holds}`);
}

const REASONS = {
  'never reported': 'it never reported',
  silent: 'silent since its last report',
  idle: 'it proved no more',
  watermark: 'it reported no further',
};

// Several summaries may come between two pictures: only the last is drawn.
let drawing = false;
const drawSoon = () => {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
};

const announce = atMostEvery(ANNOUNCE_EVERY_MS, () => {
  const next = statusSentence(latest);
  if (next === sentence) return;
  sentence = next;
  setText(byId('announce'), next);
});
const history = atMostEvery(HISTORY_EVERY_MS, refreshHistory);
const suggestions = atMostEvery(SUGGEST_EVERY_MS, refreshSuggestions);
const sources = atMostEvery(SOURCES_EVERY_MS, () => {
  void drawSources();
  void drawOverdue(latest.settledUpTo, choose);
});
const moments = atMostEvery(MOMENTS_EVERY_MS, refreshMoments);
const quarantine = atMostEvery(HISTORY_EVERY_MS, drawQuarantine);

startDays();
startQuarantine();
startHistory(ask);
startCorrections((outcome) => {
  setText(byId('announce'), outcome);
  refreshHistory();
});
startSources((outcome) => setText(byId('announce'), outcome));
startReplay((board) => {
  then = board;
  if (latest !== null) drawSoon();
});

follow(
  (summary) => {
    latest = summary;
    drawSoon();
    announce();
    if (summary.quarantined !== quarantined) {
      quarantined = summary.quarantined;
      quarantine();
    }
    if (summary.revision !== revision) {
      revision = summary.revision;
      history();
      suggestions();
      sources();
      // While a load goes on there is no past to go back to yet.
      if (summary.loading === null || summary.loading.done) moments();
    }
  },
  (state) => {
    byId('connection').dataset.state = state;
    setText(byId('connection'), CONNECTIONS[state]);
  },
);
