// Running a cell of the notebook from the panel: its outputs as the notebook keeps them, and as text.

const MOST_CHARACTERS = 8000; // characters of a text that goes back

const SHOWS = new Set(["display_data", "execute_result"]);

export class CellRun {
  constructor(write) {
    this.write = write;
    this.outputs = [];
    this.shown = new Map(); // by display id
    this.error = null;
  }

  // A message that the kernel sends while the cell runs.
  hear({ header, content }) {
    const type = header.msg_type;
    if (type === "clear_output") {
      if (content.wait) this.cleared = true;
      else this.outputs = [];
    } else if (type === "stream") this.stream(content);
    else if (type === "update_display_data") this.redraw(content);
    else if (SHOWS.has(type)) this.show(type, content);
    else if (type === "error") this.fail(content);
    else return;
    this.write(this.outputs.map((output) => ({ ...output })));
  }

  push(output) {
    if (this.cleared) this.outputs = [];
    this.cleared = false;
    this.outputs.push(output);
    return output;
  }

  stream({ name, text }) {
    const last = this.cleared ? null : this.outputs.at(-1);
    if (last?.output_type === "stream" && last.name === name) last.text += text;
    else this.push({ output_type: "stream", name, text });
  }

  show(type, { data, metadata, execution_count, transient }) {
    const count = type === "execute_result" ? { execution_count } : {};
    const output = this.push({ output_type: type, data, metadata, ...count });
    const name = transient?.display_id;
    if (name) this.shown.set(name, [...(this.shown.get(name) ?? []), output]);
  }

  redraw({ data, metadata, transient }) {
    for (const output of this.shown.get(transient?.display_id) ?? []) Object.assign(output, { data, metadata });
  }

  fail({ ename, evalue, traceback }) {
    this.error = { name: ename, value: evalue };
    this.push({ output_type: "error", ename, evalue, traceback });
  }

  // The pictures among what was shown, in base64.
  get pictures() {
    return this.outputs.map(({ data }) => data?.["image/png"]).filter(Boolean);
  }

  // What was shown, as text.
  get texts() {
    return this.outputs
      .filter((output) => output.output_type !== "error")
      .map(({ text, data }) => {
        const plain = text ?? data?.["text/plain"] ?? "";
        const words = Array.isArray(plain) ? plain.join("") : String(plain);
        return data?.["image/png"] ? `[a picture] ${words}` : words;
      })
      .map((text) => (text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}\n…` : text));
  }
}
