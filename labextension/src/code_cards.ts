// Code in the output of %%ask and %%sql_ai stands in a card that every front end shows (`display/markdown.py`). Here its
// head gets what copies the code, inserts it as a cell below, and runs it there; a chart gets the cell's width.

import type { Cell, INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import { effectsOf } from "panel/diff.js";
import { button, copy, make } from "panel/dom.js";
import { oddities, warnings, withMarks } from "panel/odd.js";
import { followRoom } from "panel/room.js";
import { Wire, type Content } from "panel/wire.js";
import { connectionOf, languageOf } from "./cell_source";
import { runAsShown, type Services } from "./cell_tools";

const RUNNABLE = ["python", "r", "sql"];

interface CellText {
  readonly kind: string;
  readonly source: string;
}

export class CodeCards {
  private readonly watched = new WeakSet<Cell>();

  constructor(
    private readonly services: Pick<Services, "channel" | "run">,
    tracker: INotebookTracker,
  ) {
    tracker.widgetAdded.connect((_, notebook) => void this.watch(notebook));
    tracker.forEach((notebook) => void this.watch(notebook));
  }

  private async watch(notebook: NotebookPanel): Promise<void> {
    await notebook.context.ready;
    if (notebook.isDisposed) return;
    const again = (): void => notebook.content.widgets.forEach((cell) => this.watchCell(notebook, cell));
    notebook.content.model?.cells.changed.connect(again);
    notebook.content.modelChanged.connect(again);
    again();
  }

  // Outputs are drawn after they have changed, and anew when a cell comes into view.
  private watchCell(notebook: NotebookPanel, cell: Cell): void {
    if (this.watched.has(cell) || !cell.model?.outputs) return;
    this.watched.add(cell);
    void cell.ready.then(() => {
      const outputs = cell.node.querySelector(".jp-Cell-outputWrapper");
      if (!outputs) return;
      const each = (what: string, work: (node: HTMLElement) => void): void =>
        outputs.querySelectorAll<HTMLElement>(what).forEach(work);
      const dress = (): void => {
        each(".rsql-code > .rsql-code-head", (head) => this.dress(notebook, cell, head));
        each(".jp-RenderedVegaLite", followRoom);
      };
      const drawn = new MutationObserver(dress);
      drawn.observe(outputs, { childList: true, subtree: true });
      cell.disposed.connect(() => drawn.disconnect());
      dress();
    });
  }

  private dress(notebook: NotebookPanel, cell: Cell, head: HTMLElement): void {
    if (head.querySelector(".rsql-card-tools")) return;
    const language = languageOf(head.textContent ?? "");
    const pre = head.parentElement?.querySelector("pre");
    const code = (pre?.textContent ?? "").replace(/\n$/, "");
    if (pre && oddities(code).length) pre.replaceChildren(...withMarks(code));
    const note = make("div", { className: "rsql-card-note" }, ...warnings(code));
    const insert = (run: boolean): void => void this.insert(notebook, cell, code, language, run ? note : null);
    // What somebody else wrote could hold more than it shows, until its notebook is trusted.
    const writes = RUNNABLE.includes(language) && cell.model.trusted === true && !notebook.content.model?.readOnly;
    const tools = make(
      "span",
      { className: "rsql-card-tools", role: "group", "aria-label": "This code" },
      button("Copy the code", "", (event) => void copy(code, event.currentTarget as HTMLElement), { text: "Copy" }),
      writes && button("Insert below as a cell", "", () => insert(false), { text: "Insert" }),
      writes && button("Insert below as a cell and run it", "", () => insert(true), { text: "Run" }),
    );
    // The notebook's shortcuts must not fire here.
    for (const node of [tools, note])
      node.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || !(event.ctrlKey || event.metaKey)) event.stopPropagation();
      });
    head.append(tools);
    head.after(note);
  }

  // The kernel writes the cell, as it knows what a query needs before it. To run it, it also says what the code does
  // beyond computing: that stands in the `note`, and needs a click of its own.
  private async insert(
    notebook: NotebookPanel,
    cell: Cell,
    code: string,
    language: string,
    note: HTMLElement | null,
  ): Promise<void> {
    let cells: CellText[] = [{ kind: "code", source: code }];
    const wire = new Wire(this.services.channel(notebook), () => undefined);
    try {
      if (language !== "python") {
        const connection = connectionOf(cell.model.sharedModel.getSource());
        cells = (await wire.call("cell", { code, language, connection })).cells as CellText[];
      }
      const place = notebook.content.widgets.indexOf(cell) + 1;
      if (!note) return void this.put(notebook, place, cells);
      const effects = await Promise.all(cells.map(async ({ source }) => (await wire.call("would_do", { source })).effects));
      const agreed = (effects as string[][]).flat();
      if (agreed.length && !(await yesTo(note, code, agreed))) return;
      const made = this.put(notebook, notebook.content.widgets.indexOf(cell) + 1, cells);
      await runAsShown(wire, made.map((each, number) => [each, cells[number]?.source ?? ""]), agreed);
      for (const each of made) this.services.run(notebook, each);
    } catch (error) {
      const { message, hint } = error as Content;
      const said = make("p", { className: "rsql-note", role: "alert", textContent: [message, hint].filter(Boolean).join(" ") });
      note?.replaceChildren(...warnings(code), said);
    } finally {
      wire.detach();
    }
  }

  private put(notebook: NotebookPanel, place: number, cells: CellText[]): Cell[] {
    const { content } = notebook;
    return cells.flatMap(({ kind, source }, number) => {
      content.model?.sharedModel.insertCell(place + number, { cell_type: kind, source, metadata: { trusted: true } });
      content.activeCellIndex = place + number;
      const made = content.widgets[place + number];
      return made ? [made] : [];
    });
  }
}

// Whether the person says yes to what code would do, which is shown in the card.
function yesTo(note: HTMLElement, code: string, effects: string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const decide = (said: boolean) => (): void => {
      note.replaceChildren(...warnings(code));
      resolve(said);
    };
    const run = button("Run the code, which does this", "", decide(true), { text: "Run anyway" });
    const leave = button("Leave it", "", decide(false), { text: "Cancel" });
    note.replaceChildren(...warnings(code), effectsOf(effects, make("div", { className: "rsql-row" }, run, leave)));
    run.focus();
  });
}
