// The changes that the assistant proposes for the notebook: each as a diff with its reason, and what the user decides.

import { changedLines, effectsOf } from "./diff.js";
import { button, make } from "./dom.js";
import { asMade, heldLine, heldOf } from "./held.js";
import { viewLine, warnings } from "./odd.js";
import { written } from "./prose.js";
import { tryFirst } from "./try_first.js";

const SAID = {
  applied: "It is in the notebook.",
  rejected: "Rejected.",
  outdated: "The cell has changed since this was proposed; it no longer fits.",
  undone: "Undone.",
};
const LARGEST = 1_000_000; // characters of what is kept to take changes back
const LOST = "This can no longer be taken back: its cells have changed since, or were not saved.";

export class ChangeSet {
  constructor(exchange) {
    this.exchange = exchange;
    this.view = exchange.view;
    this.parts = exchange.told.changes.map((change, place) => this.part(change, place + 1));
    this.record = exchange.told.undo ?? null; // what takes the changes back, also those of before a reload
    this.said = make("p", { className: "rsql-small", role: "status", hidden: true });
    this.row = make("div", { className: "rsql-row" });
    this.node = make(
      "div",
      { className: "rsql-changes", role: "group", "aria-label": "Proposed changes" },
      ...this.parts.map(({ node }) => node),
      this.said,
      this.row,
    );
    this.refresh();
  }

  get notebook() {
    return this.view.notebook;
  }

  get place() {
    return { thread: this.view.thread, exchange: this.exchange.told.id };
  }

  // How often results have gone back in this turn, how often they may, and why they do so no more.
  get rounds() {
    const { round = 0, most_rounds: most = 0 } = this.exchange.told.agent ?? {};
    const over = round < most ? "" : `results have gone back ${round} of ${most} times (Rsql.do_rounds)`;
    return { round, most, over };
  }

  part(change, number) {
    const take = make("input", { type: "checkbox", checked: true, onchange: () => this.refresh() });
    const agree = make("input", { type: "checkbox", onchange: () => this.refresh() });
    const state = make("p", { className: "rsql-small", role: "status" });
    const { lines, counts } = changedLines(change.before, change.source);
    lines.setAttribute("aria-label", `lines of change ${number}`);
    const made = make("div");
    const node = make(
      "div",
      { className: "rsql-diff", role: "group", "aria-label": `Change ${number}: ${change.title}` },
      make(
        "header",
        {},
        make("label", {}, take, make("strong", { textContent: change.title })),
        make("span", { className: "rsql-small", textContent: counts }),
      ),
      written(change.reason, "rsql-reason"),
      ...change.findings.map((text) => make("p", { className: "rsql-note", textContent: `⚠ ${text}` })),
      ...(change.type === "code" ? warnings(change.source) : []),
      lines,
      viewLine(lines),
      change.effects.length > 0 &&
        effectsOf(
          change.effects.map(({ text }) => text),
          make("label", {}, agree, "Yes, this cell may do that."),
          tryFirst(change, () => this.view.ask("do_try", { ...this.place, change: change.id })),
        ),
      state,
      made,
    );
    return { change, node, take, agree, state, made };
  }

  // Which changes a click would apply: those that are chosen, still fit, and have the yes that they need.
  get chosen() {
    return this.parts.filter(
      ({ change, take, agree }) =>
        change.state === "proposed" && take.checked && this.fits(change) && (!change.effects.length || agree.checked),
    );
  }

  fits({ kind, cell, before }) {
    const found = this.notebook.cell(cell);
    return kind === "edit" ? found?.getSource() === before : !cell || Boolean(found);
  }

  // Draw what has become of each change, and the buttons that there are now.
  refresh() {
    for (const { change, take, agree, state } of this.parts) {
      const open = change.state === "proposed";
      const lost = open && this.notebook.canChange && !this.fits(change);
      const unsure = open && take.checked && change.effects.length && !agree.checked;
      state.textContent = lost
        ? SAID.outdated
        : unsure
          ? "It needs a yes of its own, and is left out without it."
          : (SAID[change.state] ?? "");
      take.disabled = agree.disabled = !open || lost || this.busy || !this.notebook.canChange;
    }
    this.drawRow();
  }

  drawRow() {
    const count = this.chosen.length;
    const open = this.parts.some(({ change }) => change.state === "proposed");
    const { round, most, over } = this.rounds;
    const back = over
      ? `The assistant will not see what they give: ${over}.`
      : `What they give goes back to the assistant (${round + 1} of ${most}).`;
    const some = count === this.parts.length ? "" : ` ${count} of ${this.parts.length}`;
    const act = (label, name, work, more) => button(label, name, work, { text: label, ...more });
    const can = open && this.notebook.canChange && !this.busy;
    const canUndo = this.record && !this.busy && this.notebook.isUndoable(this.record);
    if (this.record && !this.busy && this.notebook.canChange && !canUndo) this.tell(LOST);
    else if (this.said.textContent === LOST) this.tell("");
    if (!this.notebook.canChange && open) this.tell(this.notebook.whyNot);
    const buttons = [
      can && act(`Apply${some} and run`, "run", () => this.apply(true), { className: "rsql-primary", disabled: !count }),
      can && act(`Apply${some}`, "", () => this.apply(false), { disabled: !count }),
      can && act("Reject all", "close", () => this.reject()),
      this.busy && act("Stop", "stop", () => this.stop()),
      canUndo && act("Undo", "retry", () => this.undo()),
      this.results && !this.busy && !this.sent && !over && act("Send the results", "send", () => this.send()),
      can && count ? make("span", { className: "rsql-small", textContent: back }) : "",
    ].filter(Boolean);
    // What a hand is about to press stays where nothing is new: this runs with every change of the notebook.
    const shown = [...this.row.childNodes];
    if (shown.length === buttons.length && buttons.every((node, place) => node.isEqualNode(shown[place]))) return;
    const had = this.row.contains(document.activeElement);
    this.row.replaceChildren(...buttons);
    if (had) this.row.querySelector("button:not(:disabled)")?.focus(); // the keyboard stays where it was
  }

  tell(text) {
    this.said.textContent = text;
    this.said.hidden = !text;
  }

  // States that another view, or the kernel, knows.
  update(changes) {
    for (const { id, state } of changes) this.parts.find(({ change }) => change.id === id).change.state = state;
    this.refresh();
  }

  async decide(parts, state, more = {}) {
    const states = Object.fromEntries(parts.map(({ change }) => [change.id, state]));
    for (const { change } of parts) change.state = state;
    if (parts.length) await this.view.ask("do_decided", { ...this.place, states, ...more });
  }

  // ---- What the user does. ----

  async apply(run) {
    const taken = this.chosen;
    const changes = taken.map(({ change }) => change);
    const agreed = taken.filter(({ agree }) => agree.checked).map(({ change }) => change.id);
    this.busy = true;
    try {
      const ids = changes.map(({ id }) => id);
      const released = run && (await this.view.ask("do_run", { ...this.place, changes: ids, agreed }));
      if (run && !released) return; // it was said why
      if (!taken.every(({ change }) => this.fits(change))) return; // an edit came in between, and is drawn
      const { cells, ...record } = this.notebook.apply(changes);
      this.record = record;
      const isSmall = JSON.stringify(record).length < LARGEST;
      await this.decide(taken, "applied", { undo: isSmall ? record : {} });
      if (!isSmall) this.tell("Undo ends with this page: the cells are too large to be kept.");
      const lost = this.parts.filter(({ change }) => change.state === "proposed" && !this.fits(change));
      await this.decide(lost, "outdated");
      this.refresh();
      if (released) await this.run(changes.filter(({ id }) => released.changes.includes(id)), cells);
    } finally {
      this.busy = false;
      this.refresh();
    }
    if (run && this.results && !this.stopped) await this.send();
  }

  // The cells one after the other; after one that fails the others are not run.
  async run(changes, cells) {
    const results = [];
    const drawn = [];
    this.stopped = false;
    for (const { id: change, source, title } of changes) {
      const isOver = this.stopped || results.some(({ state }) => state !== "ran");
      if (!isOver) this.tell(`Running: ${title.toLowerCase()} …`);
      const ran = isOver ? { state: "skipped" } : await this.notebook.run(cells.get(change), source);
      const { pictures = [], ...result } = ran;
      this.hold(change, cells.get(change));
      results.push({ change, ...result });
      drawn.push(...pictures);
    }
    const wrong = results.find(({ state }) => state !== "ran");
    const why = wrong?.state === "failed" && wrong.error ? `${wrong.error.name}: ${wrong.error.value}` : "Stopped.";
    const { over } = this.rounds;
    const end = over && !this.stopped ? ` The assistant stops here: ${over}. What is left to do is a new task.` : "";
    this.tell(`${wrong ? why : "The cells have run."}${end}`);
    this.results = results;
    // Each is kept by a message of its own, as a message has a largest size.
    for (const [n, picture] of drawn.entries()) await this.view.ask("do_drew", { ...this.place, picture, number: n + 1 });
  }

  // Below a change whose cell shows less than it made stands how to see that.
  hold(change, cell) {
    const { made } = this.parts.find((part) => part.change.id === change);
    const { names, words } = heldOf(this.notebook.outputs(cell));
    const show = async () => {
      const told = await this.view.ask("as_made", { outputs: names });
      if (!told) return;
      this.notebook.setOutputs(cell, asMade(this.notebook.outputs(cell), told.outputs));
      this.hold(change, cell);
    };
    made.replaceChildren(...(names.length ? [heldLine({ words }, show)] : []));
  }

  stop() {
    this.stopped = true;
    this.notebook.interrupt();
  }

  async send() {
    if (this.rounds.over) return;
    await this.reject(); // what was left out: the assistant goes on from here
    const notebook = this.notebook.told;
    const told = await this.view.ask("do_results", { ...this.place, results: this.results, notebook });
    this.sent = Boolean(told);
    this.refresh();
  }

  async reject() {
    await this.decide(
      this.parts.filter(({ change }) => change.state === "proposed"),
      "rejected",
    );
    this.refresh();
  }

  async undo() {
    const { left, same } = this.notebook.undo(this.record);
    this.record = null;
    await this.decide(
      this.parts.filter(({ change }) => change.state === "applied" && !left.includes(change.id)),
      "undone",
      { undo: {} },
    );
    this.refresh();
    const stays = this.parts.filter(({ change }) => left.includes(change.id)).map(({ change }) => change.title);
    this.tell(
      same
        ? "The notebook is as it was. Variables keep what the cells made of them."
        : stays.length
          ? `The notebook was changed by hand since; this stays as it is: ${stays.join(", ")}.`
          : "Undone. The notebook was changed by hand since, and that stays.",
    );
  }
}

// What a turn has used of its budget, in a line.
export function budgetLine({ calls, most_calls, seconds, most_seconds, cost, unknown, most_cost } = {}) {
  const money = cost || most_cost ? ` · $${(cost ?? 0).toFixed(4)}${most_cost ? ` of $${most_cost}` : ""}` : "";
  const free = unknown ? ` · ${unknown} of unknown price` : "";
  return `Budget: ${calls} of ${most_calls} calls · ${Math.round(seconds)} of ${most_seconds} s${money}${free}`;
}
