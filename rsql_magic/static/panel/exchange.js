// One exchange: a question with its answer.

import { ChangeSet, budgetLine } from "./change_set.js";
import { Code, SHOWN } from "./code.js";
import { effectsOf } from "./diff.js";
import { button, copy, inWords, make, span } from "./dom.js";
import { drawnFrom, mentioned, output, passage, table } from "./parts.js";
import { Prose } from "./prose.js";
import { followRoom } from "./room.js";

const LONG = 4000; // characters of a question shown at once

export class Exchange {
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
      formulas: (node, live) => this.view.typeset.formulas(node, live),
    });
    this.drawResult();
    this.drawChanges();
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
    if (!this.prose) return;
    this.drawChanges();
    this.drawBelow();
  }

  drawQuestion() {
    const { question, by, agent } = this.told;
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
        // Results that went back are no words of the user's.
        !agent?.round && button("Edit and send again", "edit", () => this.view.composer.edit(this.told)),
      ),
    );
  }

  // The changes that the assistant proposes; once drawn, what became of them.
  drawChanges() {
    const { changes } = this.told;
    if (this.set) this.set.update(changes);
    else if (changes?.length) {
      this.set = new ChangeSet(this);
      this.said.after(this.set.node);
    }
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
    if (got?.description) frame.setAttribute("aria-label", got.description);
    if (got?.image) frame.append(make("img", { src: `data:image/png;base64,${got.image}`, alt: got.description }));
    else if (got?.spec) {
      const drawn = rendermime.createRenderer(type);
      frame.append(drawn.node);
      followRoom(drawn.node);
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
  }

  tools(block) {
    this.view.typeset.colour(block);
    const text = () => block.source;
    const { notebook } = this.view;
    const runnable = ["python", "r", "sql"].includes(block.language);
    block.bar.append(
      make(
        "span",
        { className: "rsql-tools" },
        button("Copy the code", "copy", (event) => copy(text(), event.currentTarget), { text: "Copy" }),
        notebook.cells &&
          button("Insert below as a cell", "insert", () => this.insert(block), { text: "Insert" }),
        runnable && button("Run", "run", (event) => this.confirm(block, event.currentTarget), { text: "Run" }),
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
  async confirm(block, opener) {
    const close = () => {
      box.remove();
      opener.focus();
    };
    const effects = await this.effects(block);
    if (!effects) return;
    const text = effects.length ? "Run anyway" : "Run";
    const run = button(
      text,
      "run",
      () => {
        box.remove();
        this.run(block, effects);
      },
      { text, className: "rsql-primary" },
    );
    const box = make(
      "div",
      { className: "rsql-confirm", role: "alertdialog", "aria-label": "Run this code?" },
      make("span", { textContent: `Run this ${SHOWN[block.language]} code in your kernel?` }),
      effects.length > 0 && effectsOf(effects),
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

  // What code would do beyond computing; SQL is read by the guard when it runs.
  async effects({ source, language }) {
    if (language === "sql") return [];
    const told = await this.view.ask("would_do", { source: language === "r" ? `%%R\n${source}` : source });
    return told?.effects ?? null;
  }

  async run(block, agreed) {
    block.output.replaceChildren(make("p", { className: "rsql-small rsql-busy", textContent: "Running …" }));
    const { source: code, language, connection = "" } = block;
    const place = { thread: this.view.thread, exchange: this.told.id };
    const ran = await this.view.ask("run", { code, language, connection, agreed, ...place });
    const shown = (ran?.outputs ?? []).map(output);
    block.output.replaceChildren(
      ...(shown.length || !ran
        ? shown
        : [make("p", { className: "rsql-small", textContent: "Done; it showed nothing." })]),
    );
  }

  drawBelow() {
    const { state, status, sources, citations, problems, notes, error, footer, task, agent } = this.told;
    const line = (text) => make("p", { className: "rsql-note", textContent: text });
    const parts = [...problems.map((problem) => line(`⚠ ${problem}`)), ...notes.map(line)];
    parts.unshift(...citations.map(passage));
    if (sources.length) parts.unshift(drawnFrom(sources));
    if (problems.length && state === "done") parts.push(this.correction(problems));
    if (state === "running")
      parts.push(make("p", { className: "rsql-status rsql-busy", textContent: status ? `${status} …` : "…" }));
    if (agent) parts.push(make("p", { className: "rsql-small rsql-budget", textContent: budgetLine(agent) }));
    if (state === "stopped")
      parts.push(make("p", { className: "rsql-small" }, this.stopped, this.further()));
    if (error) parts.push(this.trouble(error));
    if (state !== "running" && !["help", "usage"].includes(task)) parts.push(this.bar(footer));
    const writing = this.below.querySelector(".rsql-rating"); // a comment that is being written
    this.below.replaceChildren(...parts, writing ?? "");
    this.said.setAttribute("aria-busy", String(state === "running"));
    this.node.dataset.state = state;
  }

  get stopped() {
    const { answer, result } = this.told;
    return answer || this.waiting || result ? "Stopped; what had arrived is kept. " : "Stopped before there was an answer.";
  }

  // Whether it belongs to a turn whose budget is used up, which ends with that: a new task has one of its own.
  get isSpent() {
    return this.told.error?.kind === "BudgetSpent" && this.told.agent?.round > 0;
  }

  correction(problems) {
    const text = `Correct the code: ${problems.join(" ")}`;
    const ask = button("Have the code corrected", "", () => this.view.send(text), { text: "Have it corrected" });
    return make("p", {}, ask);
  }

  status(status, agent) {
    this.told.status = status;
    if (agent) this.told.agent = agent;
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
        ...(this.isSpent ? [] : [button("Ask again", "retry", () => this.again()), this.others()]),
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
    const { id, question, requested_model, about, task, agent } = this.told;
    if (agent?.round) return this.view.resend(this);
    return this.view.send(question, { replaces: id, model: model || requested_model, about, doing: task === "do" });
  }

  // A button that has the model go on with words that ended too early; none where there are none, or a query.
  further() {
    const { task, answer } = this.told;
    const canGoOn = task === "ask" && (answer || this.waiting);
    return canGoOn && button("Have the answer gone on with", "", () => this.goOn(), { text: "Go on" });
  }

  goOn() {
    const { question, requested_model: model } = this.told;
    const isLast = [...this.view.exchanges.values()].at(-1) === this;
    const which = isLast ? "your answer" : `your answer to “${question.slice(0, 80)}”`;
    return this.view.send(`Go on exactly where ${which} broke off, without repeating it.`, { model });
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
  }

  trouble(error) {
    const limited = error.kind === "LimitReached" || error.status === 429;
    const further = error.kind === "AnswerCut" && this.further();
    const again = button("Try again", "retry", () => this.again(), { text: "Try again" });
    const spent = error.kind === "BudgetSpent" && "The budget is used up";
    const title = (limited && "Limit reached") || spent || (further && "The answer broke off") || "That did not work";
    const box = make(
      "div",
      { className: `rsql-trouble${limited ? " rsql-limited" : ""}`, role: "alert" },
      make("strong", { textContent: title }),
      make("p", { textContent: inWords(error) }),
      error.sql ? make("pre", {}, make("code", { textContent: error.sql })) : null,
      make("div", {}, further, " ", !this.isSpent && again),
    );
    if (error.retry_after > 0) this.countdown(again, error.retry_after);
    else if (error.away && !further) this.waitFor(again);
    return box;
  }

  // Ask again by itself when the gateway is back: of the last question only, while somebody can see it.
  async waitFor(again) {
    const stay = button("Do not ask again by itself", "", () => stay.parentNode.remove(), { text: "Leave it" });
    const words = "It is asked again by itself as soon as the gateway answers. ";
    const line = make("p", { className: "rsql-small", role: "status" }, words, stay);
    again.before(line);
    const isLast = () => line.isConnected && [...this.view.exchanges.values()].at(-1) === this;
    for (let pause = 1000; pause < 60_000; pause *= 1.25) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      await this.view.seen;
      if (!isLast()) return line.remove();
      if (!this.view.canAsk) continue;
      const told = await this.view.quietly("reach", {});
      if (told?.answers && isLast() && this.view.canAsk) return this.again();
    }
    return line.remove();
  }

  countdown(again, seconds) {
    this.until ??= Date.now() + seconds * 1000;
    const tick = async () => {
      await this.view.seen;
      const left = Math.ceil((this.until - Date.now()) / 1000);
      again.disabled = left > 0;
      again.lastChild.textContent = left > 0 ? `Try again in ${span(left)}` : "Try again";
      if (left > 0 && again.isConnected) setTimeout(tick, 1000);
    };
    setTimeout(tick);
  }
}
