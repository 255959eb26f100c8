// People as rows of a table.

import { quoted } from "./api.js";
import { ago, money, percent, short } from "./format.js";
import { badge, table } from "./parts.js";

export const usersTable = (rows, admin) => table([
  { title: "Who", cell: (row) => row.name },
  { title: "Requests", class: "num", cell: (row) => short(row.requests) },
  { title: "Failed", class: "num", cell: (row) => (row.failed ? badge(row.failed / row.requests > 0.5 ? "bad" : "", percent(row.failed / row.requests)) : "0 %") },
  { title: "Tokens", class: "num", cell: (row) => short(row.tokens) },
  { title: "Cost", class: "num", cell: (row) => money(row.cost_usd) },
  { title: "Last seen", class: "num", cell: (row) => ago(row.last_at) },
], rows, { caption: "People", open: admin ? (row) => `#/people/user/${quoted(row.name)}` : undefined });
