// A cell as the assistant sees it: its source, the part that is selected, and what its output says of an error.

import type { Cell, Outputs } from "@jupyterlab/notebook";
import type { Content } from "panel/wire.js";

export interface Part {
  readonly whole: string;
  readonly start: number;
  readonly end: number;
}

// The selected part of a cell; all of it where nothing is selected.
export function selected(cell: Cell): Part {
  const whole = cell.model.sharedModel.getSource();
  const selection = cell.editor?.getSelection();
  if (!cell.editor || !selection) return { whole, start: 0, end: whole.length };
  const ends = [cell.editor.getOffsetAt(selection.start), cell.editor.getOffsetAt(selection.end)];
  const [start, end] = [Math.min(...ends), Math.max(...ends)];
  return whole.slice(start, end).trim() ? wholeLines(whole, start, end) : { whole, start: 0, end: whole.length };
}

// What is selected in the output of a cell, as it is shown there; empty where nothing is. Three clicks on its last line
// select up to what stands below: the selection ends with the output.
export function selectedOutput(cell: HTMLElement): string {
  const selection = getSelection();
  const output = cell.querySelector(".jp-OutputArea");
  if (!output || !selection?.rangeCount) return "";
  const { startContainer, startOffset, endContainer } = selection.getRangeAt(0);
  if (!output.contains(startContainer)) return "";
  if (!output.contains(endContainer))
    selection.setBaseAndExtent(startContainer, startOffset, output, output.childNodes.length);
  return selection.toString().replace(/^\n+|\s+$/g, "");
}

// A selection that begins within a line's indentation begins with the line.
export function wholeLines(whole: string, start: number, end: number): Part {
  const line = whole.lastIndexOf("\n", start - 1) + 1;
  return { whole, start: whole.slice(line, start).trim() ? start : line, end };
}

export const textOf = ({ whole, start, end }: Part): string => whole.slice(start, end);
export const withPart = ({ whole, start, end }: Part, text: string): string =>
  whole.slice(0, start) + text + whole.slice(end);

// What magics that print their errors, as JupySQL does, write to the error stream.
const PRINTED = /^([A-Z]\w*(?:Error|Exception)): ([\s\S]+)/;
// Cells that hold a question: what a magic says of its own failure is complete.
const QUESTION = /^\s*%%?(?:ask|sql_ai|rsql)\b/;
const COLOURS = /\u001b\[[0-9;]*m/g;

// The error that a cell ended with, as its output says it; null where it ended well.
export function errorOf(outputs: Outputs | undefined): { name: string; value: string } | null {
  for (let place = (outputs?.length ?? 0) - 1; outputs && place >= 0; place -= 1) {
    const { output_type: type, name, text, ename, evalue } = outputs.get(place).toJSON();
    if (type === "error") return { name: String(ename ?? "Error"), value: plain(evalue) };
    const printed = type === "stream" && name === "stderr" && PRINTED.exec(plain(text));
    if (printed) return { name: printed[1] ?? "", value: (printed[2] ?? "").trimEnd() };
  }
  return null;
}

const plain = (text: unknown): string => (Array.isArray(text) ? text.join("") : String(text ?? "")).replace(COLOURS, "");

// A cell of code that failed, with its error.
export function about(cell: Cell | null | undefined): Content | null {
  const source = cell?.model?.sharedModel.getSource() ?? "";
  const error = QUESTION.test(source) ? null : errorOf(cell?.model?.outputs);
  return error && { source, ...error };
}

// The language that the head of a card of code names.
export const languageOf = (head: string): string => head.trim().toLowerCase();

// The connection that a cell of %%sql_ai asks; empty for the one in use.
export function connectionOf(source: string): string {
  const [, first = ""] = /^\s*%%sql_ai[ \t]+(\S+)/.exec(source) ?? [];
  return first.startsWith("-") ? "" : first;
}
