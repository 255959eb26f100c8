import assert from "node:assert/strict";
import { test } from "node:test";
import { Completion } from "../src/completion";

interface Sent {
  do: string;
  n: string;
  suggest: string;
  before?: string;
  after?: string;
}

function kernel() {
  const sent: Sent[] = [];
  const heard = new Set<(content: Record<string, unknown>) => void>();
  const model = {
    send: (content: never) => sent.push(content),
    on: (_: string, work: never) => heard.add(work),
    off: (_: string, work: never) => heard.delete(work),
    widget_manager: {},
  };
  const reply = (n: string, more: object) => heard.forEach((work) => work({ n, ...more }));
  return { sent, model, reply, heard };
}

const notebook = {};
const none = { hasPlugin: () => false, warn: () => assert.fail("nothing is in the way") };
const provider = (model: object, page = none as { hasPlugin(id: string): boolean; warn(text: string): void }) =>
  new Completion(
    { find: (is: (each: never) => boolean) => [notebook].find(is as never) } as never,
    () => model as never,
    page,
  );

test("it is off until somebody turns it on", () => {
  assert.equal(provider({}).schema.default.enabled, false);
});

test("the cell's two parts are sent, and what comes is offered", async () => {
  const { sent, model, reply, heard } = kernel();
  const offered = provider(model).fetch({ text: "x = sales.\ny", offset: 10 }, { widget: notebook });
  assert.deepEqual([sent[0]?.do, sent[0]?.before, sent[0]?.after], ["suggest", "x = sales.", "\ny"]);
  reply(sent[0]!.n, { text: "sum()" });
  assert.deepEqual(await offered, { items: [{ insertText: "sum()" }] });
  assert.equal(heard.size, 0);
});

test("typing on stops what was asked, in the kernel too, and its answer is not offered", async () => {
  const { sent, model, reply } = kernel();
  const completion = provider(model);
  const first = completion.fetch({ text: "x", offset: 1 }, { widget: notebook });
  const second = completion.fetch({ text: "xy", offset: 2 }, { widget: notebook });
  assert.deepEqual(sent.map((each) => each.do), ["suggest", "suggest_stop", "suggest"]);
  assert.equal(sent[1]?.suggest, sent[0]?.suggest);
  reply(sent[0]!.n, { text: "old" });
  reply(sent[2]!.n, { text: "new" });
  assert.deepEqual([await first, await second], [{ items: [] }, { items: [{ insertText: "new" }] }]);
});

test("errors, other documents and cells with a question are met with nothing", async () => {
  const { sent, model, reply } = kernel();
  const completion = provider(model);
  const failed = completion.fetch({ text: "x", offset: 1 }, { widget: notebook });
  reply(sent[0]!.n, { error: { message: "no model" } });
  assert.deepEqual(await failed, { items: [] });
  assert.deepEqual(await completion.fetch({ text: "x", offset: 1 }, { widget: {} }), { items: [] });
  assert.deepEqual(await completion.fetch({ text: "%%ask\nwhy", offset: 9 }, { widget: notebook }), { items: [] });
  assert.equal(sent.length, 1);
});

test("a plugin beside which nothing is drawn is told of once, with what turns it off", async () => {
  const { sent, model, reply } = kernel();
  const asked: string[] = [];
  const said: string[] = [];
  const hasPlugin = (id: string) => asked.push(id) > 0;
  const completion = provider(model, { hasPlugin, warn: (text) => void said.push(text) });
  assert.deepEqual(said, []); // not before it is turned on
  await completion.fetch({ text: "x", offset: 1 }, { widget: {} }); // nor outside of notebooks
  assert.deepEqual(said, []);
  for (const text of ["x", "xy"]) {
    const offered = completion.fetch({ text, offset: 1 }, { widget: notebook });
    reply(sent.at(-1)!.n, { text: "z" });
    assert.deepEqual(await offered, { items: [{ insertText: "z" }] });
  }
  assert.deepEqual(asked, ["jupysql-plugin:syntax-highlighting"]);
  assert.equal(said.length, 1);
  assert.match(said[0]!, /jupyter labextension disable jupysql-plugin$/);
  assert.ok(said[0]!.length <= 140); // more is not shown
});
