// What was changed at run time, by whom, and a way to take it back.

import { ask, quoted, send } from "../api.js";
import { fill, h } from "../dom.js";
import { when } from "../format.js";
import { badge, button, card, confirmed, head, paged, table, tell } from "../parts.js";

const KINDS = { limits: "Limits of", callers: "Limits of", routes: "Limits of the route", tenant: "Course", course: "Course", webhook: "Webhook", member: "Member", key: "Key", "new key": "New key" };

export async function show(view, way) {
  const { me } = way;
  const admin = me.scopes.includes("admin");
  const list = paged(async (before) => {
    const { changes } = await ask("admin/api/changes", { query: { before, limit: 50 } });
    return { rows: changes, next: changes.length === 50 ? changes.at(-1).number : "" };
  }, (rows) => {
    const undone = new Set(rows.map((row) => row.undoes).filter(Boolean));
    return table([
      { title: "When", class: "tight", cell: (row) => when(row.at) },
      { title: "Who", cell: (row) => row.caller || "(forgotten)" },
      { title: "What", cell: (row) => (row.kind === "did" ? row.name : `${KINDS[row.kind] || row.kind} ${row.name}`) },
      { title: "Change", cell: change },
      { title: "", class: "end", cell: (row) => {
        if (undone.has(row.id)) return badge("", "undone");
        if (row.kind === "did" || (!admin && row.kind !== "course")) return "";
        return button("Undo", () => confirmed("Take this change back?", "It becomes as it was before. That is a change as well, and can be undone.", "Undo", async () => {
          await send(`admin/api/changes/${quoted(row.id)}/undo`);
          tell("Taken back.");
          await show(view, way);
        }), "small");
      } },
    ], rows, { caption: "Changes", empty: "Nothing was changed at run time." });
  });
  fill(view, head("Changes", "Everything that was changed while the gateway runs, the newest first"), card("", list));
  await list.ready;
}

function change(row) {
  if (row.kind === "did") return "";
  const names = [...new Set([...Object.keys(row.before || {}), ...Object.keys(row.after || {})])].filter((name) => name !== "at" && name !== "made");
  const words = (value) => (value === undefined || value === null ? "–" : Array.isArray(value) ? value.join(", ") || "none" : typeof value === "object" ? Object.entries(value).map(([name, one]) => `${name.replaceAll("_", " ")} ${words(one)}`).join(", ") : value === "" ? "none" : String(value));
  const changed = names.filter((name) => words(row.before?.[name]) !== words(row.after?.[name]));
  const shown = changed.map((name) => h("div", {}, h("span", { class: "quiet" }, `${name.replaceAll("_", " ")}: `), row.before?.[name] !== undefined && h("s", { class: "quiet" }, words(row.before[name])), row.before?.[name] !== undefined && " ", words(row.after?.[name])));
  return [row.undoes && badge("info", "undo"), shown];
}
