// The item in the status bar: what is left of the nearest limit, and the place in the queue while a question waits.

import { Widget } from "@lumino/widgets";
import { button, make } from "panel/dom.js";
import { nearest } from "panel/limits.js";
import type { Sidebar } from "./sidebar";

export class StatusItem extends Widget {
  constructor(
    private readonly sidebar: Sidebar,
    open: () => void,
  ) {
    super({ node: make("div", { className: "rsql-status-item" }) });
    this.node.append(button("Open the chat about the notebook", "", open, { text: "rsql" }));
    // The focus stays in its cell until the click: leaving that changes the notebook's mode, whose word in the status bar
    // is of another length, and the button would move away below the pointer.
    this.node.addEventListener("mousedown", (event) => event.preventDefault());
    sidebar.onNews = () => this.update_();
    this.update_();
  }

  private update_(): void {
    const { limits = null, place = null } = this.sidebar.current ?? {};
    const least = nearest(limits);
    const said = [least?.text, place && `waiting: place ${place}`].filter(Boolean).join(" · ");
    const item = this.node.firstElementChild;
    if (item) item.textContent = `rsql${said && `: ${said}`}`;
    item?.setAttribute("aria-label", `Chat about the notebook${said && `: ${said}`}`);
    this.node.classList.toggle("rsql-low", Boolean(least && least.share < 0.1));
  }
}
