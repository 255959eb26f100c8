// People as rows of a table.

import { quoted, send } from "./api.js";
import { ago, money, percent, short } from "./format.js";
import { badge, button, confirmed, table, tell } from "./parts.js";

/** Whose limits are given back, by whoever may do so. */
export const giveBack = (name, again, size) => button("Give limits back", () => confirmed(`Give ${name} the limits back?`, "What counts against their own limits and budgets, of today and this month, is forgotten at once. What was spent stays in the records and in the budget of their course.", "Give back", async () => {
  const { complete } = await send(`admin/api/users/${quoted(name)}/reset`);
  tell(complete ? `${name} has all limits again.` : "Redis is away; give them back again when it is there.", complete ? "good" : "bad");
  await again();
}), size);

/** ``more`` makes what stands at the end of a person's row. */
export const usersTable = (rows, admin, more) => table([
  { title: "Who", cell: (row) => row.name },
  { title: "Requests", class: "num", cell: (row) => short(row.requests) },
  { title: "Failed", class: "num", cell: (row) => (row.failed ? badge(row.failed / row.requests > 0.5 ? "bad" : "", percent(row.failed / row.requests)) : "0 %") },
  { title: "Tokens", class: "num", cell: (row) => short(row.tokens) },
  { title: "Cost", class: "num", cell: (row) => money(row.cost_usd) },
  { title: "Last seen", class: "num", cell: (row) => ago(row.last_at) },
  ...(more ? [{ title: "", class: "end", cell: more }] : []),
], rows, { caption: "People", open: admin ? (row) => `#/people/user/${quoted(row.name)}` : undefined });
