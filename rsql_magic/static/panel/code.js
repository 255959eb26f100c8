// A block of code: its text, its language, its bar of tools and its output.

import { make } from "./dom.js";
import { marksOf, viewLine, warnings, withMarks } from "./odd.js";

const NAMES = {
  py: "python",
  python3: "python",
  ipython: "python",
  rscript: "r",
  postgresql: "sql",
  duckdb: "sql",
  sqlite: "sql",
  mysql: "sql",
};
export const SHOWN = { python: "Python", r: "R", sql: "SQL" };
export class Code {
  constructor(language, fence, indent) {
    const name = language.toLowerCase();
    this.language = NAMES[name] ?? name;
    this.fence = fence;
    this.indent = indent;
    this.text = make("code");
    this.bar = make("figcaption", {}, make("span", { textContent: SHOWN[this.language] ?? language }));
    this.output = make("div", { className: "rsql-output", "aria-live": "polite" });
    const pre = make("pre", { tabIndex: 0, "aria-label": `code ${SHOWN[this.language] ?? language}` }, this.text);
    this.warned = make("div");
    this.figure = make("figure", { className: "rsql-code" }, this.bar, this.warned, pre, viewLine(pre), this.output);
    this.source = "";
  }

  write(text) {
    this.source += text;
    this.text.append(text);
  }

  close() {
    this.source = this.source.replace(/\n$/, "");
    this.text.replaceChildren(...withMarks(this.source));
    this.warned.replaceChildren(...warnings(this.source));
  }

  // Pieces of the code, each with its kind.
  colour(pieces) {
    const marks = marksOf(this.source);
    let from = 0;
    const nodes = pieces.flatMap(([kind, text]) => {
      const shown = withMarks(text, this.source, from, marks);
      from += text.length;
      return kind ? [make("span", { className: `rsql-${kind}` }, ...shown)] : shown;
    });
    this.text.replaceChildren(...nodes);
  }
}
