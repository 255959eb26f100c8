// The plugin: the sidebar, its commands and where they are found, the buttons under errors, and the settings.

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, Notification } from "@jupyterlab/apputils";
import { ICompletionProviderManager } from "@jupyterlab/completer";
import { ILauncher } from "@jupyterlab/launcher";
import { INotebookTracker, type Cell, type NotebookPanel } from "@jupyterlab/notebook";
import { IRenderMimeRegistry } from "@jupyterlab/rendermime";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { IStatusBar } from "@jupyterlab/statusbar";
import type { Token } from "@lumino/coreutils";
import { fenced } from "panel/notebook.js";
import panelStyle from "panel/panel.css";
import { about, selected, selectedOutput, textOf } from "./cell_source";
import type { Services } from "./cell_tools";
import { CodeCards } from "./code_cards";
import { Completion } from "./completion";
import { FailedCells } from "./failed_cells";
import { Sidebar, icon } from "./sidebar";
import ownStyle from "./sidebar.css";
import { StatusItem } from "./status";

const ID = "@rsql/lab:plugin";
const CATEGORY = "rsql";

function activate(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  rendermime: IRenderMimeRegistry,
  ...found: unknown[]
): void {
  const service = <T>(token: Token<T> | undefined): T | null =>
    (found[optional.indexOf(token as Token<unknown>)] as T | undefined) ?? null;
  const style = document.createElement("style");
  style.textContent = panelStyle + ownStyle;
  document.head.append(style);

  const { commands, shell } = app;
  const sidebar = new Sidebar(tracker, rendermime, () => void commands.execute("notebook:change-kernel"));
  shell.add(sidebar, "right", { rank: 900 });
  const open = (): void => shell.activateById(sidebar.id);
  service(ILayoutRestorer)?.add(sidebar, sidebar.id);
  // To write a question. A sidebar that opens for an explanation, or with JupyterLab's layout, leaves the focus alone.
  const write = (): void => {
    open();
    sidebar.focus();
  };

  const services: Services = {
    channel: (notebook) => sidebar.beside(notebook).channel,
    openSidebar: open,
    run: (notebook, cell) => {
      notebook.content.activeCellIndex = notebook.content.widgets.indexOf(cell);
      void commands.execute("notebook:run-cell");
    },
    explain: async (_, text, how) => {
      open();
      const view = await sidebar.current?.ready();
      await view?.send(text, how);
    },
  };
  const cells = new FailedCells(services, tracker);
  new CodeCards(services, tracker);

  const active = (): { notebook: NotebookPanel; cell: Cell } | null => {
    const notebook = tracker.currentWidget;
    const cell = notebook?.content.activeCell;
    return notebook && cell ? { notebook, cell } : null;
  };
  const onCell = (work: (notebook: NotebookPanel, cell: Cell) => unknown) => (): unknown => {
    const chosen = active();
    return chosen && work(chosen.notebook, chosen.cell);
  };
  const hasCode = (): boolean => active()?.cell.model.type === "code";
  const hasFailed = (): boolean => about(active()?.cell) !== null;

  commands.addCommand("rsql:open", {
    label: "Chat About the Notebook",
    caption: "Write a question about the notebook, or go back to it",
    icon,
    execute: () => {
      const notebook = tracker.currentWidget;
      if (!(sidebar.hasFocus && notebook)) return write();
      sidebar.blur();
      shell.activateById(notebook.id);
    },
  });
  commands.addCommand("rsql:ask-selection", {
    label: "Ask About the Selection",
    caption: "Put what is selected in the cell or its output, or else the cell, into the chat",
    isEnabled: () => active() !== null,
    execute: onCell(async (_, cell) => {
      const output = selectedOutput(cell.node);
      const asked = output ? fenced(output, "output") : fenced(textOf(selected(cell)));
      open();
      const view = await sidebar.current?.ready();
      view?.composer.add(`\n${asked}\n`);
    }),
  });
  commands.addCommand("rsql:explain-error", {
    label: "Explain the Error",
    isEnabled: hasFailed,
    execute: onCell((notebook, cell) => cells.tools(notebook, cell).explain()),
  });
  commands.addCommand("rsql:fix-error", {
    label: "Fix the Error",
    isEnabled: hasFailed,
    execute: onCell((notebook, cell) => cells.tools(notebook, cell).fix()),
  });
  commands.addCommand("rsql:change-selection", {
    label: "Change the Selection or Cell …",
    isEnabled: hasCode,
    execute: onCell((notebook, cell) => cells.tools(notebook, cell).ask(selected(cell))),
  });

  const palette = service(ICommandPalette);
  for (const name of ["open", "ask-selection", "explain-error", "fix-error", "change-selection"])
    palette?.addItem({ command: `rsql:${name}`, category: CATEGORY });
  service(ILauncher)?.add({ command: "rsql:open", category: "Other", rank: 50 });
  const item = new StatusItem(sidebar, write);
  service(IStatusBar)?.registerStatusItem("rsql:status", { item, align: "right", rank: 150 });

  const completion = new Completion(tracker, (notebook) => sidebar.beside(notebook).channel, {
    hasPlugin: (id) => app.hasPlugin(id),
    warn: (text) => void Notification.warning(text, { autoClose: false }),
  });
  service(ICompletionProviderManager)?.registerInlineProvider(completion);

  void service(ISettingRegistry)
    ?.load(ID)
    .then((settings) => {
      const apply = (): void => {
        cells.shown = Boolean(settings.get("errorButtons").composite);
        if (settings.get("statusItem").composite) item.show();
        else item.hide();
      };
      settings.changed.connect(apply);
      apply();
    });
}

// What a front end lacks, such as the launcher in Notebook 7, is left out.
const optional = [
  ILayoutRestorer,
  ICommandPalette,
  ICompletionProviderManager,
  ILauncher,
  IStatusBar,
  ISettingRegistry,
].filter((token) => token) as Token<unknown>[];

const plugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: "Chat about the notebook beside it, and have its errors explained and mended.",
  autoStart: true,
  requires: [INotebookTracker, IRenderMimeRegistry],
  optional,
  activate: activate as JupyterFrontEndPlugin<void>["activate"],
};

export default plugin;
