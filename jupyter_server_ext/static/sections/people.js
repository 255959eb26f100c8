// People: what they use and may use, and a way back for whoever has used theirs up; courses stand in courses.js.

import { ask, quoted, send } from "../api.js";
import { curves } from "../chart.js";
import { fill, h, icon } from "../dom.js";
import { ago, count, LIMITS, money, moneyAxis, percent, plural, short } from "../format.js";
import { limitsInWords, usesOf } from "../limits.js";
import { back, button, card, choices, confirmed, facts, field, formCard, head, paged, quiet, table, tell } from "../parts.js";
import { requestsTable } from "../requests.js";
import { undoOf } from "../undo.js";
import { giveBack, usersTable } from "../users.js";
import { apiKeysTable, newApiKey } from "../virtual_keys.js";
import { courses, newCourse, oneCourse } from "./courses.js";

export async function show(view, way) {
  const { parts, me, query } = way;
  const admin = me.scopes.includes("admin");
  if (parts[0] === "user" && admin) return oneUser(view, way, parts[1]);
  if (parts[0] === "course") return oneCourse(view, way, parts[1]);
  if (!admin) return oneCourse(view, way, me.tenant);
  const tab = query.get("tab") || "courses";
  const tabs = [["courses", "Courses"], ["users", "People"], ["limits", "Limits of all"], ["api-keys", "Virtual keys"]];
  const actions = { courses: button("New course", newCourse, "primary"), "api-keys": button("New key", () => newApiKey(() => show(view, way)), "primary") };
  fill(view, head("People", "Courses, people, and the keys that stand for them", choices("What to show", tabs, tab, (value) => { location.hash = `#/people?tab=${value}`; }), actions[tab]));
  const body = h("div", { class: "stack" });
  view.append(body);
  return { courses, users, limits, "api-keys": apiKeys }[tab](body, way);
}

// People --------------------------------------------------------------------------------------------------------------

function users(body, { query }) {
  const by = query.get("by") || "last";
  const form = h("form", { class: "search" }, field({ name: "name", label: "Name", placeholder: "how it begins" }), h("button", { class: "primary" }, "Open"));
  const begins = () => form.elements.name.value.trim();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const only = list.querySelectorAll("tbody th a");
    if (begins()) location.hash = only.length === 1 ? only[0].hash : `#/people/user/${quoted(begins())}`;
  });
  let typing = null;
  form.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(draw, 200);
  });
  const order = choices("Order", [["last", "Seen last"], ["lately", "Most lately"], ["requests", "Most of all"]], by, (value) => { location.hash = `#/people?tab=users&by=${value}`; });
  const list = h("div", {});
  const draw = () => fill(list, paged(async (after) => {
    const found = await ask("admin/api/users", { query: { by, name: begins(), limit: 50, after } });
    return { rows: found.users, next: found.next };
  }, (rows) => usersTable(rows, true)));
  fill(body, card("Find somebody", form), card("People", { beside: order }, list));
  draw();
}

async function oneUser(view, way, name) {
  const { signal } = way;
  const again = () => show(view, way);
  const path = `admin/api/users/${quoted(name)}`;
  const [told, activity] = await Promise.all([ask(path, { signal }), ask(`admin/api/user-activity/${quoted(name)}`, { query: { limit: 10 }, signal }).catch(() => null)]);
  const stopped = told.decided && (told.decided.requests_per_day === 0 || told.decided.requests_per_minute === 0);
  const total = activity?.total;
  const setLimits = async (limits, words) => {
    await send("admin/api/limits", { callers: { [name]: limits } }, "PATCH");
    tell(words, "good", undoOf(again));
    await again();
  };
  const stop = stopped
    ? button("Let ask again", () => setLimits({ requests_per_day: null, requests_per_minute: null }, `${name} may ask again.`), "primary")
    : button("Stop", () => confirmed(`Stop ${name}?`, "No question of theirs is answered from now on, until you let them ask again.", "Stop", () => setLimits({ requests_per_minute: 0 }, `${name} is stopped.`)), "danger");
  fill(view, back("#/people?tab=users", "People"), head(name, total ? `Last seen ${ago(total.last_at)}` : "Never seen", giveBack(name, again), stop));
  if (stopped) view.append(h("div", { class: "finding bad" }, icon("bad", 20), h("p", { class: "finding-what" }, "This person is stopped."), h("p", { class: "finding-do" }, "No question is answered until you let them ask again.")));
  const trouble = troubleOf(activity?.requests || []);
  if (trouble) view.append(trouble);
  view.append(h("div", { class: "two" },
    card("What is left", usesOf(told)),
    card("In all", facts([
      ["Course", told.tenant ? h("a", { href: `#/people/course/${quoted(told.tenant)}` }, told.tenant) : "none"],
      ["Requests", total ? count(total.requests) : "0"], ["Without an answer", total ? `${count(total.failed)}, ${percent(total.requests ? total.failed / total.requests : 0)}` : "0"],
      ["Tokens", total ? short(total.tokens) : "0"], ["Cost", total ? money(total.cost_usd) : "$0"], ["Tables asked about", total?.tables.join(", ") || "none"],
      ["Limits of their own", limitsInWords(told.decided) || "none: those of all"],
    ]))));
  const drawn = h("div", {});
  view.append(card("Requests, the latest first", { beside: h("a", { href: `#/activity?tab=errors&user=${quoted(name)}` }, "Only errors") }, paged(async (after) => {
    const found = after ? await ask(`admin/api/user-activity/${quoted(name)}`, { query: { limit: 10, after } }) : activity || { requests: [] };
    return { rows: found.requests, next: found.next };
  }, (rows) => requestsTable(rows, { admin: true }))));
  view.append(h("div", { class: "two" }, card("Cost by day", drawn), ownLimits(name, told, setLimits)));
  const days = [...(activity?.days || [])].reverse();
  if (days.length) {
    const chart = curves(drawn, { times: days.map((row) => Date.parse(row.day) / 1000), series: [{ label: "cost", colour: "--accent", values: days.map((row) => row.cost_usd) }], bars: true, format: money, axis: moneyAxis, height: 230, words: days.map((row) => `${row.day}: ${money(row.cost_usd)}`).join("; ") });
    signal.addEventListener("abort", () => chart.close());
  } else fill(drawn, quiet("Nothing yet."));
  view.append(
    card("Virtual keys", { beside: button("New key", () => newApiKey(again, name, told.tenant), "small") }, apiKeysTable(told.keys, again)),
    card("Delete", h("p", { class: "quiet" }, "Everything that names this person goes from the records: requests, conversations, keys and limits. What was spent stays in the sums. This cannot be undone."),
      button("Forget this person", () => confirmed(`Forget ${name}?`, "Everything that names this person is deleted. This cannot be undone.", "Forget", async () => {
        const done = await send(path, undefined, "DELETE");
        tell(done.complete ? `${name} is forgotten.` : "Redis is away; forget them again when it is back.", done.complete ? "good" : "bad");
        location.hash = "#/people?tab=users";
      }), "danger")));
}

/** Why somebody gets no answers, where the latest requests all ended so. */
function troubleOf(requests) {
  const asked = requests.filter((row) => row.attempts || !row.key);
  const last = asked.findIndex((row) => row.outcome === "success");
  const failed = last === -1 ? asked.length : last;
  if (failed < 3) return null;
  const { error, error_text: words, request_id: id } = asked[0];
  return h("div", { class: "finding bad", role: "status" }, icon("bad", 20), h("p", { class: "finding-what" }, `The last ${plural(failed, "request")} got no answer: ${error}.`), h("p", { class: "finding-do" }, words),
    h("a", { class: "button small", href: `#/activity/request/${quoted(id)}` }, "Open the last"));
}

function ownLimits(name, told, setLimits) {
  const fields = Object.entries(LIMITS).map(([limit, label]) => ({ name: limit, label, kind: "number", value: told.decided?.[limit] ?? "", placeholder: "as for all" }));
  return formCard("Limits of their own", fields, "Empty is the limit of all, 0 allows nothing.", (given) => {
    const changed = Object.fromEntries(Object.entries(given).filter(([limit, value]) => value !== (told.decided?.[limit] ?? null)));
    return Object.keys(changed).length ? setLimits(changed, `The limits of ${name} are set.`) : tell("Nothing has changed.");
  });
}

// Limits of all -------------------------------------------------------------------------------------------------------

async function limits(body, way) {
  const again = () => limits(body, way);
  const told = await ask("admin/api/limits", { signal: way.signal });
  const scopes = [["caller", "Of each person"], ["tenant", "Of each course"], ["everyone", "Of all together"]];
  const cards = scopes.map(([scope, title]) => {
    const now = told.limits[scope];
    const fields = Object.entries(LIMITS).map(([limit, label]) => ({ name: limit, label, kind: "number", value: now[limit] ?? "", placeholder: "no limit" }));
    return formCard(title, fields, told.decided[scope] ? "Changed here." : "As it was configured.", async (given) => {
      const changed = Object.fromEntries(Object.entries(given).filter(([limit, value]) => value !== now[limit]));
      if (!Object.keys(changed).length) return tell("Nothing has changed.");
      await send("admin/api/limits", { [scope]: changed }, "PATCH");
      tell("The limits are set.", "good", undoOf(again));
      return again();
    });
  });
  const routes = Object.entries(told.limits.routes || {}).map(([name, own]) => ({ name, own }));
  fill(body, quiet("0 allows nothing, empty is no limit. Courses and people may have limits of their own, which go before these.", told.lasts ? "" : " Changes last until the gateway ends, as there are no records."),
    h("div", { class: "three" }, cards),
    routes.length > 0 && card("Of each person on one route", table([{ title: "Route", cell: (row) => h("code", {}, row.name) }, { title: "Limits", cell: (row) => limitsInWords(row.own) }], routes, { caption: "Routes" })));
}

// Virtual keys --------------------------------------------------------------------------------------------------------

async function apiKeys(body, way) {
  const { keys } = await ask("admin/api/api-keys", { signal: way.signal });
  fill(body, card("", apiKeysTable(keys, () => apiKeys(body, way), true)));
}
