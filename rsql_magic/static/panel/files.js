// What the answers of a conversation made: rows, queries, scripts, charts, pictures; opened, saved, pinned, deleted.

import { button, download, inWords, make } from "./dom.js";
import { StudySet } from "./study.js";

export class Files {
  constructor(view) {
    this.view = view;
    this.thread = view.thread;
  }

  open() {
    this.list = make("div", { className: "rsql-kept" });
    this.note = make("p", { className: "rsql-small", role: "status" });
    this.room = make("p", { className: "rsql-small" });
    this.view.dialog("Files of this conversation", this.note, this.list, make("footer", {}, this.room));
    return this.draw();
  }

  async draw(focused = "") {
    const told = await this.view.ask("files", { thread: this.thread });
    if (!told) return;
    const none = "Queries, their rows and charts, scripts and pictures of this conversation appear here.";
    this.note.textContent = [told.files.length || !told.keeps ? "" : none, told.refused].filter(Boolean).join(" ");
    this.room.textContent = told.room;
    this.list.replaceChildren(make("ul", {}, ...told.files.map((file) => this.row(file))));
    if (focused) this.list.querySelector(`[data-file="${focused}"] button`)?.focus();
  }

  row(file) {
    const open = button(`Open ${file.name}`, "", () => this.load(file), { text: file.name, className: "rsql-thread" });
    const about = (file.count || file.label) + (file.here ? "" : " · at the gateway");
    open.append(make("small", { textContent: `${about} · ${size(file.bytes)}` }));
    const pin = button(`${file.pinned ? "Unpin" : "Pin"} ${file.name}`, "", () => this.pin(file), {
      text: file.pinned ? "Unpin" : "Pin",
      className: "rsql-link",
      "aria-pressed": String(file.pinned),
    });
    const tool = (text, work, name = file.name) => button(`${text} ${name}`, "", work, { text, className: "rsql-link" });
    const insert = this.view.notebook.cells ? tool("Insert", () => this.insert(file)) : "";
    const rows = /\.parquet$/;
    const asCsv = () => this.save(file, "csv");
    const csv = rows.test(file.name) ? tool("Save as CSV", asCsv, file.name.replace(rows, ".csv")) : "";
    const all = file.query ? tool("Get all rows", () => this.allRows(file), `of ${file.name}`) : "";
    const tools = [insert, tool("Save", () => this.save(file)), csv, all, pin, tool("Delete", () => this.drop(file))];
    const row = make("li", { draggable: true }, open, make("span", { className: "rsql-tools" }, ...tools));
    row.dataset.file = file.id;
    // Dropped into a cell it is the code that opens it.
    row.addEventListener("dragstart", (event) => event.dataTransfer.setData("text/plain", file.code));
    return row;
  }

  async load({ id: file }) {
    const told = await this.view.ask("load", { file });
    if (!told) return;
    if (told.variable) {
      this.view.dismiss(this.view.root);
      this.view.composer.add(`@${told.variable} `);
      this.view.say(`The rows are in ${told.variable}${told.count ? `: ${told.count}` : ""}.`);
    } else if (told.image) {
      const picture = make("img", { src: `data:image/png;base64,${told.image}`, alt: told.name, className: "rsql-image" });
      this.view.dialog(told.name, make("div", { className: "rsql-kept" }, picture));
    } else if (told.study) new StudySet(this.view, file, told.study).open();
    else this.view.show(told.name, told.text);
  }

  async insert({ id: file }) {
    const told = await this.view.ask("insertion", { file });
    if (!told) return;
    this.view.dismiss(this.view.root);
    this.view.notebook.insert(told.cells);
    this.view.say("Inserted below.");
  }

  async save({ id: file }, form = "") {
    const bytes = [];
    for (let piece = 0, pieces = 1; piece < pieces; piece += 1) {
      const told = await this.view.ask("file", { file, piece, form });
      if (!told) return;
      pieces = told.pieces;
      bytes.push(Uint8Array.from(atob(told.data), (sign) => sign.charCodeAt(0)));
      if (piece >= pieces - 1) download(told.name, bytes, told.media);
    }
  }

  async allRows({ id: file }) {
    this.note.textContent = "The query runs again.";
    let said = "";
    const told = await this.view.tried("all_rows", { thread: this.thread, file }, (error) => {
      said = inWords(error);
    });
    await this.draw(told?.file ?? file);
    this.note.textContent = said || `${told.name}: ${told.count}.`;
  }

  async pin({ id: file, pinned }) {
    if (await this.view.ask("pin", { file, on: !pinned })) await this.draw(file);
  }

  async drop({ id: file }) {
    if (await this.view.ask("drop", { file })) await this.draw();
  }
}

const size = (bytes) =>
  bytes < 1000 ? `${bytes} bytes` : bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
