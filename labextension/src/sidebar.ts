// The sidebar: the panel beside the active notebook. It follows that, and does nothing while it is hidden.

import type { INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import type { IRenderMimeRegistry } from "@jupyterlab/rendermime";
import { LabIcon } from "@jupyterlab/ui-components";
import type { Message } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";
import { make } from "panel/dom.js";
import { Beside, type Host } from "./beside";
import svgstr from "./icon.svg";
import { noNotebook } from "./trouble";

export const icon = new LabIcon({ name: "rsql:chat", svgstr });

export class Sidebar extends Widget implements Host {
  // Hears that something changed which the status bar shows.
  onNews: () => void = () => undefined;
  private readonly all = new Map<NotebookPanel, Beside>();
  private shown: Beside | null = null;
  private focusing: ReturnType<typeof setTimeout> | undefined;
  private readonly empty = make(
    "section",
    { className: "rsql-panel rsql-notice", "aria-label": "Chat about this notebook" },
    make("p", { textContent: noNotebook().message }),
    make("p", { textContent: noNotebook().hint, className: "rsql-small" }),
  );

  constructor(
    private readonly tracker: INotebookTracker,
    readonly rendermime: IRenderMimeRegistry,
    readonly chooseKernel: () => void,
  ) {
    super();
    this.id = "rsql-sidebar";
    this.addClass("rsql-sidebar");
    this.title.icon = icon;
    this.title.caption = "Chat about the notebook";
    this.node.tabIndex = -1;
    this.node.setAttribute("role", "region");
    this.node.setAttribute("aria-label", "Chat about the notebook");
    tracker.currentChanged.connect(() => this.follow());
  }

  // What is beside the active notebook, if it was opened already.
  get current(): Beside | null {
    const notebook = this.tracker.currentWidget;
    return (notebook && this.all.get(notebook)) || null;
  }

  beside(notebook: NotebookPanel): Beside {
    let found = this.all.get(notebook);
    if (!found) {
      found = new Beside(this, notebook);
      found.hide();
      this.node.append(found.node);
      this.all.set(notebook, found);
      notebook.disposed.connect(() => this.forget(notebook));
    }
    return found;
  }

  // Whether the keyboard is in the sidebar.
  get hasFocus(): boolean {
    return this.node.contains(document.activeElement);
  }

  // Have the keyboard where a question is written; where something stands in its way, beside that.
  focus(): void {
    const take = (): void => (this.shown?.view?.composer.box ?? this.node).focus();
    take();
    this.focusing = setTimeout(take); // the palette, which has lost it by that, gives it to the notebook
  }

  // The keyboard goes back to the notebook.
  blur(): void {
    clearTimeout(this.focusing);
  }

  told(beside: Beside): void {
    if (beside === this.current) this.onNews();
  }

  protected override onAfterShow(_: Message): void {
    this.follow();
  }

  protected override onAfterAttach(_: Message): void {
    this.follow();
  }

  protected override onBeforeHide(_: Message): void {
    this.shown?.hide();
    this.shown = null;
  }

  protected override onBeforeDetach(message: Message): void {
    this.onBeforeHide(message);
  }

  // Show what is beside the active notebook. The others are hidden and not taken out: their scrollers, in answers too,
  // would begin anew.
  follow(): void {
    this.onNews();
    if (!this.isVisible) return;
    const notebook = this.tracker.currentWidget;
    const next = notebook && this.beside(notebook);
    if (next && next === this.shown) return;
    this.shown?.hide();
    this.shown = next;
    if (next) this.empty.remove();
    else this.node.append(this.empty);
    next?.show();
  }

  private forget(notebook: NotebookPanel): void {
    const gone = this.all.get(notebook);
    this.all.delete(notebook);
    if (this.shown === gone) this.shown = null;
    gone?.close();
  }
}
