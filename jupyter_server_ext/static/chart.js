// Charts by uPlot, in the colours of the page, with their figures in words for those who do not see them.

import { fill, h } from "./dom.js";
import { clockOf, dateAndClock, dateOf, short, zoneName } from "./format.js";

// A colour of the sheet as the page shows it now; a canvas knows no custom properties.
function colour(name, part = 1) {
  const probe = h("span", { vars: { color: `var(${name})` } });
  document.body.append(probe);
  const [red, green, blue] = getComputedStyle(probe).color.match(/[\d.]+/g);
  probe.remove();
  return `rgba(${red}, ${green}, ${blue}, ${part})`;
}

// From here, as the page need not wait for it.
document.head.append(h("link", { rel: "stylesheet", href: new URL("vendor/uPlot.min.css", import.meta.url).href }));

const STEPS = [60, 300, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600, 2_592_000, 7_776_000];

// The first label and each midnight say the date, so that a time of day is never without one.
function labels(ticks, step) {
  let last = "";
  return ticks.map((tick) => {
    const date = dateOf(tick);
    const clock = clockOf(tick);
    const named = step >= 86_400 || (date !== last && clock === "00:00");
    const first = !last;
    last = date;
    return named ? date : first ? `${clock}\n${date}` : clock;
  });
}

/**
 * Draw curves over time into a node, again where it changes its width or the page its colours.
 * `series`: [{label, colour ("--good"), values, fill}], values beside `times` (Unix time). With `stacked` they add up.
 * Returns {update(times, series), close()}.
 */
export function curves(node, { times, series, words, format = short, axis: axisFormat = format, height = 220, stacked = false, bars = false, most }) {
  const place = h("div", { class: "chart", role: "img", "aria-label": words });
  const legend = h("ul", { class: "legend", "aria-hidden": "true" });
  fill(node, legend, place);
  let plot = null;
  let shown = { times, series };

  function draw() {
    plot?.destroy();
    const width = Math.floor(place.clientWidth);
    if (!width || !window.uPlot) return;
    const { data, bands } = stackedUp(shown, stacked);
    const text = colour("--quiet");
    const grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: text, grid, ticks: { show: false }, font: "11px system-ui", size: 24 };
    const path = bars ? window.uPlot.paths.bars({ size: [0.8, 90], align: 1 }) : window.uPlot.paths.linear();
    plot = new window.uPlot({
      width, height, tzDate: (unix) => window.uPlot.tzDate(new Date(unix * 1000), zoneName()), padding: [8, 18, 0, 0], legend: { show: false }, bands: bars ? undefined : bands,
      cursor: { y: false, points: { size: 6 } },
      scales: { x: { time: true, range: (_, low, high) => [low, bars ? high + slotOf(shown.times) : high] }, y: { range: (_, __, top) => [0, most ?? (top > 0 ? top * 1.1 : 1)] } },
      axes: [{ ...axis, space: 70, incrs: STEPS, size: 36, values: (_, ticks, __, ___, step) => labels(ticks, step) }, { ...axis, size: 58, values: (_, ticks) => ticks.map((tick) => axisFormat(tick)) }],
      series: [{}, ...order(shown.series, stacked).map((one) => ({
        label: one.label, stroke: colour(one.colour), width: bars ? 0 : 1.6, paths: path, points: { show: false },
        fill: one.fill || stacked || bars ? colour(one.colour, bars ? 1 : 0.14) : undefined,
      }))],
      hooks: { setCursor: [(self) => tellAt(self.cursor.idx)] },
    }, data, place);
  }

  function tellAt(index) {
    const at = index ?? null;
    const time = at === null || !shown.times.length ? "" : dateAndClock(shown.times[at]);
    fill(legend, shown.series.map((one) => h("li", {}, h("span", { class: "dot", vars: { "--dot": `var(${one.colour})` } }), one.label,
      at !== null && h("b", {}, one.values[at] === null || one.values[at] === undefined ? "–" : format(one.values[at])))), time && h("li", { class: "legend-time" }, time));
  }

  const sizes = new ResizeObserver(() => (plot && Math.floor(place.clientWidth) !== plot.width ? draw() : null));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  sizes.observe(place);
  dark.addEventListener("change", draw);
  document.addEventListener("rsql-theme", draw);
  requestAnimationFrame(draw);
  tellAt(null);
  return {
    update(newTimes, newSeries, newWords) {
      shown = { times: newTimes, series: newSeries };
      if (newWords) place.setAttribute("aria-label", newWords);
      if (plot && plot.series.length === newSeries.length + 1) plot.setData(stackedUp(shown, stacked).data);
      else draw();
      if (plot?.cursor.idx === undefined || plot?.cursor.idx === null) tellAt(null);
    },
    close() {
      sizes.disconnect();
      dark.removeEventListener("change", draw);
      document.removeEventListener("rsql-theme", draw);
      plot?.destroy();
    },
  };
}

const slotOf = (times) => (times.length > 1 ? times[1] - times[0] : 86_400);

// Of those that add up the sums are drawn, the largest first, so that each shows above the one before.
const order = (series, stacked) => (stacked ? [...series].reverse() : series);

function stackedUp({ times, series }, stacked) {
  if (!stacked) return { data: [times, ...series.map((one) => one.values)], bands: undefined };
  const sums = [];
  let below = times.map(() => 0);
  for (const one of series) {
    below = below.map((sum, at) => sum + (one.values[at] || 0));
    sums.push(below);
  }
  const bands = series.slice(1).map((_, at) => ({ series: [at + 1, at + 2] }));
  return { data: [times, ...sums.reverse()], bands };
}
