// A study set in the panel: its questions, each answer hidden until it is asked for, and one's own word on how it went.

import { button, make } from "./dom.js";
import { Prose } from "./prose.js";

export class StudySet {
  constructor(view, file, { title, stands, items }) {
    this.view = view;
    this.file = file;
    this.title = title;
    this.stands = make("p", { className: "rsql-small", role: "status", textContent: stands });
    this.list = make("ol", { className: "rsql-study" }, ...items.map((item, place) => this.row(item, place + 1)));
  }

  open() {
    this.view.dialog(this.title, this.stands, this.list);
    this.next();
  }

  row(item, number) {
    const show = button(`Show answer ${number}`, "", () => this.show(item, number, row), {
      text: "Show the answer",
      className: "rsql-link",
    });
    const due = make("small", { textContent: item.due ? "due now" : "" });
    const row = make("li", {}, this.words(item.question), make("span", { className: "rsql-tools" }, show, due));
    return row;
  }

  show(item, number, row) {
    const judged = (text, known) =>
      button(`${text}: ${number}`, "", () => this.judge(item, known, row), {
        text,
        className: "rsql-link",
        "aria-describedby": answer.id,
      });
    const answer = this.words(item.answer, `rsql-answer-${this.file}-${item.item}`);
    const before = item.last ? make("p", { className: "rsql-small", textContent: `You answered: ${item.last}` }) : "";
    const tools = make("span", { className: "rsql-tools" }, judged("I knew it", true), judged("Not yet", false));
    row.lastChild.replaceWith(make("div", { className: "rsql-shown" }, before, answer, tools));
    tools.firstChild.focus();
  }

  async judge({ item }, known, row) {
    const told = await this.view.ask("judge", { file: this.file, item, known });
    if (!told) return;
    this.stands.textContent = told.stands;
    row.lastChild.lastChild.replaceWith(make("small", { textContent: told.said }));
    this.next();
  }

  // The first answer that is still hidden.
  next() {
    (this.list.querySelector("button") ?? this.view.sheet.querySelector("header button"))?.focus();
  }

  words(text, id = "") {
    const node = make("div", { className: "rsql-said", id });
    const { typeset } = this.view;
    const prose = new Prose(node, {
      code: (block) => typeset.colour(block),
      formulas: (nodes, live) => typeset.formulas(nodes, live),
    });
    prose.feed(text);
    prose.end();
    return node;
  }
}
