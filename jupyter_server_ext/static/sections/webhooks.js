// Who is told what by the gateway, and what came of it.

import { ask, quoted, send } from "../api.js";
import { fill, h } from "../dom.js";
import { when } from "../format.js";
import { back, badge, button, card, confirmed, dialog, facts, head, table, tell } from "../parts.js";
import { undoOf } from "../undo.js";

const KINDS = { delivered: "good", sent: "good", failed: "bad", gone: "bad" };

export async function show(view, way) {
  if (way.parts[0]) return one(view, way, way.parts[0]);
  const { me } = way;
  const admin = me.scopes.includes("admin");
  const again = () => show(view, way);
  const { webhooks, events } = await ask("admin/api/webhooks", { signal: way.signal });
  fill(view, head("Webhooks", "Addresses that are told of trouble, signed and at least once", button("New webhook", () => make(events, admin, again), "primary")),
    card("", table([
      { title: "Address", cell: (row) => row.url },
      { title: "Events", cell: (row) => (row.events.length === 0 || row.events.length >= events.length ? "all" : row.events.join(", ")) },
      { title: "Of", cell: (row) => row.tenant || "everybody" },
      { title: "Made", class: "tight", cell: (row) => when(row.made) },
      { title: "", class: "end", cell: (row) => h("div", { class: "actions" }, button("Test", () => test(row), "small")) },
    ], webhooks, { caption: "Webhooks", open: (row) => `#/webhooks/${quoted(row.id)}`, empty: "Nobody is told yet. A webhook tells a chat, a mail program or an on-call service before users notice." })));
}

async function test(row) {
  const told = await send(`admin/api/webhooks/${quoted(row.id)}/test`);
  const fine = told.status >= 200 && told.status < 300;
  tell(fine ? `It answered ${told.status}.` : `It did not take it: ${told.reason || told.status}.`, fine ? "good" : "bad");
}

const make = (events, admin, again) => dialog("New webhook", {
  fields: [
    { name: "url", label: "Address", required: true, placeholder: "https://alerts.example.org/rsql" },
    { name: "events", label: "Events", kind: "list", hint: `Separated by commas; empty for all: ${events.map(({ type }) => type).join(", ")}.` },
    ...(admin ? [{ name: "tenant", label: "Only of the course", hint: "Empty for everything." }] : []),
  ],
  send: "Make it",
  act: async (given) => {
    const made = await send("admin/api/webhooks", Object.fromEntries(Object.entries(given).filter(([, value]) => value.length)));
    await again();
    dialog("The webhook's secret", { words: "Its receiver checks signatures with it. It is shown this once: copy it now.", content: h("code", { class: "secret" }, made.secret) });
  },
});

async function one(view, way, id) {
  const path = `admin/api/webhooks/${quoted(id)}`;
  const again = () => show(view, way);
  const told = await ask(path, { signal: way.signal });
  fill(view, back("#/webhooks", "Webhooks"), head(told.url, "", button("Test", async () => { await test(told); await again(); }), button("Delete", () => confirmed("Delete this webhook?", "It is told nothing any more. Undoing the change makes it again.", "Delete", async () => {
    await send(path, undefined, "DELETE");
    tell("The webhook is deleted.", "good", undoOf(async () => {}));
    location.hash = "#/webhooks";
  }), "danger")),
  card("What it is told", facts([["Events", told.events.join(", ") || "all"], ["Of", told.tenant || "everybody"], ["Made", when(told.made)], ["Id", h("code", {}, told.id)]])),
  card("Deliveries of the last week", table([
    { title: "When", class: "tight", cell: (row) => when(row.made) },
    { title: "Event", cell: (row) => row.event },
    { title: "State", cell: (row) => badge(KINDS[row.state] || "warn", row.state) },
    { title: "Tries", class: "num", cell: (row) => row.attempts },
    { title: "Answer", cell: (row) => [row.status || "", row.reason && ` ${row.reason}`] },
    { title: "Again", class: "tight", cell: (row) => (row.due ? when(row.due) : "") },
    { title: "", class: "end", cell: (row) => button("Send again", async () => { await send(`${path}/deliveries/${quoted(row.id)}/retry`); tell("Sent again."); await again(); }, "small") },
  ], told.deliveries, { empty: "Nothing was told yet.", caption: "Deliveries" })));
}
