// A proposed change of a cell: its lines with what goes and what comes, the reason, and what the user may do with it.

import { button, make } from "./dom.js";
import { lineDiff } from "./line_diff.js";
import { marksOf, viewLine, warnings, withMarks } from "./odd.js";
import { written } from "./prose.js";

const AROUND = 3; // lines shown before and after a change

// `accept(run)` puts the text in place, and runs it where `run` is true; `again()` has it proposed anew. `notes` are
// lines of warning, `effects` what the cell would do beyond computing: where there are any, running it needs to be said
// in other words, beside them.
export class Diff {
  constructor({ title, before, after, reason = "", notes = [], effects = [], accept, reject, again = null }) {
    Object.assign(this, { before, after, accept, reject, again });
    this.state = make("p", { className: "rsql-note", role: "status", hidden: true });
    const { lines, counts } = changedLines(before, after);
    this.take = button("Accept the change", "", () => this.decide(() => accept(false)), {
      text: "Accept",
      className: "rsql-primary",
    });
    this.takeAndRun = button("Accept the change and run the cell", "run", () => this.decide(() => accept(true)), {
      text: effects.length ? "Accept and run anyway" : "Accept and run",
    });
    this.leave = button("Reject the change (Esc)", "close", () => this.decide(reject), { text: "Reject" });
    this.node = make(
      "section",
      { className: "rsql-diff", "aria-label": title },
      make(
        "header",
        {},
        make("strong", { textContent: title }),
        make("span", { className: "rsql-small", textContent: counts }),
      ),
      written(reason, "rsql-reason"),
      ...notes.map((note) => make("p", { className: "rsql-note", textContent: `⚠ ${note}` })),
      ...warnings(after),
      lines,
      viewLine(lines),
      effects.length > 0 && effectsOf(effects),
      this.state,
      make("div", { className: "rsql-row" }, this.take, this.takeAndRun, this.leave),
    );
    this.node.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.decide(reject);
    });
  }

  decide(work) {
    if (this.node.isConnected) work();
  }

  // It was made for a text that is no longer there: it can be read, but no longer accepted.
  outdate(why) {
    if (this.take.disabled) return;
    this.take.disabled = this.takeAndRun.disabled = true;
    const anew = this.again && button("Propose the change anew", "retry", this.again, { text: "Propose anew" });
    this.state.replaceChildren(`${why} `, anew || "");
    this.state.hidden = false;
  }
}

// What a cell would do beyond computing, beside what lets it.
export function effectsOf(sentences, ...more) {
  const list = make("ul", {}, ...sentences.map((text) => make("li", { textContent: text })));
  return make("div", { className: "rsql-effects" }, make("p", { textContent: "Run, this cell" }), list, ...more);
}

// The lines of a change with what goes and what comes, and how many those are.
export function changedLines(before, after) {
  const found = before ? lineDiff(before, after) : after.split("\n").map((text) => ({ sign: "+", text }));
  const count = (sign) => found.filter((line) => line.sign === sign).length;
  const attributes = { className: "rsql-lines", tabIndex: 0, role: "group", "aria-label": "changed lines" };
  return { lines: make("div", attributes, ...drawnLines(found)), counts: `+${count("+")} −${count("-")} lines` };
}

// Lines far from any change are folded.
function drawnLines(lines) {
  const near = lines.map((_, place) =>
    lines.slice(Math.max(0, place - AROUND), place + AROUND + 1).some(({ sign }) => sign !== " "),
  );
  const nodes = [];
  for (let place = 0; place < lines.length; ) {
    let end = place;
    while (end < lines.length && !near[end]) end += 1;
    if (end - place > 1) nodes.push(folded(lines.slice(place, end)));
    else if (end > place) nodes.push(drawnLine(lines[place]));
    if (end < lines.length) nodes.push(drawnLine(lines[end]));
    place = end + 1;
  }
  return nodes;
}

function folded(lines) {
  const open = button(`Show ${lines.length} lines that stay`, "", () => open.replaceWith(...lines.map(drawnLine)), {
    text: `… ${lines.length} lines that stay`,
    className: "rsql-link rsql-folded",
  });
  return open;
}

const LINE_TAGS = { " ": "div", "-": "del", "+": "ins" };

function drawnLine({ sign, text, words }) {
  const marks = marksOf(text);
  let from = 0;
  const pieces = (words ?? [[text, false]]).flatMap(([piece, differs]) => {
    const shown = withMarks(piece, text, from, marks);
    from += piece.length;
    return differs ? [make("mark", {}, ...shown)] : shown;
  });
  return make(
    LINE_TAGS[sign],
    { className: "rsql-line" },
    make("span", { className: "rsql-sign", textContent: sign === "-" ? "−" : sign, "aria-hidden": "true" }),
    make("code", {}, ...pieces),
  );
}
