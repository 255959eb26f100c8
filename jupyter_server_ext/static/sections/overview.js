// How answers are doing now, what is wrong and what to do, and the keys; live.

import { listen, quoted } from "../api.js";
import { curves } from "../chart.js";
import { fill, h, icon, keyed, spark } from "../dom.js";
import { count, limitWords, money, percent, plural, seconds, took } from "../format.js";
import { card, head, meter, quiet, trouble } from "../parts.js";

export const STATES = { ready: "ready", cooling: "rests", exhausted: "used up", paused: "paused", retired: "retired" };

export async function show(view, { me, signal, live }) {
  const admin = me.scopes.includes("admin");
  const title = head("Overview", admin ? "The whole gateway, as it is now" : `Your course ${me.tenant}, as it is now`);
  const found = h("div", { class: "findings", role: "region", "aria-label": "What is wrong now", "aria-live": "polite" });
  const tiles = h("div", { class: "tiles" });
  const drawn = h("div", {});
  const strip = h("div", { class: "strip" });
  const budgets = h("div", {});
  const budgetCard = card("Budgets", budgets);
  budgetCard.hidden = true;
  fill(view, title, found, tiles, card("Requests in the last three hours", drawn),
    admin && card("Keys", { beside: h("a", { href: "#/keys" }, "All keys") }, strip), budgetCard);
  fill(found, quiet("Looking …"));
  let chart = null;
  let told = "";
  signal.addEventListener("abort", () => { chart?.close(); live(""); });

  function take(now) {
    const words = JSON.stringify(now.findings);
    if (words !== told) {
      told = words;
      fill(found, now.findings.length ? now.findings.map(finding) : allWell(now, admin));
    }
    keyed(tiles, tilesOf(now), (one) => one.name, makeTile, updateTile);
    const slots = slotsOf(now);
    const words2 = `${count(now.series.reduce((sum, one) => sum + one.requests, 0))} requests in the last three hours, by five minutes.`;
    if (!now.recent) fill(drawn, quiet("There is no history, as no records are kept."));
    else if (chart) chart.update(slots.times, slots.series, words2);
    else chart = curves(drawn, { ...slots, words: words2, stacked: true, bars: true, format: count, height: 190 });
    if (admin) keyed(strip, now.keys, (key) => key.key, makeKey, updateKey);
    budgetCard.hidden = !now.budgets.length;
    fill(budgets, now.budgets.map(budget));
  }

  listen("admin/api/overview", {
    signal, take,
    state: (word, error) => {
      live(word);
      if (error) fill(found, trouble(error));
    },
  });
}

const PARTS = { changes: "changes", keys: "keys", activity: "activity", people: "people", settings: "settings" };

function finding(one) {
  const named = one.part === "keys" && one.name ? `/${quoted(one.name)}` : one.part === "people" && one.name ? `/course/${quoted(one.name)}` : "";
  const tab = one.part === "activity" && one.name ? `?tab=${one.name}` : "";
  return h("div", { class: `finding ${one.level}` }, icon("bad", 20), h("p", { class: "finding-what" }, one.what), h("p", { class: "finding-do" }, one.do),
    h("a", { class: "button small", href: `#/${PARTS[one.part] || "overview"}${named}${tab}` }, "Open"));
}

function allWell(now, admin) {
  const ready = now.keys.filter((key) => key.state === "ready").length;
  const words = admin ? `${plural(ready, "key")} ready, nobody waits long, and records are written.` : "Your course gets its answers.";
  return h("div", { class: "finding good" }, icon("good", 20), h("p", { class: "finding-what" }, "All is well."), h("p", { class: "finding-do" }, words));
}

function tilesOf(now) {
  const recent = now.recent;
  const today = now.today;
  const minutes = now.seconds / 60;
  const wait = now.queue.expected_wait_seconds;
  const waiting = now.queue.length || 0;
  if (!recent) return [{ name: "Waiting", value: count(waiting), more: wait ? `about ${seconds(wait)} each` : "for a key" }];
  const failed = recent.failure + recent.timeout;
  const share = recent.requests ? failed / recent.requests : 0;
  const slots = everySlot(now).map((one) => one.row);
  const span = `in ${Math.round(minutes)} min`;
  return [
    { name: "Answers a minute", value: (recent.success / minutes).toFixed(recent.success / minutes < 10 ? 1 : 0), more: `${count(today.success)} today`, curve: slots.map((one) => one.success) },
    { name: "Failed", value: recent.requests ? percent(share, share && share < 0.1 ? 1 : 0) : "–", kind: share >= 0.4 ? "bad" : share >= 0.05 ? "warn" : "",
      more: `${count(failed)} of ${count(recent.requests)} ${span}`, curve: slots.map((one) => one.failure + one.timeout) },
    { name: "Waiting for a key", value: count(waiting), kind: wait >= 10 ? "warn" : "", more: `${seconds(recent.queue_seconds ?? 0)} on average`, curve: slots.map((one) => one.queue_seconds || 0) },
    { name: "Time to an answer", value: took(recent.p50_seconds), more: `p95 ${took(recent.p95_seconds)}, p99 ${took(recent.p99_seconds)}`, curve: slots.map((one) => one.p50_seconds || 0) },
    { name: "Cost today", value: money(today.cost_usd), more: today.saved_usd ? `${money(today.saved_usd)} saved by the cache` : `${count(today.prompt_tokens + today.completion_tokens)} tokens`, curve: slots.map((one) => one.cost_usd) },
  ];
}

const makeTile = (one) => h("div", { class: "tile" }, h("div", { class: "tile-name" }, one.name), h("div", { class: "tile-value" }), h("div", { class: "tile-more" }), one.curve && h("div", {}));

function updateTile(node, one) {
  const [, value, more, curve] = node.children;
  value.textContent = one.value;
  value.className = `tile-value ${one.kind || ""}`;
  more.textContent = one.more;
  const drawn = (one.curve || []).join();
  if (curve && curve.dataset.drawn !== drawn) {
    curve.dataset.drawn = drawn;
    fill(curve, spark(one.curve));
  }
}

const EMPTY = { success: 0, failure: 0, timeout: 0, refused: 0, cancelled: 0, requests: 0, queue_seconds: 0, p50_seconds: 0, cost_usd: 0 };

/** The three hours by five minutes, with those in which nobody asked. */
function everySlot(now) {
  const known = new Map(now.series.map((one) => [one.start, one]));
  const last = Math.floor(now.at / 300) * 300;
  return Array.from({ length: 36 }, (_, at) => last - 300 * (35 - at)).map((start) => ({ start, row: known.get(start) || EMPTY }));
}

function slotsOf(now) {
  const slots = everySlot(now);
  const times = slots.map((one) => one.start);
  const of = (name) => slots.map((one) => one.row[name]);
  const both = (one, other) => of(one).map((value, at) => value + of(other)[at]);
  return {
    times,
    series: [
      { label: "answered", colour: "--chart-good", values: of("success") },
      { label: "refused", colour: "--chart-warn", values: both("refused", "cancelled") },
      { label: "failed", colour: "--chart-bad", values: both("failure", "timeout") },
    ],
  };
}

const makeKey = (key) => h("a", { class: "chip", href: `#/keys/${quoted(key.key)}` });

function updateKey(node, key) {
  const tight = tightest(key);
  const shown = JSON.stringify([key.state, Math.round(key.ready_in || 0), tight?.part, key.why]);
  if (node.dataset.shown === shown) return;
  node.dataset.shown = shown;
  fill(node, h("span", { class: "chip-name" }, h("span", { class: `dot ${key.state}` }), h("span", {}, key.key)),
    h("span", { class: "chip-more" }, key.state === "ready" ? (tight ? `${percent(tight.part)} left of ${limitWords(tight)}` : "ready")
      : `${STATES[key.state]}${key.ready_in ? `, back in ${seconds(key.ready_in)}` : ""}`),
    tight && key.state === "ready" ? meter(tight.part, `${percent(tight.part)} left of ${limitWords(tight)}`, { invert: true }) : h("span", {}));
  node.title = key.why || "";
}

/** The limit of a key of which the least is left, with that part. */
export function tightest(key) {
  const limits = (key.limits || []).filter((one) => one.limit).map((one) => ({ ...one, part: Math.max(0, 1 - one.used / one.limit) }));
  return limits.sort((one, other) => one.part - other.part)[0];
}

function budget(one) {
  const [kind, ...rest] = one.whose.split(":");
  const name = kind === "tenant" ? rest.join(":") : "everyone together";
  const words = `${name}, ${one.period === "day" ? "today" : "this month"}`;
  return h("div", { class: "use" }, h("span", { class: "use-name" }, words), h("span", { class: "use-words" }, `${percent(one.part)} spent`), meter(one.part, `${words}: ${percent(one.part)} spent`));
}

