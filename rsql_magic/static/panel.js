// The chat panel's view. `marked` and `DOMPurify` stand before this text (panel/files.py).
//
// A view holds nothing that the kernel does not: it asks for the conversation when it is drawn, and is told of changes.
// Words: a thread is a conversation, an exchange a question with its answer.

export default { render };

function render({ model, el }) {
  const view = new View(model, el);
  return () => view.close();
}

// ---- Model output becomes nodes: parsed by marked, sanitised by DOMPurify, never anything else. ----

const WORDS = [
  "p",
  "br",
  "hr",
  "strong",
  "em",
  "del",
  "code",
  "pre",
  "ul",
  "ol",
  "li",
  "blockquote",
  "a",
  "sup",
  "sub",
  "h1",
  "h2",
  "h3",
  "h4",
  "h5",
  "h6",
  "table",
  "thead",
  "tbody",
  "tr",
  "th",
  "td",
];
const SAFE = {
  words: { ALLOWED_TAGS: WORDS, ALLOWED_ATTR: ["href", "title", "start", "align", "class"] },
  table: {
    ALLOWED_TAGS: [...WORDS, "div", "span", "caption", "tfoot", "i", "b"],
    ALLOWED_ATTR: ["align", "colspan", "rowspan"],
  },
  formula: { USE_PROFILES: { mathMl: true }, FORBID_ATTR: ["href", "style", "class", "id"] },
};
const LINK = /^(?:https?:|mailto:)/i;
const TURNING = /[\u202a-\u202e\u2066-\u2069]/g; // marks by which text can show something else than it says
const CLASS = /^language-[\w+#.-]{1,24}$/;

const purifier = DOMPurify(window);
purifier.addHook("uponSanitizeAttribute", (_, data) => {
  if (data.attrName === "class" && !CLASS.test(data.attrValue)) data.keepAttr = false;
  if (data.attrName === "href" && !LINK.test(data.attrValue.trim())) data.keepAttr = false;
});
purifier.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName === "A") Object.assign(node, { target: "_blank", rel: "noopener noreferrer nofollow" });
});

const clean = (html, kind) =>
  purifier.sanitize(html, { ...SAFE[kind], ALLOW_DATA_ATTR: false, ALLOW_ARIA_ATTR: false, RETURN_DOM_FRAGMENT: true });

const escaped = (text) => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

// A formula goes through the sanitiser as code; `decorate` finds it again.
function formula(name, level, start, pattern) {
  return {
    name,
    level,
    start: (text) => text.search(start),
    tokenizer(text) {
      const match = pattern.exec(text);
      const tex = match && match.slice(1).find((part) => part !== undefined);
      return tex?.trim() ? { type: name, raw: match[0], text: tex } : undefined;
    },
    renderer: ({ type, text }) => {
      const code = `<code class="language-${type}">${escaped(text)}</code>`;
      return type === "tex-block" ? `<p>${code}</p>` : code;
    },
  };
}

const md = new marked.Marked({ gfm: true, async: false });
md.use({
  extensions: [
    formula("tex-block", "block", /^ {0,3}(?:\$\$|\\\[)/m, /^ {0,3}(?:\$\$([^$]+?)\$\$|\\\[([\s\S]+?)\\\]) *(?:\n|$)/),
    formula(
      "tex-inline",
      "inline",
      /\$|\\[([]/,
      /^(?:\$\$([^$]+?)\$\$|\$(?!\s)((?:\\.|[^$\\\n])+?)(?<!\s)\$(?!\d)|\\\(([\s\S]+?)\\\)|\\\[([\s\S]+?)\\\])/,
    ),
  ],
  renderer: {
    html: ({ text }) => escaped(text), // a model's HTML is shown, not used
    image: ({ text }) => (text ? `[${escaped(text)}]` : ""), // an image is a request that could carry data away
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

// ---- Small things. ----

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && name !== "list") node[name] = value;
    else if (value !== undefined && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child || child === 0)); // what is not there is left out
  return node;
}

const ICONS = {
  copy: "M5 2h7a1 1 0 0 1 1 1v8M3 5h6a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1H3a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1z",
  insert: "M2 2.5h12M2 5.5h12M8 8.5v6M5.5 12 8 14.5 10.5 12",
  run: "M4.5 2.5v11l9-5.5z",
  edit: "M10.5 2.5l3 3L6 13l-3.5.5L3 10z",
  retry: "M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3",
  up: "M5 7l3-5c1.2 0 1.7.8 1.5 2L9 6h3.5c1 0 1.5.7 1.3 1.6l-1 4.4c-.2.7-.7 1-1.3 1H5zM5 7H2.5v6H5",
  down: "M5 9l3 5c1.2 0 1.7-.8 1.5-2L9 10h3.5c1 0 1.5-.7 1.3-1.6l-1-4.4C12.6 3.3 12.1 3 11.5 3H5zM5 9H2.5V3H5",
  plus: "M8 3v10M3 8h10",
  more: "M3 8h.01M8 8h.01M13 8h.01",
  send: "M8 13V3M4 7l4-4 4 4",
  stop: "M4.5 4.5h7v7h-7z",
  close: "M4 4l8 8M12 4l-8 8",
  eye: "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8zM8 6.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6z",
  chevron: "M4 6l4 4 4-4",
};

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

function button(label, name, onclick, more = {}) {
  const { text = "", ...attributes } = more;
  return make(
    "button",
    { type: "button", title: label, "aria-label": label, onclick, ...attributes },
    name ? icon(name) : "",
    text,
  );
}

const tokens = (count) => `${count.toLocaleString("en")} token${count === 1 ? "" : "s"}`;

async function copy(text, node) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // not a secure page, or forbidden
    const area = make("textarea", { value: text, className: "rsql-hidden" });
    node.after(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  node.classList.add("rsql-done");
  setTimeout(() => node.classList.remove("rsql-done"), 1200);
}

// ---- Prose: Markdown that grows. What cannot change any more is drawn once; only its end is drawn anew. ----

const FENCE = /^( {0,3})(`{3,}|~{3,})[ \t]*([^\n`]*)(\n|$)/m;
const CHUNK = 8000; // characters parsed at once: some 2 ms
const BUDGET = 8; // ms of one frame
const PART = 30; // blocks

class Prose {
  constructor(root, hooks) {
    this.root = root;
    this.hooks = hooks; // { code(figure), formulas(nodes), drawn() }
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
      const frame = make("div", { className: "rsql-scroll", tabIndex: 0, role: "region", "aria-label": "table" });
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
      prose.hooks.drawn();
      if (performance.now() >= end) break;
    }
    if (drawn.size) drawSoon();
  });
}

// The next frame; a page in the background has none, and must not fall behind for good.
function soon(work) {
  const handle = {};
  const once = () => {
    cancelAnimationFrame(handle.frame);
    clearTimeout(handle.timer);
    work();
  };
  handle.frame = requestAnimationFrame(once);
  handle.timer = setTimeout(once, 120);
  return handle;
}

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
const SHOWN = { python: "Python", r: "R", sql: "SQL" };
class Code {
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

// ---- The kernel: requests with replies, and what it tells by itself. ----

const GONE = { message: "The kernel is gone.", hint: "" };

class Wire {
  constructor(model, told) {
    this.told = told;
    this.id = Math.random().toString(36).slice(2, 10);
    this.count = 0;
    this.open = new Map();
    this.heard = (content) => this.receive(content);
    this.attach(model);
  }

  attach(model) {
    this.detach();
    this.model = model;
    model.on("msg:custom", this.heard);
  }

  detach() {
    this.model?.off("msg:custom", this.heard);
  }

  call(name, args = {}) {
    const n = `${this.id}.${(this.count += 1)}`;
    if (!this.model) return Promise.reject(GONE);
    return new Promise((resolve, reject) => {
      const slow = setTimeout(() => this.told({ push: "slow" }), 2500);
      this.open.set(n, { resolve, reject, slow });
      this.model.send({ ...args, do: name, n });
    });
  }

  receive(content) {
    if (content.push) return this.told(content);
    const asked = this.open.get(content.n);
    if (!asked) return undefined; // another view's
    this.open.delete(content.n);
    clearTimeout(asked.slow);
    this.told({ push: "alive" });
    return content.error ? asked.reject(content.error) : asked.resolve(content);
  }

  forget() {
    for (const { reject, slow } of this.open.values()) {
      clearTimeout(slow);
      reject(GONE);
    }
    this.open.clear();
    this.detach();
    this.model = null;
  }
}

// ---- The notebook around the panel, where the front end shows it to widgets (JupyterLab, Notebook 7). ----

class Notebook {
  constructor(model, el) {
    this.manager = model.widget_manager;
    this.el = el;
  }

  get context() {
    return this.manager?.context ?? this.manager?._context;
  }

  get cells() {
    const shared = this.context?.model?.sharedModel;
    return shared?.insertCell ? shared : null;
  }

  get session() {
    return this.context?.sessionContext;
  }

  get rendermime() {
    return this.manager?.rendermime;
  }

  // Below what was inserted last, else below the panel's own cell.
  insert(cells) {
    const shared = this.cells;
    let place = shared.cells.findIndex((cell) => cell.id === this.last) + 1;
    if (!place) {
      const own = this.el.closest(".jp-Cell");
      const index = own ? Number(own.dataset.windowedListIndex ?? [...own.parentNode.children].indexOf(own)) : NaN;
      place = Number.isInteger(index) && index >= 0 ? index + 1 : shared.cells.length;
    }
    for (const { kind, source } of cells) {
      const metadata = kind === "code" ? { trusted: true } : {};
      this.last = shared.insertCell(place, { cell_type: kind, source, metadata }).id;
      place += 1;
    }
  }
}

// ---- One exchange. ----

const LONG = 4000; // characters of a question shown at once

class Exchange {
  constructor(view, told) {
    this.view = view;
    this.node = make("article", { className: "rsql-turn", "aria-label": "exchange" });
    this.asked = make("div", { className: "rsql-asked" });
    this.said = make("div", { className: "rsql-said" });
    this.result = make("div", { className: "rsql-result" });
    this.below = make("div", { className: "rsql-below" });
    this.node.dataset.state = told.state;
    this.node.append(this.asked, make("div", { className: "rsql-answer" }, this.result, this.said, this.below));
    this.node.exchange = this;
    this.told = { ...told, answer: "" };
    this.waiting = told.answer; // drawn when it comes near the screen
    this.asked.append(make("div", { className: "rsql-question", textContent: told.question.slice(0, LONG) }));
    if (told.state === "running") this.appear();
  }

  // Draw what was left out while it was far away.
  appear() {
    if (this.prose) return;
    this.drawQuestion();
    this.drawBelow();
    this.prose = new Prose(this.said, {
      code: (block) => this.tools(block),
      formulas: (node, live) => this.view.formulas(node, live),
      drawn: () => this.view.follow(),
    });
    this.drawResult();
    this.text(0, this.waiting);
    if (this.told.state !== "running") this.prose.end();
  }

  text(at, text) {
    if (!this.prose) {
      this.waiting = this.waiting.slice(0, at) + text;
      return;
    }
    if (at === 0) {
      this.told.answer = "";
      this.prose.reset();
    }
    const known = this.told.answer.length;
    if (at > known) return this.view.resync(); // a message was lost
    this.told.answer += text.slice(known - at);
    this.prose.feed(text.slice(known - at));
  }

  update(told) {
    const { answer, ...rest } = told;
    const before = this.told.answer;
    Object.assign(this.told, rest);
    if (!this.prose) this.waiting = answer;
    else if (answer.startsWith(before)) this.text(before.length, answer.slice(before.length));
    else this.text(0, answer);
    if (this.told.state !== "running") this.prose?.end();
    this.drawResult();
    if (this.prose) this.drawBelow();
  }

  drawQuestion() {
    const { question, by } = this.told;
    const text = make("div", { className: "rsql-question" }, ...mentioned(question.slice(0, LONG)));
    const all =
      question.length > LONG &&
      button(
        "Show all",
        "",
        () => {
          text.replaceChildren(...mentioned(question));
          all.remove();
        },
        { text: `Show all ${question.length.toLocaleString("en")} characters`, className: "rsql-link" },
      );
    this.asked.replaceChildren(
      text,
      all || "",
      make(
        "div",
        { className: "rsql-tools" },
        by === "cell" ? make("span", { className: "rsql-small", textContent: "from a cell" }) : "",
        button("Copy the question", "copy", (event) => copy(question, event.currentTarget)),
        button("Edit and send again", "edit", () => this.view.composer.edit(this.told)),
      ),
    );
  }

  drawResult() {
    const { result } = this.told;
    if (!result || !this.prose || this.result.childElementCount) return;
    const query = new Code("sql", "```", 0);
    query.write(result.sql);
    query.close();
    query.connection = result.connection;
    this.tools(query);
    const drafts = result.drafts.map(({ why, mended }, index) => {
      const title = mended ? "mended without asking" : `draft ${index + 1} was corrected`;
      return make("details", {}, make("summary", { textContent: title }), why);
    });
    this.result.append(...drafts, query.figure);
    if (result.columns.length) this.result.append(table(result), this.variable(result));
    if (result.chart) this.chart();
  }

  variable(result) {
    const name = make("input", {
      value: result.variable,
      className: "rsql-name",
      "aria-label": "Save the rows as",
      spellcheck: false,
    });
    const save = button("Save the rows under this name", "", () => this.save(name), { text: "Save as" });
    name.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.save(name);
    });
    const more = result.more ? `, ${result.rows.length} shown` : "";
    this.link = button("Ask about these rows", "", () => this.view.composer.add(`@${this.told.result.variable} `), {
      text: `@${result.variable}`,
      className: "rsql-link",
    });
    return make(
      "div",
      { className: "rsql-small rsql-rows" },
      `${result.count}${more} · in `,
      this.link,
      make("span", { className: "rsql-save" }, name, save),
    );
  }

  async save(name) {
    const { thread, id } = this.place;
    const saved = await this.view.ask("save", { thread, exchange: id, name: name.value });
    if (!saved) return;
    this.told.result.variable = saved.variable;
    this.link.textContent = `@${saved.variable}`;
    this.view.say(`The rows are in ${saved.variable}.`);
  }

  get place() {
    return { thread: this.view.thread, id: this.told.id };
  }

  async chart() {
    const frame = make("div", { className: "rsql-chart", role: "img", "aria-label": "chart" });
    this.result.append(frame);
    const { thread, id } = this.place;
    const { rendermime } = this.view.notebook;
    const type = "application/vnd.vegalite.v5+json";
    const canDraw = rendermime?.mimeTypes?.includes(type);
    const got = await this.view.ask("chart", { thread, exchange: id, png: !canDraw });
    if (got?.image) frame.append(make("img", { src: `data:image/png;base64,${got.image}`, alt: "chart" }));
    else if (got?.spec) {
      const drawn = rendermime.createRenderer(type);
      frame.append(drawn.node);
      await drawn.renderModel(rendermime.createModel({ data: { [type]: got.spec }, trusted: true }));
    } else
      frame.replaceWith(
        make("p", {
          className: "rsql-small",
          textContent:
            "The chart is drawn in JupyterLab and Notebook 7. To see it here as a picture: " +
            "pip install 'rsql-jupyter[png]', and restart the kernel.",
        }),
      );
    this.view.follow();
  }

  tools(block) {
    this.view.colour(block);
    const text = () => block.source;
    const { notebook } = this.view;
    const runnable = ["python", "r", "sql"].includes(block.language);
    block.bar.append(
      make(
        "span",
        { className: "rsql-tools" },
        button("Copy the code", "copy", (event) => copy(text(), event.currentTarget)),
        notebook.cells && button("Insert below as a cell", "insert", () => this.insert(block)),
        runnable && button("Run", "run", (event) => this.confirm(block, event.currentTarget)),
      ),
    );
  }

  async insert(block) {
    const { source: code, language, connection = "" } = block;
    const made = await this.view.ask("cell", { code, language, connection });
    if (!made) return;
    this.view.notebook.insert(made.cells);
    this.view.say("Inserted below.");
  }

  // Nothing of a model runs before somebody has said so.
  confirm(block, opener) {
    const close = () => {
      box.remove();
      opener.focus();
    };
    const run = button(
      "Run",
      "run",
      () => {
        box.remove();
        this.run(block);
      },
      { text: "Run", className: "rsql-primary" },
    );
    const box = make(
      "div",
      { className: "rsql-confirm", role: "alertdialog", "aria-label": "Run this code?" },
      make("span", { textContent: `Run this ${SHOWN[block.language]} code in your kernel?` }),
      run,
      button("Cancel", "", close, { text: "Cancel" }),
    );
    box.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        close();
      }
    });
    block.output.replaceChildren(box);
    run.focus();
  }

  async run(block) {
    block.output.replaceChildren(make("p", { className: "rsql-small rsql-busy", textContent: "Running …" }));
    const { source: code, language, connection = "" } = block;
    const ran = await this.view.ask("run", { code, language, connection });
    const shown = (ran?.outputs ?? []).map(output);
    block.output.replaceChildren(
      ...(shown.length || !ran
        ? shown
        : [make("p", { className: "rsql-small", textContent: "Done; it showed nothing." })]),
    );
    this.view.follow();
  }

  drawBelow() {
    const { state, status, sources, citations, problems, notes, error, footer, task } = this.told;
    const line = (text) => make("p", { className: "rsql-note", textContent: text });
    const parts = [...problems.map((problem) => line(`⚠ ${problem}`)), ...notes.map(line)];
    parts.unshift(...citations.map(passage));
    if (sources.length) parts.unshift(drawnFrom(sources));
    if (problems.length && state === "done") parts.push(this.correction(problems));
    if (state === "running")
      parts.push(make("p", { className: "rsql-status rsql-busy", textContent: status ? `${status} …` : "…" }));
    if (state === "stopped")
      parts.push(make("p", { className: "rsql-small", textContent: "Stopped; what had arrived is kept." }));
    if (error) parts.push(this.trouble(error));
    if (state !== "running" && !["help", "usage"].includes(task)) parts.push(this.bar(footer));
    const writing = this.below.querySelector(".rsql-rating"); // a comment that is being written
    this.below.replaceChildren(...parts, writing ?? "");
    this.said.setAttribute("aria-busy", String(state === "running"));
    this.node.dataset.state = state;
  }

  correction(problems) {
    const text = `Correct the code: ${problems.join(" ")}`;
    const ask = button("Have the code corrected", "", () => this.view.send(text), { text: "Have it corrected" });
    return make("p", {}, ask);
  }

  status(status) {
    this.told.status = status;
    if (this.prose) this.drawBelow();
  }

  bar(footer) {
    const { rating, answer, error, result } = this.told;
    const number = error ? "" : this.told.request_id;
    const good = result ? "Good answer: keep its query as verified" : "Good answer";
    return make(
      "div",
      { className: "rsql-bar" },
      make("span", { className: "rsql-small", textContent: footer }),
      make(
        "span",
        { className: "rsql-tools" },
        answer || this.waiting
          ? button("Copy the answer", "copy", (event) => copy(this.told.answer || this.waiting, event.currentTarget))
          : null,
        button("Ask again", "retry", () => this.again()),
        this.others(),
        number ? button(good, "up", () => this.rate("up"), { "aria-pressed": String(rating === "up") }) : null,
        number
          ? button("Bad answer", "down", () => this.rate("down"), { "aria-pressed": String(rating === "down") })
          : null,
      ),
    );
  }

  // "Ask again with" another model.
  others() {
    const select = make(
      "select",
      { className: "rsql-models", title: "Ask again with another model", "aria-label": "Ask again with another model" },
      make("option", { value: "", textContent: "with …" }),
    );
    const fill = async () => {
      for (const name of await this.view.models()) select.append(make("option", { value: name, textContent: name }));
    };
    select.addEventListener("focus", fill, { once: true });
    select.addEventListener("change", () => select.value && this.again(select.value));
    return select;
  }

  again(model = "") {
    const { id, question, requested_model } = this.told;
    this.view.send(question, { replaces: id, model: model || requested_model });
  }

  rate(rating) {
    const { thread, id } = this.place;
    const tell = (comment) =>
      this.view.ask("rate", { thread, exchange: id, rating, comment }).then((told) => {
        if (!told) return;
        this.told.rating = rating;
        form.remove();
        this.drawBelow();
        this.view.say(told.kept ? `Thank you. The query is kept in ${told.kept}.` : "Thank you.");
      });
    const words = make("input", {
      placeholder: rating === "up" ? "What was good? (optional)" : "What was wrong? (optional)",
      "aria-label": "Comment",
      maxLength: 2000,
    });
    const form = make(
      "form",
      { className: "rsql-rating" },
      words,
      button("Send", "", () => tell(words.value), { text: "Send" }),
      button("Cancel", "close", () => form.remove()),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      tell(words.value);
    });
    this.below.querySelector(".rsql-rating")?.remove();
    this.below.append(form);
    words.focus();
    this.view.follow();
  }

  trouble(error) {
    const limited = error.kind === "LimitReached" || error.status === 429;
    const again = button("Try again", "retry", () => this.again(), { text: "Try again" });
    const box = make(
      "div",
      { className: `rsql-trouble${limited ? " rsql-limited" : ""}`, role: "alert" },
      make("strong", { textContent: limited ? "Limit reached" : "That did not work" }),
      make("p", { textContent: [error.message, error.hint].filter(Boolean).join(" ") }),
      error.sql ? make("pre", {}, make("code", { textContent: error.sql })) : null,
      make("div", {}, again),
    );
    if (error.retry_after > 0) this.countdown(again, error.retry_after);
    return box;
  }

  countdown(again, seconds) {
    this.until ??= Date.now() + seconds * 1000;
    const tick = () => {
      const left = Math.ceil((this.until - Date.now()) / 1000);
      again.disabled = left > 0;
      again.lastChild.textContent = left > 0 ? `Try again in ${span(left)}` : "Try again";
      if (left > 0 && again.isConnected) setTimeout(tick, 1000);
    };
    setTimeout(tick);
  }
}

const span = (seconds) =>
  seconds < 100
    ? `${seconds} s`
    : seconds < 6000
      ? `${Math.round(seconds / 60)} min`
      : `${Math.round(seconds / 3600)} h`;

function drawnFrom(sources) {
  const names = sources.flatMap((name, place) => [place ? ", " : "from ", make("code", { textContent: name })]);
  return make("p", { className: "rsql-small rsql-sources" }, ...names);
}

// A cited passage, which opens on a click; its text is shown as it is written.
function passage({ label, text, borne_out: borneOut }) {
  const title = make("summary", { className: "rsql-small", textContent: borneOut ? label : `⚠ ${label}` });
  return make("details", { className: "rsql-passage" }, title, make("pre", { textContent: text }));
}

// Text with its @mentions marked.
function mentioned(text) {
  return text
    .split(/((?:^|(?<=[\s(]))@[\w:.]*\w)/)
    .map((part, place) => (place % 2 ? make("mark", { textContent: part }) : part));
}

function table({ columns, rows }) {
  const side = (index) => (columns[index].right ? "rsql-right" : "");
  const line = (tag, cells) =>
    make("tr", {}, ...cells.map((text, index) => make(tag, { textContent: text, className: side(index) })));
  return make(
    "div",
    { className: "rsql-scroll", tabIndex: 0, role: "region", "aria-label": "rows" },
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

function output({ kind, text, html, data }) {
  if (kind === "image") return make("img", { src: `data:image/png;base64,${data}`, alt: "plot" });
  if (kind === "html") return make("div", { className: "rsql-scroll", tabIndex: 0 }, clean(html, "table"));
  return make("pre", { className: kind === "error" ? "rsql-error" : "", role: kind === "error" ? "alert" : "" }, text);
}

// ---- Where questions are written. ----

class Composer {
  constructor(view) {
    this.view = view;
    this.past = -1;
    this.box = make("textarea", {
      rows: 1,
      placeholder: "Ask about your data …  @ names it, / for commands",
      "aria-label": "Message",
      "aria-haspopup": "listbox",
      "aria-autocomplete": "list",
      "aria-controls": `${view.wire.id}-list`,
    });
    this.list = make("ul", {
      className: "rsql-list",
      role: "listbox",
      id: `${view.wire.id}-list`,
      hidden: true,
      "aria-label": "suggestions",
    });
    this.chips = make("div", { className: "rsql-chips", "aria-label": "context" });
    this.banner = make(
      "div",
      { className: "rsql-editing", hidden: true },
      "Editing: what came after is replaced. ",
      button("Cancel editing", "", () => this.edit(null), { text: "Cancel", className: "rsql-link" }),
    );
    this.model = make(
      "select",
      { className: "rsql-models", "aria-label": "Model", title: "Model" },
      make("option", { value: "", textContent: "default model" }),
    );
    this.model.addEventListener("focus", () => this.fill(), { once: true });
    this.go = button("Send", "send", () => (this.running ? view.stop() : this.send()), { className: "rsql-go" });
    this.seen = button("Show exactly what would be sent", "eye", () => view.preview(), { text: "" });
    this.node = make(
      "form",
      { className: "rsql-composer" },
      this.list,
      this.banner,
      this.chips,
      this.box,
      make("div", { className: "rsql-row" }, this.model, this.seen, make("span", { className: "rsql-grow" }), this.go),
    );
    this.node.addEventListener("submit", (event) => event.preventDefault());
    this.box.addEventListener("input", () => this.changed());
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("blur", () => setTimeout(() => this.offer([]), 150));
    this.list.addEventListener("mousedown", (event) => {
      // before the box loses the focus
      event.preventDefault();
      const item = event.target.closest("li");
      if (item) this.take([...this.list.children].indexOf(item));
    });
  }

  async fill() {
    for (const name of await this.view.models()) this.model.append(make("option", { value: name, textContent: name }));
  }

  get text() {
    return this.box.value;
  }

  set text(text) {
    this.box.value = text;
    this.changed();
  }

  set running(on) {
    this.isRunning = on;
    this.go.replaceChildren(icon(on ? "stop" : "send"));
    this.go.title = on ? "Stop (Esc)" : "Send (Enter)";
    this.go.setAttribute("aria-label", on ? "Stop" : "Send");
    this.go.classList.toggle("rsql-stop", on);
  }

  get running() {
    return this.isRunning;
  }

  add(text) {
    const gap = this.text && !/\s$/.test(this.text) ? " " : "";
    this.text += gap + text;
    this.box.focus();
  }

  edit(told) {
    this.replaces = told?.id ?? "";
    this.banner.hidden = !told;
    this.text = told?.question ?? "";
    this.box.focus();
  }

  // What is sent, and the preview of it that was looked at.
  get message() {
    const { text, replaces = "", seen } = this;
    const message = { text, replaces, model: this.model.value };
    return { ...message, seen: seen && seen.of === JSON.stringify(message) ? seen.name : "" };
  }

  looked(name, { text, replaces, model }) {
    this.seen = { name, of: JSON.stringify({ text, replaces, model }) };
  }

  async send() {
    const { text, ...how } = this.message;
    if (!text.trim() || this.running) return;
    const sent = await this.view.send(text, how);
    if (!sent) return; // the text stays where it can be mended
    this.seen = null;
    this.replaces = "";
    this.banner.hidden = true;
    // What was typed while it was on its way stays.
    if (this.text.startsWith(text)) this.text = this.text.slice(text.length);
    this.past = -1;
  }

  changed() {
    // Measuring a huge text takes long, and it is higher than the box may be anyway.
    this.box.style.height = "auto";
    this.box.style.height = this.text.length > 5000 ? "" : `${Math.min(this.box.scrollHeight + 2, 180)}px`;
    this.box.classList.toggle("rsql-tall", this.text.length > 5000);
    this.complete();
    clearTimeout(this.later);
    this.later = setTimeout(() => this.look(), 250);
  }

  // What the message names, and what that adds to it.
  async look() {
    const text = this.text;
    if (!/(^|[\s(])@\w/.test(text) || text.length > 100000) return this.chips.replaceChildren();
    const told = await this.view.quietly("chips", { thread: this.view.thread, text });
    if (!told || text !== this.text) return undefined;
    // A name that is still being typed is not missing yet.
    const typing = this.text.slice(0, this.box.selectionStart);
    const chips = told.chips.filter(({ text: name, missing }) => !missing || !typing.endsWith(name));
    return this.chips.replaceChildren(
      ...chips.map((chip) => this.chip(chip)),
      told.tokens ? make("span", { className: "rsql-small", textContent: `≈ ${tokens(told.tokens)} in all` }) : "",
    );
  }

  chip({ text, kind, tokens: count, missing, shown }) {
    const open = button(missing || `Show what is sent of ${text}`, "", () => this.view.show(text, shown || missing), {
      text: missing ? `${text} is gone` : `${text} · ${kind === "waiting" ? "after the cell" : tokens(count)}`,
      className: "rsql-link",
    });
    return make(
      "span",
      { className: `rsql-chip rsql-${kind}${missing ? " rsql-missing" : ""}` },
      open,
      button(`Remove ${text}`, "close", () => this.remove(text)),
    );
  }

  remove(text) {
    this.text = this.text.split(text).join("").replace(/ {2,}/g, " ");
    this.box.focus();
  }

  // Completion of @names and /commands.
  async complete() {
    const before = this.text.slice(0, this.box.selectionStart);
    const slash = /^\/(\w*)$/.exec(before);
    const commands = slash ? this.view.commands.filter(({ label }) => label.startsWith(before)) : [];
    if (slash) return this.offer(commands.some(({ label }) => label === before) ? [] : commands, before.length);
    const at = /(?:^|[\s(])@([\w:.]*)$/.exec(before);
    if (!at) return this.offer([]);
    const told = await this.view.quietly("complete", { prefix: at[1] });
    if (this.text.slice(0, this.box.selectionStart) !== before) return undefined;
    const exact = told?.items.length === 1 && told.items[0].label === `@${at[1]}`;
    return this.offer(exact ? [] : (told?.items ?? []), at[1].length + 1);
  }

  offer(items, length = 0) {
    this.items = items;
    this.typed = length;
    this.list.replaceChildren(
      ...items.map(({ label, kind, detail }, index) =>
        make(
          "li",
          { role: "option", id: `${this.list.id}-${index}` },
          make("b", { textContent: label }),
          make("i", { textContent: kind }),
          make("span", { textContent: detail }),
        ),
      ),
    );
    if (items.length && this.list.hidden) this.view.voice.textContent = "Suggestions; arrows choose, Tab takes.";
    this.list.hidden = !items.length;
    this.choose(0);
  }

  choose(index) {
    this.chosen = index;
    [...this.list.children].forEach((item, place) => item.setAttribute("aria-selected", String(place === index)));
    const item = this.list.children[index];
    item?.scrollIntoView({ block: "nearest" });
    if (item) this.box.setAttribute("aria-activedescendant", item.id);
    else this.box.removeAttribute("aria-activedescendant");
  }

  take(index) {
    const end = this.box.selectionStart;
    this.box.setRangeText(`${this.items[index].label} `, end - this.typed, end, "end");
    this.offer([]);
    this.changed();
    this.box.focus();
  }

  key(event) {
    if (event.isComposing) return;
    const open = !this.list.hidden;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (open && step) this.choose((this.chosen + step + this.items.length) % this.items.length);
    else if (open && (event.key === "Tab" || (event.key === "Enter" && !event.shiftKey))) this.take(this.chosen);
    else if (event.key === "Escape") this.escape(open);
    else if (event.key === "Enter" && !event.shiftKey) this.send();
    else if (event.key === "ArrowUp" && (!this.text || this.past >= 0)) this.recall(1);
    else if (event.key === "ArrowDown" && this.past >= 0) this.recall(-1);
    else return;
    event.preventDefault();
  }

  escape(open) {
    if (open) this.offer([]);
    else if (this.running) this.view.stop();
    else if (this.replaces) this.edit(null);
  }

  recall(step) {
    const past = this.view.questions();
    this.past = Math.max(-1, Math.min(past.length - 1, this.past + step));
    this.box.value = past[this.past] ?? "";
  }
}

// ---- The view. ----

const NEAR = 40; // pixels from the end that count as being there
const SIZES = [
  ["minute", "min"],
  ["hour", "h"],
  ["day", "day"],
];

class View {
  constructor(model, el) {
    this.notebook = new Notebook(model, el);
    this.wire = new Wire(model, (told) => this.hear(told));
    this.exchanges = new Map();
    this.commands = [];
    this.threads = [];
    this.remembered = new Map(); // what was seen, for a kernel that starts anew
    this.known = new Map(); // formulas by their text
    this.draw(el);
    this.watch();
    this.start();
  }

  draw(el) {
    this.composer = new Composer(this);
    this.title = button("Conversations", "chevron", () => this.toggle(this.menu, this.title), {
      className: "rsql-title",
      "aria-expanded": "false",
      "aria-haspopup": "true",
    });
    this.title.prepend(make("span", { textContent: "…" }));
    this.meter = button("Your limits", "", () => this.send("/usage"), { className: "rsql-meter", hidden: true });
    this.menu = make("div", { className: "rsql-menu", role: "menu", "aria-label": "Go to", hidden: true });
    this.more = make("div", { className: "rsql-menu rsql-more", role: "menu", "aria-label": "Actions", hidden: true });
    const open = button("More", "more", () => this.toggle(this.more, open), {
      "aria-expanded": "false",
      "aria-haspopup": "true",
    });
    const header = make(
      "header",
      {},
      this.title,
      this.meter,
      make("span", { className: "rsql-grow" }),
      button("New conversation", "plus", () => this.begin()),
      open,
      this.menu,
      this.more,
    );
    this.log = make("div", { className: "rsql-log", role: "log", "aria-label": "Conversation", tabIndex: 0 });
    this.down = button("To the end", "chevron", () => this.follow(true), { className: "rsql-down", hidden: true });
    this.state = make("div", { className: "rsql-banner", role: "status", hidden: true });
    this.voice = make("div", { className: "rsql-hidden", "aria-live": "polite" });
    this.toast = make("div", { className: "rsql-toast", role: "status", hidden: true });
    this.sheet = make("div", { className: "rsql-sheet", role: "dialog", "aria-modal": "true", hidden: true });
    this.root = make(
      "section",
      { className: "rsql-panel", "aria-label": "Chat about this notebook" },
      header,
      this.state,
      make("div", { className: "rsql-middle" }, this.log, this.down, this.toast),
      this.composer.node,
      this.sheet,
      this.voice,
    );
    this.root.addEventListener("keydown", (event) => this.keys(event));
    for (const name of ["pointerdown", "focusin"])
      this.root.addEventListener(name, (event) => this.dismiss(event.target));
    this.log.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.near = new IntersectionObserver(
      (seen) => {
        for (const { isIntersecting, target } of seen)
          if (isIntersecting) {
            target.exchange.appear();
            this.near.unobserve(target);
          }
      },
      { root: this.log, rootMargin: "600px" },
    );
    this.stuck = true;
    this.composer.running = false;
    el.append(this.root);
  }

  close() {
    this.wire.detach();
    this.near.disconnect();
    this.unwatch?.();
  }

  keys(event) {
    // The notebook's shortcuts must not fire while somebody types here; saving and the like may.
    if (event.key === "Enter" || !(event.ctrlKey || event.metaKey)) event.stopPropagation();
    const open = [this.sheet, this.menu, this.more].find((node) => !node.hidden);
    if (open && this.within(open, event)) event.preventDefault();
    if (event.key !== "Escape" || event.defaultPrevented) return;
    if (open) this.dismiss(this.root);
    else if (this.composer.running) this.stop();
  }

  // Arrows go through an open menu, Tab closes it; Tab stays within a dialog.
  within(open, { key, shiftKey }) {
    const isMenu = open !== this.sheet;
    if (isMenu && key === "Tab") {
      this.dismiss(this.root);
      return true;
    }
    const step = isMenu ? { ArrowDown: 1, ArrowUp: -1 }[key] : key === "Tab" && (shiftKey ? -1 : 1);
    if (!step) return false;
    const stops = [...open.querySelectorAll("button, [tabindex='0']")];
    stops[(stops.indexOf(document.activeElement) + step + stops.length) % stops.length].focus();
    return true;
  }

  // ---- Asking the kernel. ----

  // The reply, or undefined after saying what went wrong.
  ask(name, args) {
    return this.tried(name, args, (error) => this.wrong(error));
  }

  async tried(name, args, failed) {
    try {
      return await this.wire.call(name, args);
    } catch (error) {
      await failed(error);
      return undefined;
    }
  }

  wrong(error) {
    this.say([error.message, error.hint].filter(Boolean).join(" "), true);
  }

  quietly(name, args) {
    return this.tried(name, args, () => {});
  }

  async sync(thread = this.thread) {
    const told = await this.quietly("hello", { thread: thread ?? "" });
    if (told) this.take(told);
    else if (thread) this.sync("");
  }

  async start() {
    await this.sync();
    const told = await this.quietly("others", { thread: this.thread ?? "" });
    for (const [thread, exchanges] of Object.entries(told?.threads ?? {})) this.remembered.set(thread, exchanges);
  }

  resync() {
    clearTimeout(this.syncing);
    this.syncing = setTimeout(() => this.sync(), 100);
  }

  take(told) {
    this.wire.widget = told.widget;
    this.commands = told.commands;
    this.keeping = told.keep;
    this.model = told.model;
    this.composer.model.firstChild.textContent = told.model || "default model";
    this.thread = told.thread;
    this.listed(told.threads);
    this.exchanges.clear();
    this.near.disconnect();
    this.log.replaceChildren();
    if (!told.exchanges.length) this.welcome();
    const made = told.exchanges.map((exchange) => this.made(exchange));
    this.log.append(...made.map((exchange) => exchange.node));
    this.composer.running = told.exchanges.some(({ state }) => state === "running");
    this.remembered.set(told.thread, told.exchanges);
    this.follow(true);
    this.meterSoon();
  }

  made(told) {
    const exchange = new Exchange(this, told);
    this.exchanges.set(told.id, exchange);
    this.near.observe(exchange.node);
    return exchange;
  }

  welcome() {
    const tries = ["/help", "Describe what this notebook holds", "/sql "];
    this.log.append(
      make(
        "div",
        { className: "rsql-welcome" },
        make("p", { textContent: "Ask about the frames, R objects and tables of this notebook." }),
        ...tries.map((text) =>
          button(text, "", () => (text.endsWith(" ") ? this.composer.add(text) : this.send(text)), {
            text: text.trim(),
          }),
        ),
      ),
    );
  }

  hear(told) {
    const kinds = {
      slow: () => this.gone || this.offline || this.banner("The kernel is busy; this goes on when it answers."),
      alive: () => this.gone || this.offline || this.banner(""),
      wait: () => this.say(told.text),
      threads: () => this.listed(told.threads),
    };
    if (kinds[told.push]) return kinds[told.push]();
    if (told.thread !== this.thread) return told.exchange && this.remember(told.thread, told.exchange);
    const known = this.exchanges.get(told.id);
    if (told.push === "exchange") return this.exchange(told.exchange, known);
    if (!known) return this.resync();
    if (told.push === "text") return known.text(told.at, told.text);
    if (told.push === "status") return known.status(told.status);
    return undefined;
  }

  // What is said in a conversation that is not shown.
  remember(thread, told) {
    const others = (this.remembered.get(thread) ?? []).filter(({ id }) => id !== told.id);
    this.remembered.set(thread, [...others, told]);
  }

  exchange(told, known) {
    if (known) known.update(told);
    else {
      this.log.querySelector(".rsql-welcome")?.remove();
      const made = this.made(told);
      this.log.append(made.node);
      made.appear();
    }
    const running = told.state === "running";
    if (this.composer.running && !running) {
      this.voice.textContent = told.error
        ? "The question failed."
        : told.state === "stopped"
          ? "Stopped."
          : "The answer is complete.";
      this.meterSoon();
    } else if (running) this.voice.textContent = "The answer is being written.";
    this.composer.running = [...this.exchanges.values()].some((each) => each.told.state === "running");
    this.remembered.set(
      this.thread,
      [...this.exchanges.values()].map((each) => ({
        ...each.told,
        answer: each.prose ? each.told.answer : each.waiting,
      })),
    );
    this.follow();
  }

  // Whether it was taken; what was looked at and is not what would be sent now is shown anew.
  async send(text, { replaces = "", model = "", seen = "" } = {}) {
    const told = await this.tried("ask", { thread: this.thread, text, model, replaces, seen }, (error) =>
      error.kind === "Outdated" ? this.preview(true) : this.wrong(error),
    );
    if (!told) return false;
    this.stuck = true;
    if (told.cleared || replaces) await this.sync();
    return true;
  }

  stop() {
    this.ask("stop", { thread: this.thread });
  }

  questions() {
    return [...this.exchanges.values()].map((each) => each.told.question).reverse();
  }

  async models() {
    return (await this.ask("models", {}))?.models ?? [];
  }

  async preview(changed = false) {
    const { seen, ...message } = this.composer.message;
    const told = await this.ask("preview", { thread: this.thread, ...message });
    if (!told) return;
    this.composer.looked(told.seen, message);
    const notes = [changed && "The notebook has changed since you looked: this would be sent now.", ...told.notes];
    const send = () => {
      this.dismiss(this.root);
      this.composer.send();
    };
    const what = told.seen ? "This will be sent" : "This would be sent";
    this.show(
      `${what}${told.model ? ` to ${told.model}` : ""}: ≈ ${tokens(told.tokens)}`,
      told.messages.map(({ role, content }) => `[${role}]\n${content}`).join("\n\n"),
      { notes, action: button("Send exactly this", "send", send, { text: "Send", className: "rsql-primary" }) },
    );
  }

  // ---- Formulas: the kernel makes MathML of them. ----

  formulas(node, live) {
    const found = [...node.querySelectorAll("code.language-tex-inline, code.language-tex-block")];
    const key = (code) => code.className + code.textContent;
    for (const code of found) {
      const drawn = this.known.get(key(code));
      if (drawn) code.replaceWith(drawn.cloneNode(true));
      else if (!live) (this.wanted ??= []).push(code);
    }
    if (this.wanted?.length && !this.asking) this.asking = setTimeout(() => this.typeset(), 60);
  }

  async typeset() {
    const codes = this.wanted.splice(0, 200);
    this.asking = null;
    const told = await this.quietly("formulas", {
      tex: codes.map((code) => [code.textContent, code.className.endsWith("block")]),
    });
    codes.forEach((code, place) => {
      const math = told?.mathml[place] && clean(told.mathml[place], "formula").querySelector("math");
      if (!math) return;
      math.setAttribute("aria-label", code.textContent);
      this.known.set(code.className + code.textContent, math.cloneNode(true));
      code.replaceWith(math);
    });
  }

  // ---- Colours: likewise. ----

  colour(block) {
    if (!block.language) return;
    (this.plain ??= []).push(block);
    this.colouring ??= setTimeout(async () => {
      const blocks = this.plain.splice(0, 50);
      this.colouring = null;
      const told = await this.quietly("colours", { blocks: blocks.map(({ source, language }) => [source, language]) });
      blocks.forEach((each, place) => told && each.colour(told.pieces[place]));
      if (this.plain.length) this.colour(this.plain.pop());
    }, 30);
  }

  // ---- Scrolling. ----

  scrolled() {
    this.stuck = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR;
    this.down.hidden = this.stuck;
  }

  follow(force = false) {
    if (force) this.stuck = true;
    if (!this.stuck || this.following) return;
    this.following = true;
    soon(() => {
      this.following = false;
      if (this.stuck) this.log.scrollTop = this.log.scrollHeight;
      this.down.hidden = this.stuck;
    });
  }

  // ---- Threads and menus. ----

  listed(threads) {
    this.threads = threads;
    const own = threads.find(({ id }) => id === this.thread);
    if (!own) {
      if (this.thread) this.sync("");
      return;
    }
    this.title.firstChild.textContent = own.title;
    this.title.setAttribute("aria-label", `Conversations: ${own.title}`);
    if (!this.menu.hidden) this.drawMenu();
    this.drawMore(own);
  }

  drawMenu() {
    this.menu.replaceChildren(
      ...this.threads.map((thread) => {
        const open = button(
          thread.title,
          "",
          () => {
            this.dismiss(this.root);
            this.sync(thread.id);
          },
          {
            text: thread.title,
            role: "menuitemradio",
            "aria-checked": String(thread.id === this.thread),
            className: "rsql-thread",
          },
        );
        open.append(
          make("small", {
            textContent: thread.busy
              ? "answering …"
              : thread.shared
                ? `${thread.turns} · with the cells`
                : thread.turns,
          }),
        );
        return open;
      }),
      button("New conversation", "plus", () => this.begin(), { text: "New conversation", role: "menuitem" }),
    );
  }

  drawMore(own) {
    const item = (text, work) =>
      button(
        text,
        "",
        () => {
          this.dismiss(this.root);
          work();
        },
        { text, role: "menuitem" },
      );
    const { thread } = this;
    this.more.replaceChildren(
      item("Copy as Markdown", () =>
        this.exported((told) => copy(told.markdown, this.more).then(() => this.say("Copied."))),
      ),
      item("Save as a Markdown file", () => this.exported((told) => download(told.name, told.markdown))),
      this.notebook.cells
        ? item("Insert as cells", () =>
            this.exported((told) => {
              this.notebook.insert(told.cells);
              this.say(`Inserted ${told.cells.length} cells below.`);
            }, "cells"),
          )
        : "",
      button("Keep it in the notebook's file", "", () => this.keep(), {
        text: `${this.keeping ? "✓ " : ""}Keep in the notebook’s file`,
        role: "menuitemcheckbox",
        "aria-checked": String(Boolean(this.keeping)),
      }),
      own.shared ? "" : item("Rename", () => this.rename(own)),
      item(own.shared ? "Clear" : "Delete", async () => {
        const told = await this.ask("delete", { thread });
        if (told) this.take(told);
      }),
    );
  }

  async exported(then, form = "markdown") {
    const told = await this.ask("export", { thread: this.thread, form });
    if (told) then(told);
  }

  async keep() {
    this.dismiss(this.root);
    this.keeping = !this.keeping;
    await this.ask("keep", { on: this.keeping });
    this.say(
      this.keeping
        ? "The conversation is kept in the notebook’s file."
        : "The conversation is no longer kept in the notebook’s file.",
    );
    this.listed(this.threads);
  }

  async begin() {
    this.dismiss(this.root);
    const told = await this.ask("new", {});
    if (told) this.take(told);
    this.composer.box.focus();
  }

  rename(own) {
    const name = make("input", { value: own.title, "aria-label": "Name of the conversation", maxLength: 80 });
    let ended = false;
    const end = () => {
      if (ended) return; // removing it blurs it
      ended = true;
      name.remove();
      this.title.hidden = false;
      this.title.focus();
    };
    name.addEventListener("keydown", async (event) => {
      if (event.key === "Enter" && (await this.ask("rename", { thread: own.id, title: name.value }))) end();
      else if (event.key === "Escape") {
        event.preventDefault();
        end();
      }
    });
    name.addEventListener("blur", end);
    this.title.hidden = true;
    this.title.before(name);
    name.select();
  }

  toggle(menu, opener) {
    const open = menu.hidden;
    this.dismiss(this.root);
    if (menu === this.menu) this.drawMenu();
    menu.hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
    this.opener = opener;
    if (open) menu.querySelector("button")?.focus();
  }

  dismiss(target) {
    if (target.closest?.(".rsql-menu, .rsql-sheet") || this.opener?.contains(target)) return;
    const open = [this.menu, this.more, this.sheet].filter((node) => !node.hidden);
    for (const node of open) node.hidden = true;
    if (open.length) this.opener?.setAttribute("aria-expanded", "false");
    if (open.length && target === this.root) this.opener?.focus();
  }

  show(title, text, { notes = [], action = null } = {}) {
    this.opener = document.activeElement;
    const close = button("Close", "close", () => this.dismiss(this.root));
    this.sheet.replaceChildren(
      make(
        "header",
        {},
        make("strong", { textContent: title }),
        make("span", { className: "rsql-grow" }),
        action,
        button("Copy", "copy", (event) => copy(text, event.currentTarget)),
        close,
      ),
      ...notes.filter(Boolean).map((note) => make("p", { className: "rsql-note", textContent: note })),
      make("pre", { tabIndex: 0, textContent: text }),
    );
    this.sheet.setAttribute("aria-label", title);
    this.sheet.hidden = false;
    close.focus();
  }

  say(text, wrong = false) {
    this.toast.textContent = text;
    this.toast.classList.toggle("rsql-wrong", wrong);
    this.toast.hidden = false;
    clearTimeout(this.saying);
    this.saying = setTimeout(
      () => {
        this.toast.hidden = true;
      },
      wrong ? 8000 : 2500,
    );
  }

  banner(text, ...more) {
    this.state.hidden = !text;
    this.state.replaceChildren(text, ...more);
  }

  // What is left of the limit that is nearest.
  meterSoon() {
    clearTimeout(this.metering);
    this.metering = setTimeout(async () => {
      if (!this.exchanges.size) return; // nothing was asked: no gateway is started to look at limits
      const told = await this.quietly("quota", {});
      const all = SIZES.map(([name, short]) => ({ short, ...told?.limits?.[name] })).filter(
        ({ limit, remaining }) => limit > 0 && limit < 2 ** 31 - 1 && remaining >= 0,
      );
      const least = all.sort((a, b) => a.remaining / a.limit - b.remaining / b.limit)[0];
      this.meter.hidden = !least;
      if (!least) return;
      this.meter.textContent = `${least.remaining.toLocaleString("en")} of ${least.limit.toLocaleString("en")} left / ${least.short}`;
      this.meter.style.setProperty("--left", `${(100 * least.remaining) / least.limit}%`);
      this.meter.classList.toggle("rsql-low", least.remaining / least.limit < 0.1);
    }, 400);
  }

  // ---- A kernel that restarts, a connection that breaks. ----

  watch() {
    const { session } = this.notebook;
    if (!session) return;
    const status = (_, now) => {
      if (["restarting", "autorestarting", "dead", "terminating"].includes(now)) this.lost();
    };
    const line = (_, now) => {
      if (this.gone) return; // a new kernel has a new connection
      if (now === "connected" && this.offline) {
        this.offline = false;
        this.banner("");
        this.sync();
      } else if (now !== "connected") {
        this.offline = true;
        this.banner("The connection is lost; trying again …");
      }
    };
    session.statusChanged.connect(status);
    session.connectionStatusChanged.connect(line);
    this.unwatch = () => {
      session.statusChanged.disconnect(status);
      session.connectionStatusChanged.disconnect(line);
    };
  }

  lost() {
    if (this.gone) return;
    this.gone = true;
    this.wire.forget();
    this.composer.running = false;
    for (const each of this.exchanges.values())
      if (each.told.state === "running") each.update({ ...each.told, state: "stopped" });
    this.banner(
      "The kernel was restarted; variables are gone, the conversation is still here. ",
      button("Go on with the new kernel", "retry", () => this.revive(), { text: "Go on", className: "rsql-primary" }),
    );
  }

  // A new panel in the new kernel, under the old name; it is told what was said.
  async revive() {
    this.banner("Starting …");
    try {
      const { kernel } = this.notebook.session.session;
      const id = this.wire.widget;
      const code = `__import__("rsql_magic").ChatPanel().open(model_id=${JSON.stringify(id)})`;
      await kernel.requestExecute({ code, store_history: false, stop_on_error: false }).done;
      this.wire.attach(await this.notebook.manager.get_model(id));
      const threads = this.threads.map(({ id: thread, title, shared }) => ({
        title,
        shared,
        exchanges: this.remembered.get(thread) ?? [],
      }));
      const told = await this.wire.call("restore", { threads });
      this.gone = false;
      this.banner("");
      this.take(told);
    } catch (error) {
      this.banner(`That did not work (${error.message ?? error}). Run the cell again.`);
    }
  }
}

function download(name, text) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/markdown" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
