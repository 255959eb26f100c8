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

  // Below what was inserted last, else below the panel's own cell.
  insert(cells) {
    const shared = this.cells;
    let place = shared.cells.findIndex((cell) => cell.id === this.last) + 1;
    if (!place) {
      const own = this.el.closest(".jp-Cell");
      const index = own ? Number(own.dataset.windowedListIndex ?? [...own.parentNode.children].indexOf(own)) : NaN;
      place = Number.isInteger(index) && index >= 0 ? index + 1 : shared.cells.length;
    }
    for (const { kind, source } of cells) {
      const metadata = kind === "code" ? { trusted: true } : {};
      this.last = shared.insertCell(place, { cell_type: kind, source, metadata }).id;
      place += 1;
    }
  }
}
