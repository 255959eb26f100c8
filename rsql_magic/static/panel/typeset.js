// What the kernel makes of the texts of answers: MathML of formulas, colours of code.

import { clean } from "./safe.js";

export class Typeset {
  constructor(view) {
    this.view = view;
    this.known = new Map(); // formulas by their text
  }

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
    const told = await this.view.quietly("formulas", {
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

  colour(block) {
    if (!block.language) return;
    (this.plain ??= []).push(block);
    this.colouring ??= setTimeout(async () => {
      const blocks = this.plain.splice(0, 50);
      this.colouring = null;
      const told = await this.view.quietly("colours", { blocks: blocks.map(({ source, language }) => [source, language]) });
      blocks.forEach((each, place) => told && each.colour(told.pieces[place]));
      if (this.plain.length) this.colour(this.plain.pop());
    }, 30);
  }
}
