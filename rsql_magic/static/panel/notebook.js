// The notebook around the panel, where the front end shows it to widgets (JupyterLab, Notebook 7).

import { CellRun } from "./cell_run.js";

const NO_NOTEBOOK = "Changes of cells need a front end in which the panel reaches the notebook: JupyterLab 4 or Notebook 7.";
const READ_ONLY = "This notebook is read-only: nothing in it can be changed.";

const CELL_LENGTH = 20000; // characters of a cell that are put into a question
const MOST_CELLS = 40; // cells that are offered

// Code in a fence longer than any that it has; `kind` is written at the fence.
export function fenced(code, kind = "") {
  const longest = Math.max(2, ...[...code.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${kind}\n${code.replace(/\n$/, "")}\n${fence}`;
}

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

  // Code cells by their number or the words of their first line, as completions that bring the source with them; without
  // those that the kernel offers, as it ran them.
  offers(wanted, known) {
    const told = new Set(known.map(({ label, detail }) => label + detail.slice(0, 20)));
    const code = [...(this.cells?.cells ?? [])].filter((cell) => cell.cell_type === "code" && cell.getSource().trim());
    return code
      .map((cell) => ({ count: cell.execution_count ?? "", source: cell.getSource().trim() }))
      .map((cell) => ({ ...cell, line: cell.source.split("\n", 1)[0] }))
      .filter(({ count, line }) => `${count} ${line.toLowerCase()}`.includes(wanted.toLowerCase()))
      .filter(({ count, line }) => !told.has(`@cell:${count}${line.slice(0, 20)}`))
      .slice(0, MOST_CELLS)
      .map(({ line, source }) => ({
        label: line.slice(0, 60),
        kind: "cell",
        detail: "not run in this kernel",
        insert: `\n${fenced(source.slice(0, CELL_LENGTH))}\n`,
      }));
  }

  get own() {
    const own = this.el.closest(".jp-Cell");
    return own ? Number(own.dataset.windowedListIndex ?? [...own.parentNode.children].indexOf(own)) : 0;
  }

  get isRunning() {
    return Boolean(this.cells?.cells.some(({ executionState: state }) => state === "running"));
  }

  // By which the cells are known again, also after a reload: it gives names another order, and trust is asked anew.
  get mark() {
    const inOrder = (_, value) =>
      value?.constructor === Object
        ? Object.fromEntries(Object.entries(value).filter(([name]) => name !== "trusted").sort())
        : value;
    return digest(JSON.stringify(this.context.model.toJSON().cells, inOrder));
  }

  // Put changes into the notebook; the cell of each, and what takes them back.
  apply(changes) {
    const shared = this.cells;
    const before = this.mark;
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
        steps.push({ id, kind, cell: cell.id, source, before: kind === "edit" ? cell.toJSON() : null });
        if (kind === "edit") cell.setSource(source);
        cells.set(id, cell.id);
      }
    });
    return { before, steps, cells };
  }

  // Whether any of the changes is still as it was put there.
  isUndoable({ steps }) {
    return this.canChange && steps.some(({ cell, source }) => this.cell(cell)?.getSource() === source);
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
    return { left, same: this.mark === before };
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
      return { state: state ?? "stopped", outputs: run.texts, pictures: run.pictures, error: run.error };
    } catch {
      return { state: "stopped", outputs: run.texts, error: null }; // the kernel is gone
    } finally {
      if ("executionState" in cell) cell.executionState = "idle";
    }
  }

  outputs(id) {
    return this.cell(id)?.toJSON().outputs ?? [];
  }

  setOutputs(id, outputs) {
    this.cell(id)?.setOutputs(outputs);
  }

  interrupt() {
    this.session.session?.kernel?.interrupt();
  }

  // Hear of every change of the notebook, until what this gives is called. The shared model tells of cells that come and
  // go, and of none that is edited.
  watch(changed) {
    const edited = this.context?.model?.contentChanged;
    edited?.connect(changed);
    return () => edited?.disconnect(changed);
  }

  // What carries messages to a panel in a kernel that started anew; `id` is the old widget's.
  async reopen(id) {
    if (this.manager.reopen) return this.manager.reopen();
    const code = `__import__("rsql_magic").ChatPanel().open(model_id=${JSON.stringify(id)})`;
    await this.session.session.kernel.requestExecute({ code, store_history: false, stop_on_error: false }).done;
    return this.manager.get_model(id);
  }
}

// 53 bits of a text, by which it is known again (cyrb53 by bryc, in the public domain).
function digest(text) {
  let [a, b] = [0xdeadbeef, 0x41c6ce57];
  for (let place = 0; place < text.length; place += 1) {
    const code = text.charCodeAt(place);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return `${(b >>> 0).toString(16)}${(a >>> 0).toString(16).padStart(8, "0")}`;
}

function restore(cell, { source, metadata, outputs, execution_count: count }) {
  cell.setSource(source);
  cell.setMetadata(metadata);
  if (cell.cell_type !== "code") return;
  cell.setOutputs(outputs);
  cell.execution_count = count;
}
