// Code in the output of %%ask and %%sql_ai stands in a card that every front end shows (`display/markdown.py`). Here its
// head gets what copies the code, inserts it as a cell below, and runs it there; a chart gets the cell's width.

import type { Cell, INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import { button, copy, make } from "panel/dom.js";
import { followRoom } from "panel/room.js";
import { Wire } from "panel/wire.js";
import { connectionOf, languageOf } from "./cell_source";
import type { Services } from "./cell_tools";

const RUNNABLE = ["python", "r", "sql"];

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
    const code = (): string => head.parentElement?.querySelector("pre")?.textContent?.replace(/\n$/, "") ?? "";
    const insert = (run: boolean): void => void this.insert(notebook, cell, code(), language, run);
    // What somebody else wrote could hold more than it shows, until its notebook is trusted.
    const writes = RUNNABLE.includes(language) && cell.model.trusted === true && !notebook.content.model?.readOnly;
    const tools = make(
      "span",
      { className: "rsql-card-tools", role: "group", "aria-label": "This code" },
      button("Copy the code", "", (event) => void copy(code(), event.currentTarget as HTMLElement), { text: "Copy" }),
      writes && button("Insert below as a cell", "", () => insert(false), { text: "Insert" }),
      writes && button("Insert below as a cell and run it", "", () => insert(true), { text: "Run" }),
    );
    // The notebook's shortcuts must not fire here.
    tools.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || !(event.ctrlKey || event.metaKey)) event.stopPropagation();
    });
    head.append(tools);
  }

  // The kernel writes the cell, as it knows what a query needs before it.
  private async insert(
    notebook: NotebookPanel,
    cell: Cell,
    code: string,
    language: string,
    run: boolean,
  ): Promise<void> {
    let cells: { kind: string; source: string }[] = [{ kind: "code", source: code }];
    if (language !== "python") {
      const wire = new Wire(this.services.channel(notebook), () => undefined);
      try {
        const connection = connectionOf(cell.model.sharedModel.getSource());
        cells = (await wire.call("cell", { code, language, connection })).cells as typeof cells;
      } finally {
        wire.detach();
      }
    }
    const { content } = notebook;
    let place = content.widgets.indexOf(cell) + 1;
    for (const { kind, source } of cells) {
      content.model?.sharedModel.insertCell(place, { cell_type: kind, source, metadata: { trusted: true } });
      content.activeCellIndex = place;
      const made = content.widgets[place];
      if (run && made) this.services.run(notebook, made);
      place += 1;
    }
  }
}
