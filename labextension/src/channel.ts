// The way between the panel beside a notebook and the notebook's kernel: to the panel's view it looks as a widget's
// model does in a cell, and it carries the same messages.

import type { Comm } from "@jupyterlab/services";
import type { SessionContext } from "@jupyterlab/notebook";
import type { Content, Model } from "panel/wire.js";
import { connect } from "./kernel";
import { Trouble } from "./trouble";

type Heard = (content: Content) => void;

export class Channel implements Model {
  // Hears what the kernel tells, also while the view is hidden.
  onContent: Heard = () => undefined;
  // Hears why there is no way to the kernel; null once there is one.
  onTrouble: (trouble: Trouble | null) => void = () => undefined;
  // Hears that the way to the kernel has ended: nothing that was asked is answered any more.
  onEnd: () => void = () => undefined;
  private readonly heard = new Set<Heard>();
  private waiting: Content[] = [];
  private comm: Comm | null = null;
  private opening: Promise<void> | null = null;

  constructor(
    private readonly session: SessionContext,
    private readonly surroundings: object,
    private readonly opened: typeof connect = connect,
  ) {
    session.kernelChanged.connect(this.dropped);
    session.statusChanged.connect(this.changed);
  }

  // What a widget's model tells of the notebook around it.
  get widget_manager(): unknown {
    return { ...this.surroundings, reopen: () => this.reopen() };
  }

  on(_: string, heard: Heard): void {
    this.heard.add(heard);
  }

  off(_: string, heard: Heard): void {
    this.heard.delete(heard);
  }

  send(content: Content): void {
    if (this.comm && !this.comm.isDisposed) {
      this.comm.send(content);
      return;
    }
    this.waiting.push(content);
    void this.open();
  }

  open(): Promise<void> {
    if (this.comm && !this.comm.isDisposed) return Promise.resolve();
    this.opening ??= this.openNow().finally(() => {
      this.opening = null;
    });
    return this.opening;
  }

  private async openNow(): Promise<void> {
    try {
      await this.session.ready;
      const comm = await this.opened(this.session.session?.kernel, () => this.drop());
      comm.onMsg = ({ content }) => this.receive(content.data);
      this.comm = comm;
      this.onTrouble(null);
      for (const content of this.waiting.splice(0)) comm.send(content);
    } catch (error) {
      const trouble =
        error instanceof Trouble ? error : new Trouble("failed", `The kernel cannot be reached. ${error}`, "");
      this.onTrouble(trouble);
      const { message, hint } = trouble;
      for (const { n } of this.waiting.splice(0)) this.receive({ n, error: { message, hint, kind: trouble.kind } });
    }
  }

  // In a kernel that started anew.
  async reopen(): Promise<this> {
    await this.open();
    return this;
  }

  private receive(content: Content): void {
    this.onContent(content);
    for (const heard of [...this.heard]) heard(content);
  }

  private drop(): void {
    this.comm = null;
    this.onEnd();
  }

  private readonly dropped = (): void => this.drop();

  private readonly changed = (_: unknown, status: string): void => {
    if (["restarting", "autorestarting", "dead", "terminating"].includes(status)) this.drop();
  };

  close(): void {
    this.session.kernelChanged.disconnect(this.dropped);
    this.session.statusChanged.disconnect(this.changed);
    const comm = this.comm;
    this.drop();
    this.heard.clear();
    if (comm && !comm.isDisposed) comm.close();
  }
}
