// Courses and people: what they use and may use, and a way back for whoever has used theirs up.

import { ask, quoted, send } from "../api.js";
import { curves } from "../chart.js";
import { fill, h, icon } from "../dom.js";
import { ago, count, day, LIMITS, money, moneyAxis, percent, plural, short } from "../format.js";
import { back, badge, button, card, choices, confirmed, dialog, facts, field, head, paged, quiet, table, tell, use, values } from "../parts.js";
import { requestsTable } from "./activity.js";
import { undoOf } from "./keys.js";

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

// Courses -------------------------------------------------------------------------------------------------------------

async function courses(body, { signal }) {
  const [{ tenants }, week] = await Promise.all([ask("admin/api/tenants", { signal }), ask("admin/api/metrics", { query: { hours: 168 }, signal }).catch(() => null)]);
  const used = new Map((week?.tenants || []).map((row) => [row.name, row]));
  const rows = [...tenants, ...[...used.keys()].filter((name) => name && !tenants.some((one) => one.name === name)).map((name) => ({ name, rules: null }))];
  const of = (row, name) => used.get(row.name)?.[name] ?? 0;
  rows.sort((one, other) => of(other, "cost_usd") - of(one, "cost_usd") || one.name.localeCompare(other.name));
  fill(body, card("", table([
    { title: "Course", cell: (row) => row.name },
    { title: "Cost, 7 days", class: "num", cell: (row) => money(of(row, "cost_usd")) },
    { title: "Requests, 7 days", class: "num", cell: (row) => short(of(row, "requests")) },
    { title: "Answered", class: "num", cell: (row) => percent(used.get(row.name)?.success_rate, 1) },
    { title: "Weight", class: "num", cell: (row) => row.rules?.weight ?? 1 },
    { title: "Limits of its own", cell: (row) => limitsInWords(row.rules?.limits) || h("span", { class: "quiet" }, "those of all") },
  ], rows, { caption: "Courses", open: (row) => `#/people/course/${quoted(row.name)}`, empty: "No courses yet. They come from [tenants] of the configuration, from the hub's groups, or are made here." })));
}

const limitsInWords = (limits) => Object.entries(limits || {}).filter(([, value]) => value !== null).map(([name, value]) => (name.startsWith("usd") ? `${money(value)} ${LIMITS[name].slice(8)}` : `${count(value)} ${LIMITS[name].toLowerCase()}`)).join(", ");

const newCourse = () => dialog("New course", {
  words: "Its members are put into it here, or come with a group of the hub that has this name.",
  fields: [{ name: "name", label: "Name", required: true }, { name: "usd_per_day", label: LIMITS.usd_per_day, kind: "number", hint: "Of all its members together. Empty for no limit." }],
  send: "Make it",
  act: async ({ name, usd_per_day }) => {
    await send("admin/api/tenants", { name, ...(usd_per_day === null ? {} : { limits: { usd_per_day } }) });
    tell(`The course ${name} is there.`);
    location.hash = `#/people/course/${quoted(name)}`;
  },
});

const RULES = [
  { name: "system_prompt", label: "Words before every question", kind: "long", rows: 3, hint: "Such as: Give hints, not solutions." },
  { name: "models", label: "Models", kind: "list", hint: "Separated by commas. Empty for all." },
  { name: "privacy_floor", label: "The most that leaves a notebook", kind: "choice", options: [["", "as notebooks have it"], ["names", "names of tables and columns"], ["stats", "statistics, too"], ["sample", "sample rows, too"]] },
  { name: "fallbacks", label: "Other models may answer in place", kind: "truth" },
];
const OF_ADMINS = [{ name: "weight", label: "Weight in the queue", kind: "number", hint: "2 is served twice as fast as 1 when keys are short." }, { name: "keep_prompts", label: "Keep questions, encrypted", kind: "truth" }];

async function oneCourse(view, way, name) {
  const { me, signal } = way;
  const admin = me.scopes.includes("admin");
  const again = () => show(view, way);
  const [told, { members }, week, month] = await Promise.all([
    ask(`admin/api/tenants/${quoted(name)}`, { signal }), ask(`admin/api/tenants/${quoted(name)}/members`, { signal }),
    ask("admin/api/metrics", { query: { hours: 168, tenant: name }, signal }).catch(() => null),
    ask("admin/api/analytics/timeseries", { query: { hours: 720, step: "day", tenant: name }, signal }).catch(() => null),
  ]);
  const sources = { file: "the configuration", hub: "the hub", administrator: "an administrator", instructor: "its instructors" };
  const drawn = h("div", {});
  const drop = Object.keys(admin ? { ...told.decided, ...told.by_instructors } : told.by_instructors).length > 0 && button("Take changes back", () => confirmed(`Take changes of ${name} back?`,
    admin ? "Everything that was decided here goes, with members that were put in by hand. The change can be undone." : "What instructors have set here goes; what administrators set stays.", "Take back", async () => {
      await send(`admin/api/tenants/${quoted(name)}`, undefined, "DELETE");
      tell(`${name} is as it was configured.`, "good", undoOf(again));
      await again();
    }), "danger");
  fill(view, admin && back("#/people", "Courses"), head(name, `Rules from ${told.sources.map((one) => sources[one]).join(", ") || "nobody: those of all"}`,
    h("a", { class: "button", href: `#/activity${admin ? `?course=${quoted(name)}` : ""}` }, "Activity"), drop));
  const total = week?.total;
  const tile = (title, value, more) => h("div", { class: "tile" }, h("div", { class: "tile-name" }, title), h("div", { class: "tile-value" }, value), h("div", { class: "tile-more" }, more));
  if (total) {
    view.append(h("div", { class: "tiles" }, tile("Cost, 7 days", money(total.cost_usd), `${short(total.prompt_tokens + total.completion_tokens)} tokens`), tile("Requests, 7 days", short(total.requests), `${percent(total.success_rate, 1)} answered`),
      tile("Failed", short(total.failure + total.timeout), `${short(total.refused)} refused`)));
    view.append(card("Cost by day, 30 days", drawn));
    const rows = month?.series || [];
    const chart = curves(drawn, { times: rows.map((row) => row.start), series: [{ label: "cost", colour: "--accent", values: rows.map((row) => row.cost_usd) }], bars: true, format: money, axis: moneyAxis, height: 150, words: `${money(rows.reduce((sum, row) => sum + row.cost_usd, 0))} in 30 days.` });
    signal.addEventListener("abort", () => chart.close());
  }
  view.append(h("div", { class: "two" }, limitsCard(name, told, again), rulesCard(name, told, admin, again)), membersCard(name, members, admin, again),
    card("Who asks most", paged(async (after) => {
      const found = await ask("admin/api/users", { query: { by: "requests", tenant: name, limit: 15, after } });
      return { rows: found.users, next: found.next };
    }, (rows) => usersTable(rows, admin))));
}

function limitsCard(name, told, again) {
  const fields = Object.entries(LIMITS).map(([limit, label]) => ({ name: limit, label, kind: "number", value: told.rules.limits[limit] ?? "", placeholder: "no limit" }));
  return formCard("Limits and budget of the course", fields, "Of all its members together. 0 allows nothing, empty is the limit of all courses.", async (given) => {
    const changed = Object.fromEntries(Object.entries(given).filter(([limit, value]) => value !== (told.rules.limits[limit] ?? null)));
    if (!Object.keys(changed).length) return tell("Nothing has changed.");
    await send(`admin/api/tenants/${quoted(name)}`, { limits: changed }, "PATCH");
    tell(`The limits of ${name} are set.`, "good", undoOf(again));
    return again();
  });
}

function rulesCard(name, told, admin, again) {
  const now = (one) => (one.kind === "list" ? (told.rules[one.name] || []).join(", ") : told.rules[one.name] ?? "");
  const fields = [...RULES, ...(admin ? OF_ADMINS : [])].map((one) => ({ ...one, value: now(one) }));
  return formCard("Policy", fields, "", async (given) => {
    const same = (one) => JSON.stringify(given[one.name]) === JSON.stringify(one.kind === "list" ? told.rules[one.name] || [] : told.rules[one.name]);
    const changed = Object.fromEntries(fields.filter((one) => !same(one)).map((one) => [one.name, given[one.name]]));
    if (!Object.keys(changed).length) return tell("Nothing has changed.");
    await send(`admin/api/tenants/${quoted(name)}`, changed, "PATCH");
    tell(`The policy of ${name} is set.`, "good", undoOf(again));
    return again();
  });
}

/** A card with a form that is sent as a whole. */
function formCard(title, fields, words, act) {
  const form = h("form", { class: "stack" }, words && quiet(words), h("div", { class: fields.some((one) => one.kind === "long") ? "stack" : "grid" }, fields.map(field)));
  const go = h("button", { class: "primary" }, "Save");
  form.append(h("div", { class: "actions" }, go));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      await act(values(form, fields));
    } catch (error) {
      tell(error.message, "bad");
    }
    go.disabled = false;
  });
  return card(title, form);
}

function membersCard(name, members, admin, again) {
  const path = `admin/api/tenants/${quoted(name)}/members`;
  const put = () => dialog(`Put somebody into ${name}`, {
    words: "For people who have no other group. Members of a hub's group are listed at the hub.",
    fields: [{ name: "caller", label: "Name", required: true }, { name: "instructor", label: "Teaches there: sees and sets this course", kind: "truth" }],
    send: "Put in",
    act: async (given) => { await send(path, given); tell(`${given.caller} is in ${name}.`, "good", undoOf(again)); await again(); },
  });
  return card("Members put in by hand", { beside: admin && button("Put in", put, "small") }, table([
    { title: "Who", cell: (row) => row.caller },
    { title: "Role", cell: (row) => (row.instructor ? badge("info", "instructor") : "student") },
    { title: "", class: "end", cell: (row) => admin && button("Take out", async () => { await send(`${path}/${quoted(row.caller)}`, undefined, "DELETE"); tell(`${row.caller} is out of ${name}.`, "good", undoOf(again)); await again(); }, "small") },
  ], members, { empty: "Nobody. Members come with the hub's group or with their keys.", caption: "Members", open: admin ? (row) => `#/people/user/${quoted(row.caller)}` : undefined }));
}

// People --------------------------------------------------------------------------------------------------------------

const usersTable = (rows, admin) => table([
  { title: "Who", cell: (row) => row.name },
  { title: "Requests", class: "num", cell: (row) => short(row.requests) },
  { title: "Failed", class: "num", cell: (row) => (row.failed ? badge(row.failed / row.requests > 0.5 ? "bad" : "", percent(row.failed / row.requests)) : "0 %") },
  { title: "Tokens", class: "num", cell: (row) => short(row.tokens) },
  { title: "Cost", class: "num", cell: (row) => money(row.cost_usd) },
  { title: "Last seen", class: "num", cell: (row) => ago(row.last_at) },
], rows, { caption: "People", open: admin ? (row) => `#/people/user/${quoted(row.name)}` : undefined });

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
  const reset = button("Give limits back", () => confirmed(`Give ${name} the limits back?`, "What counts against their own limits and budgets, of today and this month, is forgotten at once. What was spent stays in the records and in the budget of their course.", "Give back", async () => {
    await send(`${path}/reset`);
    tell(`${name} has all limits again.`);
    await again();
  }));
  fill(view, back("#/people?tab=users", "People"), head(name, total ? `Last seen ${ago(total.last_at)}` : "Never seen", reset, stop));
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

/** What somebody has used of each limit, with what there is no limit for. */
export function usesOf(told) {
  const rows = [
    ...Object.entries(told.limits).map(([period, one]) => [`Requests this ${period}`, one]),
    ...Object.entries(told.tokens).map(([period, one]) => [`Tokens this ${period}`, one]),
    ["Requests now", told.concurrency],
  ].map(([label, one]) => use(label, one.current, one.limit));
  if (told.cost?.today !== null && told.cost !== undefined) rows.push(use("Money today", told.cost.today, told.cost.limit, money));
  return rows;
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

/** Virtual keys, each with a way to revoke it by `path`. */
export function apiKeysTable(keys, again, owner = false, path = "admin/api/api-keys") {
  return table([
    { title: "Name", cell: (row) => row.name },
    owner && { title: "Whose", cell: (row) => h("a", { href: `#/people/user/${quoted(row.owner)}` }, row.owner) },
    { title: "Id", cell: (row) => h("code", {}, row.id) },
    { title: "Limits of its own", cell: (row) => limitsInWords(row.limits) || h("span", { class: "quiet" }, "none") },
    { title: "Until", class: "tight", cell: (row) => day(row.expires) },
    { title: "", class: "end", cell: (row) => button("Revoke", () => confirmed(`Revoke ${row.name}?`, "Programs that use it are refused from now on. This cannot be undone.", "Revoke", async () => {
      await send(`${path}/${quoted(row.id)}`, undefined, "DELETE");
      tell(`${row.name} is revoked.`);
      await again();
    }), "small danger") },
  ].filter(Boolean), keys, { empty: "None. A virtual key stands for a person, for scripts and other programs.", caption: "Virtual keys" });
}

const KEY_FIELDS = [
  { name: "name", label: "Name", required: true, hint: "What it is for." }, { name: "days", label: "Days", kind: "number", placeholder: "90" },
  { name: "requests_per_day", label: LIMITS.requests_per_day, kind: "number", placeholder: "no limit of its own" }, { name: "usd_per_day", label: LIMITS.usd_per_day, kind: "number", placeholder: "no limit of its own" },
  { name: "usd_per_month", label: LIMITS.usd_per_month, kind: "number", placeholder: "no limit of its own" },
];

/** Make a virtual key: for `owner` at the console, for oneself by `path`. Its text is shown once. */
export function newApiKey(again, owner = "", tenant = "", path = "admin/api/api-keys") {
  const own = path === "keys";
  const whose = own || owner ? [] : [{ name: "owner", label: "Whose", required: true }, { name: "tenant", label: "Course", hint: "Whose rules hold for it. May stay empty." }];
  return dialog("New virtual key", {
    words: own ? "It stands for you: what it uses counts as yours, within limits of its own." : `It stands for ${owner || "its owner"}: what it uses counts as theirs.`,
    fields: [...whose, ...KEY_FIELDS],
    send: "Make it",
    act: async ({ name, days, requests_per_day, usd_per_day, usd_per_month, ...named }) => {
      const limits = Object.fromEntries(Object.entries({ requests_per_day, usd_per_day, usd_per_month }).filter(([, value]) => value !== null));
      const about = own ? {} : { owner: owner || named.owner, ...((owner ? tenant : named.tenant) ? { tenant: owner ? tenant : named.tenant } : {}) };
      const made = await send(path, { name, limits, ...(days === null ? {} : { days }), ...about });
      await again();
      dialog("The new key", { words: `${made.name}, until ${day(made.expires)}. It is shown this once: copy it now.`, content: h("code", { class: "secret" }, made.key) });
    },
  });
}
