// The conversations that are kept, this notebook's first: found by their words, opened, renamed, exported, deleted.

import { button, download, make } from "./dom.js";

const PAUSE = 250; // ms after the last letter, before a search
const DAY = 86400000;
const PROTECTS =
  "What is kept is encrypted by a key beside it, for you alone: in a copy of the database without the key no word can be read. " +
  "Who can read your whole home folder can read it.";

export class Library {
  constructor(view) {
    this.view = view;
  }

  open() {
    const { view } = this;
    this.words = make("input", {
      type: "search",
      className: "rsql-search",
      "aria-label": "Search conversations",
      placeholder: "Search questions, answers and queries",
      maxLength: 200,
    });
    this.words.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.draw(), PAUSE);
    });
    this.list = make("div", { className: "rsql-kept" });
    this.found = make("p", { className: "rsql-small", role: "status" });
    view.dialog("Conversations", this.words, this.found, this.list, this.forgetting());
    this.words.focus();
    return this.draw();
  }

  async draw() {
    this.here = new Map();
    this.elsewhere = new Map();
    await this.take(null);
  }

  // What is found first, or in the part of a search that comes next.
  async take(further) {
    const words = this.words.value.trim();
    const told = await this.view.ask("kept", { words, further });
    if (!told || words !== this.words.value.trim()) return; // somebody typed on
    for (const rows of ["here", "elsewhere"]) for (const row of told[rows]) this[rows].set(row.id, row);
    const count = this.here.size + this.elsewhere.size;
    const many = `${count} conversation${count === 1 ? "" : "s"}`;
    const more = told.rest ? "not all are looked through yet" : "there may be more: search for another word";
    this.found.textContent = told.whole ? many : `${many}, and ${more}.`;
    this.list.replaceChildren(
      ...this.group("This notebook", [...this.here.values()]),
      ...this.group("Other notebooks", [...this.elsewhere.values()], true),
      told.rest ? this.further(told.rest) : "",
    );
    if (further) (this.list.querySelector(".rsql-further") ?? this.words).focus();
  }

  further(rest) {
    const label = "Search further, in what is older";
    const more = button(label, "", () => [(more.disabled = true), this.take(rest)], {
      text: "Search further",
      className: "rsql-further",
    });
    return more;
  }

  group(title, rows, named = false) {
    if (!rows.length) return [];
    return [
      make("p", { className: "rsql-group", textContent: title }), // no heading: answers have theirs
      make("ul", { "aria-label": title }, ...rows.map((row) => make("li", {}, this.opener(row, named), this.tools(row)))),
    ];
  }

  opener(row, named) {
    const { view } = this;
    const where = [named && row.notebook, turns(row.turns), day(row.changed)].filter(Boolean).join(" · ");
    const open = button(
      `Open ${row.title}`,
      "",
      async () => {
        view.dismiss(view.root);
        await (view.ready = view.sync(row.id, row.pair));
        view.composer.box.focus();
      },
      { text: row.title, className: "rsql-thread", "aria-current": row.id === view.thread ? "true" : undefined },
    );
    open.append(make("small", { textContent: where }));
    if (row.text) open.append(make("small", { className: "rsql-around", textContent: row.text }));
    return open;
  }

  tools(row) {
    const save = (form, name) =>
      button(`Save ${row.title} as ${name}`, "", () => this.save(row, form), { text: name, className: "rsql-link" });
    const erase = button(`Delete ${row.title}`, "", () => this.erase(row, erase), {
      text: row.shared ? "Clear" : "Delete",
      className: "rsql-link",
    });
    const rename = button(`Rename ${row.title}`, "", () => this.rename(row, rename), {
      text: "Rename",
      className: "rsql-link",
    });
    return make(
      "span",
      { className: "rsql-tools" },
      row.shared ? "" : rename,
      save("markdown", "Markdown"),
      save("json", "JSON"),
      erase,
    );
  }

  async save({ id: thread }, form) {
    const told = await this.view.ask("export", { thread, form });
    if (told) download(told.name, told.text ?? told.markdown, form === "json" ? "application/json" : "text/markdown");
  }

  rename(row, opener) {
    const name = make("input", { value: row.title, "aria-label": "Name of the conversation", maxLength: 80 });
    name.addEventListener("keydown", async (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        name.replaceWith(opener);
        opener.focus();
      } else if (event.key === "Enter" && (await this.view.ask("rename", { thread: row.id, title: name.value }))) {
        await this.draw();
        this.words.focus();
      }
    });
    opener.replaceWith(name);
    name.select();
  }

  // What cannot be taken back asks a second time.
  async erase(row, opener) {
    if (!asked(opener, "Really?")) return;
    const request = this.view.ask("delete", { thread: row.id });
    if (!(await (row.id === this.view.thread ? this.view.shown(request) : request))) return;
    await this.draw();
    this.words.focus();
  }

  forgetting() {
    const all = button("Delete all conversations of all notebooks", "", () => this.forget(all), {
      text: "Delete everything …",
      className: "rsql-link",
    });
    return make("footer", {}, make("p", { className: "rsql-small", textContent: PROTECTS }), all);
  }

  async forget(opener) {
    if (!asked(opener, "Really delete all conversations of all notebooks?")) return;
    const told = await this.view.ask("forget", {});
    await this.view.sync(""); // of what failed at the gateway, all is gone here
    if (!told) return;
    this.view.say(`Deleted ${told.gone} conversation${told.gone === 1 ? "" : "s"}.`);
    await this.draw();
  }
}

function asked(opener, question) {
  if (opener.dataset.asked) return true;
  Object.assign(opener.dataset, { asked: "yes" });
  opener.textContent = question;
  opener.setAttribute("aria-label", `${opener.title}: ${question}`);
  return false;
}

const turns = (count) => `${count} question${count === 1 ? "" : "s"}`;

function day(seconds) {
  const at = new Date(seconds * 1000);
  const near = Date.now() - at < DAY;
  return at.toLocaleString([], near ? { timeStyle: "short" } : { dateStyle: "medium" });
}
