// The plot of an array: a stretch is drawn as the band between its lowest and its highest value; the server cuts any length to the width.
/* global uPlot */

const box = document.getElementById("plot");
const note = document.getElementById("plot-note");
const columns = document.getElementById("plot-columns");
const whole = document.getElementById("plot-all");
const logarithmic = document.getElementById("plot-log");
const HEIGHT = 280;
const COLOURS = ["#2e7d4f", "#c0811c", "#3f6fb5", "#a63d6d", "#6b5bb0", "#2f8f92", "#8c5a2b", "#7a7f35"];
const RATE = Number(box.dataset.rate);   // rows a second, 0: unknown
const TICK_WIDTH = 90;
const explanation = note.textContent;
let range = null;                  // rows [start, stop), null: all
let drawn = null;
let asked = 0;
let later = 0;
let wait_ms = 2500;

function style(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function chosen() {
  const more = document.getElementById("plot-more")?.value.split(/[\s,;]+/).filter(Boolean) ?? [];
  const ticked = [...columns.querySelectorAll("input:checked")].map((input) => input.value);
  return [...new Set([...ticked, ...more])];
}

async function load() {
  const numbers = chosen();
  const mine = asked += 1;
  clearTimeout(later);
  if (!numbers.length) { drawn?.destroy(); drawn = null; note.textContent = "Choose a column."; return; }
  const query = new URLSearchParams({ columns: numbers.join(","), width: Math.max(1, Math.round(box.clientWidth)) });
  if (range) { query.set("start", range[0]); query.set("stop", range[1]); }
  const answer = await fetch(`${box.dataset.href}?${query}`, { headers: { Accept: "application/json", "X-Requested-With": "fetch" } });
  if (mine !== asked) return;      // a later question was asked meanwhile
  if (answer.status === 401) { location.reload(); return; }      // to the login, which leads back
  if (!answer.ok) { note.textContent = (await answer.json().catch(() => ({}))).detail ?? "The plot could not be loaded; reload the page."; return; }
  draw(await answer.json(), numbers);
}

function draw(plot, numbers) {
  const series = [{ label: "Row", value: (_, row) => place(row) }];
  const bands = [];
  const data = [plot.at];
  plot.curves.forEach((curve, number) => {
    const colour = COLOURS[numbers[number] % COLOURS.length];
    const label = curve.unit ? `${curve.name} (${curve.unit})` : curve.name;
    const high = 2 * number + 1, low = high + 1;
    series.push({ label, stroke: colour, width: 1, value: (u, value, _, at) => span(u.data[low][at], value) });
    series.push({ class: "lowest", stroke: colour, width: 1 });
    bands.push({ series: [high, low], fill: `${colour}55` });
    data.push(curve.high.map(positive), curve.low.map(positive));
  });
  drawn?.destroy();
  drawn = new uPlot({ width: box.clientWidth, height: HEIGHT, series, bands,
    axes: [{ ...axis(), splits: rowTicks, values: (_, rows) => rows.map(tick) }, { ...axis(), size: asWide, values: (_, values) => values.map(short) }],
    scales: { x: { time: false }, y: { distr: logarithmic.checked ? 3 : 1 } },
    cursor: { drag: { setScale: false } }, legend: { live: true },
    hooks: { setSelect: [(u) => zoom(u, plot)], setSeries: [both] } }, data, box);
  drawn.over.addEventListener("dblclick", reset);
  whole.hidden = !range;
  const stretch = `Rows ${plot.start.toLocaleString()} to ${plot.stop.toLocaleString()} of ${plot.rows.toLocaleString()}. `;
  const isEmpty = data.slice(1).every((values) => values.every((value) => value === null));
  note.textContent = stretch + (isEmpty ? `There are no ${logarithmic.checked ? "positive" : "finite"} values to draw.` : plot.is_sampled ? "So many rows are drawn from a part of each stretch until their level of detail is made: a short peak may be missing; look closer to see all." : explanation);
  if (plot.is_sampled) later = setTimeout(load, wait_ms *= 2);
  box.dataset.drawn = `${plot.start}:${plot.stop}`;
}

function positive(value) {
  return logarithmic.checked && value !== null && value <= 0 ? null : value;
}

function axis() {
  const grid = { stroke: style("--pico-muted-border-color"), width: 1 };
  return { stroke: style("--pico-muted-color"), grid, ticks: grid };
}

function asWide(u, labels, number, cycle) {     // an axis is as wide as its labels
  const one = u.axes[number];
  if (cycle > 1) return one._size;
  u.ctx.font = one.font[0];
  const widest = Math.max(0, ...(labels ?? []).map((label) => u.ctx.measureText(label ?? "").width));
  return Math.ceil(one.ticks.size + one.gap + widest / devicePixelRatio) + 4;
}

function rowTicks(u, _, first, last) {          // whole rows, or round seconds
  const unit = RATE || 1, least = RATE ? 1e-12 : 1;
  const rough = Math.max(least, (last - first) / unit / Math.max(1, Math.floor(box.clientWidth / TICK_WIDTH)));
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999);
  const found = [];
  for (let number = Math.ceil(first / unit / step); number * step * unit <= last; number += 1) found.push(number * step * unit);
  return found;
}

function tick(row) {
  return RATE ? `${short(row / RATE)} s` : short(row);
}

function place(row) {
  if (row === null || row === undefined) return "";
  return RATE ? `${row.toLocaleString()} (${tick(row)})` : row.toLocaleString();
}

function span(low, high) {
  if (high === null || high === undefined) return "";
  return low === high ? short(high) : `${short(low)} to ${short(high)}`;
}

function short(value) {            // so few digits that they can be read; a power of ten where there would be many
  if (value === null || value === undefined) return "";
  const plain = Number(value.toPrecision(9)), size = Math.abs(plain);
  if (size && (size >= 1e7 || size < 1e-4)) return plain.toExponential().replace("e+", "e");
  return plain.toLocaleString(undefined, { maximumFractionDigits: 12 });
}

function both(u, number, change) { // the band of a column comes and goes as one
  if (number % 2 && change.show !== undefined && u.series[number + 1].show !== change.show) u.setSeries(number + 1, { show: change.show });
}

function zoom(u, plot) {
  if (u.select.width < 4) return;
  const start = Math.max(plot.start, Math.floor(u.posToVal(u.select.left, "x")));
  const stop = Math.min(plot.stop, Math.ceil(u.posToVal(u.select.left + u.select.width, "x")));
  if (stop - start < 2) return;
  range = [start, stop];
  load();
}

function reset() {
  range = null;
  load();
}

columns.addEventListener("change", load);
logarithmic.addEventListener("change", load);
whole.addEventListener("click", reset);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", load);
let width = 0;
new ResizeObserver(() => {
  if (Math.abs(box.clientWidth - width) < 2) return;
  width = box.clientWidth;
  load();
}).observe(box);
