// Courses: what they cost, their limits, policy and members.

import { ask, quoted, send } from "../api.js";
import { curves } from "../chart.js";
import { fill, h } from "../dom.js";
import { LIMITS, money, moneyAxis, percent, short } from "../format.js";
import { limitsInWords } from "../limits.js";
import { back, badge, button, card, confirmed, dialog, formCard, head, paged, table, tell } from "../parts.js";
import { undoOf } from "../undo.js";
import { giveBack, usersTable } from "../users.js";

/** All courses, the dearest of the last week first. */
export async function courses(body, { signal }) {
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

export const newCourse = () => dialog("New course", {
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

export async function oneCourse(view, way, name) {
  const { me, signal } = way;
  const admin = me.scopes.includes("admin");
  const again = () => oneCourse(view, way, name);
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
    }, (rows) => usersTable(rows, admin, admin ? undefined : (row) => giveBack(row.name, again, "small")))));
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
