// The panel beside one notebook: its view, which is kept while the notebook is open, or what stands in its way.

import type { NotebookPanel } from "@jupyterlab/notebook";
import type { IRenderMimeRegistry } from "@jupyterlab/rendermime";
import type { Kernel } from "@jupyterlab/services";
import { button, make } from "panel/dom.js";
import { View } from "panel/view.js";
import type { Content } from "panel/wire.js";
import { Channel } from "./channel";
import { install } from "./kernel";
import type { Trouble } from "./trouble";

export interface Host {
  readonly rendermime: IRenderMimeRegistry;
  chooseKernel(): void;
  told(beside: Beside): void;
}

export class Beside {
  readonly node = make("div", { className: "rsql-beside" });
  readonly channel: Channel;
  // What the kernel said last of limits and of a place in the queue, for the status bar.
  limits: unknown = null;
  place: number | null = null;
  view: View | null = null;
  private trouble: Trouble | null = null;
  // What stood in the box when something came in the way.
  private typed = "";

  constructor(
    private readonly host: Host,
    readonly notebook: NotebookPanel,
  ) {
    const { context, content } = notebook;
    const chosen = () => content.activeCellIndex;
    this.channel = new Channel(context.sessionContext, { context, rendermime: host.rendermime, chosen });
    this.channel.onContent = (told) => this.hear(told);
    this.channel.onTrouble = (trouble) => this.stands(trouble);
    this.channel.onEnd = () => this.waits(null);
    context.sessionContext.kernelChanged.connect(this.changed);
  }

  // Draw the view; what it asks goes to the kernel as soon as that is ready.
  show(): void {
    this.node.hidden = false;
    if (!this.view && !this.trouble) return this.draw();
    this.view?.unhide();
    if (this.trouble || !this.kernel) void this.again();
  }

  // The view once it knows the conversation; null where something stands in its way.
  async ready(): Promise<View | null> {
    await this.channel.open();
    await this.view?.ready;
    return this.view;
  }

  hide(): void {
    this.view?.hide();
    this.node.hidden = true;
  }

  private get kernel(): Kernel | null {
    return this.notebook.sessionContext.session?.kernel ?? null;
  }

  private hear(told: Content): void {
    if (told["limits"]) this.limits = told["limits"];
    if (["status", "change", "exchange"].includes(String(told["push"]))) this.place = (told["place"] as number) ?? null;
    this.host.told(this);
  }

  private waits(place: number | null): void {
    this.place = place;
    this.host.told(this);
  }

  private stands(trouble: Trouble | null): void {
    this.trouble = trouble;
    if (!trouble) return;
    this.typed ||= this.view?.composer.text ?? "";
    this.view?.close();
    this.view = null;
    this.node.replaceChildren(this.notice(trouble));
  }

  private async again(): Promise<void> {
    await this.channel.open();
    if (!this.trouble && !this.view && !this.node.hidden) this.draw();
  }

  private draw(): void {
    this.node.replaceChildren();
    this.view = new View(this.channel, this.node);
    this.view.root.setAttribute("aria-label", "Chat beside the notebook"); // a panel in a cell has its own name
    if (this.typed) this.view.composer.text = this.typed;
    this.typed = "";
  }

  private notice({ kind, message, hint }: Trouble): HTMLElement {
    const said = make("pre", { className: "rsql-said-by-pip", hidden: true, tabIndex: 0, "aria-label": "pip" });
    const actions: Record<string, [string, () => void]> = {
      "no-kernel": ["Choose a kernel", () => this.host.chooseKernel()],
      language: ["Choose a kernel", () => this.host.chooseKernel()],
      missing: ["Install it into this kernel", () => void this.install(said, act)],
      old: ["Upgrade it", () => void this.install(said, act)],
      failed: ["Try again", () => void this.again()],
    };
    const [text, work] = actions[kind] ?? ["Try again", () => void this.again()];
    const act = button(text, "", work, { text, className: "rsql-primary" });
    return make(
      "section",
      { className: "rsql-panel rsql-notice", "aria-label": "Chat about this notebook" },
      make("p", { textContent: message, role: "status" }),
      make("p", { textContent: hint, className: "rsql-small" }),
      make("div", {}, act),
      said,
    );
  }

  private async install(said: HTMLElement, act: HTMLButtonElement): Promise<void> {
    const { kernel } = this;
    if (!kernel) return this.again();
    act.disabled = true;
    said.hidden = false;
    said.textContent = "Installing …";
    try {
      await install(kernel, (text) => {
        said.textContent = text.slice(-4000);
      });
      await this.again();
    } catch (error) {
      this.stands(error as Trouble);
    }
  }

  // Another kernel, or none: what the old one knew is gone, what was said is still shown.
  // The first kernel of a notebook, which starts while the view is drawn already, takes nobody's place.
  private readonly changed = (_: unknown, { oldValue, newValue }: { oldValue: unknown; newValue: unknown }): void => {
    if (this.view && newValue) {
      if (oldValue) this.view.lost();
    } else if (!this.node.hidden) void this.again();
  };

  close(): void {
    this.notebook.context.sessionContext.kernelChanged.disconnect(this.changed);
    this.view?.close();
    this.channel.close();
    this.node.remove();
  }
}
