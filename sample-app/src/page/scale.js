// From values to places in a drawing: linear scales and round ticks for numbers and for times.

/** A linear map of [from, to] onto [start, end]. An empty domain lands in the middle. */
export function linear(from, to, start, end) {
  const size = to - from;
  return (value) => (size === 0 ? (start + end) / 2 : start + ((value - from) / size) * (end - start));
}

/** Round values (1, 2 or 5 times a power of ten apart) that lie in [from, to], about `wanted` of them. */
export function ticks(from, to, wanted) {
  const rough = (to - from) / wanted;
  if (!(rough > 0)) return [from];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const result = [];
  for (let at = Math.ceil(from / step); at * step <= to; at++) result.push(at * step);
  return result;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [1, 5, 15, 30]
  .map((minutes) => minutes * MINUTE)
  .concat([1, 2, 3, 6, 12].map((hours) => hours * HOUR))
  .concat([1, 2, 7, 14, 28, 91, 365, 1_825, 18_250].map((days) => days * DAY));

/** Times on round hours or days of UTC inside [from, to], at most `most` of them. */
export function timeTicks(from, to, most) {
  const step = STEPS.find((candidate) => (to - from) / candidate <= most) ?? (to - from) / most;
  const result = [];
  for (let at = Math.ceil(from / step) * step; at <= to && result.length < 50; at += step) result.push(at);
  return { step, times: result };
}

const hourMinute = new Intl.DateTimeFormat('en', {
  hour: '2-digit',
  minute: '2-digit',
  hourCycle: 'h23',
  timeZone: 'UTC',
});
const dayMonth = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', timeZone: 'UTC' });
const monthAndYear = new Intl.DateTimeFormat('en', { month: 'short', year: 'numeric', timeZone: 'UTC' });

/** A tick's two lines: the hour where it tells ticks apart, and the day at the first tick and whenever it changes. */
export function timeLabels({ step, times }) {
  let before = '';
  return times.map((at) => {
    const date = new Date(at);
    const dayText = step >= 91 * DAY ? monthAndYear.format(date) : dayMonth.format(date);
    const changed = dayText !== before;
    before = dayText;
    return { at, hour: step < DAY ? hourMinute.format(date) : '', day: changed ? dayText : '' };
  });
}
