// The plot of an array: a stretch is drawn as the band between its lowest and its highest value; the server cuts any length to the width.
/* global uPlot */

const box = document.getElementById("plot");
const note = document.getElementById("plot-note");
const columns = document.getElementById("plot-columns");
const whole = document.getElementById("plot-all");
const logarithmic = document.getElementById("plot-log");
const HEIGHT = 280;
const COLOURS = ["#2e7d4f", "#c0811c", "#3f6fb5", "#a63d6d", "#6b5bb0", "#2f8f92", "#8c5a2b", "#7a7f35"];
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
  const more = document.getElementById("plot-more")?.value.match(/\d+/g) ?? [];
  const ticked = [...columns.querySelectorAll("input:checked")].map((input) => input.value);
  return [...new Set([...ticked, ...more])].slice(0, 8);
}

async function load() {
  const numbers = chosen();
  const mine = asked += 1;
  clearTimeout(later);
  if (!numbers.length) { drawn?.destroy(); drawn = null; note.textContent = "Choose a column."; return; }
  const query = new URLSearchParams({ columns: numbers.join(","), width: Math.max(1, Math.round(box.clientWidth)) });
  if (range) { query.set("start", range[0]); query.set("stop", range[1]); }
  const answer = await fetch(`${box.dataset.href}?${query}`, { headers: { Accept: "application/json" } });
  if (mine !== asked) return;      // a later question was asked meanwhile
  if (!answer.ok) { note.textContent = (await answer.json().catch(() => ({}))).detail ?? "The plot could not be loaded; reload the page."; return; }
  draw(await answer.json(), numbers);
}

function draw(plot, numbers) {
  const series = [{ label: "Row", value: (_, row) => row?.toLocaleString() ?? "" }];
  const bands = [];
  const data = [plot.at];
  plot.curves.forEach((curve, place) => {
    const colour = COLOURS[numbers[place] % COLOURS.length];
    const label = curve.unit ? `${curve.name} (${curve.unit})` : curve.name;
    series.push({ label: `${label} highest`, stroke: colour, width: 1 }, { label: `${label} lowest`, stroke: colour, width: 1 });
    bands.push({ series: [2 * place + 1, 2 * place + 2], fill: `${colour}55` });
    data.push(curve.high.map(positive), curve.low.map(positive));
  });
  drawn?.destroy();
  drawn = new uPlot({ width: box.clientWidth, height: HEIGHT, series, bands, axes: [axis(), axis()],
    scales: { x: { time: false }, y: { distr: logarithmic.checked ? 3 : 1 } },
    cursor: { drag: { setScale: false } }, legend: { live: true },
    hooks: { setSelect: [(u) => zoom(u, plot)] } }, data, box);
  drawn.over.addEventListener("dblclick", reset);
  whole.hidden = !range;
  const stretch = `Rows ${plot.start.toLocaleString()} to ${plot.stop.toLocaleString()} of ${plot.rows.toLocaleString()}. `;
  note.textContent = stretch + (plot.is_sampled ? "So many rows are drawn from a part of each stretch until their level of detail is made: a short peak may be missing; look closer to see all." : explanation);
  if (plot.is_sampled) later = setTimeout(load, wait_ms *= 2);
  box.dataset.drawn = `${plot.start}:${plot.stop}`;
}

function positive(value) {
  return logarithmic.checked && value !== null && value <= 0 ? null : value;
}

function axis() {
  const grid = { stroke: style("--pico-muted-border-color"), width: 1 };
  return { stroke: style("--pico-muted-color"), grid, ticks: grid, size: 56 };
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
