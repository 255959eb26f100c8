// A kernel that restarts and a connection that breaks: what the panel says of them, and how it goes on.

import { button } from "./dom.js";

export class KernelWatch {
  constructor(view) {
    this.view = view;
    this.gone = false; // whether the kernel has ended and the panel is not in a new one yet
    this.offline = false;
    this.close = () => {};
    this.watch();
  }

  watch() {
    const { notebook } = this.view;
    const { session } = notebook;
    if (!session) return;
    const status = (_, now) => {
      if (["restarting", "autorestarting", "dead", "terminating"].includes(now)) this.lost();
      else if (now === "idle") this.goOn();
    };
    // The kernel is told at once, also by a view that is hidden: what cells say is kept under the name.
    const moved = () => this.view.tried("moved", notebook.place, () => {});
    const line = (_, now) => {
      if (this.gone) return; // a new kernel has a new connection
      const wasOffline = this.offline;
      this.offline = now !== "connected";
      if (this.offline) this.tell();
      else if (wasOffline) {
        this.view.banner("");
        this.view.sync();
      }
    };
    session.statusChanged.connect(status);
    session.connectionStatusChanged.connect(line);
    notebook.context.pathChanged?.connect(moved);
    this.close = () => {
      notebook.context.pathChanged?.disconnect(moved);
      session.statusChanged.disconnect(status);
      session.connectionStatusChanged.disconnect(line);
    };
  }

  lost() {
    if (this.gone) return;
    this.gone = true;
    this.offline = false; // that was the old kernel's connection
    this.view.wire.forget();
    this.tell();
  }

  // Say what is the matter, and what it has ended.
  tell() {
    if (this.view.hidden) return;
    if (this.offline) this.view.banner("The connection is lost; trying again …");
    if (!this.gone) return;
    this.view.composer.running = false;
    for (const each of this.view.exchanges.values())
      if (each.told.state === "running") each.update({ ...each.told, state: "stopped" });
    this.view.banner(
      "The kernel has ended; variables are gone, the conversation is still here. ",
      button("Go on with the new kernel", "retry", () => this.revive(), { text: "Go on", className: "rsql-primary" }),
    );
  }

  // The view is seen again: what has ended meanwhile is told, and goes on where there is a new kernel.
  show() {
    this.tell();
    if (this.view.notebook.session?.session?.kernel?.status === "idle") this.goOn();
  }

  goOn() {
    if (this.gone && !this.reviving && !this.view.hidden) this.revive();
  }

  // A new panel in the new kernel, under the old name; it has what is kept.
  async revive() {
    this.reviving = true;
    this.view.banner("Starting …");
    let done;
    this.view.ready = new Promise((resolve) => (done = resolve));
    try {
      const { wire, notebook } = this.view;
      wire.attach(await notebook.reopen(wire.widget));
      this.gone = false;
      this.view.banner("");
      await this.view.sync();
    } catch (error) {
      this.view.banner(`That did not work (${error.message ?? error}). Run the cell again.`);
    } finally {
      this.reviving = false;
      done();
    }
  }
}
