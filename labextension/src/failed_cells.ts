// Every cell of every notebook whose output is an error gets the buttons below it, and one that shows less than it made
// gets what shows the rest.

import type { Cell, INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import { heldOf } from "panel/held.js";
import { about } from "./cell_source";
import { CellTools, type Services } from "./cell_tools";

export class FailedCells {
  private readonly known = new WeakMap<Cell, CellTools>();
  private readonly watched = new WeakSet<Cell>();
  private offered = true;

  constructor(
    private readonly services: Services,
    private readonly tracker: INotebookTracker,
  ) {
    tracker.widgetAdded.connect((_, notebook) => void this.watch(notebook));
    tracker.forEach((notebook) => void this.watch(notebook));
  }

  // Whether the buttons are shown without being asked for.
  set shown(shown: boolean) {
    this.offered = shown;
    this.tracker.forEach((notebook) => this.watchCells(notebook));
    this.tracker.forEach((notebook) => notebook.content.widgets.forEach((cell) => this.look(notebook, cell)));
  }

  // What stands under a cell.
  tools(notebook: NotebookPanel, cell: Cell): CellTools {
    let tools = this.known.get(cell);
    if (!tools) {
      tools = new CellTools(this.services, notebook, cell);
      this.known.set(cell, tools);
    }
    return tools;
  }

  private async watch(notebook: NotebookPanel): Promise<void> {
    await notebook.context.ready;
    if (notebook.isDisposed) return;
    const again = (): void => this.watchCells(notebook);
    notebook.content.model?.cells.changed.connect(again);
    notebook.content.modelChanged.connect(again);
    again();
  }

  private watchCells(notebook: NotebookPanel): void {
    for (const cell of notebook.content.widgets) {
      if (this.watched.has(cell) || !cell.model?.outputs) continue;
      this.watched.add(cell);
      cell.model.outputs.changed.connect(() => this.look(notebook, cell));
      this.look(notebook, cell);
    }
  }

  private look(notebook: NotebookPanel, cell: Cell): void {
    const failed = this.offered && !cell.isDisposed && about(cell) !== null;
    if (failed) this.tools(notebook, cell).failed = true;
    else if (this.known.has(cell)) this.tools(notebook, cell).failed = false;
    if (cell.isDisposed) return;
    const { outputs } = cell.model;
    const held = heldOf(Array.from({ length: outputs?.length ?? 0 }, (_, place) => outputs?.get(place) ?? {}));
    if (held.names.length || this.known.has(cell)) this.tools(notebook, cell).held = held;
  }
}
