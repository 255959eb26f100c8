import assert from "node:assert/strict";
import { test } from "node:test";
import { CellRun } from "panel/cell_run.js";
import { Notebook } from "panel/notebook.js";

const message = (msg_type: string, content: object) => ({ header: { msg_type }, content });

test("outputs are kept as the notebook keeps them", () => {
  let written: { output_type: string; text?: string; data?: object }[] = [];
  const run = new CellRun((outputs) => {
    written = outputs as typeof written;
  });
  run.hear(message("stream", { name: "stdout", text: "a" }));
  run.hear(message("stream", { name: "stdout", text: "b\n" }));
  run.hear(message("stream", { name: "stderr", text: "c" }));
  assert.deepEqual(
    written.map(({ text }) => text),
    ["ab\n", "c"],
  );
  const transient = { display_id: "x" };
  run.hear(message("display_data", { data: { "text/plain": "1" }, metadata: {}, transient }));
  run.hear(message("update_display_data", { data: { "text/plain": "2" }, metadata: {}, transient }));
  assert.deepEqual(written.at(-1)?.data, { "text/plain": "2" });
  run.hear(message("clear_output", { wait: true }));
  assert.equal(written.length, 3);
  run.hear(message("execute_result", { data: { "image/png": "…", "text/plain": "<Figure>" }, metadata: {} }));
  assert.deepEqual(run.texts, ["[a picture] <Figure>"]);
  assert.deepEqual(run.pictures, ["…"]);
  run.hear(message("error", { ename: "KeyError", evalue: "'a'", traceback: [] }));
  assert.deepEqual(run.error, { name: "KeyError", value: "'a'" });
  assert.deepEqual(run.texts, ["[a picture] <Figure>"]);
});

test("a text that goes back is bounded", () => {
  const run = new CellRun(() => undefined);
  run.hear(message("stream", { name: "stdout", text: "x".repeat(100_000) }));
  assert.ok(run.texts[0]!.length < 9000);
});

test("where the notebook is not reached, or must not change, it says why", () => {
  const of = (context: object | undefined) => new Notebook({ widget_manager: { context } }, {} as HTMLElement);
  assert.match(of(undefined).whyNot, /JupyterLab 4 or Notebook 7/);
  assert.equal(of(undefined).canChange, false);
  const sharedModel = { insertCell: () => undefined, cells: [] };
  const session = { sessionContext: {} };
  assert.match(of({ model: { sharedModel, readOnly: true }, ...session }).whyNot, /read-only/);
  assert.match(of({ model: { sharedModel }, contentsModel: { writable: false }, ...session }).whyNot, /read-only/);
  assert.equal(of({ model: { sharedModel }, ...session }).whyNot, "");
});

test("cells are offered from the notebook itself, but for those that the kernel offers", () => {
  const cell = (source: string, execution_count: number | null = null, cell_type = "code") => ({
    cell_type,
    execution_count,
    getSource: () => source,
  });
  const cells = [cell("import pandas\nx = '```'"), cell("y = 1", 2), cell("# Words", null, "markdown"), cell(" "), cell("z = 1", 3)];
  const sharedModel = { insertCell: () => undefined, cells };
  const notebook = new Notebook({ widget_manager: { context: { model: { sharedModel } } } }, {} as HTMLElement);
  const known = [{ label: "@cell:2", detail: "y = 1" }, { label: "@cell:3", detail: "another of an earlier kernel" }];
  const offered = notebook.offers("", known);
  assert.deepEqual(offered.map(({ label }) => label), ["import pandas", "z = 1"]);
  assert.equal(offered[0]!.insert, "\n````\nimport pandas\nx = '```'\n````\n");
  assert.deepEqual(notebook.offers("PAND", known).length, 1);
  assert.deepEqual(new Notebook({ widget_manager: undefined }, {} as HTMLElement).offers("", []), []);
});

test("a cell that runs is known, and whether changes can still be taken back", () => {
  const cell = (id: string, source: string, executionState?: string) => ({ id, getSource: () => source, executionState });
  const of = (cells: object[], more = {}) => {
    const model = { sharedModel: { insertCell: () => undefined, cells }, ...more };
    return new Notebook({ widget_manager: { context: { model, sessionContext: {} } } }, {} as HTMLElement);
  };
  assert.equal(of([cell("a", "1"), cell("b", "2", "idle")]).isRunning, false);
  assert.equal(of([cell("a", "1"), cell("b", "2", "running")]).isRunning, true);
  const steps = [
    { cell: "a", source: "1" },
    { cell: "b", source: "2" },
  ];
  assert.equal(of([cell("a", "changed"), cell("b", "2")]).isUndoable({ steps }), true);
  assert.equal(of([cell("a", "changed")]).isUndoable({ steps }), false);
  assert.equal(of([cell("a", "1")], { readOnly: true }).isUndoable({ steps }), false);
});
