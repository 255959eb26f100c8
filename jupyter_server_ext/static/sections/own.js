// One's own use, limits, keys and conversations, and a way to delete them.

import { ask, base, quoted, send } from "../api.js";
import { fill, h } from "../dom.js";
import { ago, count, money, short } from "../format.js";
import { usesOf } from "../limits.js";
import { button, card, confirmed, dialog, facts, head, paged, quiet, table, tell } from "../parts.js";
import { apiKeysTable, newApiKey } from "../virtual_keys.js";

export async function show(view, way) {
  const { me, signal } = way;
  const again = () => show(view, way);
  const [stats, status, keys] = await Promise.all([ask("stats", { signal }), ask("status", { signal }), ask("keys", { signal }).catch(() => null)]);
  const ready = status.keys?.ready || 0;
  const wait = status.queue?.expected_wait_seconds;
  fill(view, head("My use", me.tenant ? `${me.caller}, of ${me.tenant}` : me.caller),
    h("div", { class: "two" },
      card("What you have used, and what is left", usesOf(stats), left(stats)),
      card("The service", facts([
        ["State", ready ? (wait > 5 ? `busy: about ${Math.round(wait)} s to wait` : "answers at once") : "no key can answer now"],
        ["Model", status.default_model || "none"], ["Models you may use", (status.models || []).join(", ") || "none"],
        ["Leaves your notebook", { names: "names only", stats: "names and statistics", sample: "sample rows, too" }[stats.privacy_floor] ? `at most ${{ names: "names", stats: "names and statistics", sample: "sample rows" }[stats.privacy_floor]}` : "as your notebook has it"],
        stats.system_prompt && ["Your course says", stats.system_prompt],
        ["Shared with you", `${count(stats.documents)} documents, ${count(stats.dictionaries)} dictionaries, ${count(stats.examples)} examples`],
        ["For other programs", [h("code", {}, `${location.origin}${base}v1`), " with a key from below"]],
      ]))));
  if (keys) view.append(card("Keys for scripts", { beside: button("New key", () => newApiKey(again, "", "", "keys"), "small") }, quiet("A key works for programs that speak the OpenAI protocol. It counts as you."), apiKeysTable(keys.keys, again, false, "keys")));
  if (!me.keeps) return;
  view.append(card("Conversations", paged(async (after) => {
    const found = await ask("conversations", { query: { limit: 20, after } });
    return { rows: found.conversations, next: found.next };
  }, (rows) => table([
    { title: "Conversation", cell: (row) => row.name || row.id },
    { title: "Requests", class: "num", cell: (row) => count(row.requests) },
    { title: "Tokens", class: "num", cell: (row) => short(row.tokens) },
    { title: "Cost", class: "num", cell: (row) => money(row.cost_usd) },
    { title: "Last", class: "num", cell: (row) => ago(row.last_at) },
    { title: "", class: "end", cell: (row) => h("div", { class: "actions" }, button("Rename", () => rename(row, again), "small"), button("Delete", () => confirmed("Delete this conversation?", "Its name, its turns and the texts that are kept of it go. This cannot be undone.", "Delete", async () => {
      await send(`conversations/${quoted(row.id)}`, undefined, "DELETE");
      tell("The conversation is deleted.");
      await again();
    }), "small danger")) },
  ], rows, { caption: "Conversations", empty: "None yet." }))),
  card("Delete my data", h("p", { class: "quiet" }, "All your conversations go, with their names and turns, the copies that your notebooks leave here with their files and links, the texts that are kept of your questions and answers, and your ratings. What a notebook keeps on its own machine stays there: %rsql history forget deletes it. That you used the service, and what it cost, stays in the records until your administrator deletes it."),
    button("Delete my data", () => confirmed("Delete your data?", "This cannot be undone.", "Delete", async () => {
      const done = await send("conversations", undefined, "DELETE");
      tell(`Deleted: ${count(done.deleted)} ${done.deleted === 1 ? "conversation" : "conversations"}, all copies with their files and links, and the texts of your questions.`);
      await again();
    }), "danger")));
}

function left(stats) {
  const cost = stats.cost || {};
  const cache = stats.cache || {};
  return h("p", { class: "quiet" }, cost.limit ? "" : cost.today ? `${money(cost.today)} today. ` : "", cache.hits ? `${count(cache.hits)} answers came from the cache.` : "");
}

const rename = (row, again) => dialog("Rename", {
  fields: [{ name: "name", label: "Name", value: row.name, required: true }],
  act: async ({ name }) => { await send(`conversations/${quoted(row.id)}`, { name }, "PATCH"); await again(); },
});
