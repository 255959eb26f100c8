import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { about, connectionOf, errorOf, languageOf, selected, textOf, withPart, wholeLines } from "../src/cell_source";
import { REQUESTS } from "panel/requests.js";
import { Wire } from "panel/wire.js";

const WHOLE = "def f(x):\n    y = x\n    return y\n";

const cell = (start: number, end: number) => ({
  model: { sharedModel: { getSource: () => WHOLE } },
  editor: { getSelection: () => ({ start, end }), getOffsetAt: (place: number) => place },
});

test("a selection is itself, from the start of its line on, whichever way it was made", () => {
  const [from, to] = [WHOLE.indexOf("y = x"), WHOLE.indexOf("\n    return")];
  for (const [start, end] of [[from, to], [to, from]] as const) {
    const part = selected(cell(start, end) as never);
    assert.equal(textOf(part), "    y = x");
    assert.equal(withPart(part, "    y = 2 * x"), WHOLE.replace("y = x", "y = 2 * x"));
  }
});

test("where nothing is selected it is the whole cell", () => {
  assert.equal(textOf(selected(cell(3, 3) as never)), WHOLE);
  assert.equal(textOf(selected(cell(9, 13) as never)), WHOLE); // white space is nothing
});

test("a selection within a line stays within it", () => {
  assert.equal(textOf(wholeLines("a = b + c", 4, 9)), "b + c");
});

test("the last error of a cell's output is read without its colours", () => {
  const outputs = (...all: object[]) => ({
    length: all.length,
    get: (place: number) => ({ toJSON: () => all[place] }),
  });
  const said = (name: string, text: string | string[]) => ({ output_type: "stream", name, text });
  const error = { output_type: "error", ename: "KeyError", evalue: "\u001b[31m'x'\u001b[0m" };
  assert.deepEqual(errorOf(outputs(said("stdout", "1"), error) as never), { name: "KeyError", value: "'x'" });
  assert.equal(errorOf(outputs(said("stdout", "KeyError: 'x'"), said("stderr", "a warning")) as never), null);
  assert.equal(errorOf(undefined), null);
  // JupySQL prints what the database says.
  const printed = outputs(said("stderr", ["RuntimeError: near \"SELEC\": ", "syntax error\n"])) as never;
  assert.deepEqual(errorOf(printed), { name: "RuntimeError", value: 'near "SELEC": syntax error' });
});

test("a cell that holds a question is none of code that failed", () => {
  const outputs = { length: 1, get: () => ({ toJSON: () => ({ output_type: "error", ename: "E", evalue: "v" }) }) };
  const failed = (source: string) => about({ model: { outputs, sharedModel: { getSource: () => source } } } as never);
  for (const source of ["%%ask\nwhy?", "%ask fix", "%%sql_ai con\nhow many?", "%rsql doctor"])
    assert.equal(failed(source), null);
  for (const source of ["%%sql\nSELECT", "%%R\nx", "asked(1)"]) assert.equal(failed(source)?.["source"], source);
});

test("the wire sends what the list of requests knows, and nothing else", async () => {
  const sent: Record<string, unknown>[] = [];
  let heard = (_: Record<string, unknown>): void => undefined;
  const model = { send: (content: never) => sent.push(content), on: (_: string, work: never) => (heard = work), off() {} };
  const wire = new Wire(model as never, () => undefined);
  assert.throws(() => wire.call("destroy"), TypeError);
  assert.throws(() => wire.call("hello", { thread: "", secret: 1 }), TypeError);
  const asked = wire.call("hello", { thread: "a" });
  heard({ n: "of another view", thread: "b" });
  heard({ n: sent[0]?.["n"], thread: "a" });
  assert.equal((await asked)["thread"], "a");
  const failed = wire.call("models");
  heard({ n: sent[1]?.["n"], error: { message: "no" } });
  await assert.rejects(failed, { message: "no" });
  const lost = wire.call("models");
  wire.forget();
  await assert.rejects(lost, { message: "The kernel is gone." });
});

test("every request that the sidebar makes is on the list, with its arguments", () => {
  const folder = `${import.meta.dirname ?? new URL(".", import.meta.url).pathname}/../src`;
  const sources = readdirSync(folder).map((name) => readFileSync(`${folder}/${name}`, "utf8"));
  const named = sources.flatMap((text) => [...text.matchAll(/wire\.call\("(\w+)"/g)].map(([, name]) => name!));
  assert.ok(named.length >= 4);
  for (const name of named) assert.ok(name in REQUESTS, name);
});

test("a card's head names its language, and a cell its connection", () => {
  assert.deepEqual(["SQL", " Python ", "R"].map(languageOf), ["sql", "python", "r"]);
  const cells = ["%%sql_ai con --plot\nq", "%%sql_ai --plot bar\nq", "%%sql_ai\nq", "%%ask con\nq", "x = 1"];
  assert.deepEqual(cells.map(connectionOf), ["con", "", "", "", ""]);
});
