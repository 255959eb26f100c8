// Requests as rows of a table, and how each ended.

import { quoted } from "./api.js";
import { h } from "./dom.js";
import { OUTCOMES, seconds, TASKS, when } from "./format.js";
import { badge, table } from "./parts.js";

const KINDS = { success: "good", failure: "bad", timeout: "bad", refused: "warn", cancelled: "" };

/** How a request, or one of its tries, ended. */
export function outcome(row) {
  const kind = row.attempts === 0 && row.key && row.status ? "" : KINDS[row.outcome];
  return badge(kind, kind === "" && row.outcome !== "cancelled" ? `try ${row.attempt}: ${row.status}` : `${OUTCOMES[row.outcome]}${row.outcome === "success" ? "" : ` ${row.status || ""}`}`);
}

/** Requests, each with a link to all that is known of it. */
export const requestsTable = (rows, { admin, user = false }) => table([
  { title: "When", class: "tight", cell: (row) => when(row.at) },
  user && { title: "Who", cell: (row) => (admin ? h("a", { href: `#/people/user/${quoted(row.caller)}` }, row.caller || "(forgotten)") : row.caller) },
  { title: "How it ended", cell: outcome },
  { title: "Why", cell: (row) => (row.error ? [h("code", {}, row.error), " ", h("span", { class: "quiet" }, row.error_text)] : h("span", { class: "quiet" }, `${TASKS[row.task] || row.task}${row.tables.length ? ` · ${row.tables.join(", ")}` : ""}`)) },
  { title: "Model", cell: (row) => row.model },
  { title: "Key", cell: (row) => row.key },
  { title: "Took", class: "num", cell: (row) => seconds(row.duration_seconds) },
].filter(Boolean), rows, { empty: "None. Nothing of this kind went wrong.", caption: "Requests", open: admin ? (row) => `#/activity/request/${quoted(row.request_id)}` : undefined });
