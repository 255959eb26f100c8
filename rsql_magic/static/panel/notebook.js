// The notebook around the panel, where the front end shows it to widgets (JupyterLab, Notebook 7).

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

  // What carries messages to a panel in a kernel that started anew; `id` is the old widget's.
  async reopen(id) {
    if (this.manager.reopen) return this.manager.reopen();
    const code = `__import__("rsql_magic").ChatPanel().open(model_id=${JSON.stringify(id)})`;
    await this.session.session.kernel.requestExecute({ code, store_history: false, stop_on_error: false }).done;
    return this.manager.get_model(id);
  }
}
