// The chat panel's view.
//
// A view holds nothing that the kernel does not: it asks for the conversation when it is drawn, and is told of changes.
// Words: a thread is a conversation, an exchange a question with its answer.

import { Composer } from "./composer.js";
import { button, copy, download, make, soon, tokens } from "./dom.js";
import { Exchange } from "./exchange.js";
import { Files } from "./files.js";
import { Library } from "./kept.js";
import { nearest } from "./limits.js";
import { Notebook } from "./notebook.js";
import { clean } from "./safe.js";
import { Wire } from "./wire.js";

const NEAR = 40; // pixels from the end that count as being there

export class View {
  constructor(model, el) {
    this.notebook = new Notebook(model, el);
    this.wire = new Wire(model, (told) => this.hear(told));
    this.exchanges = new Map();
    this.commands = [];
    this.threads = [];
    this.places = new Map(); // where somebody read in a conversation
    this.known = new Map(); // formulas by their text
    this.draw(el);
    this.watch();
    this.forgetCells = this.notebook.watch(() => this.edits());
    this.ready = this.sync(); // what is sent before waits for it
  }

  draw(el) {
    this.composer = new Composer(this);
    this.title = button("Conversations", "chevron", () => this.toggle(this.menu, this.title), {
      className: "rsql-title",
      "aria-expanded": "false",
      "aria-haspopup": "true",
    });
    this.title.prepend(make("span", { textContent: "…" }));
    this.meter = button("Your limits", "", () => this.send("/usage"), { className: "rsql-meter", hidden: true });
    this.menu = make("div", { className: "rsql-menu", role: "menu", "aria-label": "Go to", hidden: true });
    this.more = make("div", { className: "rsql-menu rsql-more", role: "menu", "aria-label": "Actions", hidden: true });
    const open = button("More", "more", () => this.toggle(this.more, open), {
      "aria-expanded": "false",
      "aria-haspopup": "true",
    });
    const header = make(
      "header",
      {},
      this.title,
      this.meter,
      make("span", { className: "rsql-grow" }),
      button("New conversation", "plus", () => this.begin()),
      open,
      this.menu,
      this.more,
    );
    this.log = make("div", { className: "rsql-log", role: "log", "aria-label": "Conversation", tabIndex: 0 });
    this.down = button("To the end", "chevron", () => this.follow(true), { className: "rsql-down", hidden: true });
    this.state = make("div", { className: "rsql-banner", role: "status", hidden: true });
    this.trouble = make("div", { className: "rsql-trouble", role: "status", hidden: true });
    this.voice = make("div", { className: "rsql-hidden", "aria-live": "polite" });
    this.toast = make("div", { className: "rsql-toast", role: "status", hidden: true });
    this.sheet = make("div", { className: "rsql-sheet", role: "dialog", "aria-modal": "true", hidden: true });
    this.root = make(
      "section",
      { className: "rsql-panel", "aria-label": "Chat about this notebook" },
      header,
      this.state,
      this.trouble,
      make("div", { className: "rsql-middle" }, this.log, this.down, this.toast),
      this.composer.node,
      this.sheet,
      this.voice,
    );
    this.root.addEventListener("keydown", (event) => this.keys(event));
    for (const name of ["pointerdown", "focusin"])
      this.root.addEventListener(name, (event) => this.dismiss(event.target));
    this.composer.dropped.watch(this.root);
    this.log.addEventListener("scroll", () => this.scrolled(), { passive: true });
    for (const name of ["wheel", "pointerdown", "keydown"])
      this.log.addEventListener(name, () => this.held && this.let(), { passive: true });
    this.near = new IntersectionObserver(
      (seen) => {
        for (const { isIntersecting, target } of seen)
          if (isIntersecting) {
            target.exchange.appear();
            this.near.unobserve(target);
          }
      },
      { root: this.log, rootMargin: "600px" },
    );
    this.stuck = true;
    this.top = 0; // where it was scrolled to last
    this.composer.running = false;
    el.append(this.root);
  }

  close() {
    this.wire.detach();
    this.near.disconnect();
    this.unwatch?.();
    this.forgetCells();
  }

  // Tell the results of a turn's cells once more, when an answer to them failed.
  resend(exchange) {
    const all = [...this.exchanges.values()];
    all[all.indexOf(exchange) - 1]?.set?.send();
  }

  // Proposed changes are drawn anew when a cell was edited meanwhile; typing makes many edits.
  edits() {
    clearTimeout(this.edited);
    this.edited = setTimeout(() => {
      for (const { set } of this.exchanges.values()) set?.refresh();
    }, 150);
  }

  keys(event) {
    // The notebook's shortcuts must not fire while somebody types here; saving and the like may.
    if (event.key === "Enter" || !(event.ctrlKey || event.metaKey)) event.stopPropagation();
    const open = [this.sheet, this.menu, this.more].find((node) => !node.hidden);
    if (open && this.within(open, event)) event.preventDefault();
    if (event.key !== "Escape" || event.defaultPrevented) return;
    if (open) this.dismiss(this.root);
    else if (this.composer.running) this.stop();
  }

  // Arrows go through an open menu, Tab closes it; Tab stays within a dialog.
  within(open, { key, shiftKey }) {
    const isMenu = open !== this.sheet;
    if (isMenu && key === "Tab") {
      this.dismiss(this.root);
      return true;
    }
    const step = isMenu ? { ArrowDown: 1, ArrowUp: -1 }[key] : key === "Tab" && (shiftKey ? -1 : 1);
    if (!step) return false;
    const stops = [...open.querySelectorAll("button, input, [tabindex='0']")];
    stops[(stops.indexOf(document.activeElement) + step + stops.length) % stops.length].focus();
    return true;
  }

  // ---- Asking the kernel. ----

  // The reply, or undefined after saying what went wrong.
  ask(name, args) {
    return this.tried(name, args, (error) => this.wrong(error));
  }

  async tried(name, args, failed) {
    try {
      return await this.wire.call(name, args);
    } catch (error) {
      await failed(error);
      return undefined;
    }
  }

  wrong(error) {
    this.say([error.message, error.hint].filter(Boolean).join(" "), true);
  }

  quietly(name, args) {
    return this.tried(name, args, () => {});
  }

  // Draw a conversation as the kernel has it; `exchange` is where to begin to read.
  async sync(thread = this.thread, exchange = "") {
    const told = await this.quietly("hello", { thread: thread ?? "", ...this.notebook.place });
    if (told) this.take(told, exchange);
    else if (thread) await this.elsewhere(thread);
  }

  // In place of a conversation that a new kernel does not know: that of the cells has another id there.
  async elsewhere(thread) {
    const wasShared = this.threads.some(({ id, shared }) => id === thread && shared);
    await this.sync("");
    const own = wasShared && this.threads.find(({ shared }) => shared);
    if (own && own.id !== this.thread) await this.sync(own.id);
  }

  resync() {
    clearTimeout(this.syncing);
    this.syncing = setTimeout(() => this.sync(), 100);
  }

  take(told, exchange = "") {
    this.leave();
    this.wire.widget = told.widget;
    this.commands = told.commands;
    this.keeping = told.keep;
    this.model = told.model;
    this.composer.model.firstChild.textContent = told.model || "default model";
    this.thread = told.thread;
    this.listed(told.threads);
    this.exchanges.clear();
    this.near.disconnect();
    this.log.replaceChildren();
    if (!told.exchanges.length) this.welcome();
    const made = told.exchanges.map((each) => this.made(each));
    this.log.append(...made.map((each) => each.node));
    this.longer(told.earlier);
    this.composer.running = told.exchanges.some(({ state }) => state === "running");
    this.troubled(told.trouble);
    this.goTo(exchange ? { id: exchange, offset: 0 } : this.places.get(told.thread));
    this.meterSoon();
  }

  // ---- The place of reading, and the part of a long conversation that is not here yet. ----

  // Note which answer stands at the top; at the end there is nothing to note.
  leave() {
    this.held = null;
    if (!this.thread) return;
    const top = this.log.getBoundingClientRect().top;
    const first = [...this.exchanges.values()].find((each) => each.node.getBoundingClientRect().bottom > top);
    if (this.stuck || !first) this.places.delete(this.thread);
    else this.places.set(this.thread, { id: first.told.id, offset: top - first.node.getBoundingClientRect().top });
  }

  goTo(place) {
    clearTimeout(this.letting);
    this.held = place && this.exchanges.has(place.id) ? place : null;
    if (!this.held) return this.follow(true);
    this.letting = setTimeout(() => this.let(), 2000);
    this.exchanges.get(place.id).appear();
    return this.hold();
  }

  // What is drawn above it moves it, so it is held until all that is near is drawn, or somebody scrolls.
  hold() {
    const { top } = this.exchanges.get(this.held.id).node.getBoundingClientRect();
    this.stuck = false;
    this.down.hidden = false;
    this.log.scrollTop += top - this.log.getBoundingClientRect().top + this.held.offset;
  }

  let() {
    this.held = null;
    this.scrolled();
  }

  longer(count) {
    this.log.querySelector(".rsql-earlier")?.remove();
    if (!count) return;
    const more = button("Show what was said before", "", () => this.earlier(more), {
      text: `Show what was said before (${count})`,
      className: "rsql-link rsql-earlier",
    });
    this.log.prepend(more);
  }

  async earlier(more) {
    more.disabled = true;
    const told = await this.ask("earlier", { thread: this.thread });
    if (!told) return;
    const below = this.log.scrollHeight - this.log.scrollTop;
    const before = new Map(this.exchanges);
    this.exchanges.clear();
    const made = told.exchanges.map((each) => this.made(each));
    for (const [id, each] of before) this.exchanges.set(id, each);
    this.log.prepend(...made.map((each) => each.node));
    this.longer(told.earlier);
    this.log.scrollTop = this.log.scrollHeight - below;
    this.log.focus();
  }

  // Why nothing is kept now.
  troubled(text) {
    this.trouble.hidden = !text;
    this.trouble.textContent = text ?? "";
  }

  made(told) {
    const exchange = new Exchange(this, told);
    this.exchanges.set(told.id, exchange);
    this.near.observe(exchange.node);
    return exchange;
  }

  welcome() {
    const offers = make("div", { className: "rsql-offers", role: "group", "aria-label": "Questions to begin with" });
    this.log.append(
      make(
        "div",
        { className: "rsql-welcome" },
        make("h2", { textContent: "Ask about this notebook" }),
        make("p", { textContent: "Its frames, R objects, tables and errors. @ names one, / lists commands." }),
        offers,
      ),
    );
    this.offer(offers);
  }

  // Three questions about what is there.
  async offer(room) {
    await this.ready; // they come after the conversation itself
    const told = await this.quietly("starters", {});
    room.append(
      ...(told?.questions ?? ["/help"]).map((text) =>
        button(`Ask: ${text}`, "", () => this.send(text), { text, className: "rsql-offer" }),
      ),
    );
  }

  hear(told) {
    const kinds = {
      slow: () => this.gone || this.offline || this.banner("The kernel is busy; this goes on when it answers."),
      alive: () => this.gone || this.offline || this.banner(""),
      wait: () => this.say(told.text),
      threads: () => {
        this.troubled(told.trouble);
        this.listed(told.threads);
      },
    };
    if (kinds[told.push]) return kinds[told.push]();
    if (told.thread !== this.thread) return undefined;
    const known = this.exchanges.get(told.id);
    if (told.push === "exchange") return this.exchange(told.exchange, known);
    if (!known) return this.resync();
    if (told.push === "text") return known.text(told.at, told.text);
    if (told.push === "status") return known.status(told.status, told.agent);
    return undefined;
  }

  exchange(told, known) {
    if (known) known.update(told);
    else {
      this.log.querySelector(".rsql-welcome")?.remove();
      const made = this.made(told);
      this.log.append(made.node);
      made.appear();
    }
    const running = told.state === "running";
    if (this.composer.running && !running) {
      this.voice.textContent = told.error
        ? "The question failed."
        : told.state === "stopped"
          ? "Stopped."
          : "The answer is complete.";
      this.meterSoon();
    } else if (running) this.voice.textContent = "The answer is being written.";
    this.composer.running = [...this.exchanges.values()].some((each) => each.told.state === "running");
    this.follow();
  }

  // Whether it was taken; what was looked at and is not what would be sent now is shown anew.
  async send(text, { replaces = "", model = "", seen = "", about = null, pictures = [], doing = false } = {}) {
    await this.ready;
    const message = { thread: this.thread, text, model, replaces, seen };
    const asked = doing ? { ...message, notebook: this.notebook.told } : { ...message, about, pictures };
    const told = await this.tried(doing ? "do" : "ask", asked, (error) =>
      error.kind === "Outdated" ? this.preview(true) : this.wrong(error),
    );
    if (!told) return false;
    this.stuck = true;
    if (told.cleared || replaces) await this.sync();
    return true;
  }

  stop() {
    this.ask("stop", { thread: this.thread });
  }

  questions() {
    return [...this.exchanges.values()].map((each) => each.told.question).reverse();
  }

  async models() {
    return (await this.ask("models", {}))?.models ?? [];
  }

  async preview(changed = false) {
    const { seen, doing, pictures, ...message } = this.composer.message;
    const more = doing ? { notebook: this.notebook.told } : { pictures };
    const told = await this.ask(doing ? "do_preview" : "preview", { thread: this.thread, ...message, ...more });
    if (!told) return;
    this.composer.looked(told.seen, { ...message, doing, pictures });
    const notes = [changed && "The notebook has changed since you looked: this would be sent now.", ...told.notes];
    const send = () => {
      this.dismiss(this.root);
      this.composer.send();
    };
    const what = told.seen ? "This will be sent" : "This would be sent";
    this.show(
      `${what}${told.model ? ` to ${told.model}` : ""}: ≈ ${tokens(told.tokens)}`,
      told.messages.map(({ role, content }) => `[${role}]\n${content}`).join("\n\n"),
      {
        notes,
        pictures: told.pictures,
        action: button("Send exactly this", "send", send, { text: "Send", className: "rsql-primary" }),
      },
    );
  }

  // ---- Formulas: the kernel makes MathML of them. ----

  formulas(node, live) {
    const found = [...node.querySelectorAll("code.language-tex-inline, code.language-tex-block")];
    const key = (code) => code.className + code.textContent;
    for (const code of found) {
      const drawn = this.known.get(key(code));
      if (drawn) code.replaceWith(drawn.cloneNode(true));
      else if (!live) (this.wanted ??= []).push(code);
    }
    if (this.wanted?.length && !this.asking) this.asking = setTimeout(() => this.typeset(), 60);
  }

  async typeset() {
    const codes = this.wanted.splice(0, 200);
    this.asking = null;
    const told = await this.quietly("formulas", {
      tex: codes.map((code) => [code.textContent, code.className.endsWith("block")]),
    });
    codes.forEach((code, place) => {
      const math = told?.mathml[place] && clean(told.mathml[place], "formula").querySelector("math");
      if (!math) return;
      math.setAttribute("aria-label", code.textContent);
      this.known.set(code.className + code.textContent, math.cloneNode(true));
      code.replaceWith(math);
    });
  }

  // ---- Colours: likewise. ----

  colour(block) {
    if (!block.language) return;
    (this.plain ??= []).push(block);
    this.colouring ??= setTimeout(async () => {
      const blocks = this.plain.splice(0, 50);
      this.colouring = null;
      const told = await this.quietly("colours", { blocks: blocks.map(({ source, language }) => [source, language]) });
      blocks.forEach((each, place) => told && each.colour(told.pieces[place]));
      if (this.plain.length) this.colour(this.plain.pop());
    }, 30);
  }

  // ---- Scrolling. ----

  scrolled() {
    if (this.held) return;
    const { scrollHeight, scrollTop, clientHeight } = this.log;
    // Text that came since the view was moved to the end is no reason to stay behind; going up is.
    if (scrollHeight - scrollTop - clientHeight < NEAR) this.stuck = true;
    else if (scrollTop < this.top) this.stuck = false;
    this.top = scrollTop;
    this.down.hidden = this.stuck;
  }

  follow(force = false) {
    if (force) this.held = null;
    else if (this.held) return this.hold();
    if (force) this.stuck = true;
    if (!this.stuck || this.following) return;
    this.following = true;
    soon(() => {
      this.following = false;
      if (this.stuck) this.log.scrollTop = this.log.scrollHeight;
      this.down.hidden = this.stuck;
    });
  }

  // ---- Threads and menus. ----

  listed(threads) {
    this.threads = threads;
    const own = threads.find(({ id }) => id === this.thread);
    if (!own) {
      if (this.thread) this.sync("");
      return;
    }
    this.title.firstChild.textContent = own.title;
    this.title.setAttribute("aria-label", `Conversations: ${own.title}`);
    if (!this.menu.hidden) this.drawMenu();
    this.drawMore(own);
  }

  drawMenu() {
    this.menu.replaceChildren(
      ...this.threads.map((thread) => {
        const open = button(
          thread.title,
          "",
          () => {
            this.dismiss(this.root);
            this.sync(thread.id);
          },
          {
            text: thread.title,
            role: "menuitemradio",
            "aria-checked": String(thread.id === this.thread),
            className: "rsql-thread",
          },
        );
        open.append(
          make("small", {
            textContent: thread.busy
              ? "answering …"
              : thread.shared
                ? `${thread.turns} · with the cells`
                : thread.turns,
          }),
        );
        return open;
      }),
      button("New conversation", "plus", () => this.begin(), { text: "New conversation", role: "menuitem" }),
      button("Find and manage all", "", () => this.library(), { text: "Find and manage all …", role: "menuitem" }),
    );
  }

  library() {
    this.dismiss(this.root);
    new Library(this).open();
  }

  drawMore(own) {
    const item = (text, work) =>
      button(
        text,
        "",
        () => {
          this.dismiss(this.root);
          work();
        },
        { text, role: "menuitem" },
      );
    const { thread } = this;
    this.more.replaceChildren(
      item("Copy as Markdown", () =>
        this.exported((told) => copy(told.markdown, this.more).then(() => this.say("Copied."))),
      ),
      item("Save as a Markdown file", () =>
        this.exported((told) => download(told.name, told.markdown, "text/markdown")),
      ),
      item("Save as a JSON file", () =>
        this.exported((told) => download(told.name, told.text, "application/json"), "json"),
      ),
      item("Files of this conversation", () => new Files(this).open()),
      item("Share by a link", () => this.share()),
      item("Take the link back", async () => {
        if (await this.ask("unshare", { thread })) this.say("The link leads nowhere any more.");
      }),
      this.notebook.cells
        ? item("Insert as cells", () =>
            this.exported((told) => {
              this.notebook.insert(told.cells);
              this.say(`Inserted ${told.cells.length} cells below.`);
            }, "cells"),
          )
        : "",
      button("Keep it in the notebook's file", "", () => this.keep(), {
        text: `${this.keeping ? "✓ " : ""}Keep in the notebook’s file`,
        role: "menuitemcheckbox",
        "aria-checked": String(Boolean(this.keeping)),
      }),
      own.shared ? "" : item("Rename", () => this.rename(own)),
      item(own.shared ? "Clear" : "Delete", async () => {
        const told = await this.ask("delete", { thread });
        if (told) this.take(told);
      }),
    );
  }

  // A copy at the gateway, for the instructors of the group; nothing leaves before somebody chose this.
  async share() {
    const told = await this.ask("share", { thread: this.thread });
    if (!told) return;
    const until = new Date(told.until * 1000).toLocaleDateString([], { dateStyle: "medium" });
    const notes = [
      `Instructors of your group can read this conversation by this link until ${until}, and nobody else. ` +
        "It shows the conversation as it is now; share again to renew it.",
    ];
    this.show("Shared by a link", told.link, { notes });
  }

  async exported(then, form = "markdown") {
    const told = await this.ask("export", { thread: this.thread, form });
    if (told) then(told);
  }

  async keep() {
    this.dismiss(this.root);
    this.keeping = !this.keeping;
    await this.ask("keep", { on: this.keeping });
    this.say(
      this.keeping
        ? "The conversation is kept in the notebook’s file."
        : "The conversation is no longer kept in the notebook’s file.",
    );
    this.listed(this.threads);
  }

  async begin() {
    this.dismiss(this.root);
    const told = await this.ask("new", {});
    if (told) this.take(told);
    this.composer.box.focus();
  }

  rename(own) {
    const name = make("input", { value: own.title, "aria-label": "Name of the conversation", maxLength: 80 });
    let ended = false;
    const end = () => {
      if (ended) return; // removing it blurs it
      ended = true;
      name.remove();
      this.title.hidden = false;
      this.title.focus();
    };
    name.addEventListener("keydown", async (event) => {
      if (event.key === "Enter" && (await this.ask("rename", { thread: own.id, title: name.value }))) end();
      else if (event.key === "Escape") {
        event.preventDefault();
        end();
      }
    });
    name.addEventListener("blur", end);
    this.title.hidden = true;
    this.title.before(name);
    name.select();
  }

  toggle(menu, opener) {
    const open = menu.hidden;
    this.dismiss(this.root);
    if (menu === this.menu) this.drawMenu();
    menu.hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
    this.opener = opener;
    if (open) menu.querySelector("button")?.focus();
  }

  dismiss(target) {
    if (target.closest?.(".rsql-menu, .rsql-sheet") || this.opener?.contains(target)) return;
    const open = [this.menu, this.more, this.sheet].filter((node) => !node.hidden);
    for (const node of open) node.hidden = true;
    if (this.sheet.hidden) {
      this.sheet.replaceChildren();
      this.left?.();
    }
    if (open.length) this.opener?.setAttribute("aria-expanded", "false");
    if (open.length && target === this.root) this.opener?.focus();
  }

  show(title, text, { notes = [], action = null, pictures = [] } = {}) {
    const { header } = this.dialog(
      title,
      ...notes.filter(Boolean).map((note) => make("p", { className: "rsql-note", textContent: note })),
      make("pre", { tabIndex: 0, textContent: text }),
      ...pictures.map(({ name, url }) => make("img", { src: url, alt: name, className: "rsql-seen" })),
    );
    const close = header.lastChild;
    close.before(...[action, button("Copy", "copy", (event) => copy(text, event.currentTarget))].filter(Boolean));
  }

  // A dialog over the panel; its header takes more buttons before its last, which closes it. `closed` is kept when it is
  // gone, also when another takes its place.
  dialog(title, ...content) {
    this.left?.();
    const closed = new Promise((resolve) => (this.left = resolve));
    this.opener = this.root.contains(document.activeElement) ? document.activeElement : this.composer.box;
    const close = button("Close", "close", () => this.dismiss(this.root));
    const grow = make("span", { className: "rsql-grow" });
    const header = make("header", {}, make("strong", { textContent: title }), grow, close);
    this.sheet.replaceChildren(header, ...content);
    this.sheet.setAttribute("aria-label", title);
    this.sheet.hidden = false;
    close.focus();
    return { header, closed };
  }

  say(text, wrong = false) {
    this.toast.textContent = text;
    this.toast.classList.toggle("rsql-wrong", wrong);
    this.toast.hidden = false;
    clearTimeout(this.saying);
    this.saying = setTimeout(
      () => {
        this.toast.hidden = true;
      },
      wrong ? 8000 : 2500,
    );
  }

  banner(text, ...more) {
    this.state.hidden = !text;
    this.state.replaceChildren(text, ...more);
  }

  // What is left of the limit that is nearest.
  meterSoon() {
    clearTimeout(this.metering);
    this.metering = setTimeout(async () => {
      if (!this.exchanges.size) return; // nothing was asked: no gateway is started to look at limits
      const told = await this.quietly("quota", {});
      const least = nearest(told?.limits);
      this.meter.hidden = !least;
      if (!least) return;
      this.meter.textContent = least.text;
      this.meter.style.setProperty("--left", `${100 * least.share}%`);
      this.meter.classList.toggle("rsql-low", least.share < 0.1);
    }, 400);
  }

  // ---- A kernel that restarts, a connection that breaks. ----

  watch() {
    const { session } = this.notebook;
    if (!session) return;
    const status = (_, now) => {
      if (["restarting", "autorestarting", "dead", "terminating"].includes(now)) this.lost();
      else if (now === "idle" && this.gone && !this.reviving) this.revive();
    };
    const moved = () => this.quietly("moved", this.notebook.place);
    const line = (_, now) => {
      if (this.gone) return; // a new kernel has a new connection
      if (now === "connected" && this.offline) {
        this.offline = false;
        this.banner("");
        this.sync();
      } else if (now !== "connected") {
        this.offline = true;
        this.banner("The connection is lost; trying again …");
      }
    };
    session.statusChanged.connect(status);
    session.connectionStatusChanged.connect(line);
    this.notebook.context.pathChanged?.connect(moved);
    this.unwatch = () => {
      this.notebook.context.pathChanged?.disconnect(moved);
      session.statusChanged.disconnect(status);
      session.connectionStatusChanged.disconnect(line);
    };
  }

  lost() {
    if (this.gone) return;
    this.gone = true;
    this.wire.forget();
    this.composer.running = false;
    for (const each of this.exchanges.values())
      if (each.told.state === "running") each.update({ ...each.told, state: "stopped" });
    this.banner(
      "The kernel has ended; variables are gone, the conversation is still here. ",
      button("Go on with the new kernel", "retry", () => this.revive(), { text: "Go on", className: "rsql-primary" }),
    );
  }

  // A new panel in the new kernel, under the old name; it has what is kept.
  async revive() {
    this.reviving = true;
    this.banner("Starting …");
    let done;
    this.ready = new Promise((resolve) => (done = resolve));
    try {
      this.wire.attach(await this.notebook.reopen(this.wire.widget));
      this.gone = false;
      this.banner("");
      await this.sync();
    } catch (error) {
      this.banner(`That did not work (${error.message ?? error}). Run the cell again.`);
    } finally {
      this.reviving = false;
      done();
    }
  }
}
