// The menus of the header: which conversation is shown, and what can be done with it.

import { addressOutside, button, copy, download, make } from "./dom.js";
import { Files } from "./files.js";
import { Library } from "./kept.js";

export class ThreadMenus {
  constructor(view) {
    this.view = view;
    this.title = button("Conversations", "chevron", () => view.toggle(this.menu, this.title), {
      className: "rsql-title",
      "aria-expanded": "false",
      "aria-haspopup": "true",
    });
    this.title.prepend(make("span", { textContent: "…" }));
    this.menu = make("div", { className: "rsql-menu", role: "menu", "aria-label": "Go to", hidden: true });
    this.more = make("div", { className: "rsql-menu rsql-more", role: "menu", "aria-label": "Actions", hidden: true });
  }

  // Draw what is told of the conversation that is shown.
  draw(own) {
    this.title.firstChild.textContent = own.title;
    this.title.setAttribute("aria-label", `Conversations: ${own.title}`);
    if (!this.menu.hidden) this.drawMenu();
    this.drawMore(own);
  }

  drawMenu() {
    this.menu.replaceChildren(
      ...this.view.threads.map((thread) => {
        const open = button(
          thread.title,
          "",
          () => {
            this.view.dismiss(this.view.root);
            this.view.ready = this.view.sync(thread.id);
          },
          {
            text: thread.title,
            role: "menuitemradio",
            "aria-checked": String(thread.id === this.view.thread),
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
      button("New conversation", "plus", () => this.view.begin(), { text: "New conversation", role: "menuitem" }),
      button("Find and manage all", "", () => this.library(), { text: "Find and manage all …", role: "menuitem" }),
    );
  }

  library() {
    this.view.dismiss(this.view.root);
    new Library(this.view).open();
  }

  drawMore(own) {
    const item = (text, work) =>
      button(
        text,
        "",
        () => {
          this.view.dismiss(this.view.root);
          work();
        },
        { text, role: "menuitem" },
      );
    const { thread } = this.view;
    this.more.replaceChildren(
      item("Copy as Markdown", () =>
        this.exported((told) => copy(told.markdown, this.more).then(() => this.view.say("Copied."))),
      ),
      item("Save as a Markdown file", () =>
        this.exported((told) => download(told.name, told.markdown, "text/markdown")),
      ),
      item("Save as a JSON file", () =>
        this.exported((told) => download(told.name, told.text, "application/json"), "json"),
      ),
      item("Files of this conversation", () => new Files(this.view).open()),
      item("Share by a link", () => this.share()),
      item("Take the link back", async () => {
        if (await this.view.ask("unshare", { thread })) this.view.say("The link leads nowhere any more.");
      }),
      this.view.notebook.cells
        ? item("Insert as cells", () =>
            this.exported((told) => {
              this.view.notebook.insert(told.cells);
              this.view.say(`Inserted ${told.cells.length} cells below.`);
            }, "cells"),
          )
        : "",
      button("Keep it in the notebook's file", "", () => this.keep(), {
        text: `${this.view.keeping ? "✓ " : ""}Keep in the notebook’s file`,
        role: "menuitemcheckbox",
        "aria-checked": String(Boolean(this.view.keeping)),
      }),
      own.shared ? "" : item("Rename", () => this.rename(own)),
      item(own.shared ? "Clear" : "Delete", () => this.view.shown(this.view.ask("delete", { thread }))),
    );
  }

  // A copy at the gateway, for the instructors of the group; nothing leaves before somebody chose this.
  async share() {
    const told = await this.view.ask("share", { thread: this.view.thread });
    if (!told) return;
    const link = addressOutside(told.link, location);
    const until = new Date(told.until * 1000).toLocaleDateString([], { dateStyle: "medium" });
    const notes = [
      `Instructors of your group can read this conversation by this link until ${until}, and nobody else. ` +
        `It shows the conversation as it is now; share again to renew it. In a notebook: %rsql history open ${link}`,
    ];
    this.view.show("Shared by a link", link, { notes });
  }

  async exported(then, form = "markdown") {
    const told = await this.view.ask("export", { thread: this.view.thread, form });
    if (told) then(told);
  }

  async keep() {
    this.view.dismiss(this.view.root);
    this.view.keeping = !this.view.keeping;
    await this.view.ask("keep", { on: this.view.keeping });
    this.view.say(
      this.view.keeping
        ? "The conversation is kept in the notebook’s file."
        : "The conversation is no longer kept in the notebook’s file.",
    );
    this.view.listed(this.view.threads);
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
      if (event.key === "Enter" && (await this.view.ask("rename", { thread: own.id, title: name.value }))) end();
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
}
