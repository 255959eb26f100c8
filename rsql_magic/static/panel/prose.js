// Markdown that grows. What cannot change any more is drawn once; only its end is drawn anew.

import { Code } from "./code.js";
import { make, soon } from "./dom.js";
import { clean, md, TURNING } from "./safe.js";

const FENCE = /^( {0,3})(`{3,}|~{3,})[ \t]*([^\n`]*)(\n|$)/m;
const CHUNK = 8000; // characters parsed at once: some 2 ms
const BUDGET = 8; // ms of one frame
const PART = 30; // blocks

export class Prose {
  constructor(root, hooks) {
    this.root = root;
    this.hooks = hooks; // { code(figure), formulas(nodes, live) }
    this.reset();
  }

  reset() {
    this.root.replaceChildren();
    this.tail = "";
    this.block = null;
    this.ended = false;
    this.part = null;
    this.live = this.root.appendChild(make("div"));
  }

  // What is settled stands in parts, so that of a very long answer only those in view are laid out.
  put(node) {
    if (!this.part || this.part.childElementCount >= PART) {
      this.part = make("div", { className: "rsql-part" });
      this.root.insertBefore(this.part, this.live);
    }
    this.part.append(node);
  }

  feed(text) {
    this.tail += text.replace(/\r\n?/g, "\n").replace(TURNING, "");
    this.draw();
  }

  end() {
    this.ended = true;
    this.draw();
  }

  draw() {
    drawn.add(this);
    drawSoon();
  }

  // One piece of work; false when there is none now.
  step() {
    const before = this.tail.length;
    if (this.block) this.inCode();
    else this.inWords();
    this.unfinished = this.tail.length !== before && this.tail.length > 0;
    return this.unfinished;
  }

  inCode() {
    const { fence, indent } = this.block;
    const close = new RegExp(`^ {0,3}${fence[0]}{${fence.length},}[ \\t]*(?:\\n|$)`, "m");
    const piece =
      this.tail.length > CHUNK * 4
        ? this.tail.slice(0, this.tail.lastIndexOf("\n", CHUNK * 4) + 1 || CHUNK * 4)
        : this.tail;
    const match = close.exec(piece);
    const whole = match && (match[0].endsWith("\n") || this.ended);
    // A line that may still become the closing fence waits.
    const upTo = whole ? match.index : this.ended || piece.endsWith("\n") ? piece.length : piece.lastIndexOf("\n") + 1;
    const code = piece.slice(0, upTo);
    this.block.write(indent ? code.replace(new RegExp(`^ {1,${indent}}`, "gm"), "") : code);
    this.tail = this.tail.slice(whole ? match.index + match[0].length : upTo);
    if (whole || (this.ended && !this.tail)) {
      this.block.close();
      this.hooks.code(this.block);
      this.block = null;
    }
  }

  inWords() {
    const piece = this.tail.slice(0, CHUNK);
    const fence = FENCE.exec(piece);
    if (fence && (fence[4] || this.ended || fence.index + fence[0].length < piece.length)) {
      this.settle(piece.slice(0, fence.index));
      this.block = new Code(
        fence[3].trim().split(/[\s{,]/)[0] || fence[3].replace(/[{}]/g, "").split(",")[0],
        fence[2],
        fence[1].length,
      );
      this.put(this.block.figure);
      this.tail = this.tail.slice(fence.index + fence[0].length);
      return;
    }
    if (this.tail.length > CHUNK) {
      const cut = piece.lastIndexOf("\n\n") + 1 || piece.lastIndexOf("\n") + 1 || piece.lastIndexOf(" ") + 1 || CHUNK;
      this.settle(piece.slice(0, cut));
      this.tail = this.tail.slice(cut);
      return;
    }
    this.inTail();
  }

  // All blocks but the last are settled; the last is drawn anew with each piece.
  inTail() {
    const parts = md.lexer(this.tail);
    let last = parts.length - 1;
    while (last > 0 && parts[last].type === "space") last -= 1;
    const kept = this.ended ? parts.length : last;
    const settled = parts.slice(0, kept).reduce((sum, part) => sum + part.raw.length, 0);
    if (kept > 0) this.settleParts(parts.slice(0, kept), parts.links);
    this.tail = this.ended ? "" : this.tail.slice(settled);
    this.live.replaceChildren();
    if (!this.ended && this.tail) {
      this.live.append(clean(md.parser(Object.assign(parts.slice(kept), { links: parts.links })), "words"));
      this.hooks.formulas(this.live, true);
    }
  }

  settle(text) {
    this.live.replaceChildren();
    if (text.trim()) this.settleParts(md.lexer(text));
  }

  settleParts(parts, links = parts.links) {
    const piece = clean(md.parser(Object.assign(parts, { links })), "words");
    for (const pre of piece.querySelectorAll("pre")) this.nested(pre);
    for (const table of piece.querySelectorAll("table")) {
      const frame = make("div", { className: "rsql-scroll", tabIndex: 0, role: "group", "aria-label": "table" });
      table.replaceWith(frame);
      frame.append(table);
    }
    this.hooks.formulas(piece, false);
    this.put(piece);
  }

  // A block inside a list or a quotation.
  nested(pre) {
    const name = /language-([\w+#.-]+)/.exec(pre.firstElementChild?.className ?? "")?.[1] ?? "";
    const block = new Code(name, "```", 0);
    block.write(pre.textContent);
    block.close();
    pre.replaceWith(block.figure);
    this.hooks.code(block);
  }
}

// A short text that is there as a whole, such as a reason.
export function written(text, className = "") {
  const node = make("div", { className });
  const prose = new Prose(node, { code: () => {}, formulas: () => {}, drawn: () => {} });
  prose.feed(text);
  prose.end();
  return node;
}

// All prose of a page shares the time of a frame, so that many answers that come into view at once do not add up.
const drawn = new Set();
let frame = null;

function drawSoon() {
  frame ??= soon(() => {
    frame = null;
    const end = performance.now() + BUDGET;
    for (const prose of drawn) {
      while (prose.step() && performance.now() < end);
      if (!prose.unfinished) drawn.delete(prose);
      if (performance.now() >= end) break;
    }
    if (drawn.size) drawSoon();
  });
}
