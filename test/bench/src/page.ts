/** The results as one HTML page that needs no other file and no network: the charting library and the numbers stand in it. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CaseResult, RatioResult } from './case.js';
import { short, wantedOf } from './report.js';
import type { Run } from './run.js';

const PAGE = 'index.html';
/** Of lines, where several peers stand in one plot. */
const PEER_INKS = ['#c9772a', '#8a5fb0', '#b3344b', '#3a9188'];
const INK = { ours: '#1d6fb8', bare: '#8a8f98', peer: '#c9772a' } as const;

/** What one chart shows, as the script in the page reads it. */
interface Chart {
  readonly id: string;
  readonly title: string;
  readonly about: string;
  readonly kind: 'ratios' | 'lines';
  readonly x: string;
  readonly y: string;
  readonly labels: readonly string[];
  readonly series: readonly {
    readonly name: string;
    readonly color: string;
    readonly dashed?: boolean;
    readonly points: readonly {
      readonly x: number;
      readonly y: number;
      readonly low?: number;
      readonly high?: number;
    }[];
  }[];
}

/** @returns the page's file name; undefined when the charting library is not installed */
export function writePage(run: Run, folder: string, home: string): string | undefined {
  const library = join(home, 'node_modules/chart.js/dist/chart.umd.min.js');
  if (!existsSync(library)) return undefined;
  writeFileSync(join(folder, PAGE), pageOf(run, readFileSync(library, 'utf8')));
  return PAGE;
}

function chartsOf({ results }: Run): Chart[] {
  return [
    ratioChart(
      results,
      'bare',
      'Ours beside the bare parts',
      'The least anybody must do is 1. Bars are medians of paired ratios, the thin line their quartiles.',
    ),
    ratioChart(results, 'peer', 'Ours beside the peers', 'How many times as fast as what a user could take instead.'),
    ratioChart(
      results,
      'ours',
      'Ours beside itself',
      'Flat means 1: 500 types beside 50, a long history beside a short one, a full store beside an empty one.',
    ),
    byLength(results),
    byStore(results),
    byFlight(results),
  ].filter((chart) => chart.series.some((one) => one.points.length > 0));
}

function ratioChart(
  results: readonly CaseResult[],
  part: 'ours' | 'bare' | 'peer',
  title: string,
  about: string,
): Chart {
  const found: { readonly label: string; readonly ratio: RatioResult }[] = [];
  for (const result of results) {
    for (const ratio of result.ratios) {
      if (result.sides.find((side) => side.name === ratio.to)?.part !== part) continue;
      const suffix = part === 'bare' ? '' : part === 'peer' ? ` / ${ratio.to}` : ` (${ratio.of} / ${ratio.to})`;
      const bare = part === 'bare' && result.ratios.length > 1 ? ` / ${ratio.to}` : '';
      found.push({ label: `${result.id}${suffix}${bare}`, ratio });
    }
  }
  return {
    id: `ratios-${part}`,
    title,
    about,
    kind: 'ratios',
    x: 'ratio, logarithmic',
    y: '',
    labels: found.map((one) => one.label),
    series: [
      {
        name: 'ratio',
        color: INK[part === 'ours' ? 'ours' : part],
        points: found.map(({ ratio }, i) => ({ x: ratio.median, y: i, low: ratio.p25, high: ratio.p75 })),
      },
    ],
  };
}

/** Microseconds an operation of the cases whose id ends in a length. */
function byLength(results: readonly CaseResult[]): Chart {
  const lines = new Map<string, { color: string; dashed: boolean; points: { x: number; y: number }[] }>();
  for (const result of results) {
    const length = /^(fold|late)\/(?:window=(\w+), )?length=(\d+)$/.exec(result.id);
    if (length === null) continue;
    for (const side of result.sides) {
      const name = `${length[1]}${length[2] === undefined ? '' : `, window ${length[2]}`}: ${side.name}`;
      const peers = result.sides.filter((one) => one.part === 'peer');
      const color = side.part === 'peer' ? PEER_INKS[peers.indexOf(side) % PEER_INKS.length]! : INK[side.part];
      const line = lines.get(name) ?? { color, dashed: length[1] === 'late', points: [] };
      line.points.push({ x: Number(length[3]), y: 1e6 / side.perSecond.median });
      lines.set(name, line);
    }
  }
  return {
    id: 'length',
    title: 'Cost of an event against the length of its history',
    about: 'Folding it (whole lines) and inserting it late (dashed).',
    kind: 'lines',
    x: 'events in the history',
    y: 'µs an event',
    labels: [],
    series: [...lines].map(([name, line]) => ({ name, color: line.color, dashed: line.dashed, points: line.points })),
  };
}

/** Values named like `µs an event at N events, side`. */
function byStore(results: readonly CaseResult[]): Chart {
  const lines = new Map<string, { x: number; y: number }[]>();
  for (const result of results) {
    for (const [name, value] of Object.entries(result.values)) {
      const found = /^µs an event at (\d+) events, (.+)$/.exec(name);
      if (found === null) continue;
      lines.set(found[2]!, [...(lines.get(found[2]!) ?? []), { x: Number(found[1]), y: value }]);
    }
  }
  return {
    id: 'store',
    title: 'Cost of an event against the size of the store',
    about: 'Appends of 100 awaited to the disk, while the store grows.',
    kind: 'lines',
    x: 'events in the store',
    y: 'µs an event',
    labels: [],
    series: [...lines].map(([name, points]) => ({ name, color: name === 'ours' ? INK.ours : INK.bare, points })),
  };
}

/** Values named like `p99, N in flight, ms`. */
function byFlight(results: readonly CaseResult[]): Chart {
  const lines = new Map<string, { x: number; y: number }[]>();
  for (const result of results) {
    for (const [name, value] of Object.entries(result.values)) {
      const found = /^(p[\d.]+), (\d+) in flight, ms$/.exec(name);
      if (found === null) continue;
      lines.set(found[1]!, [...(lines.get(found[1]!) ?? []), { x: Number(found[2]), y: value }]);
    }
  }
  const colors = ['#1d6fb8', '#3a9188', '#c9772a', '#b3344b'];
  return {
    id: 'flight',
    title: 'What one record takes, against how many are in flight',
    about: 'From the call to the answer that it is on disk.',
    kind: 'lines',
    x: 'records in flight',
    y: 'ms',
    labels: [],
    series: [...lines].map(([name, points], i) => ({ name, color: colors[i % colors.length]!, points })),
  };
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

function goalsTable(run: Run): string {
  const rows = run.goals.map(
    ({ goal, measured, verdict }) =>
      `<tr class="${verdict.replace(' ', '-')}"><td>${escape(goal.goal)}</td><td>${escape(goal.case)}</td><td>${escape(goal.formula)}</td>` +
      `<td class="n">${measured === undefined ? '–' : short(measured)}</td><td class="n">${wantedOf(goal)}</td><td>${verdict}</td></tr>`,
  );
  return `<table><thead><tr><th>goal</th><th>case</th><th>formula</th><th>measured</th><th>wanted</th><th>verdict</th></tr></thead><tbody>${rows.join('')}</tbody></table>`;
}

function sidesTable(run: Run): string {
  const rows = run.results.flatMap((result) => [
    `<tr class="case"><td colspan="6">${escape(result.id)}: ${escape(result.operation)}</td></tr>`,
    ...result.sides.map(
      (side) =>
        `<tr><td class="${side.part}">${escape(side.name)}</td><td class="n">${short(side.perSecond.median)}/s</td>` +
        `<td class="n">${short(side.perSecond.p25)} – ${short(side.perSecond.p75)}</td><td class="n">${Math.round(side.gcShare * 100)} %</td>` +
        `<td class="n">${side.allocatedBytes === undefined ? '–' : short(side.allocatedBytes)}</td><td></td></tr>`,
    ),
    ...[...Object.entries(result.counts), ...Object.entries(result.values)].map(
      ([name, value]) => `<tr><td>${escape(name)}</td><td class="n">${short(value)}</td><td colspan="4"></td></tr>`,
    ),
  ]);
  return `<table><thead><tr><th></th><th>median</th><th>p25 – p75</th><th>GC</th><th>bytes allocated</th><th></th></tr></thead><tbody>${rows.join('')}</tbody></table>`;
}

/** The script of the page: draws what `charts` says with the library above it. */
const SCRIPT = `
Chart.defaults.font.family = 'system-ui, sans-serif';
Chart.defaults.animation = false;
const tick = (n) => /^[0.]*[125]0*$/.test(String(n)) ? n.toLocaleString('en') : '';
const log = (title, bounds) => ({ type: 'logarithmic', ...bounds, title: { display: true, text: title }, ticks: { callback: tick, maxRotation: 0 } });
const nice = (n, down) => { const ten = 10 ** Math.floor(Math.log10(n)); const steps = [1, 2, 5, 10].map((k) => k * ten); return down ? steps.filter((k) => k <= n).pop() : steps.find((k) => k >= n); };
const told = (n) => n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toPrecision(2);
const quartiles = { id: 'quartiles', afterDatasetsDraw(chart) {
  const { ctx, scales: { x, y } } = chart;
  ctx.save(); ctx.strokeStyle = '#222'; ctx.lineWidth = 1.5;
  chart.data.datasets[0].data.forEach((_, i) => {
    const { low, high } = chart.data.datasets[0].points[i];
    const at = y.getPixelForValue(i);
    ctx.beginPath(); ctx.moveTo(x.getPixelForValue(low), at); ctx.lineTo(x.getPixelForValue(high), at); ctx.stroke();
  });
  const one = x.getPixelForValue(1);
  if (one >= x.left && one <= x.right) { ctx.setLineDash([4, 3]); ctx.beginPath(); ctx.moveTo(one, y.top); ctx.lineTo(one, y.bottom); ctx.stroke(); }
  ctx.restore();
} };
for (const chart of charts) {
  const canvas = document.getElementById(chart.id);
  if (chart.kind === 'ratios') {
    canvas.parentElement.style.height = (90 + chart.labels.length * 24) + 'px';
    const points = chart.series[0].points;
    const all = points.flatMap((p) => [p.x, p.low, p.high]).filter((n) => n > 0);
    new Chart(canvas, { type: 'bar', plugins: [quartiles],
      data: { labels: chart.labels, datasets: [{ data: points.map((p) => p.x), points, backgroundColor: chart.series[0].color + 'cc', barPercentage: 0.7 }] },
      options: { indexAxis: 'y', maintainAspectRatio: false,
        plugins: { legend: { display: false }, tooltip: { callbacks: { label: (c) => told(points[c.dataIndex].x) + ' (' + told(points[c.dataIndex].low) + ' – ' + told(points[c.dataIndex].high) + ')' } } },
        scales: { x: log(chart.x, { min: nice(Math.min(0.5, ...all), true), max: nice(Math.max(2, ...all), false) }), y: { ticks: { autoSkip: false } } } } });
  } else {
    new Chart(canvas, { type: 'line',
      data: { datasets: chart.series.map((s) => ({ label: s.name, data: s.points, borderColor: s.color, backgroundColor: s.color, borderDash: s.dashed ? [6, 4] : [], borderWidth: 2, pointRadius: 3 })) },
      options: { maintainAspectRatio: false, interaction: { mode: 'nearest' }, plugins: { legend: { position: 'right' } },
        scales: { x: log(chart.x), y: log(chart.y) } } });
  }
}`;

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .25rem; } p { margin: 0 0 .75rem; color: #4a5059; }
.plot { position: relative; height: 420px; } table { border-collapse: collapse; width: 100%; font-size: .85rem; }
th, td { text-align: left; padding: .25rem .5rem; border-bottom: 1px solid #e4e7eb; vertical-align: top; } .n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
tr.case td { font-weight: 600; padding-top: .9rem; } tr.reached td:last-child { color: #17713a; } tr.short td:last-child { color: #b3344b; font-weight: 600; }
td.ours { color: ${INK.ours}; } td.peer { color: ${INK.peer}; }`;

function pageOf(run: Run, library: string): string {
  const charts = chartsOf(run);
  const { cpu, cores, node } = run.machine;
  const failed = Object.entries(run.failed).map(([id, text]) => `<p><b>${escape(id)} failed:</b> ${escape(text)}</p>`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Concursus: pace</title><meta name="viewport" content="width=device-width, initial-scale=1"><style>${STYLE}</style></head>
<body><h1>Pace</h1><p>${escape(run.at)} · ${escape(cpu)}, ${cores} cores · Node ${escape(node)} · ${run.rounds} rounds${run.quick ? ', quick' : ''}.
Both sides of a ratio alternate inside one process; absolute rates are this machine's in this hour.</p>${failed.join('')}
<h2>Goals</h2>${goalsTable(run)}
${charts.map((chart) => `<h2>${escape(chart.title)}</h2><p>${escape(chart.about)}</p><div class="plot"><canvas id="${chart.id}"></canvas></div>`).join('\n')}
<h2>Everything measured</h2>${sidesTable(run)}
<script>${library.replaceAll('</script', '<\\/script')}</script>
<script>const charts = ${JSON.stringify(charts).replaceAll('<', '\\u003c')};${SCRIPT}</script></body></html>
`;
}
