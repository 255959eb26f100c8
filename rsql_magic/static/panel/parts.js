// What an answer is made of beside its prose: rows, outputs, sources, cited passages.

import { make } from "./dom.js";
import { clean } from "./safe.js";

export function drawnFrom(sources) {
  const names = sources.flatMap((name, place) => [place ? ", " : "from ", make("code", { textContent: name })]);
  return make("p", { className: "rsql-small rsql-sources" }, ...names);
}

// A cited passage, which opens on a click; its text is shown as it is written.
export function passage({ label, text, borne_out: borneOut }) {
  const title = make("summary", { className: "rsql-small", textContent: borneOut ? label : `⚠ ${label}` });
  return make("details", { className: "rsql-passage" }, title, make("pre", { textContent: text }));
}

// Text with its @mentions marked.
export function mentioned(text) {
  return text
    .split(/((?:^|(?<=[\s(]))@(?:(?:file|term|doc):(?:"[^"\n]+"|[\w./-]*\w)|[\w:.]*\w))/)
    .map((part, place) => (place % 2 ? make("mark", { textContent: part }) : part));
}

export function table({ columns, rows }) {
  const side = (index) => (columns[index].right ? "rsql-right" : "");
  const line = (tag, cells) =>
    make("tr", {}, ...cells.map((text, index) => make(tag, { textContent: text, className: side(index) })));
  return make(
    "div",
    { className: "rsql-scroll", tabIndex: 0, role: "group", "aria-label": "rows" },
    make(
      "table",
      {},
      make(
        "thead",
        {},
        line(
          "th",
          columns.map((column) => column.name),
        ),
      ),
      make("tbody", {}, ...rows.map((row) => line("td", row))),
    ),
  );
}

export function output({ kind, text, html, data }) {
  if (kind === "image") return make("img", { src: `data:image/png;base64,${data}`, alt: "plot" });
  if (kind === "html") return make("div", { className: "rsql-scroll", tabIndex: 0 }, clean(html, "table"));
  return make("pre", { className: kind === "error" ? "rsql-error" : "", role: kind === "error" ? "alert" : "" }, text);
}
