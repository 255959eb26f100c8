// What the sidebar takes of the panel's own modules (rsql_magic/static/panel), which a cell's widget is joined from too.

declare module "panel/wire.js" {
  export interface Content {
    [name: string]: unknown;
  }
  export interface Model {
    send(content: Content): void;
    on(name: string, heard: (content: Content) => void): void;
    off(name: string, heard: (content: Content) => void): void;
    readonly widget_manager: unknown;
  }
  export class Wire {
    constructor(model: Model, told: (content: Content) => void);
    call(name: string, args?: Content): Promise<Content>;
    forget(): void;
    detach(): void;
  }
}

declare module "panel/view.js" {
  import type { Content, Model } from "panel/wire.js";
  export class View {
    constructor(model: Model, el: HTMLElement);
    readonly ready: Promise<void>;
    readonly root: HTMLElement;
    readonly composer: { add(text: string): void; text: string; box: HTMLTextAreaElement };
    send(text: string, how?: Content): Promise<boolean>;
    lost(): void;
    hide(): void;
    unhide(): void;
    close(): void;
  }
}

declare module "panel/diff.js" {
  export class Diff {
    constructor(change: {
      title: string;
      before: string;
      after: string;
      reason?: string;
      notes?: string[];
      effects?: string[];
      accept: (run: boolean) => void;
      reject: () => void;
      again?: (() => void) | null;
    });
    readonly node: HTMLElement;
    readonly after: string;
    readonly take: HTMLButtonElement;
    outdate(why: string): void;
  }
  export function effectsOf(sentences: string[], ...more: Node[]): HTMLElement;
}

declare module "panel/odd.js" {
  export interface Mark {
    readonly at: number;
    readonly length: number;
    readonly label: string;
    readonly kind: string;
    readonly stays: boolean;
  }
  export function marksOf(text: string): Mark[];
  export function oddities(text: string): string[];
  export function withMarks(text: string, whole?: string, from?: number, marks?: Mark[]): (Node | string)[];
  export function textShown(node: Node): string;
  export function warnings(text: string): HTMLElement[];
  export function viewLine(node: HTMLElement): HTMLElement;
}

declare module "panel/held.js" {
  export interface Held {
    readonly names: string[];
    readonly words: string[];
  }
  export function heldOf(outputs: { metadata?: unknown }[]): Held;
  export function asMade(outputs: object[], made: unknown): object[];
  export function heldLine(held: Held, show: () => void): HTMLElement;
}

declare module "panel/prose.js" {
  export function written(text: string, className?: string): HTMLElement;
}

declare module "panel/dom.js" {
  export function make(tag: string, attributes?: object, ...children: (Node | string | null | false)[]): HTMLElement;
  export function button(label: string, icon: string, onclick: (event: Event) => void, more?: object): HTMLButtonElement;
  export function copy(text: string, node: HTMLElement): Promise<void>;
  export function tokens(count: number): string;
}

declare module "panel/room.js" {
  export function followRoom(node: HTMLElement): void;
}

declare module "panel/limits.js" {
  export function nearest(limits: unknown): { text: string; share: number } | null;
}

declare module "*.css" {
  const text: string;
  export default text;
}

declare module "*.svg" {
  const text: string;
  export default text;
}

declare module "panel/cell_run.js" {
  export class CellRun {
    constructor(write: (outputs: object[]) => void);
    hear(message: object): void;
    readonly texts: string[];
    readonly pictures: string[];
    readonly error: { name: string; value: string } | null;
  }
}

declare module "panel/notebook.js" {
  export function fenced(code: string, kind?: string): string;
  export class Notebook {
    constructor(model: { widget_manager: unknown }, el: HTMLElement);
    readonly whyNot: string;
    readonly canChange: boolean;
    readonly isRunning: boolean;
    isUndoable(record: { steps: { cell: string; source: string }[] }): boolean;
    offers(wanted: string, known: { label: string; detail: string }[]): { label: string; detail: string; insert: string }[];
  }
}

declare module "panel/following.js" {
  interface Placed {
    getBoundingClientRect(): { top: number; bottom?: number };
  }
  interface Box extends Placed {
    scrollTop: number;
    readonly scrollHeight: number;
    readonly clientHeight: number;
    readonly style: { overflowAnchor: string };
  }
  export class Following {
    constructor(
      box: Box,
      changed?: (atEnd: boolean) => void,
      later?: (work: () => void) => void,
      clock?: () => number,
    );
    readonly atEnd: boolean;
    readonly handled: number;
    hand(): void;
    toEnd(): void;
    hide(nodes: Placed[]): void;
    show(): void;
    hold(node: Placed, offset: number): void;
    place<Node extends Placed>(nodes: Node[]): { node: Node; offset: number } | null;
    look(): void;
    keep(): void;
  }
}
