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
  const session = { statusChanged: new Signal(), connectionStatusChanged: new Signal() };
  const wire = { forget: () => undefined, attach: () => undefined };
  const notebook = { session, context: {}, reopen: async () => ({}), place: {} };
  const view = {
    ...{ notebook, wire, composer: {}, exchanges: new Map(), ready: Promise.resolve() },
    banner: () => undefined,
    sync: async () => undefined,
    quietly: async () => undefined,
  };
  return { session, watch: new KernelWatch(view) };
}

test("after a restart the panel is neither without a kernel nor offline, whatever was before", async () => {
  const happens = ["disconnected", "connecting", "connected", "busy", "restarting", "idle"];
  for (let seed = 0; seed < happens.length ** 4; seed += 1) {
    const { session, watch } = watched();
    const order = [0, 1, 2, 3].map((place) => happens[Math.floor(seed / happens.length ** place) % happens.length]!);
    for (const now of [...order, "restarting", "connected", "idle"]) {
      const isLine = ["disconnected", "connecting", "connected"].includes(now);
      (isLine ? session.connectionStatusChanged : session.statusChanged).emit(now);
    }
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([watch.gone, watch.offline], [false, false], order.join(", "));
  }
});
