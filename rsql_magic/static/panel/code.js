// A block of code: its text, its language, its bar of tools and its output.

import { make } from "./dom.js";

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
    this.figure = make("figure", { className: "rsql-code" }, this.bar, pre, this.output);
    this.source = "";
  }

  write(text) {
    this.source += text;
    this.text.append(text);
  }

  close() {
    this.source = this.source.replace(/\n$/, "");
    this.text.textContent = this.source;
  }

  // Pieces of the code, each with its kind.
  colour(pieces) {
    this.text.replaceChildren(
      ...pieces.map(([kind, text]) => (kind ? make("span", { className: `rsql-${kind}`, textContent: text }) : text)),
    );
  }
}
