// Work that goes on by itself: whose, how far it is, why it waits, and a way to stop it.

import { ask, quoted, send } from "../api.js";
import { fill, h } from "../dom.js";
import { count, money, seconds, when } from "../format.js";
import { badge, button, card, choices, confirmed, head, meter, paged, table, tell } from "../parts.js";

const STATES = { in_progress: "running", finalizing: "ending", cancelling: "stopping", completed: "done", expired: "out of time", cancelled: "cancelled" };
const KINDS = { in_progress: "info", finalizing: "info", cancelling: "warn", completed: "good", expired: "bad" };

// How far a job is: in its lines, or in the cells of the notebooks that run.
function far(row) {
  const runs = (!row.ended && row.progress && row.progress.runs) || [];
  const sum = (name) => runs.reduce((total, run) => total + run[name], 0);
  return runs.length ? { done: sum("done"), total: sum("cells"), of: " cells" } : { done: row.done, total: row.total, of: "" };
}

export async function show(view, way) {
  const state = way.query.get("state") || "";
  const admin = way.me.scopes.includes("admin");
  const again = () => show(view, way);
  const change = (row, action, words) => async () => {
    await send(`admin/api/jobs/${quoted(row.id)}/${action}`);
    tell(words);
    await again();
  };
  const list = paged(async (after) => {
    const found = await ask("admin/api/jobs", { query: { state, after, limit: 50 } });
    return { rows: found.jobs, next: found.next };
  }, (rows) => table([
    { title: "Job", cell: (row) => h("code", {}, row.id) },
    { title: "Whose", cell: (row) => [admin ? h("a", { href: `#/people/user/${quoted(row.caller)}` }, row.caller) : row.caller, row.tenant && h("span", { class: "quiet" }, ` of ${row.tenant}`)] },
    { title: "State", class: "tight", cell: (row) => badge(KINDS[row.state], STATES[row.state] || row.state) },
    { title: "Done", cell: (row) => {
      const { done, total, of } = far(row);
      const words = `${count(done)} of ${count(total)}${of}`;
      return h("div", { class: "stack-tight" }, meter(total ? done / total : 0, words, { plain: true }), h("span", { class: "quiet" }, `${words}${row.failed ? `, ${count(row.failed)} failed` : ""}`));
    } },
    { title: "Why it waits", cell: (row) => h("span", { class: "quiet" }, row.waits_for || row.stopped_for) },
    { title: "Cost", class: "num", cell: (row) => [money(row.cost_usd), row.budget_usd !== null && h("span", { class: "quiet" }, ` of ${money(row.budget_usd)}`)] },
    { title: "Made", class: "tight", cell: (row) => when(row.made) },
    { title: "Took", class: "num", cell: (row) => (row.ended ? seconds(row.ended - row.made) : `until ${when(row.expires)}`) },
    { title: "", class: "end", cell: (row) => h("div", { class: "actions" },
      !row.ended && row.state === "in_progress" && button("Cancel", () => confirmed("Cancel this job?", "What is answered stays; nothing more is asked.", "Cancel it", change(row, "cancel", "The job is being stopped.")), "small danger"),
      row.ended && row.failed > 0 && button("Ask failed lines again", change(row, "retry", "The failed lines are asked again."), "small")) },
  ], rows, { caption: "Jobs", empty: "No jobs." }));
  const all = choices("State", [["", "All"], ["in_progress", "Running"], ["completed", "Done"]], state, (value) => { location.hash = `#/jobs${value ? `?state=${value}` : ""}`; });
  fill(view, head("Jobs", "Work that nobody waits for, from spare quota", all), card("", list));
  await list.ready;
}
