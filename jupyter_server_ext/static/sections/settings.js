// The settings in force and where each comes from; the health of what the gateway stands on; the records.

import { ask, send } from "../api.js";
import { fill, h } from "../dom.js";
import { bytes, count, isoDay, limitWords, seconds } from "../format.js";
import { badge, button, card, confirmed, facts, field, head, table, tell } from "../parts.js";

export async function show(view, { me, signal }) {
  const [{ settings }, health] = await Promise.all([ask("admin/api/settings", { signal }), ask("admin/api/health", { signal })]);
  const db = health.database;
  const perf = health.performance;
  const ok = (word) => badge({ ok: "good", none: "", degraded: "warn" }[word] ?? "bad", word);
  fill(view, head("Settings", `rsql ${health.version}, running for ${seconds(perf.uptime_seconds)}`),
    h("div", { class: "two" },
      card("Health", facts([
        ...Object.entries(health.checks).map(([name, word]) => [name, ok(word)]),
        ["Memory", bytes(perf.memory_bytes)], ["Requests under way", count(perf.under_way)],
      ])),
      card("Records", facts([
        ["Database", db.status === "none" ? "none: nothing is kept" : [`${db.kind} ${db.version} `, ok(db.status)]], ["Size", bytes(db.bytes)], ["Answers in", db.milliseconds === null ? "–" : `${db.milliseconds} ms`],
        ["Entries not yet written", `${count(db.waiting)}, for ${seconds(db.lag_seconds)}`], ["Not yet in sums", count(db.unfolded)],
      ]), me.keeps && h("div", { class: "actions" }, button("Verify the chain", verify), button("Export as CSV", exported)))));
  const table_ = h("div", {});
  const filter = field({ name: "filter", label: "Find a setting", placeholder: "limits, cache, …" });
  const draw = () => {
    const wanted = filter.querySelector("input").value.toLowerCase();
    const found = settings.filter((row) => `${row.name} ${row.from}`.toLowerCase().includes(wanted));
    fill(table_, table([
      { title: "Setting", cell: (row) => h("code", {}, row.name) },
      { title: "Value", cell: (row) => (row.value === null ? h("span", { class: "quiet" }, "none") : words(row.value)) },
      { title: "From", cell: (row) => (row.from === "default" ? h("span", { class: "quiet" }, "default") : badge(row.from.startsWith("console") ? "info" : "", row.from)) },
    ], found, { caption: "Settings in force", empty: "No setting of this name." }));
  };
  filter.addEventListener("input", draw);
  draw();
  view.append(card("Settings in force", h("div", { class: "search" }, filter), table_), card("Limits per day", h("p", { class: "quiet" }, "Forget what has counted against limits per day, of everybody. One person's are given back under People."),
    button("Give today back to all", () => confirmed("Give today back to everybody?", "What has counted against limits per day is forgotten, of everybody. Budgets stay. This cannot be undone.", "Give back", async () => {
      await send("admin/reset-daily-limits");
      tell("Limits per day count from zero.");
    }), "danger")));
}

/** A value as people read it: lists with commas, tables as names and values. */
function words(value) {
  if (Array.isArray(value)) return value.map(words).join(typeof value[0] === "object" ? "; " : ", ") || "none";
  if (value?.unit && value.seconds) return `${count(value.amount)} ${limitWords(value)}${value.model ? ` of ${value.model === "*" ? "each model" : value.model}` : ""}`;
  if (value !== null && typeof value === "object") return Object.entries(value).map(([name, one]) => `${name} ${words(one)}`).join(", ");
  return String(value);
}

async function verify() {
  const told = await send("admin/api/ledger/verify");
  tell(told.status === "ok" ? "The chain of records is whole: nothing was changed, removed or put in." : told.problems.slice(0, 3).join(" "), told.status === "ok" ? "good" : "bad");
}

async function exported() {
  const since = isoDay(Date.now() / 1000 - 30 * 86_400);
  const reply = await ask("admin/api/export", { query: { since, format: "csv" }, as: "blob" });
  const link = h("a", { href: URL.createObjectURL(reply), download: "rsql-entries.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}
