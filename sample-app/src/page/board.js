// The board's beginning: follows the summary and hands it to each part of the page.

import { drawCarriers } from './carriers.js';
import { drawDays, startDays } from './days.js';
import { byId, setText } from './dom.js';
import { refreshHistory, refreshSuggestions, startHistory } from './picker.js';
import { ask, atMostEvery, follow } from './live.js';
import { drawQuarantine, startQuarantine } from './quarantine.js';
import { drawStatus, statusSentence } from './status.js';

// Figures move twice a second during a load; being told so more often than this would drown everything else.
const ANNOUNCE_EVERY_MS = 15_000;
const HISTORY_EVERY_MS = 2_000;
const SUGGEST_EVERY_MS = 10_000;

const CONNECTIONS = { live: 'live', polling: 'asking every 2 s', lost: 'no connection, trying again' };

let latest = null;
let quarantined = null;
let revision = null;
let sentence = '';

const draw = () => {
  drawStatus(latest);
  drawDays(latest);
  drawCarriers(latest);
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
const quarantine = atMostEvery(HISTORY_EVERY_MS, drawQuarantine);

startDays();
startQuarantine();
startHistory(ask);

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
    }
  },
  (state) => {
    byId('connection').dataset.state = state;
    setText(byId('connection'), CONNECTIONS[state]);
  },
);
