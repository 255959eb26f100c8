import assert from "node:assert/strict";
import { test } from "node:test";
import { KernelWatch } from "panel/kernel_watch.js";

type Slot = (_: unknown, now: string) => void;

class Signal {
  slots: Slot[] = [];
  connect(slot: Slot): void {
    this.slots.push(slot);
  }
  emit(now: string): void {
    for (const slot of this.slots) slot(null, now);
  }
}

// As much of a page as a button needs.
const element = { append: () => undefined, setAttribute: () => undefined, addEventListener: () => undefined };
Object.assign(globalThis, { document: { createElement: () => ({ ...element }), createElementNS: () => ({ ...element }) } });

function watched() {
  const kernel = { status: "idle" };
  const session = { statusChanged: new Signal(), connectionStatusChanged: new Signal(), session: { kernel } };
  const wire = { forget: () => undefined, attach: () => undefined };
  const done: string[] = [];
  const notebook = { session, context: {}, reopen: async () => done.push("reopened"), place: {} };
  const view = {
    ...{ notebook, wire, composer: {}, exchanges: new Map(), ready: Promise.resolve(), hidden: false },
    banner: (text: string) => done.push(text),
    sync: async () => view.hidden || done.push("synchronised"),
  };
  const happen = (now: string): void => {
    if (LINE.includes(now)) return session.connectionStatusChanged.emit(now);
    kernel.status = now;
    session.statusChanged.emit(now);
  };
  return { happen, view, done, watch: new KernelWatch(view) };
}

const LINE = ["disconnected", "connecting", "connected"];
const HAPPENS = [...LINE, "busy", "restarting", "idle"];
const orders = Array.from({ length: HAPPENS.length ** 4 }, (_, seed) =>
  [0, 1, 2, 3].map((place) => HAPPENS[Math.floor(seed / HAPPENS.length ** place) % HAPPENS.length]!),
);
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("after a restart the panel is neither without a kernel nor offline, whatever was before", async () => {
  for (const order of orders) {
    const { happen, watch } = watched();
    for (const now of [...order, "restarting", "connected", "idle"]) happen(now);
    await settled();
    assert.deepEqual([watch.gone, watch.offline], [false, false], order.join(", "));
  }
});

test("whatever happens to the kernel of a hidden panel, it is drawn and asked for when that is shown", async () => {
  for (const order of orders) {
    const { happen, view, done, watch } = watched();
    view.hidden = true;
    for (const now of [...order, "idle"]) happen(now);
    await settled();
    assert.deepEqual(done.filter(Boolean), [], order.join(", "));
    const { gone, offline } = watch;
    view.hidden = false;
    watch.show();
    await settled();
    assert.equal(watch.gone, false, order.join(", "));
    assert.equal(done.includes("reopened"), gone, order.join(", "));
    assert.equal(done.some((text) => text.startsWith("The connection is lost")), offline, order.join(", "));
  }
});
