// Where questions are written.

import { button, icon, make, tokens } from "./dom.js";
import { Dropped } from "./dropped.js";

const ASKING = "Ask …  @ data, # cells, / commands";
const DOING = "Say what should change in the notebook …  you decide about each change";

export class Composer {
  constructor(view) {
    this.view = view;
    this.past = -1;
    this.box = make("textarea", {
      rows: 1,
      placeholder: ASKING,
      "aria-label": "Message",
      "aria-haspopup": "listbox",
      "aria-autocomplete": "list",
      "aria-controls": `${view.wire.id}-list`,
    });
    this.list = make("ul", {
      className: "rsql-list",
      role: "listbox",
      id: `${view.wire.id}-list`,
      hidden: true,
      "aria-label": "suggestions",
    });
    this.chips = make("div", { className: "rsql-chips", "aria-label": "context" });
    this.banner = make(
      "div",
      { className: "rsql-editing", hidden: true },
      "Editing: what came after is replaced. ",
      button("Cancel editing", "", () => this.edit(null), { text: "Cancel", className: "rsql-link" }),
    );
    this.model = make(
      "select",
      { className: "rsql-models", "aria-label": "Model", title: "Model" },
      make("option", { value: "", textContent: "default model" }),
    );
    this.model.addEventListener("focus", () => this.fill(), { once: true });
    this.go = button("Send", "send", () => (this.running ? view.stop() : this.send()), { className: "rsql-go" });
    this.does = button("Do it in the notebook instead of answering", "", () => this.toggle(), {
      text: "Do",
      className: "rsql-does",
      "aria-pressed": "false",
    });
    this.seen = button("Show exactly what would be sent", "eye", () => view.preview(), { text: "" });
    this.dropped = new Dropped(view);
    const choose = button("Add a picture, or a table from a file", "attach", () => this.dropped.chooser.click());
    this.node = make(
      "form",
      { className: "rsql-composer" },
      this.list,
      this.banner,
      this.chips,
      this.dropped.node,
      this.box,
      this.dropped.chooser,
      make("div", { className: "rsql-row" }, this.does, this.model, choose, this.seen, make("span", { className: "rsql-grow" }), this.go),
    );
    this.node.addEventListener("submit", (event) => event.preventDefault());
    this.box.addEventListener("input", () => this.changed());
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("blur", () => setTimeout(() => this.offer([]), 150));
    this.list.addEventListener("mousedown", (event) => {
      // before the box loses the focus
      event.preventDefault();
      const item = event.target.closest("li");
      if (item) this.take([...this.list.children].indexOf(item));
    });
  }

  async fill() {
    for (const name of await this.view.models()) this.model.append(make("option", { value: name, textContent: name }));
  }

  get text() {
    return this.box.value;
  }

  set text(text) {
    this.box.value = text;
    this.changed();
  }

  set running(on) {
    this.isRunning = on;
    this.go.replaceChildren(icon(on ? "stop" : "send"));
    this.go.title = on ? "Stop (Esc)" : "Send (Enter)";
    this.go.setAttribute("aria-label", on ? "Stop" : "Send");
    this.go.classList.toggle("rsql-stop", on);
  }

  get running() {
    return this.isRunning;
  }

  add(text) {
    const gap = this.text && !/\s$/.test(this.text) ? " " : "";
    this.text += gap + text;
    this.box.focus();
  }

  edit(told) {
    this.replaces = told?.id ?? "";
    this.banner.hidden = !told;
    this.text = told?.question ?? "";
    if (told) this.doing = told.task === "do";
    this.box.focus();
  }

  // Whether what is typed is to be done in the notebook, as changes of cells that the user decides about.
  get doing() {
    return this.does.getAttribute("aria-pressed") === "true";
  }

  set doing(on) {
    this.does.setAttribute("aria-pressed", String(on));
    this.box.placeholder = on ? DOING : ASKING;
  }

  toggle() {
    const why = this.view.notebook.whyNot;
    if (why) this.view.say(why, true);
    else this.doing = !this.doing;
    this.box.focus();
  }

  // What is sent, and the preview of it that was looked at.
  get message() {
    const { text, replaces = "", seen, doing } = this;
    const how = { model: this.model.value, pictures: this.dropped.sent, doing: doing && !text.startsWith("/") };
    const message = { text, replaces, ...how };
    return { ...message, seen: seen && seen.of === JSON.stringify(message) ? seen.name : "" };
  }

  looked(name, { text, replaces, model, pictures, doing }) {
    this.seen = { name, of: JSON.stringify({ text, replaces, model, pictures, doing }) };
  }

  async send() {
    const { text, ...how } = this.message;
    if (!(text.trim() || how.pictures.length) || this.running) return;
    if (how.doing && how.pictures.length) return this.view.say("Pictures go with questions; take them out, or ask.", true);
    const sent = await this.view.send(text, how);
    if (!sent) return; // the text stays where it can be mended
    this.seen = null;
    this.dropped.clear();
    this.replaces = "";
    this.banner.hidden = true;
    // What was typed while it was on its way stays.
    if (this.text.startsWith(text)) this.text = this.text.slice(text.length);
    this.past = -1;
  }

  changed() {
    // Measuring a huge text takes long, and it is higher than the box may be anyway.
    this.box.style.height = "auto";
    this.box.style.height = this.text.length > 5000 ? "" : `${Math.min(this.box.scrollHeight + 2, 180)}px`;
    this.box.classList.toggle("rsql-tall", this.text.length > 5000);
    this.completing = this.complete();
    clearTimeout(this.later);
    this.later = setTimeout(() => this.look(), 250);
  }

  // What the message names, and what that adds to it.
  async look() {
    const text = this.text;
    if (!/(^|[\s(])@\w/.test(text) || text.length > 100000) return this.chips.replaceChildren();
    const told = await this.view.quietly("chips", { thread: this.view.thread, text });
    if (!told || text !== this.text) return undefined;
    // A name that is still being typed is not missing yet.
    const typing = this.text.slice(0, this.box.selectionStart);
    const chips = told.chips.filter(({ text: name, missing }) => !missing || !typing.endsWith(name));
    return this.chips.replaceChildren(
      ...chips.map((chip) => this.chip(chip)),
      told.tokens ? make("span", { className: "rsql-small", textContent: `≈ ${tokens(told.tokens)} in all` }) : "",
    );
  }

  chip({ text, kind, tokens: count, missing, shown }) {
    const open = button(missing || `Show what is sent of ${text}`, "", () => this.view.show(text, shown || missing), {
      text: missing ? `${text} is gone` : `${text} · ${kind === "waiting" ? "after the cell" : tokens(count)}`,
      className: "rsql-link",
    });
    return make(
      "span",
      { className: `rsql-chip rsql-${kind}${missing ? " rsql-missing" : ""}` },
      open,
      button(`Remove ${text}`, "close", () => this.remove(text)),
    );
  }

  remove(text) {
    this.text = this.text.split(text).join("").replace(/ {2,}/g, " ");
    this.box.focus();
  }

  get before() {
    return this.text.slice(0, this.box.selectionStart);
  }

  // Completion of @names and /commands.
  async complete() {
    const { before } = this;
    const slash = /^\/(\w*)$/.exec(before);
    const commands = slash ? this.view.commands.filter(({ label }) => label.startsWith(before)) : [];
    if (slash) return this.offer(commands.some(({ label }) => label === before) ? [] : commands, before.length);
    const at = /(?:^|[\s(])@([\w:./-]*)$/.exec(before) ?? /(?:^|[\s(])(#[\w.]*)$/.exec(before);
    if (!at) return this.offer([]);
    const told = await this.view.quietly("complete", { prefix: at[1] });
    if (this.before !== before) return undefined;
    const known = told?.items ?? [];
    const unrun = at[1].startsWith("#") ? this.view.notebook.offers(at[1].slice(1), known) : [];
    const exact = known.length === 1 && known[0].label === `@${at[1]}`;
    return this.offer(exact ? [] : [...known, ...unrun], at[0].trimStart().replace(/^\(/, "").length);
  }

  // Show what can be taken in place of the last so many characters before the cursor.
  offer(items, length = 0) {
    this.items = items;
    this.start = this.before.length - length;
    this.list.replaceChildren(
      ...items.map(({ label, kind, detail }, index) =>
        make(
          "li",
          { role: "option", id: `${this.list.id}-${index}` },
          make("b", { textContent: label }),
          make("i", { textContent: kind }),
          make("span", { textContent: detail }),
        ),
      ),
    );
    if (items.length && this.list.hidden) this.view.voice.textContent = "Suggestions; arrows choose, Tab takes.";
    this.list.hidden = !items.length;
    this.choose(0);
  }

  choose(index) {
    this.chosen = index;
    [...this.list.children].forEach((item, place) => item.setAttribute("aria-selected", String(place === index)));
    const item = this.list.children[index];
    item?.scrollIntoView({ block: "nearest" });
    if (item) this.box.setAttribute("aria-activedescendant", item.id);
    else this.box.removeAttribute("aria-activedescendant");
  }

  // What is taken replaces all that was typed of it, also since it was offered.
  take(index) {
    if (this.box.selectionStart < this.start) return this.offer([]); // the cursor has left the word
    const { label, insert = `${label} ` } = this.items[index];
    this.box.setRangeText(insert, this.start, this.box.selectionStart, "end");
    this.offer([]);
    this.changed();
    return this.box.focus();
  }

  key(event) {
    if (event.isComposing) return;
    const open = !this.list.hidden;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (open && step) this.choose((this.chosen + step + this.items.length) % this.items.length);
    else if (open && (event.key === "Tab" || (event.key === "Enter" && !event.shiftKey))) this.takeChosen(event.key);
    else if (event.key === "Escape") this.escape(open);
    else if (event.key === "Enter" && !event.shiftKey) this.send();
    else if (event.key === "ArrowUp" && (!this.text || this.past >= 0)) this.recall(1);
    else if (event.key === "ArrowDown" && this.past >= 0) this.recall(-1);
    else return;
    event.preventDefault();
  }

  // A quick typist's key comes before the suggestions for what was typed last: these are waited for.
  async takeChosen(key) {
    const { before } = this;
    await this.completing;
    if (this.before !== before) return;
    if (!this.list.hidden) this.take(this.chosen);
    else if (key === "Enter") this.send();
  }

  escape(open) {
    if (open) this.offer([]);
    else if (this.running) this.view.stop();
    else if (this.replaces) this.edit(null);
  }

  recall(step) {
    const past = this.view.questions();
    this.past = Math.max(-1, Math.min(past.length - 1, this.past + step));
    this.box.value = past[this.past] ?? "";
  }
}
