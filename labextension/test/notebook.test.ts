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
