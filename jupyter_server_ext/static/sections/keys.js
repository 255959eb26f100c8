// The keys of providers: which rest and why, what each has left and had left, and what can be done with them.

import { ask, quoted, send } from "../api.js";
import { curves } from "../chart.js";
import { fill, h } from "../dom.js";
import { count, limitWords, percent, seconds } from "../format.js";
import { back, badge, button, card, confirmed, dialog, facts, head, meter, quiet, table, tell } from "../parts.js";
import { undoOf } from "../undo.js";
import { STATES, tightest } from "./overview.js";

const KINDS = { ready: "good", cooling: "warn", exhausted: "warn", paused: "", retired: "bad" };
const EVERY = 3000; // milliseconds between two looks

export async function show(view, way) {
  const { parts, signal } = way;
  const draw = parts[0] === undefined ? await list(view) : await one(view, way, parts[0]);
  await draw();
  const again = async () => {
    if (signal.aborted) return;
    // What somebody is about to press stays where it is.
    if (!document.hidden && !document.querySelector("dialog[open]") && !view.contains(document.activeElement)) await draw().catch(() => {});
    setTimeout(again, EVERY);
  };
  setTimeout(again, EVERY);
}

async function list(view) {
  const body = h("div", { class: "stack" });
  fill(view, head("Keys", "Each key of a provider, what it has left, and why it rests",
    button("Check all", checkAll), button("Add a key", () => add(draw), "primary")), body);
  async function draw() {
    const { keys } = await ask("admin/api/keys");
    fill(body, card("", table([
      { title: "Key", cell: (key) => key.key },
      { title: "State", class: "tight", cell: state },
      { title: "Provider", cell: (key) => key.provider },
      { title: "Least left", cell: left },
      { title: "Why it rests", cell: (key) => h("span", { class: "quiet" }, key.why || "") },
      { title: "", class: "end", cell: (key) => h("div", { class: "actions" }, actions(key, draw)) },
    ], keys, { caption: "Keys of providers", open: (key) => `#/keys/${quoted(key.key)}` })));
  }
  async function checkAll() {
    const { keys } = await send("admin/health-check");
    const bad = keys.filter((key) => !key.ok);
    tell(bad.length ? `${bad.length} of ${keys.length} keys do not work: ${bad.map((key) => key.key).join(", ")}.` : `All ${keys.length} keys work.`, bad.length ? "bad" : "good");
    await draw();
  }
  return draw;
}

const state = (key) => badge(KINDS[key.state], STATES[key.state], key.ready_in ? `, back in ${seconds(key.ready_in)}` : "");

function left(key) {
  const tight = tightest(key);
  if (key.state !== "ready") return "";
  if (!tight) return h("span", { class: "quiet" }, "no limit known");
  return h("div", { class: "stack-tight" }, meter(tight.part, `${percent(tight.part)} left of ${limitWords(tight)}`, { invert: true }), h("span", { class: "quiet" }, `${percent(tight.part)} of ${limitWords(tight)}`));
}

function actions(key, draw, size = "small") {
  const act = (action, words) => async () => {
    await send(`admin/api/keys/${quoted(key.key)}/${action}`);
    tell(words, "good", undoOf(draw));
    await draw();
  };
  const check = button("Check", async () => {
    const told = await send(`admin/api/keys/${quoted(key.key)}/check`);
    tell(told.ok ? `${key.key} works: it answered in ${seconds(told.seconds)}.` : `${key.key} does not work: ${told.reason}.`, told.ok ? "good" : "bad");
    await draw();
  }, size);
  const isAway = key.state === "paused" || key.state === "retired";
  return [
    check,
    isAway ? button("Resume", act("resume", `${key.key} is used again.`), size) : button("Pause", act("pause", `${key.key} is paused; what is under way goes on.`), size),
  ];
}

function add(draw) {
  return dialog("Add a key", {
    words: "It is used at once. It is kept encrypted where the gateway has prompt_keys; otherwise until this gateway ends.",
    fields: [
      { name: "provider", label: "Provider", required: true, placeholder: "groq", hint: "A known one, such as groq, openai, mistral or gemini; or any name with an address." },
      { name: "key", label: "Key", kind: "secret", required: true },
      { name: "name", label: "Name", hint: "Shown in its place. Made from the provider when empty." },
      { name: "base_url", label: "Address", placeholder: "https://llm.example.org/v1", hint: "Only where the provider is not a known one." },
      { name: "models", label: "Models", kind: "list", hint: "Separated by commas. Empty for those of the provider." },
    ],
    send: "Add",
    act: async (given) => {
      const body = Object.fromEntries(Object.entries(given).filter(([, value]) => value.length));
      const told = await send("admin/api/keys", body);
      tell(`${told.key} is there${told.lasts ? "" : ", until this gateway ends"}.`, "good", undoOf(draw));
      await draw();
    },
  });
}

async function one(view, { signal }, id) {
  const body = h("div", { class: "stack" });
  const drawn = h("div", {}), whose = h("div", {});
  const actionsAt = h("div", { class: "actions" });
  fill(view, back("#/keys", "Keys"), head(id, "", actionsAt), body, card("What was left, in the last three hours", [drawn, whose]));
  let chart = null;
  signal.addEventListener("abort", () => chart?.close());
  const colours = ["--accent", "--chart-good", "--chart-warn", "--other", "--chart-bad"];

  async function past() {
    const { limits, shared } = await ask("admin/api/headroom", { query: { key: id } });
    fill(whose, !shared && quiet("As this gateway saw it: there is no ledger, or it is away."));
    const times = [...new Set(limits.flatMap((limit) => limit.points.map(([at]) => at)))].sort((a, b) => a - b);
    if (times.length < 2) return chart || fill(drawn, quiet("The curve begins a minute after the gateway."));
    const series = limits.slice(0, colours.length).map((limit, number) => {
      const known = new Map(limit.points);
      return { label: `${limitWords(limit)}${limit.model ? ` of ${limit.model}` : ""}`, colour: colours[number], values: times.map((at) => known.get(at) ?? null) };
    });
    const words = series.map((row) => `${row.label}: ${percent(row.values.at(-1))} left`).join("; ");
    if (chart) chart.update(times, series, words);
    else chart = curves(drawn, { times, series, words, most: 1.05, format: (value) => percent(value), height: 180 });
    return chart;
  }

  async function draw() {
    const { keys } = await ask("admin/api/keys");
    const key = keys.find((each) => each.key === id);
    if (!key) {
      fill(body, quiet("There is no key of this name any more."));
      return;
    }
    fill(actionsAt, actions(key, draw, ""), key.state !== "retired" && button("Retire", () => confirmed(`Retire ${id}?`, "It is not used any more until somebody resumes it. What is under way goes on.", "Retire", async () => {
      await send(`admin/api/keys/${quoted(id)}/retire`);
      tell(`${id} is retired.`, "good", undoOf(draw));
      await draw();
    }), "danger"), key.added && button("Remove", () => confirmed(`Remove ${id}?`, "The gateway forgets it. The change can be undone.", "Remove", async () => {
      await send(`admin/api/keys/${quoted(id)}`, undefined, "DELETE");
      tell(`${id} is removed.`, "good", undoOf(async () => {}));
      location.hash = "#/keys";
    }), "danger"));
    fill(body, h("div", { class: "two" },
      card("State", facts([
        ["State", state(key)], key.why && ["Why it rests", key.why], key.do && ["What to do", key.do],
        ["Provider", key.provider], key.quota_group && ["Shares its limits in", key.quota_group],
        key.without && ["Without the models", key.without.join(", ")],
        ["From", key.added ? "the console" : "the configuration"],
      ])),
      card("Limits", table([
        { title: "Limit", cell: (limit) => [limitWords(limit), limit.model && h("span", { class: "quiet" }, ` of ${limit.model}`)] },
        { title: "Used", class: "num", cell: (limit) => count(limit.used) },
        { title: "Of", class: "num", cell: (limit) => count(limit.limit) },
        { title: "Left", cell: (limit) => meter(1 - limit.used / limit.limit, `${percent(1 - limit.used / limit.limit)} left`, { invert: true }) },
      ], key.limits.filter((limit) => limit.limit), { empty: "No limit is known. The gateway learns them from the provider's replies.", caption: "Limits of this key" }))));
    await past();
  }
  return draw;
}
