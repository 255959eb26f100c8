// The chat panel's view.
//
// A view holds nothing that the kernel does not: it asks for the conversation when it is drawn, and is told of changes.
// Words: a thread is a conversation, an exchange a question with its answer.

import { Composer } from "./composer.js";
import { button, copy, inWords, make, tokens } from "./dom.js";
import { Exchange } from "./exchange.js";
import { Following } from "./following.js";
import { KernelWatch } from "./kernel_watch.js";
import { nearest } from "./limits.js";
import { Notebook } from "./notebook.js";
import { ThreadMenus } from "./thread_menus.js";
import { Typeset } from "./typeset.js";
import { Wire } from "./wire.js";

const BUSY = "The kernel is busy; this goes on when it answers.";
const STARTING = "The kernel is starting; this goes on when it is ready.";

export class View {
  constructor(model, el) {
    this.notebook = new Notebook(model, el);
    this.wire = new Wire(model, (told) => this.hear(told));
    this.exchanges = new Map();
    this.commands = [];
    this.threads = [];
    this.places = new Map(); // where somebody read in a conversation
    this.heard = 0; // questions that began and answers that ended, of whichever conversation
    this.awaited = 0; // requests whose reply is a conversation to draw
    this.hidden = false;
    this.isStale = false; // whether the kernel has told something that is not drawn
    this.seen = Promise.resolve(); // kept while somebody can see it
    this.typeset = new Typeset(this);
    this.draw(el);
    this.kernel = new KernelWatch(this);
    this.forgetCells = this.notebook.watch(() => this.edits());
    this.ready = this.sync(); // what is sent before waits for it
  }

  draw(el) {
    this.composer = new Composer(this);
    this.menus = new ThreadMenus(this);
    const { title, menu, more } = this.menus;
    this.meter = button("Your limits", "", () => this.send("/usage"), { className: "rsql-meter", hidden: true });
    const open = button("More", "more", () => this.toggle(more, open), {
      "aria-expanded": "false",
      "aria-haspopup": "true",
    });
    const header = make(
      "header",
      {},
      title,
      this.meter,
      make("span", { className: "rsql-grow" }),
      button("New conversation", "plus", () => this.begin()),
      open,
      menu,
      more,
    );
    this.turns = make("div");
    const log = { className: "rsql-log", role: "log", "aria-label": "Conversation", tabIndex: 0 };
    this.log = make("div", log, this.turns);
    this.following = new Following(this.log, (atEnd) => (this.down.hidden = atEnd));
    this.down = button("To the end", "chevron", () => this.following.toEnd(), { className: "rsql-down", hidden: true });
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
    this.following.watch(this.turns, header);
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
    this.composer.running = false;
    el.append(this.root);
  }

  // ---- Hidden and shown, in a sidebar. ----

  // While it is hidden it draws nothing, and asks nothing by itself.
  hide() {
    if (this.hidden) return;
    this.following.hide(this.nodes);
    this.hidden = true;
    this.seen = new Promise((resolve) => (this.nowSeen = resolve));
    this.forgetCells();
    clearTimeout(this.edited);
  }

  // Make up for what it missed.
  unhide() {
    if (!this.hidden) return;
    this.hidden = false;
    this.nowSeen();
    this.following.show();
    this.forgetCells = this.notebook.watch(() => this.edits());
    this.edits();
    this.kernel.show();
    if (this.isStale && !this.kernel.gone) this.resync();
  }

  close() {
    this.wire.detach();
    this.near.disconnect();
    this.following.close();
    this.kernel.close();
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
    // The notebook's shortcuts must not fire while somebody types here; saving and the like may, and Alt with a letter,
    // which types none (on a Mac it does, and is known by that).
    const isCommand = event.ctrlKey || event.metaKey || (event.altKey && /^[a-z]$/i.test(event.key));
    if (event.key === "Enter" || !isCommand) event.stopPropagation();
    const open = this.layers.find((node) => !node.hidden);
    if (open && this.within(open, event)) event.preventDefault();
    if (event.key !== "Escape" || event.defaultPrevented) return;
    if (open) this.dismiss(this.root);
    else if (this.composer.running) this.stop();
  }

  // What can lie over the conversation.
  get layers() {
    return [this.sheet, this.menus.menu, this.menus.more];
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
    this.say(inWords(error), true);
  }

  // What nobody has asked for waits until somebody can see it.
  async quietly(name, args) {
    await this.seen;
    return this.tried(name, args, () => {});
  }

  // Whether a question may be asked that nobody sends: somebody can see what is drawn, and nothing newer is to come.
  get canAsk() {
    const { gone, offline } = this.kernel;
    return !(document.hidden || this.hidden || this.isStale || this.awaited || gone || offline || this.composer.running);
  }

  // Draw a conversation as the kernel has it; `exchange` is where to begin to read.
  async sync(thread = this.thread, exchange = "") {
    clearTimeout(this.syncing);
    this.isStale = this.hidden; // it is drawn when it is shown
    if (this.hidden) return;
    const told = await this.shown(this.quietly("hello", { thread: thread ?? "", ...this.notebook.place }), exchange);
    if (!told && thread) await this.elsewhere(thread);
  }

  // Draw the conversation that a request gives. The kernel makes a reply beside its answers: where one began or ended
  // meanwhile, the reply may be older than what was heard.
  async shown(request, exchange = "") {
    const { heard } = this;
    this.awaited += 1;
    const told = await request;
    this.awaited -= 1;
    if (!told) return undefined;
    this.take(told, exchange);
    if (this.heard !== heard) this.resync();
    return told;
  }

  // In place of a conversation that a new kernel does not know: that of the cells has another id there.
  async elsewhere(thread) {
    const wasShared = this.threads.some(({ id, shared }) => id === thread && shared);
    await this.sync("");
    const own = wasShared && this.threads.find(({ shared }) => shared);
    // The one that was asked for is not tried again: where the kernel has just ended, that would never end.
    if (own && own.id !== thread && own.id !== this.thread) await this.sync(own.id);
  }

  // Draw what is shown anew; not what was shown before another conversation was asked for.
  resync() {
    clearTimeout(this.syncing);
    this.syncing = setTimeout(() => (this.awaited ? this.resync() : this.sync()), 100);
  }

  take(told, exchange) {
    this.leave();
    const shown = told.thread === this.thread ? [...this.exchanges.keys()] : [];
    this.wire.widget = told.widget;
    this.commands = told.commands;
    this.keeping = told.keep;
    this.model = told.model;
    this.composer.model.firstChild.textContent = told.model || "default model";
    this.thread = told.thread;
    this.listed(told.threads);
    const ids = told.exchanges.map(({ id }) => id);
    // Where only what is within them is new, the focus and what code has printed stay.
    if (ids.length && ids.join() === shown.join())
      for (const each of told.exchanges) this.exchanges.get(each.id).update(each);
    else this.fill(told);
    this.composer.running = told.exchanges.some(({ state }) => state === "running");
    this.troubled(told.trouble);
    this.goTo(exchange ? { id: exchange, offset: 0 } : this.places.get(told.thread));
    this.meterSoon();
  }

  fill({ exchanges, earlier }) {
    this.exchanges.clear();
    this.near.disconnect();
    this.turns.replaceChildren();
    if (!exchanges.length) this.welcome();
    const made = exchanges.map((each) => this.made(each));
    this.turns.append(...made.map((each) => each.node));
    this.longer(earlier);
  }

  // ---- The place of reading, and the part of a long conversation that is not here yet. ----

  // Note which answer stands at the top; at the end there is nothing to note.
  leave() {
    if (!this.thread) return;
    const place = this.following.place(this.nodes);
    if (!place) this.places.delete(this.thread);
    else this.places.set(this.thread, { id: place.node.exchange.told.id, offset: place.offset });
  }

  // The answers that are drawn, from the top.
  get nodes() {
    return [...this.exchanges.values()].map(({ node }) => node);
  }

  goTo(place) {
    const exchange = this.exchanges.get(place?.id);
    if (!exchange) return this.following.toEnd();
    exchange.appear();
    return this.following.hold(exchange.node, place.offset);
  }

  longer(count) {
    this.turns.querySelector(".rsql-earlier")?.remove();
    if (!count) return;
    const more = button("Show what was said before", "", () => this.earlier(more), {
      text: `Show what was said before (${count})`,
      className: "rsql-link rsql-earlier",
    });
    this.turns.prepend(more);
  }

  async earlier(more) {
    more.disabled = true;
    const told = await this.ask("earlier", { thread: this.thread });
    if (!told) return;
    const before = new Map(this.exchanges);
    const first = before.values().next().value?.node;
    const offset = first && this.log.getBoundingClientRect().top - first.getBoundingClientRect().top;
    this.exchanges.clear();
    const made = told.exchanges.map((each) => this.made(each));
    for (const [id, each] of before) this.exchanges.set(id, each);
    this.turns.prepend(...made.map((each) => each.node));
    this.longer(told.earlier);
    if (first) this.following.hold(first, offset);
    this.log.focus({ preventScroll: true });
  }

  // Why nothing is kept now.
  troubled(text) {
    this.trouble.hidden = !text;
    this.trouble.textContent = text ?? "";
    this.following.keep();
  }

  made(told) {
    const exchange = new Exchange(this, told);
    this.exchanges.set(told.id, exchange);
    this.near.observe(exchange.node);
    return exchange;
  }

  welcome() {
    const offers = make("div", { className: "rsql-offers", role: "group", "aria-label": "Questions to begin with" });
    this.turns.append(
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
      ...(told?.questions ?? ["/help"]).map((message) => {
        const text = this.commands.find(({ label }) => label === message)?.offer || message;
        return button(`Ask: ${text}`, "", () => this.send(message), { text, className: "rsql-offer" });
      }),
    );
  }

  // Whether the kernel has not answered yet, and not because it runs a cell.
  get isStarting() {
    return !this.wire.answered && !this.notebook.isRunning;
  }

  hear(told) {
    if (this.hidden && !["slow", "alive"].includes(told.push)) {
      this.isStale = true;
      return undefined;
    }
    const isCut = this.kernel.gone || this.kernel.offline; // which the banner says
    const kinds = {
      slow: () => !isCut && this.banner(this.isStarting ? STARTING : BUSY),
      alive: () => !isCut && this.banner(""),
      wait: () => this.say(told.text),
      threads: () => {
        this.troubled(told.trouble);
        this.listed(told.threads);
      },
    };
    if (kinds[told.push]) return kinds[told.push]();
    if (told.push === "exchange") this.heard += 1;
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
      this.turns.append(made.node);
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
    this.following.toEnd();
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

  // ---- Threads and menus. ----

  listed(threads) {
    this.threads = threads;
    const own = threads.find(({ id }) => id === this.thread);
    if (!own) {
      if (this.thread) this.sync("");
      return;
    }
    this.menus.draw(own);
  }

  async begin() {
    this.dismiss(this.root);
    this.ready = this.shown(this.ask("new", {})); // what is sent meanwhile goes there
    await this.ready;
    this.composer.box.focus();
  }

  toggle(menu, opener) {
    const open = menu.hidden;
    this.dismiss(this.root);
    if (menu === this.menus.menu) this.menus.drawMenu();
    menu.hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
    this.opener = opener;
    if (open) menu.querySelector("button")?.focus();
  }

  dismiss(target) {
    if (target.closest?.(".rsql-menu, .rsql-sheet") || this.opener?.contains(target)) return;
    const open = this.layers.filter((node) => !node.hidden);
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

  lost() {
    this.kernel.lost();
  }

  banner(text, ...more) {
    this.state.hidden = !text;
    this.state.replaceChildren(text, ...more);
    this.following.keep();
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
}
