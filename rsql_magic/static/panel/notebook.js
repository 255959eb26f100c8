// The notebook around the panel, where the front end shows it to widgets (JupyterLab, Notebook 7).

import { CellRun } from "./cell_run.js";

const NO_NOTEBOOK = "Changes of cells need a front end in which the panel reaches the notebook: JupyterLab 4 or Notebook 7.";
const READ_ONLY = "This notebook is read-only: nothing in it can be changed.";

export class Notebook {
  constructor(model, el) {
    this.manager = model.widget_manager;
    this.el = el;
  }

  get context() {
    return this.manager?.context ?? this.manager?._context;
  }

  get cells() {
    const shared = this.context?.model?.sharedModel;
    return shared?.insertCell ? shared : null;
  }

  get session() {
    return this.context?.sessionContext;
  }

  // Where it is and ids of its cells, by which a kernel knows it when it was renamed.
  get place() {
    const path = this.context?.path;
    const cells = [...(this.cells?.cells ?? [])].slice(0, 500).map((cell) => cell.id);
    return path ? { path: path.replace(/^[^/:]*:/, ""), cells } : {};
  }

  get rendermime() {
    return this.manager?.rendermime;
  }

  // Below what was inserted last; else below the cell that is chosen, for a panel beside the notebook, or its own cell.
  insert(cells) {
    const shared = this.cells;
    const chosen = this.manager.chosen?.();
    let place = chosen === this.chosen ? shared.cells.findIndex((cell) => cell.id === this.last) + 1 : 0;
    if (!place) {
      const own = this.el.closest(".jp-Cell");
      const index = own ? Number(own.dataset.windowedListIndex ?? [...own.parentNode.children].indexOf(own)) : chosen;
      place = Number.isInteger(index) && index >= 0 ? index + 1 : shared.cells.length;
    }
    this.chosen = chosen;
    for (const { kind, source } of cells) {
      const metadata = kind === "code" ? { trusted: true } : {};
      this.last = shared.insertCell(place, { cell_type: kind, source, metadata }).id;
      place += 1;
    }
  }

  // ---- Changes of cells. ----

  // Why cells cannot be changed from here; empty where they can.
  get whyNot() {
    if (!this.cells || !this.session) return NO_NOTEBOOK;
    return this.context.model.readOnly || this.context.contentsModel?.writable === false ? READ_ONLY : "";
  }

  get canChange() {
    return !this.whyNot;
  }

  cell(id) {
    return this.cells?.cells.find((cell) => cell.id === id);
  }

  // The cells as a person sees them, and the place of the active one.
  get told() {
    const cells = this.cells.cells.map((cell) => {
      const { outputs = [] } = cell.cell_type === "code" ? cell.toJSON() : {};
      const failed = outputs.some(({ output_type: type }) => type === "error");
      const count = cell.execution_count;
      const state = cell.cell_type !== "code" ? "" : count ? `${failed ? "failed" : "run"} [${count}]` : "not run";
      return { id: cell.id, type: cell.cell_type, source: cell.getSource(), state };
    });
    return { cells, active: Math.max(0, this.manager.chosen?.() ?? this.own) };
  }

  get own() {
    const own = this.el.closest(".jp-Cell");
    return own ? Number(own.dataset.windowedListIndex ?? [...own.parentNode.children].indexOf(own)) : 0;
  }

  get bytes() {
    return JSON.stringify(this.context.model.toJSON());
  }

  // Put changes into the notebook; the cell of each, and what takes them back.
  apply(changes) {
    const shared = this.cells;
    const before = this.bytes;
    const [steps, cells, last] = [[], new Map(), new Map()];
    const order = shared.cells.map((cell) => cell.id); // the list itself is as before until the transaction ends
    const insert = (name, cell_type, source) => {
      const place = order.indexOf(last.get(name) ?? name) + 1;
      const metadata = cell_type === "code" ? { trusted: true } : {};
      const cell = shared.insertCell(place, { cell_type, source, metadata });
      order.splice(place, 0, cell.id);
      last.set(name, cell.id);
      return cell;
    };
    shared.transact(() => {
      for (const { id, kind, cell: name, type, source } of changes) {
        const cell = kind === "edit" ? this.cell(name) : insert(name, type, source);
        steps.push({ id, kind, cell: cell.id, source, before: cell.toJSON() });
        if (kind === "edit") cell.setSource(source);
        cells.set(id, cell.id);
      }
    });
    return { before, steps, cells };
  }

  // Take changes back, but for cells that were edited since; whether the notebook is byte for byte as it was.
  undo({ before, steps }) {
    const left = [];
    const order = this.cells.cells.map((cell) => cell.id);
    this.cells.transact(() => {
      for (const { id, kind, cell: name, source, before: old } of [...steps].reverse()) {
        const cell = this.cell(name);
        if (!cell || cell.getSource() !== source) left.push(id);
        else if (kind === "edit") restore(cell, old);
        else {
          const place = order.indexOf(name);
          this.cells.deleteCell(place);
          order.splice(place, 1);
        }
      }
    });
    return { left, same: this.bytes === before };
  }

  // Run a cell as it stands; what came of it.
  async run(id, code) {
    const cell = this.cell(id);
    if (cell?.getSource() !== code) return { state: "skipped" };
    const run = new CellRun((outputs) => cell.setOutputs(outputs));
    cell.setOutputs([]);
    cell.execution_count = null;
    if ("executionState" in cell) cell.executionState = "running";
    const content = { code, store_history: true, stop_on_error: true, allow_stdin: false };
    const future = this.session.session.kernel.requestExecute(content, true, { cellId: id });
    future.onIOPub = (message) => run.hear(message);
    try {
      const { content: reply } = await future.done;
      cell.execution_count = reply.execution_count ?? null;
      const state = { ok: "ran", error: run.error?.name === "KeyboardInterrupt" ? "stopped" : "failed" }[reply.status];
      return { state: state ?? "stopped", outputs: run.texts, error: run.error };
    } catch {
      return { state: "stopped", outputs: run.texts, error: null }; // the kernel is gone
    } finally {
      if ("executionState" in cell) cell.executionState = "idle";
    }
  }

  interrupt() {
    this.session.session?.kernel?.interrupt();
  }

  // Hear of every change of the notebook, until what this gives is called.
  watch(changed) {
    const shared = this.cells;
    shared?.changed.connect(changed);
    return () => shared?.changed.disconnect(changed);
  }

  // What carries messages to a panel in a kernel that started anew; `id` is the old widget's.
  async reopen(id) {
    if (this.manager.reopen) return this.manager.reopen();
    const code = `__import__("rsql_magic").ChatPanel().open(model_id=${JSON.stringify(id)})`;
    await this.session.session.kernel.requestExecute({ code, store_history: false, stop_on_error: false }).done;
    return this.manager.get_model(id);
  }
}

function restore(cell, { source, metadata, outputs, execution_count: count }) {
  cell.setSource(source);
  cell.setMetadata(metadata);
  if (cell.cell_type !== "code") return;
  cell.setOutputs(outputs);
  cell.execution_count = count;
}
