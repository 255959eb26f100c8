// What sections are made of: cards, tables, badges, meters, forms, dialogs, words at the edge.

import { fill, h, icon } from "./dom.js";
import { percent } from "./format.js";

/** A card with a title, and beside it what belongs there: card("Keys", {beside: link}, …). */
export function card(title, ...children) {
  const beside = children[0]?.beside !== undefined ? children.shift().beside : null;
  return h("section", { class: "card" }, title && h("div", { class: "card-head" }, h("h2", {}, title), beside), children);
}


export const badge = (kind, ...words) => h("span", { class: `badge ${kind}` }, words);
export const quiet = (...words) => h("p", { class: "quiet" }, words);

/** The head of a section: its name, words beside it, and what can be done. */
export const head = (title, words, ...actions) =>
  h("div", { class: "head" }, h("div", {}, h("h1", {}, title), words && h("p", { class: "quiet" }, words)), h("div", { class: "actions" }, actions));

/** A way back to the list that this belongs to. */
export const back = (href, words) => h("a", { class: "back", href }, icon("back", 14), words);

/** A bar of a part of something, which says in words what it shows. */
export function meter(part, words, { invert = false, plain = false } = {}) {
  const shown = Math.max(0, Math.min(1, part));
  const used = invert ? 1 - shown : shown;
  const kind = plain ? "good" : used >= 1 ? "bad" : used >= 0.8 ? "warn" : "good";
  return h("div", { class: `meter ${kind}`, role: "img", "aria-label": words, title: words },
    h("span", { vars: { "--part": `${(shown * 100).toFixed(1)}%` } }));
}

/** What is used of a limit: "12 of 40", with a bar. */
export function use(label, current, limit, format = (value) => value.toLocaleString("en")) {
  const words = limit === null || limit === undefined ? format(current) : `${format(current)} of ${format(limit)}`;
  return h("div", { class: "use" }, h("span", { class: "use-name" }, label), h("span", { class: "use-words" }, words),
    limit ? meter(current / limit, `${label}: ${words}, ${percent(current / limit)}`) : limit === 0 ? badge("bad", "none allowed") : h("span", {}));
}

/**
 * A table. Columns: {title, cell(row), class, sort}. With `open(row)` a row's first cell is a link to it.
 * Rows that there are none of say `empty`.
 */
export function table(columns, rows, { empty = "Nothing yet.", caption = "", open } = {}) {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  const cell = (column, row, first) => {
    const shown = column.cell(row);
    const inside = first && open ? h("a", { href: open(row) }, shown === "" ? "(none)" : shown) : shown;
    // One element in each cell: on a phone its column's title stands beside it.
    const whole = inside instanceof Node ? inside : inside === "" || inside === false || inside === null || inside === undefined ? null : h("span", {}, inside);
    return h(first ? "th" : "td", { class: column.class, scope: first ? "row" : null, "data-title": column.title }, whole);
  };
  return h("div", { class: "table", tabindex: "0", role: "region", "aria-label": caption || "Table" },
    h("table", {}, caption && h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, columns.map((one) => h("th", { class: one.class, scope: "col" }, one.title || h("span", { class: "hidden" }, "Actions"))))),
      h("tbody", {}, rows.map((row) => h("tr", {}, columns.map((one, at) => cell(one, row, at === 0)))))));
}

/** A list in pages: `load(after)` brings {rows, next}, `show(rows)` a node for those that have come. */
export function paged(load, show) {
  const rows = [];
  const body = h("div", {}, quiet("Loading …"));
  const more = h("button", { class: "small", hidden: true, on: { click: () => step() } }, "Show more");
  let next = "";
  async function step() {
    more.disabled = true;
    try {
      const found = await load(next);
      rows.push(...found.rows);
      next = found.next || "";
      fill(body, show(rows));
      more.hidden = !next;
    } catch (error) {
      if (error.name !== "AbortError") fill(body, trouble(error));
    }
    more.disabled = false;
  }
  const ready = step();
  return Object.assign(h("div", { class: "paged" }, body, more), { ready });
}

/** An error where something should have been. */
export const trouble = (error) => h("p", { class: "trouble", role: "alert" }, icon("bad", 16), h("span", {}, error.message));

export const button = (words, act, kind = "", more = {}) =>
  h("button", { type: "button", class: kind, on: { click: (event) => during(event.currentTarget, act) }, ...more }, words);

/** Run something that a button began: pressing it again does nothing meanwhile, and errors are told. */
export async function during(pressed, act) {
  if (pressed.getAttribute("aria-busy")) return; // it is not disabled, or it would lose the focus
  pressed.setAttribute("aria-busy", "true");
  try {
    await act();
  } catch (error) {
    if (error.name !== "AbortError") tell(error.message, "bad");
  } finally {
    pressed.removeAttribute("aria-busy");
  }
}

/** Say something at the edge of the window for a while; `undo` adds a button that takes it back. */
export function tell(words, kind = "good", undo) {
  const node = h("div", { class: `toast ${kind}` }, icon(kind === "bad" ? "bad" : "good", 16), h("span", {}, words));
  if (undo) node.append(button("Undo", async () => { await undo(); node.remove(); }, "small"));
  node.append(h("button", { class: "plain", "aria-label": "Dismiss", on: { click: () => node.remove() } }, icon("close", 14)));
  document.getElementById("toasts").append(node);
  setTimeout(() => node.remove(), kind === "bad" ? 15_000 : 9_000);
}

/** A dialog with a form. `act(values)` may return false to keep it open. Resolves to whether it was sent. */
export function dialog(title, { words, fields = [], send = "Save", danger = false, act, content }) {
  return new Promise((done) => {
    const told = h("div", { "aria-live": "polite" });
    const cancel = h("button", { type: "button", on: { click: () => box.close() } }, content ? "Close" : "Cancel");
    const go = act && h("button", { class: danger ? "danger" : "primary" }, send);
    const form = h("form", { method: "dialog" }, h("h2", {}, title), words && h("p", {}, words), fields.map(field), content, told,
      h("div", { class: "actions" }, cancel, go));
    const box = h("dialog", { class: "dialog", "aria-label": title }, form);
    let sent = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!go) return box.close();
      go.disabled = true;
      try {
        if ((await act(values(form, fields))) !== false) {
          sent = true;
          box.close();
        }
      } catch (error) {
        fill(told, trouble(error));
      }
      go.disabled = false;
      return undefined;
    });
    box.addEventListener("close", () => {
      box.remove();
      done(sent);
    });
    document.body.append(box);
    box.showModal();
  });
}

/** Ask before something that cannot be taken back, or hurts. */
export const confirmed = (title, words, send, act) => dialog(title, { words, send, danger: true, act });

let fieldsMade = 0;

/** One field of a form: {name, label, kind, value, hint, options, required, placeholder}. */
export function field(one) {
  fieldsMade += 1;
  const id = `f-${one.name}-${fieldsMade}`; // there may be several forms with fields of one name
  const common = { id, name: one.name, required: one.required, "aria-describedby": one.hint ? `${id}-hint` : null };
  let input;
  if (one.kind === "choice") {
    input = h("select", common, one.options.map(([value, words]) => h("option", { value, selected: value === (one.value ?? "") }, words)));
  } else if (one.kind === "long") {
    input = h("textarea", { ...common, rows: one.rows || 4, value: one.value ?? "" });
  } else if (one.kind === "truth") {
    return h("div", { class: "field truth" }, h("input", { ...common, type: "checkbox", checked: Boolean(one.value) }),
      h("label", { for: id }, one.label), one.hint && h("small", { id: `${id}-hint` }, one.hint));
  } else {
    input = h("input", {
      ...common, type: one.kind === "secret" ? "password" : "text", inputmode: one.kind === "number" ? "decimal" : null,
      autocomplete: one.kind === "secret" ? "new-password" : "off", value: one.value ?? "", placeholder: one.placeholder,
      spellcheck: "false", pattern: one.kind === "number" ? "[0-9]*[.]?[0-9]*" : null,
    });
  }
  return h("div", { class: "field" }, h("label", { for: id }, one.label), input, one.hint && h("small", { id: `${id}-hint` }, one.hint));
}

/** What a form holds, by name: numbers as numbers or null, lists as lists, and what was ticked as truth. */
export function values(form, fields) {
  const given = {};
  for (const one of fields) {
    const input = form.elements[one.name];
    const text = input.value.trim();
    if (one.kind === "truth") given[one.name] = input.checked;
    else if (one.kind === "number") given[one.name] = text === "" ? null : Number(text);
    else if (one.kind === "list") given[one.name] = text.split(/[\s,]+/).filter(Boolean);
    else given[one.name] = text;
  }
  return given;
}

/** A row of choices of which one is taken, such as spans of time: a group of buttons. */
export function choices(label, options, chosen, act) {
  return h("div", { class: "choices", role: "group", "aria-label": label }, options.map(([value, words]) =>
    h("button", { type: "button", class: "small", "aria-pressed": String(value === chosen), on: { click: () => act(value) } }, words)));
}

/** Names and values. */
export const facts = (rows) => h("dl", { class: "facts" }, rows.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

/** A card with a form that is sent as a whole. */
export function formCard(title, fields, words, act) {
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
