// Inline completion: what the kernel suggests for the cursor. JupyterLab's completer asks, and has it turned off until a
// user turns it on; the kernel needs a model that is named for it.

import type { INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import type { InlineCompletionProvider, InlineContext, InlineRequest, InlineItems } from "@jupyterlab/completer";
import { Wire, type Model } from "panel/wire.js";

const NONE: InlineItems = { items: [] };
const MOST = 100_000; // characters of a cell in which somebody can be typing
// A plugin beside which JupyterLab draws no inline completion, whoever provides it: docs/panel.md says why.
const IN_THE_WAY = "jupysql-plugin:syntax-highlighting";
const WHY_NOTHING = // a notification shows 140 characters
  "JupySQL's plugin keeps JupyterLab from drawing completions. Turn it off: jupyter labextension disable jupysql-plugin";

// What is asked of the page around the notebook.
export interface Surroundings {
  hasPlugin(id: string): boolean;
  warn(text: string): void;
}

export class Completion implements InlineCompletionProvider {
  readonly identifier = "@rsql/lab:completion";
  readonly name = "rsql";
  readonly schema = { default: { enabled: false, autoFillInMiddle: true, debouncerDelay: 150, timeout: 5000 } };
  private last: { stop(): void } | null = null;
  private count = 0;
  private told = false;

  constructor(
    private readonly tracker: Pick<INotebookTracker, "find">,
    private readonly channel: (notebook: NotebookPanel) => Model,
    private readonly page: Surroundings,
  ) {}

  async fetch({ text, offset }: InlineRequest, { widget }: InlineContext): Promise<InlineItems> {
    this.last?.stop(); // typing goes on
    this.last = null;
    const notebook = this.tracker.find((each) => each === widget);
    if (!notebook || text.length > MOST || /^\s*%%?(?:ask|sql_ai|rsql)\b/.test(text)) return NONE;
    this.tellOnce();
    const wire = new Wire(this.channel(notebook), () => undefined);
    const suggest = `${Date.now()}.${(this.count += 1)}`;
    const mine = { stop: () => void wire.call("suggest_stop", { suggest }).catch(() => undefined) };
    this.last = mine;
    try {
      const told = await wire.call("suggest", { suggest, before: text.slice(0, offset), after: text.slice(offset) });
      const found = String(told["text"] ?? "");
      return this.last === mine && found ? { items: [{ insertText: found }] } : NONE;
    } catch {
      return NONE; // nobody asked for it
    } finally {
      if (this.last === mine) this.last = null;
      wire.detach();
    }
  }

  private tellOnce(): void {
    if (!this.told && this.page.hasPlugin(IN_THE_WAY)) this.page.warn(WHY_NOTHING);
    this.told = true;
  }
}
