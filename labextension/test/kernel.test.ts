import assert from "node:assert/strict";
import { test } from "node:test";
import { Channel } from "../src/channel";
import { connect, install } from "../src/kernel";
import { Trouble } from "../src/trouble";
import { FakeComm, FakeKernel, FakeSession } from "./fakes";

const kinds = async (work: Promise<unknown>) =>
  work.then(
    () => "ok",
    (error: unknown) => (error instanceof Trouble ? error.kind : String(error)),
  );
const closed = () => undefined;

test("a kernel is made ready without a trace, and says what is wrong with it", async () => {
  const ready = new FakeKernel();
  await connect(ready as never, closed);
  assert.equal(ready.ran[0]?.silent, true);
  assert.equal(ready.ran[0]?.store_history, false);
  assert.equal(ready.ran[0]?.allow_stdin, true); // else the kernel would take it for a run without a person
  assert.match(ready.ran[0]?.user_expressions?.["load"] ?? "", /'rsql_magic'\)\.load_ipython_extension\(/);
  assert.equal(await kinds(connect(null, closed)), "no-kernel");
  assert.equal(await kinds(connect(new FakeKernel({ language: "R" }) as never, closed)), "language");
  assert.equal(await kinds(connect(new FakeKernel({ language: "julia" }) as never, closed)), "language");
  const without = { ename: "ModuleNotFoundError", evalue: "No module named 'rsql_magic'" };
  assert.equal(await kinds(connect(new FakeKernel({ load: without }) as never, closed)), "missing");
  const broken = { ename: "ModuleNotFoundError", evalue: "No module named 'duckdb'" };
  assert.equal(await kinds(connect(new FakeKernel({ load: broken }) as never, closed)), "failed");
  assert.equal(await kinds(connect(new FakeKernel({ refuses: true }) as never, closed)), "old");
  assert.equal(await kinds(connect(new FakeKernel({ status: "aborted" }) as never, closed)), "failed");
});

test("R users are told where R runs", async () => {
  await assert.rejects(connect(new FakeKernel({ language: "R" }) as never, closed), (error: Trouble) =>
    /%%R/.test(error.hint),
  );
});

test("the package is installed into the kernel, and what pip says of a failure is told", async () => {
  const told: string[] = [];
  const kernel = new FakeKernel({ pip: "Successfully installed rsql-jupyter\n" });
  await install(kernel as never, (text) => told.push(text));
  assert.match(kernel.ran[0]?.code ?? "", /^%pip install --upgrade rsql-jupyter$/);
  assert.deepEqual(told, ["Successfully installed rsql-jupyter\n"]);
  const failing = new FakeKernel({ pip: "ERROR: No matching distribution found for rsql-jupyter\n" });
  await assert.rejects(install(failing as never, () => undefined), /No matching distribution/);
  const without = new FakeKernel({ pip: "ERRORS\n/bin/python: No module named pip\nNote: you may need to restart\n" });
  await assert.rejects(install(without as never, () => undefined), /No module named pip/);
});

test("what a view asks before the kernel is ready is sent then, in order and once", async () => {
  const session = new FakeSession(new FakeKernel());
  const comm = new FakeComm();
  let opened = 0;
  const channel = new Channel(session as never, {}, async () => {
    opened += 1;
    return comm as never;
  });
  channel.send({ do: "hello", n: "1" });
  channel.send({ do: "models", n: "2" });
  await channel.open();
  channel.send({ do: "quota", n: "3" });
  assert.deepEqual(comm.sent.map(({ n }) => n), ["1", "2", "3"]);
  assert.equal(opened, 1);
});

test("what cannot be sent is answered with the reason", async () => {
  const channel = new Channel(new FakeSession(null) as never, {});
  const heard: Record<string, unknown>[] = [];
  channel.on("msg:custom", (content) => heard.push(content));
  channel.send({ do: "hello", n: "1" });
  await channel.open();
  assert.equal(heard.length, 1);
  assert.equal((heard[0]?.["error"] as Record<string, unknown>)["kind"], "no-kernel");
});

test("after a restart the next message opens a new comm", async () => {
  const session = new FakeSession(new FakeKernel());
  const comms: FakeComm[] = [];
  const channel = new Channel(session as never, {}, async () => {
    comms.push(new FakeComm());
    return comms.at(-1) as never;
  });
  let ends = 0;
  channel.onEnd = () => (ends += 1);
  await channel.open();
  session.statusChanged.emit("restarting");
  assert.equal(ends, 1);
  channel.send({ do: "hello", n: "1" });
  await channel.open();
  assert.equal(comms.length, 2);
  assert.deepEqual(comms[1]?.sent.map(({ n }) => n), ["1"]);
  channel.close();
  assert.equal(comms[1]?.isDisposed, true);
});
