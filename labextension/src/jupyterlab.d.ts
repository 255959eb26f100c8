// The part of JupyterLab 4 and Lumino that the sidebar uses. Their own packages would bring 100 MB for these lines.

declare module "@lumino/coreutils" {
  export class Token<T> {
    constructor(name: string);
    readonly name: string;
    readonly _tokenStructuralPropertyT: T;
  }
}

declare module "@lumino/signaling" {
  export interface ISignal<S, A> {
    connect(slot: (sender: S, args: A) => void): boolean;
    disconnect(slot: (sender: S, args: A) => void): boolean;
  }
}

declare module "@lumino/messaging" {
  export interface Message {
    readonly type: string;
  }
}

declare module "@lumino/widgets" {
  import type { Message } from "@lumino/messaging";
  import type { ISignal } from "@lumino/signaling";
  export interface Title {
    label: string;
    caption: string;
    icon: unknown;
  }
  export class Widget {
    constructor(options?: { node?: HTMLElement });
    id: string;
    readonly node: HTMLElement;
    readonly title: Title;
    readonly isVisible: boolean;
    readonly isAttached: boolean;
    readonly isDisposed: boolean;
    readonly disposed: ISignal<Widget, void>;
    addClass(name: string): void;
    hide(): void;
    show(): void;
    dispose(): void;
    protected onAfterShow(message: Message): void;
    protected onAfterAttach(message: Message): void;
    protected onBeforeHide(message: Message): void;
    protected onBeforeDetach(message: Message): void;
  }
}

declare module "@jupyterlab/ui-components" {
  export class LabIcon {
    constructor(options: { name: string; svgstr: string });
  }
}

declare module "@jupyterlab/settingregistry" {
  import type { Token } from "@lumino/coreutils";
  import type { ISignal } from "@lumino/signaling";
  export interface Settings {
    get(key: string): { composite: unknown };
    readonly changed: ISignal<Settings, void>;
  }
  export interface ISettingRegistry {
    load(plugin: string): Promise<Settings>;
  }
  export const ISettingRegistry: Token<ISettingRegistry>;
}

declare module "@jupyterlab/services" {
  import type { ISignal } from "@lumino/signaling";
  export interface Comm {
    readonly subshellStarted?: Promise<void>;
    open(data?: unknown): { done: Promise<unknown> };
    send(data: unknown): { done: Promise<unknown> };
    close(): { done: Promise<unknown> };
    onMsg: (message: { content: { data: Record<string, unknown> } }) => void;
    onClose: (message: unknown) => void;
    readonly isDisposed: boolean;
  }
  export interface ExecuteReply {
    content: {
      status: string;
      ename?: string;
      evalue?: string;
      user_expressions?: Record<
        string,
        { status: string; ename?: string; evalue?: string; data?: Record<string, unknown> }
      >;
    };
  }
  export interface Output {
    header: { msg_type: string };
    content: Record<string, unknown>;
  }
  export interface Future {
    done: Promise<ExecuteReply>;
    onIOPub: (message: Output) => void;
  }
  export interface Kernel {
    readonly id: string;
    readonly name: string;
    readonly status: string;
    readonly connectionStatus: string;
    readonly handleComms: boolean;
    readonly supportsSubshells?: boolean;
    readonly info: Promise<{ language_info: { name: string } }>;
    readonly spec: Promise<{ display_name: string } | undefined>;
    requestExecute(content: {
      code: string;
      silent?: boolean;
      store_history?: boolean;
      stop_on_error?: boolean;
      allow_stdin?: boolean;
      user_expressions?: Record<string, string>;
    }): Future;
    createComm(target: string): Comm;
  }
  export type Status = ISignal<unknown, string>;
}

declare module "@jupyterlab/rendermime" {
  import type { Token } from "@lumino/coreutils";
  export interface IRenderMimeRegistry {
    readonly mimeTypes: readonly string[];
  }
  export const IRenderMimeRegistry: Token<IRenderMimeRegistry>;
}

declare module "@jupyterlab/notebook" {
  import type { Kernel, Status } from "@jupyterlab/services";
  import type { IRenderMimeRegistry } from "@jupyterlab/rendermime";
  import type { Token } from "@lumino/coreutils";
  import type { ISignal } from "@lumino/signaling";
  import type { Widget } from "@lumino/widgets";
  export interface SessionContext {
    readonly ready: Promise<void>;
    readonly isReady: boolean;
    readonly session: { readonly kernel: Kernel | null } | null;
    readonly kernelChanged: ISignal<SessionContext, { oldValue: Kernel | null; newValue: Kernel | null }>;
    readonly statusChanged: Status;
    readonly connectionStatusChanged: Status;
  }
  export interface Output {
    readonly type: string;
    toJSON(): Record<string, unknown>;
  }
  export interface Outputs {
    readonly length: number;
    readonly changed: ISignal<Outputs, unknown>;
    get(index: number): Output;
  }
  export interface SharedCell {
    readonly id: string;
    readonly undoManager?: { stopCapturing(): void } | null;
    getSource(): string;
    setSource(source: string): void;
    updateSource(start: number, end: number, text: string): void;
    toJSON(): { outputs: object[] };
    setOutputs(outputs: object[]): void;
  }
  export interface CellModel {
    readonly id: string;
    readonly type: string;
    readonly sharedModel: SharedCell;
    readonly contentChanged: ISignal<CellModel, void>;
    readonly outputs?: Outputs;
    readonly trusted?: boolean;
    readonly executionCount?: number | null;
    getMetadata(key: string): unknown;
  }
  export interface Position {
    line: number;
    column: number;
  }
  export interface Cell extends Widget {
    readonly model: CellModel;
    readonly ready: Promise<void>;
    readonly editor: {
      getSelection(): { start: Position; end: Position };
      getOffsetAt(position: Position): number;
    } | null;
  }
  export interface NotebookModel {
    readonly readOnly: boolean;
    readonly sharedModel: {
      readonly cells: readonly SharedCell[];
      insertCell(index: number, cell: Record<string, unknown>): SharedCell;
    };
    readonly cells: { readonly changed: ISignal<unknown, unknown> };
  }
  export interface StaticNotebook extends Widget {
    readonly widgets: readonly Cell[];
    readonly model: NotebookModel | null;
    readonly activeCell: Cell | null;
    activeCellIndex: number;
    readonly modelChanged: ISignal<unknown, void>;
  }
  export interface Context {
    readonly path: string;
    readonly ready: Promise<void>;
    readonly isReady: boolean;
    readonly contentsModel: { readonly writable: boolean } | null;
    readonly model: NotebookModel;
    readonly sessionContext: SessionContext;
    readonly pathChanged: ISignal<unknown, string>;
  }
  export interface NotebookPanel extends Widget {
    readonly context: Context;
    readonly content: StaticNotebook;
    readonly sessionContext: SessionContext;
  }
  export interface INotebookTracker {
    readonly currentWidget: NotebookPanel | null;
    readonly currentChanged: ISignal<INotebookTracker, NotebookPanel | null>;
    readonly widgetAdded: ISignal<INotebookTracker, NotebookPanel>;
    forEach(work: (panel: NotebookPanel) => void): void;
    find(test: (panel: NotebookPanel) => boolean): NotebookPanel | undefined;
  }
  export const INotebookTracker: Token<INotebookTracker>;
  export const NotebookActions: {
    runCells(
      notebook: StaticNotebook,
      cells: readonly Cell[],
      sessionContext: SessionContext,
    ): Promise<boolean>;
  };
  export type Rendermime = IRenderMimeRegistry;
}

declare module "@jupyterlab/application" {
  import type { Token } from "@lumino/coreutils";
  import type { ISignal } from "@lumino/signaling";
  import type { Widget } from "@lumino/widgets";
  export interface Commands {
    addCommand(
      id: string,
      options: {
        label: string | ((args: Record<string, unknown>) => string);
        caption?: string;
        icon?: unknown;
        isEnabled?: () => boolean;
        isVisible?: () => boolean;
        execute: (args: Record<string, unknown>) => unknown;
      },
    ): void;
    execute(id: string, args?: Record<string, unknown>): Promise<unknown>;
    hasCommand(id: string): boolean;
    notifyCommandChanged(id?: string): void;
  }
  export interface JupyterFrontEnd {
    hasPlugin(id: string): boolean;
    readonly commands: Commands;
    readonly restored: Promise<void>;
    readonly shell: {
      add(widget: Widget, area: string, options?: { rank?: number }): void;
      activateById(id: string): void;
      readonly currentChanged?: ISignal<unknown, unknown>;
    };
  }
  export interface JupyterFrontEndPlugin<T> {
    id: string;
    description: string;
    autoStart: boolean;
    requires?: Token<unknown>[];
    optional?: Token<unknown>[];
    activate: (app: JupyterFrontEnd, ...services: never[]) => T;
  }
  export interface ILayoutRestorer {
    add(widget: Widget, name: string): void;
  }
  export const ILayoutRestorer: Token<ILayoutRestorer>;
}

declare module "@jupyterlab/completer" {
  import type { Token } from "@lumino/coreutils";
  export interface InlineRequest {
    readonly text: string;
    readonly offset: number;
  }
  export interface InlineContext {
    readonly widget: unknown;
  }
  export interface InlineItems {
    items: { insertText: string }[];
  }
  export interface InlineCompletionProvider {
    readonly name: string;
    readonly identifier: string;
    readonly schema?: object;
    fetch(request: InlineRequest, context: InlineContext): Promise<InlineItems>;
  }
  export interface ICompletionProviderManager {
    registerInlineProvider(provider: InlineCompletionProvider): void;
  }
  export const ICompletionProviderManager: Token<ICompletionProviderManager>;
}

declare module "@jupyterlab/apputils" {
  import type { Token } from "@lumino/coreutils";
  export interface ICommandPalette {
    addItem(item: { command: string; category: string }): void;
  }
  export const ICommandPalette: Token<ICommandPalette>;
  export const Notification: { warning(text: string, options: { autoClose: false }): string };
}

declare module "@jupyterlab/launcher" {
  import type { Token } from "@lumino/coreutils";
  export interface ILauncher {
    add(item: { command: string; category: string; rank?: number }): void;
  }
  export const ILauncher: Token<ILauncher>;
}

declare module "@jupyterlab/statusbar" {
  import type { Token } from "@lumino/coreutils";
  import type { Widget } from "@lumino/widgets";
  export interface IStatusBar {
    registerStatusItem(
      id: string,
      item: { item: Widget; align: "left" | "right"; rank?: number; isActive?: () => boolean },
    ): { dispose(): void };
  }
  export const IStatusBar: Token<IStatusBar>;
}
