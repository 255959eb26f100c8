// What was asked, by whom, of what, with which model, how it ended and what it cost; and every error.

import { ask, quoted } from "../api.js";
import { curves } from "../chart.js";
import { fill, h } from "../dom.js";
import { count, exactly, money, moneyAxis, percent, seconds, short, TASKS, took, when } from "../format.js";
import { back, badge, card, choices, facts, field, head, paged, quiet, table, values } from "../parts.js";
import { requestLog } from "../log.js";
import { outcome, requestsTable } from "../requests.js";

const SPANS = [[12, "12 h"], [24, "24 h"], [168, "7 days"], [720, "30 days"], [8760, "1 year"]];

export async function show(view, way) {
  if (way.parts[0] === "request") return oneRequest(view, way, way.parts[1]);
  const { me, query, signal, live } = way;
  const admin = me.scopes.includes("admin");
  const hours = Number(query.get("hours")) || 168;
  const tenant = admin ? query.get("course") || "" : "";
  const tab = query.get("tab") || "use";
  const to = (changed) => {
    const all = { tab, hours, course: tenant, ...changed };
    const kept = Object.entries(all).filter(([name, value]) => value && !(name === "tab" && value === "use") && !(name === "hours" && Number(value) === 168));
    location.hash = `#/activity${kept.length ? `?${new URLSearchParams(kept)}` : ""}`;
  };
  const spans = tab === "use" && choices("Time", SPANS, hours, (value) => to({ hours: value }));
  const tabs = choices("What to show", [["use", "Use"], ["log", "Requests"], ["errors", "Errors"], ...(admin ? [["ratings", "Ratings"]] : [])], tab, (value) => to({ tab: value }));
  const words = tenant ? `Of the course ${tenant}` : admin ? "Of everybody" : `Of your course ${me.tenant}`;
  const off = tenant && h("button", { type: "button", class: "small", on: { click: () => to({ course: "" }) } }, "Of everybody");
  fill(view, head("Activity", words, off, spans, tabs));
  const body = h("div", { class: "stack" });
  view.append(body);
  if (tab === "log") return requestLog(body, { me, query, tenant, signal, to, live });
  if (tab === "ratings" && admin) return ratings(body, tenant);
  return tab === "errors" ? errors(body, { me, query, tenant, to }) : use(body, { hours, tenant, admin, signal });
}

// Use -----------------------------------------------------------------------------------------------------------------

async function use(body, { hours, tenant, admin, signal }) {
  const query = { hours, tenant };
  const step = hours <= 12 ? "five-minutes" : hours <= 168 ? "hour" : "day";
  const [sums, times, users, tables, questions] = await Promise.all([
    ask("admin/api/metrics", { query, signal }), ask("admin/api/analytics/timeseries", { query: { ...query, step }, signal }),
    ask("admin/api/users", { query: { by: "lately", limit: 8, tenant }, signal }),
    ask("admin/api/analytics/trending", { query: { kind: "table", limit: 8, tenant }, signal }),
    ask("admin/api/analytics/trending", { query: { kind: "question", limit: 6, tenant }, signal }),
  ]);
  const total = sums.total;
  const tile = (name, value, more) => h("div", { class: "tile" }, h("div", { class: "tile-name" }, name), h("div", { class: "tile-value" }, value), h("div", { class: "tile-more" }, more));
  const failed = total.failure + total.timeout;
  const drawn = h("div", {});
  const paid = h("div", {});
  fill(body,
    h("div", { class: "tiles" },
      tile("Requests", short(total.requests), `${percent(total.success_rate, 1)} answered`),
      tile("Failed", short(failed), `${short(total.refused)} more refused`),
      tile("Cost", money(total.cost_usd), total.requests ? `${money(total.cost_usd / total.requests)} each` : ""),
      tile("Tokens", short(total.prompt_tokens + total.completion_tokens), `${short(total.completion_tokens)} of them written`),
      tile("Time to an answer", took(total.p50_seconds), `p95 ${took(total.p95_seconds)}, p99 ${took(total.p99_seconds)}`)),
    h("div", { class: "two" }, card("Requests", drawn), card("Cost", paid)),
    admin && !tenant && card("Courses", sumsTable(sums.tenants, "Course", (row) => `#/people/course/${quoted(row.name)}`, (row) => row.name !== "")),
    h("div", { class: "two" },
      card("Who asks most lately", ranked(users.users, admin ? (row) => `#/people/user/${quoted(row.name)}` : null)),
      card("Tables asked about lately", ranked(tables.items, null, true))),
    h("div", { class: "two" },
      card("Models", sumsTable(sums.models, "Model")),
      card("Tasks", sumsTable(sums.tasks.map((row) => ({ ...row, name: TASKS[row.name] || row.name })), "Task"))),
    card("Questions lately", table([
      { title: "Question", cell: (row) => row.text || h("span", { class: "quiet" }, `${TASKS[row.task] || row.task}${row.tables.length ? ` about ${row.tables.join(", ")}` : ""} · `, h("code", {}, row.name.slice(0, 10))) },
      { title: "Lately", class: "num", cell: (row) => row.lately.toFixed(1) },
      { title: "Requests", class: "num", cell: (row) => count(row.requests) },
      { title: "Failed", class: "num", cell: (row) => count(row.failed) },
      { title: "Last", class: "num", cell: (row) => when(row.last_at) },
    ], questions.items, { caption: "Questions lately" }), h("p", { class: "quiet" }, "A question's text is here where the course's policy keeps it; otherwise its task, its tables and a hash.")));
  const slots = everySlot(times);
  const of = (...names) => slots.map((row) => names.reduce((sum, name) => sum + row[name], 0));
  const at = slots.map((row) => row.start);
  const charts = [
    curves(drawn, { times: at, stacked: true, bars: true, words: `${count(total.requests)} requests, of which ${count(failed)} failed.`, format: short, series: [
      { label: "answered", colour: "--chart-good", values: of("success") }, { label: "refused", colour: "--chart-warn", values: of("refused", "cancelled") },
      { label: "failed", colour: "--chart-bad", values: of("failure", "timeout") }] }),
    curves(paid, { times: at, bars: true, words: `${money(total.cost_usd)} in all.`, format: money, axis: moneyAxis, series: [{ label: "cost", colour: "--accent", values: of("cost_usd") }] }),
  ];
  signal.addEventListener("abort", () => charts.forEach((one) => one.close()));
}

const MOST_SLOTS = 64; // more bars than that are too thin to point at
const ADDED = ["success", "failure", "timeout", "refused", "cancelled", "requests", "cost_usd"];

/** The slots of the whole span that was chosen, with those in which nobody asked: `starts` are when they begin. */
function everySlot({ series, starts }) {
  const each = Math.ceil(starts.length / MOST_SLOTS);
  const known = new Map(series.map((row) => [row.start, row]));
  const slots = [];
  // From the end, so that the last bar, which is still growing, is as wide as the others.
  for (let end = starts.length; end > 0; end -= each) {
    const own = starts.slice(Math.max(0, end - each), end);
    const sum = Object.fromEntries(ADDED.map((name) => [name, own.reduce((so, start) => so + (known.get(start)?.[name] || 0), 0)]));
    // A first bar of fewer slots is as wide, too: the chart's bars take the width of the narrowest.
    const start = own.length < each && slots.length > 1 ? 2 * slots[0].start - slots[1].start : own[0];
    slots.unshift({ start, ...sum });
  }
  return slots;
}

const sumsTable = (rows, title, open, openable = () => true) => table([
  { title, cell: (row) => row.name || "(none)" },
  { title: "Requests", class: "num", cell: (row) => short(row.requests) },
  { title: "Failed", class: "num", cell: (row) => percent(row.requests ? (row.failure + row.timeout) / row.requests : 0, 1) },
  { title: "p50", class: "num", cell: (row) => took(row.p50_seconds) },
  { title: "p95", class: "num", cell: (row) => took(row.p95_seconds) },
  { title: "p99", class: "num", cell: (row) => took(row.p99_seconds) },
  { title: "Tokens", class: "num", cell: (row) => short(row.prompt_tokens + row.completion_tokens) },
  { title: "Cost", class: "num", cell: (row) => money(row.cost_usd) },
], rows.slice(0, 12), { caption: `By ${title.toLowerCase()}`, open: open && ((row) => (openable(row) ? open(row) : "#/people")) });

const ranked = (rows, open, isTable) => table([
  { title: isTable ? "Table" : "Who", cell: (row) => row.name },
  { title: "Requests", class: "num", cell: (row) => short(row.requests) },
  { title: "Failed", class: "num", cell: (row) => short(row.failed) },
  { title: "Cost", class: "num", cell: (row) => money(row.cost_usd) },
  { title: "Last", class: "num", cell: (row) => when(row.last_at) },
], rows, { caption: isTable ? "Tables" : "Users", open });

// Errors --------------------------------------------------------------------------------------------------------------

function errors(body, { me, query, tenant, to }) {
  const admin = me.scopes.includes("admin");
  const fields = [
    { name: "request_id", label: "Request id", value: query.get("request_id"), placeholder: "req-…" },
    { name: "user", label: "Who", value: query.get("user") },
    { name: "model", label: "Model", value: query.get("model") },
    { name: "code", label: "Error", value: query.get("code"), placeholder: "upstream_failed" },
  ];
  const form = h("form", { class: "search" }, fields.map(field), h("button", { class: "primary" }, "Search"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    to({ ...values(form, fields) });
  });
  const asked = Object.fromEntries(fields.map((one) => [one.name, one.value]));
  const load = async (after) => {
    const found = await ask("admin/api/errors", { query: { ...asked, tenant, after, limit: 50 } });
    return { rows: found.errors, next: found.next };
  };
  fill(body, card("Find", form), card("Errors, the latest first", paged(load, (rows) => requestsTable(rows, { admin, user: true }))));
}

function ratings(body, tenant) {
  const load = async (after) => {
    const found = await ask("admin/api/feedback", { query: { tenant, after, limit: 50 } });
    return { rows: found.feedback, next: found.next };
  };
  fill(body, card("What people think of answers", paged(load, (rows) => table([
    { title: "When", class: "tight", cell: (row) => when(row.at) },
    { title: "Rating", cell: (row) => badge(row.rating >= 4 ? "good" : row.rating <= 2 ? "bad" : "", `${row.rating} of 5`) },
    { title: "Comment", cell: (row) => row.comment },
    { title: "Who", cell: (row) => h("a", { href: `#/people/user/${quoted(row.caller)}` }, row.caller || "(forgotten)") },
  ], rows, { caption: "Ratings", open: (row) => `#/activity/request/${quoted(row.request_id)}`, empty: "Nobody has rated an answer yet." }))));
}

// One request ---------------------------------------------------------------------------------------------------------

async function oneRequest(view, { signal }, id) {
  fill(view, back("#/activity?tab=errors", "Errors"), head("Request", h("code", {}, id)));
  const { entries } = await ask(`admin/api/requests/${quoted(id)}`, { signal });
  const last = entries[entries.length - 1];
  view.append(
    card("What it was", facts([
      ["When", exactly(last.at)],
      ["Who", h("a", { href: `#/people/user/${quoted(last.caller)}` }, last.caller || "(forgotten)")],
      ["Course", last.tenant ? h("a", { href: `#/people/course/${quoted(last.tenant)}` }, last.tenant) : "none"],
      ["Task", TASKS[last.task] || last.task], ["Model", last.model], ["Tables", last.tables.join(", ") || "none named"],
      ["Session", last.session || "none"], last.client_id && ["Caller's own id", last.client_id], last.trace && ["Trace", last.trace],
      ["How it ended", outcome(last)], last.error && ["Why", [h("code", {}, last.error), " ", last.error_text]],
      ["Tokens", `${count(last.usage.prompt_tokens)} read, ${count(last.usage.completion_tokens)} written${last.usage.estimated ? " (estimated)" : ""}`],
      ["Cost", money(last.cost_nanodollars / 1e9)], last.cache && ["Cache", last.cache],
    ])),
    card("Tries", table([
      { title: "Try", class: "tight", cell: (row) => row.attempt },
      { title: "Key", cell: (row) => (row.key ? h("a", { href: `#/keys/${quoted(row.key)}` }, row.key) : "none") },
      { title: "Status", cell: outcome },
      { title: "Why", cell: (row) => [h("code", {}, row.error), " ", row.error_text] },
      { title: "Waited", class: "num", cell: (row) => seconds(row.queue_seconds) },
      { title: "First word", class: "num", cell: (row) => seconds(row.first_token_seconds) },
      { title: "Provider", class: "num", cell: (row) => seconds(row.upstream_seconds) },
      { title: "In all", class: "num", cell: (row) => seconds(row.duration_seconds) },
    ], entries, { caption: "Tries of this request" })));
  const kept = entries.filter((one) => one.messages || one.answer);
  view.append(card("Question and answer", kept.length
    ? kept.map((one) => [one.messages && [h("h3", {}, "Asked"), h("pre", { tabindex: "0" }, textOf(one.messages))], one.answer && [h("h3", {}, "Answered"), h("pre", { tabindex: "0" }, textOf(one.answer))]])
    : quiet("Their text is not kept by this course's policy.")));
}

function textOf(value) {
  const list = Array.isArray(value) ? value : [value];
  return list.map((one) => (typeof one?.content === "string" ? (one.role ? `${one.role}: ${one.content}` : one.content) : typeof one === "string" ? one : JSON.stringify(one, null, 1))).join("\n\n");
}
