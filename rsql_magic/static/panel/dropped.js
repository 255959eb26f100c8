// Files that are dropped, pasted or chosen: pictures go with the question, a table is put beside the notebook and read
// by a line that is shown first.

import { button, make } from "./dom.js";

const IS_PICTURE = /^image\/(png|jpeg|gif|webp)$/;
const MOST_PICTURES = 4;
const ROOM = 5 << 20; // bytes of all pictures of a question
const PIECE = 384 << 10; // bytes that go in one message

// The bytes of a part of a file, in base64.
function inBase64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Error("The file cannot be read."));
    reader.readAsDataURL(blob);
  });
}

export class Dropped {
  constructor(view) {
    this.view = view;
    this.pictures = [];
    this.taking = Promise.resolve();
    this.node = make("div", { className: "rsql-pictures", role: "group", "aria-label": "Pictures", hidden: true });
    this.chooser = make("input", {
      type: "file",
      multiple: true,
      hidden: true,
      accept: ".csv,.tsv,.parquet,image/png,image/jpeg,image/gif,image/webp",
      "aria-label": "Files",
    });
    this.chooser.addEventListener("change", () => {
      this.take([...this.chooser.files]);
      this.chooser.value = "";
    });
  }

  // Take what is dropped on a node or pasted into it.
  watch(node) {
    const files = (event) => [...(event.dataTransfer ?? event.clipboardData)?.files ?? []];
    node.addEventListener("dragover", (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      event.stopPropagation();
      node.classList.add("rsql-over");
    });
    for (const name of ["dragleave", "drop"]) node.addEventListener(name, () => node.classList.remove("rsql-over"));
    for (const name of ["drop", "paste"])
      node.addEventListener(name, (event) => {
        const found = files(event);
        if (!found.length) return;
        event.preventDefault();
        event.stopPropagation();
        this.take(found);
      });
  }

  // One file after the other: each table asks first.
  take(files) {
    this.taking = this.taking.then(() => this.each(files)).catch((error) => this.view.wrong(error));
  }

  async each(files) {
    for (const file of files)
      if (IS_PICTURE.test(file.type)) await this.picture(file);
      else await this.table(file);
  }

  async picture(file) {
    const before = this.pictures.reduce((sum, each) => sum + each.size, 0);
    if (this.pictures.length >= MOST_PICTURES)
      return this.view.say(`At most ${MOST_PICTURES} pictures go with a question.`, true);
    if (before + file.size > ROOM)
      return this.view.say(`The pictures of a question have ${ROOM >> 20} MB at most; make ${file.name} smaller.`, true);
    const { name, type, size } = file;
    this.pictures.push({ name: name || "picture.png", data: await inBase64(file), type, size });
    return this.draw();
  }

  draw() {
    this.node.hidden = !this.pictures.length;
    this.node.replaceChildren(
      ...this.pictures.map((picture) =>
        make(
          "span",
          { className: "rsql-chip" },
          make("img", { src: `data:${picture.type};base64,${picture.data}`, alt: "" }),
          make("span", { textContent: picture.name }),
          button(`Remove ${picture.name}`, "close", () => {
            this.pictures = this.pictures.filter((each) => each !== picture);
            this.draw();
            this.view.composer.box.focus();
          }),
        ),
      ),
    );
  }

  clear() {
    this.pictures = [];
    this.draw();
  }

  get sent() {
    return this.pictures.map(({ name, data }) => ({ name, data }));
  }

  // ---- Tables. ----

  async table(file) {
    const { view } = this;
    const told = await view.ask("place", { name: file.name, size: file.size });
    if (!told) return;
    let chosen = null;
    const done = (work) => () => {
      chosen = work;
      view.dismiss(view.root);
    };
    const run = done(async () => {
      const ran = await view.ask("run", { code: told.code, language: "python", connection: "" });
      const wrong = ran?.outputs.find(({ kind }) => kind === "error");
      if (wrong) view.say(wrong.text, true);
      else if (ran) view.composer.add(`@${told.variable} `);
    });
    const insert = done(() => view.notebook.insert([{ kind: "code", source: told.code }]));
    const size = `${file.size.toLocaleString("en")} bytes`;
    const { header, closed } = view.dialog(
      `Read ${file.name}?`,
      make("p", {
        textContent: `${told.file} (${size}) is put beside the notebook, and read by this line. Nothing is sent to a model.`,
      }),
      make("pre", { tabIndex: 0, textContent: told.code }),
    );
    const close = header.lastChild;
    close.before(
      ...[
        view.notebook.cells && button("Put it there and insert the line as a cell", "", insert, { text: "Insert as a cell" }),
        button("Put it there and run the line", "", run, { text: "Run", className: "rsql-primary" }),
      ].filter(Boolean),
    );
    close.previousSibling.focus();
    await closed;
    if (!chosen) return;
    if (await this.upload(file, told.file)) await chosen();
    view.composer.box.focus();
  }

  async upload(file, name) {
    const { view } = this;
    for (let at = 0; at < file.size; at += PIECE) {
      if (file.size > PIECE) view.say(`${name}: ${Math.round((100 * at) / file.size)} %`);
      let data;
      try {
        data = await inBase64(file.slice(at, at + PIECE));
      } catch (error) {
        view.wrong(error);
        return false;
      }
      const told = await view.ask("piece", { file: name, data, at, size: file.size });
      if (!told) return false;
      if (told.whole) view.say(`${name} is beside the notebook.`);
    }
    return true;
  }
}
