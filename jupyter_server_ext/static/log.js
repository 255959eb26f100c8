// The request log: live, filtered, with views that are kept in this browser, and as CSV.

import { ask, quoted } from "./api.js";
import { fill, h } from "./dom.js";
import { count, exactly, money, seconds, TASKS, took, when } from "./format.js";
import { button, card, dialog, field, paged, table, tell, values } from "./parts.js";
import { outcome } from "./requests.js";

const VIEWS = "rsql-log-views";
const LIVE_SECONDS = 3;
const MOST_IN_CSV = 10_000;
const NAMES = ["who", "tenant", "model", "task", "key", "outcome", "since", "until", "least_seconds", "least_usd"];
const OUTCOMES = [["", "any"], ["success", "answered"], ["failure", "failed"], ["timeout", "timed out"], ["refused", "refused"], ["cancelled", "cancelled"]];

/** Show it into a node; `to(changed)` goes to the same with other filters. */
export function requestLog(body, { me, query, tenant, signal, to, live }) {
  const admin = me.scopes.includes("admin");
  const asked = Object.fromEntries(NAMES.map((name) => [name, query.get(name) || ""]));
  if (tenant) asked.tenant = tenant;
  const fields = [
    { name: "who", label: "Who", value: asked.who, placeholder: "any part of a name" },
    admin && { name: "tenant", label: "Course", value: asked.tenant },
    { name: "model", label: "Model", value: asked.model },
    { name: "task", label: "Task", kind: "choice", value: asked.task, options: [["", "any"], ...Object.entries(TASKS)] },
    { name: "outcome", label: "How it ended", kind: "choice", value: asked.outcome, options: OUTCOMES },
    { name: "key", label: "Key", value: asked.key },
    { name: "since", label: "From", value: asked.since, placeholder: "2026-11-21T14:30" },
    { name: "until", label: "Until", value: asked.until, placeholder: "2026-11-22" },
    { name: "least_seconds", label: "Seconds at least", kind: "number", value: asked.least_seconds },
    { name: "least_usd", label: "Dollars at least", kind: "number", value: asked.least_usd },
  ].filter(Boolean);
  const form = h("form", { class: "search" }, fields.map(field), h("button", { class: "primary" }, "Filter"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    to({ ...Object.fromEntries(NAMES.map((name) => [name, ""])), ...values(form, fields) });
  });
  const load = async (after, limit = 50) => {
    const found = await ask("admin/api/log", { query: { ...asked, after, limit }, signal });
    return { rows: found.requests, next: found.next };
  };
  const show = (rows) => logTable(rows, admin);
  const list = h("div", {}, paged(load, show));
  const asCsv = button("Download CSV", () => download(load), "small");
  fill(body, card("Filter", { beside: views(asked, to) }, form), card("Requests, the latest first", { beside: asCsv }, list));
  follow(list, { load, show, signal, live });
}

const logTable = (rows, admin) => table([
  { title: "When", class: "tight", cell: (row) => h("span", { title: exactly(row.at) }, when(row.at)) },
  { title: "Who", cell: (row) => (admin ? h("a", { href: `#/people/user/${quoted(row.caller)}` }, row.caller) : row.caller) },
  { title: "Course", cell: (row) => row.tenant },
  { title: "Task", cell: (row) => TASKS[row.task] || row.task },
  { title: "Model", cell: (row) => row.model },
  { title: "How it ended", cell: (row) => [outcome(row), " ", row.error && h("code", {}, row.error)] },
  { title: "Waited", class: "num", cell: (row) => seconds(row.queue_seconds) },
  { title: "Took", class: "num", cell: (row) => took(row.duration_seconds) },
  { title: "Tokens", class: "num", cell: (row) => count(row.usage.prompt_tokens + row.usage.completion_tokens) },
  { title: "Cost", class: "num", cell: (row) => money(row.cost_nanodollars / 1e9) },
], rows, { empty: "No request is as these filters want it.", caption: "Request log", open: admin ? (row) => `#/activity/request/${quoted(row.request_id)}` : undefined });

/** Bring the first page again and again, unless somebody reads further down or the page is hidden. */
function follow(list, { load, show, signal, live }) {
  let shown = "";
  let first = true;
  const look = async () => {
    if (document.hidden || window.scrollY > 200 || list.contains(document.activeElement) || list.querySelectorAll("tbody tr").length > 50) return;
    try {
      const { rows, next } = await load("");
      live("live");
      const marks = rows.map((row) => row.request_id).join();
      if (marks === shown) return;
      shown = marks;
      if (!first) fill(list, paged(async (after) => (after ? load(after) : { rows, next }), show));
      first = false;
    } catch (error) {
      if (error.name !== "AbortError") live("lost");
    }
  };
  const timer = setInterval(look, LIVE_SECONDS * 1000);
  signal.addEventListener("abort", () => { clearInterval(timer); live(""); });
}

// Views that somebody keeps: names of filters, in this browser.

function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(VIEWS) || "[]");
    return Array.isArray(found) ? found.filter((one) => typeof one?.name === "string" && typeof one.asked === "object") : [];
  } catch {
    return [];
  }
}

function views(asked, to) {
  const all = kept();
  const known = (one) => Object.fromEntries(NAMES.map((name) => [name, String(one.asked[name] || "")]));
  const chosen = h("select", { "aria-label": "View", on: { change: (event) => to(known(all[event.target.value] || { asked: {} })) } },
    h("option", { value: "" }, all.length ? "Views …" : "No views yet"), all.map((one, at) => h("option", { value: at }, one.name)));
  const save = button("Save view", () => dialog("Save these filters as a view", {
    fields: [{ name: "name", label: "Name", required: true, placeholder: "Slow answers" }],
    act: ({ name }) => {
      localStorage.setItem(VIEWS, JSON.stringify([...kept().filter((one) => one.name !== name), { name, asked }]));
      tell(`The view ${name} is kept in this browser.`);
      to(known({ asked }));
    },
  }), "small");
  const drop = all.length > 0 && button("Delete a view", () => dialog("Delete a view", {
    fields: [{ name: "name", label: "View", kind: "choice", options: all.map((one) => [one.name, one.name]), value: all[0].name }], send: "Delete", danger: true,
    act: ({ name }) => {
      localStorage.setItem(VIEWS, JSON.stringify(kept().filter((one) => one.name !== name)));
      to(known({ asked }));
    },
  }), "small");
  return h("div", { class: "actions" }, chosen, save, drop);
}

// CSV -----------------------------------------------------------------------------------------------------------------

const COLUMNS = ["at", "request_id", "caller", "tenant", "task", "model", "key", "status", "outcome", "error", "attempts", "queue_seconds", "first_token_seconds", "upstream_seconds", "duration_seconds"];

/** A cell of a table that a spreadsheet opens: quoted, and never a formula. */
export function csvCell(value) {
  const text = value === null || value === undefined ? "" : String(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

async function download(load) {
  const lines = [[...COLUMNS, "prompt_tokens", "completion_tokens", "cost_usd"].join()];
  let after = "";
  do {
    const { rows, next } = await load(after, 1000);
    for (const row of rows) {
      const own = COLUMNS.map((name) => (name === "at" ? new Date(row.at * 1000).toISOString() : row[name]));
      lines.push([...own, row.usage.prompt_tokens, row.usage.completion_tokens, row.cost_nanodollars / 1e9].map(csvCell).join());
    }
    after = next;
  } while (after && lines.length <= MOST_IN_CSV);
  const link = h("a", { href: URL.createObjectURL(new Blob([`${lines.join("\r\n")}\r\n`], { type: "text/csv" })), download: "requests.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
  tell(after ? `The latest ${count(MOST_IN_CSV)} are in the file. Narrow the filters for the others, or use 'rsql ledger export'.` : `${count(lines.length - 1)} requests are in the file.`);
}
