// What stands under a cell: "Explain" and "Fix" below an error, what would be sent for them, and a proposed change as a
// diff. Nothing is sent before a click.

import type { Cell, NotebookPanel } from "@jupyterlab/notebook";
import { Diff } from "panel/diff.js";
import { button, make, tokens } from "panel/dom.js";
import { asMade, heldLine, type Held } from "panel/held.js";
import { written } from "panel/prose.js";
import { Wire, type Content, type Model } from "panel/wire.js";
import { about, textOf, withPart, type Part } from "./cell_source";

export interface Services {
  channel(notebook: NotebookPanel): Model;
  explain(notebook: NotebookPanel, text: string, how: Content): Promise<void>;
  run(notebook: NotebookPanel, cell: Cell): void;
  openSidebar(notebook: NotebookPanel): void;
}

interface Wish {
  readonly part: Part;
  readonly about: Content | null;
  readonly instruction: string;
}

const WISHES = ["Make it faster", "To dplyr", "Add comments"];

export class CellTools {
  readonly node = make("div", { className: "rsql-under" });
  private readonly bar = make("div", { className: "rsql-row", role: "group", "aria-label": "Help with the error" });
  private readonly body = make("div", { className: "rsql-under-body" });
  private readonly rest = make("div"); // what shows the rest of an output
  private diff: { view: Diff; made: string } | null = null;
  private busy: { stop: () => void } | null = null;

  constructor(
    private readonly services: Services,
    private readonly notebook: NotebookPanel,
    readonly cell: Cell,
  ) {
    this.node.append(this.rest, this.bar, this.body);
    // The notebook's shortcuts must not fire here; saving and the like may.
    this.node.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === "Escape" || !(event.ctrlKey || event.metaKey)) event.stopPropagation();
    });
    cell.model.contentChanged.connect(this.edited);
    cell.disposed.connect(() => this.remove());
    void cell.ready.then(() => this.attach());
  }

  private attach(): void {
    const footer = this.cell.node.querySelector(":scope > .jp-CellFooter");
    this.cell.node.insertBefore(this.node, footer);
  }

  // Whether the cell shows an error. The buttons of one that was mended go, with what was proposed.
  set failed(failed: boolean) {
    this.bar.replaceChildren(...(failed ? this.buttons() : []));
    if (!failed) this.clear();
  }

  // What of the cell's output is held back.
  set held(held: Held) {
    const key = held.names.join();
    if (this.rest.dataset["held"] === key) return;
    this.rest.dataset["held"] = key;
    this.rest.replaceChildren(...(key ? [heldLine(held, () => void this.showAsMade(held))] : []));
  }

  private async showAsMade({ names }: Held): Promise<void> {
    const told = await this.during("Asking the kernel …", (wire) => wire.call("as_made", { outputs: names }));
    if (!told) return;
    this.body.replaceChildren();
    const { sharedModel } = this.cell.model;
    sharedModel.setOutputs(asMade(sharedModel.toJSON().outputs, told["outputs"]));
  }

  get isEmpty(): boolean {
    return !this.bar.firstChild && !this.body.firstChild && !this.rest.firstChild;
  }

  private buttons(): HTMLElement[] {
    return [
      button("Explain this error", "", () => void this.explain(), { text: "Explain" }),
      button("Propose a fix of this cell", "", () => void this.fix(), { text: "Fix" }),
      button("Show exactly what would be sent", "eye", () => void this.preview("Fix")),
    ];
  }

  private get name(): string {
    const { executionCount } = this.cell.model;
    return executionCount ? `cell [${executionCount}]` : "this cell";
  }

  private get wholeCell(): Part {
    const whole = this.cell.model.sharedModel.getSource();
    return { whole, start: 0, end: whole.length };
  }

  private get question(): string {
    const error = about(this.cell);
    return `Explain the error of ${this.name}: ${error?.["name"]}: ${String(error?.["value"]).split("\n")[0]?.slice(0, 200)}`;
  }

  async explain(seen = ""): Promise<void> {
    this.body.replaceChildren();
    await this.services.explain(this.notebook, this.question, { about: about(this.cell), seen });
  }

  fix(seen = ""): Promise<void> {
    return this.propose({ part: this.wholeCell, about: about(this.cell), instruction: "" }, seen);
  }

  // Ask what should change in a part of the cell.
  ask(part: Part): void {
    const list = `rsql-wishes-${this.cell.model.id}`;
    const wish = make("input", {
      "aria-label": "What should change",
      placeholder: "What should change?  e.g. make it faster",
      maxLength: 2000,
    }) as HTMLInputElement;
    wish.setAttribute("list", list);
    const wished = (): Wish => ({ part, about: null, instruction: wish.value });
    const form = make(
      "form",
      { className: "rsql-row", "aria-label": "Change the code" },
      wish,
      make("datalist", { id: list }, ...WISHES.map((text) => make("option", { value: text }))),
      button("Propose the change", "", () => undefined, { text: "Propose", type: "submit", className: "rsql-primary" }),
      button("Show exactly what would be sent", "eye", () => void this.previewOf(wished())),
      button("Cancel", "close", () => this.cancel()),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.propose(wished());
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.cancel();
    });
    const lines = textOf(part).split("\n").length;
    const what = textOf(part) === part.whole ? "the cell" : `${lines} selected line${lines === 1 ? "" : "s"}`;
    this.body.replaceChildren(make("p", { className: "rsql-small", textContent: `Change ${what}` }), form);
    wish.focus();
  }

  private cancel(): void {
    this.clear();
    this.cell.node.querySelector<HTMLElement>(".cm-content")?.focus();
  }

  private clear(): void {
    this.busy?.stop();
    this.diff = null;
    this.body.replaceChildren();
  }

  // What "Explain" or "Fix" would send.
  private async preview(which: "Explain" | "Fix"): Promise<void> {
    if (which === "Fix") return this.previewOf({ part: this.wholeCell, about: about(this.cell), instruction: "" });
    const text = this.question;
    await this.look("Explain", async (wire) => {
      const { thread } = await wire.call("hello", { thread: "" });
      return wire.call("preview", { thread, text, model: "", replaces: "", about: about(this.cell) });
    }, (seen) => void this.explain(seen));
  }

  private previewOf(wish: Wish): Promise<void> {
    const which = wish.instruction ? "" : "Fix";
    return this.look(which, (wire) => wire.call("change_preview", request(wish)), (seen) => void this.propose(wish, seen));
  }

  private async look(which: string, load: (wire: Wire) => Promise<Content>, send: (seen: string) => void): Promise<void> {
    const told = await this.during("Reading …", load);
    if (!told) return;
    const { messages, tokens: count, model, notes, seen } = told as {
      messages: { role: string; content: string }[];
      tokens: number;
      model: string;
      notes: string[];
      seen: string;
    };
    const choice = (name: "Explain" | "Fix") =>
      button(`What ${name} would send`, "", () => void this.preview(name), {
        text: name,
        "aria-pressed": String(which === name),
      });
    const close = button("Close", "close", () => this.body.replaceChildren());
    this.body.replaceChildren(
      make(
        "section",
        { className: "rsql-sent", "aria-label": "What would be sent" },
        make(
          "header",
          {},
          make("strong", { textContent: `This would be sent${model ? ` to ${model}` : ""}: ≈ ${tokens(count)}` }),
          ...(which ? [choice("Explain"), choice("Fix")] : []),
          make("span", { className: "rsql-grow" }),
          button("Send exactly this", "send", () => send(seen), { text: "Send", className: "rsql-primary" }),
          close,
        ),
        ...notes.map((note) => make("p", { className: "rsql-note", textContent: note })),
        make("pre", {
          tabIndex: 0,
          "aria-label": "messages",
          textContent: messages.map(({ role, content }) => `[${role}]\n${content}`).join("\n\n"),
        }),
      ),
    );
    close.focus();
  }

  private async propose(wish: Wish, seen = ""): Promise<void> {
    const change = Math.random().toString(36).slice(2);
    const told = await this.during(
      "Asking …",
      (wire) => wire.call("change", { ...request(wish), change, seen }),
      (wire) => void wire.call("change_stop", { change }),
    );
    if (!told) return;
    const after = told["cell"] ? String(told["source"]) : withPart(wish.part, String(told["source"]));
    const does = await this.during("Checking …", (wire) => wire.call("would_do", { source: after }));
    if (does) this.show(wish, told, after, does["effects"] as string[]);
  }

  // Do something with the kernel, saying so; what fails is said here, and gives nothing.
  private async during(
    said: string,
    work: (wire: Wire) => Promise<Content>,
    stop?: (wire: Wire) => void,
  ): Promise<Content | null> {
    this.busy?.stop();
    this.diff = null;
    const status = make("span", { className: "rsql-small rsql-busy", role: "status", textContent: said });
    const wire = new Wire(this.services.channel(this.notebook), ({ push, status: word, place }) => {
      if (push === "change" && word) status.textContent = `${String(word)} …`;
      if (push === "slow" && !place) status.textContent = "The kernel is busy …";
    });
    const mine = { stop: () => this.end(wire, stop) };
    this.busy = mine;
    const end = button("Stop", "stop", () => mine.stop(), { text: "Stop" });
    this.body.replaceChildren(make("div", { className: "rsql-row" }, status, end));
    end.focus();
    // What a kernel that is gone was asked is never answered.
    const gone = (_: unknown, state: string): void => {
      if (["restarting", "autorestarting", "dead", "terminating"].includes(state)) wire.forget();
    };
    const { statusChanged } = this.notebook.sessionContext;
    statusChanged.connect(gone);
    try {
      const told = await work(wire);
      return this.busy === mine ? told : null;
    } catch (error) {
      if (this.busy === mine) this.wrong(error as Content);
      return null;
    } finally {
      statusChanged.disconnect(gone);
      wire.detach();
      if (this.busy === mine) this.busy = null;
    }
  }

  private end(wire: Wire, stop?: (wire: Wire) => void): void {
    this.busy = null;
    stop?.(wire);
    this.body.replaceChildren();
    this.bar.querySelector("button")?.focus();
  }

  private wrong({ message, hint, kind }: Content): void {
    const elsewhere = ["missing", "old", "language", "no-kernel"].includes(String(kind));
    this.body.replaceChildren(
      make(
        "div",
        { className: "rsql-trouble", role: "alert" },
        written([message, hint].filter(Boolean).join(" ")),
        make(
          "div",
          {},
          elsewhere &&
            button("Open the sidebar", "", () => this.services.openSidebar(this.notebook), { text: "Open the sidebar" }),
          button("Close", "close", () => this.body.replaceChildren()),
        ),
      ),
    );
  }

  private show(wish: Wish, told: Content, after: string, effects: string[]): void {
    const { reason, problems, cell: isCell } = told as {
      reason: string;
      problems: string[];
      cell: boolean;
    };
    const { whole } = wish.part;
    const { context } = this.notebook;
    const readOnly = context.model.readOnly || context.contentsModel?.writable === false;
    const notes = readOnly ? ["This notebook is read-only: what you accept can only be saved as a copy."] : [];
    const view = new Diff({
      title: isCell ? `A new cell below ${this.name}` : `A change of ${this.name}`,
      before: isCell ? "" : whole,
      after,
      reason,
      notes: [...problems, ...notes],
      effects,
      accept: (run) => this.accept(view, isCell, run ? effects : null),
      reject: () => this.cancel(),
      again: () => void this.propose(this.renewed(wish)),
    });
    this.diff = { view, made: whole };
    this.body.replaceChildren(view.node);
    if (this.cell.model.getMetadata("editable") === false && !isCell) view.outdate("This cell is locked.");
    this.edited();
    if (!view.take.disabled) view.take.focus();
  }

  // The wish for the cell as it is now.
  private renewed({ instruction, about: error }: Wish): Wish {
    return { part: this.wholeCell, about: error && about(this.cell), instruction };
  }

  // Put the change in place; run it where what it does was shown, and was agreed to by that.
  private accept(view: Diff, isCell: boolean, agreed: string[] | null): void {
    this.edited(); // an edit of another page may have come
    if (view.take.disabled) return;
    const { sharedModel } = this.cell.model;
    const { content, context } = this.notebook;
    let cell: Cell | undefined = this.cell;
    this.clear();
    if (isCell) {
      const place = content.widgets.indexOf(this.cell) + 1;
      const metadata = { trusted: true };
      context.model.sharedModel.insertCell(place, { cell_type: "code", source: view.after, metadata });
      cell = content.widgets[place];
    } else {
      sharedModel.undoManager?.stopCapturing(); // a step of its own, whatever was typed before it
      sharedModel.updateSource(0, sharedModel.getSource().length, view.after);
      sharedModel.undoManager?.stopCapturing();
    }
    this.cell.node.querySelector<HTMLElement>(".cm-content")?.focus();
    if (agreed && cell) void this.run(cell, view.after, agreed);
  }

  private async run(cell: Cell, source: string, agreed: string[]): Promise<void> {
    const released = await this.during("Running …", (wire) => runAsShown(wire, [[cell, source]], agreed));
    if (!released) return;
    this.body.replaceChildren();
    this.services.run(this.notebook, cell);
  }

  // A diff that was made for another text than the cell now has says so.
  private readonly edited = (): void => {
    if (this.diff && this.cell.model.sharedModel.getSource() !== this.diff.made)
      this.diff.view.outdate("The cell has changed since this was proposed; it no longer fits.");
  };

  remove(): void {
    this.busy?.stop();
    this.cell.model?.contentChanged.disconnect(this.edited);
    this.node.remove();
  }
}

// Ask the kernel to let cells run that the assistant wrote: the texts that were shown, and no other.
export async function runAsShown(wire: Wire, cells: [Cell, string][], agreed: string[]): Promise<Content> {
  const told = await wire.call("let_run", { sources: cells.map(([, source]) => source), agreed });
  if (cells.some(([cell, source]) => cell.isDisposed || cell.model.sharedModel.getSource() !== source))
    throw { message: "The cell has changed since it was shown.", hint: "It was not run." };
  return told;
}

function request({ part, about: error, instruction }: Wish): Content {
  const source = textOf(part);
  return { source, about: error, instruction, whole: source === part.whole ? "" : part.whole };
}
