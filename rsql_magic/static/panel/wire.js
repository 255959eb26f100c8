// The kernel: requests with replies, and what it tells by itself.

import { REQUESTS } from "./requests.js";

const GONE = { message: "The kernel is gone.", hint: "" };

export class Wire {
  constructor(model, told) {
    this.told = told;
    this.id = Math.random().toString(36).slice(2, 10);
    this.count = 0;
    this.open = new Map();
    this.heard = (content) => this.receive(content);
    this.attach(model);
  }

  attach(model) {
    this.detach();
    this.model = model;
    this.answered = false; // whether this kernel has answered anything yet
    model.on("msg:custom", this.heard);
  }

  detach() {
    this.model?.off("msg:custom", this.heard);
  }

  call(name, args = {}) {
    const unknown = Object.keys(args).find((each) => !REQUESTS[name]?.includes(each));
    if (!REQUESTS[name] || unknown) throw new TypeError(`${name} ${unknown ?? ""} is no request to the kernel`);
    const n = `${this.id}.${(this.count += 1)}`;
    if (!this.model) return Promise.reject(GONE);
    return new Promise((resolve, reject) => {
      const slow = setTimeout(() => this.told({ push: "slow" }), 2500);
      this.open.set(n, { resolve, reject, slow });
      this.model.send({ ...args, do: name, n });
    });
  }

  receive(content) {
    if (content.push) return this.told(content);
    const asked = this.open.get(content.n);
    if (!asked) return undefined; // another view's
    this.open.delete(content.n);
    clearTimeout(asked.slow);
    this.answered = true;
    this.told({ push: "alive" });
    return content.error ? asked.reject(content.error) : asked.resolve(content);
  }

  forget() {
    for (const { reject, slow } of this.open.values()) {
      clearTimeout(slow);
      reject(GONE);
    }
    this.open.clear();
    this.detach();
    this.model = null;
  }
}
