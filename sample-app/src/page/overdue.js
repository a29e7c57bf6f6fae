// Flights that left and did not come, as far as is settled: a list of buttons that draw their histories.

import { byId, count, html, setText, time } from './dom.js';
import { ask } from './live.js';

/** A list longer than this is an answer of /flights/overdue. */
const SHOWN_MAX = 60;

/** Reads the list and shows it; `choose(flight)` draws one. Without a connection what is shown stays. */
export async function drawOverdue(settledUpTo, choose) {
  let flights;
  try {
    flights = await ask('flights/overdue');
  } catch {
    return;
  }
  const until = settledUpTo === null ? 'Nothing is settled yet' : `As settled up to ${time(settledUpTo)}`;
  const many =
    flights.length === 0 ? 'no flight' : flights.length === 1 ? '1 flight' : `${count(flights.length)} flights`;
  setText(
    byId('overdue-lead'),
    `${until}: ${many} departed and neither arrived, nor was diverted or cancelled, within 20 hours` +
      `${flights.length > SHOWN_MAX ? `; the first ${SHOWN_MAX} of them` : ''}.`,
  );
  const list = byId('overdue');
  const ids = flights.slice(0, SHOWN_MAX);
  if (list.dataset.ids === ids.join()) return;
  list.dataset.ids = ids.join();
  list.replaceChildren(
    ...ids.map((id) => {
      const [on, number, place] = id.split('/');
      const button = html(
        'button',
        { type: 'button', class: 'small' },
        html('b', {}, number),
        ` ${on}, ${place.slice(0, 3)}`,
      );
      button.addEventListener('click', () => choose(id));
      return html('li', {}, button);
    }),
  );
}
