import assert from "node:assert/strict";
import { test } from "node:test";
import { Following } from "panel/following.js";

// A box that scrolls as a browser has it: its place is bounded by its content when that is laid out.
class FakeBox {
  clientHeight = 500;
  readonly style = { overflowAnchor: "" };
  above = 0; // the height of what stands above the node that tests hold
  reader: number | null = null; // where somebody has gone, who follows the end no more
  moved = false; // whether there is an event of scrolling to come
  private place = 0;
  private before = 0;
  private laidOut = 0;
  constructor(private height = 500) {
    this.laidOut = height;
  }
  get scrollHeight(): number {
    this.layOut();
    return Math.max(this.laidOut, this.clientHeight);
  }
  get scrollTop(): number {
    this.layOut();
    return this.place;
  }
  set scrollTop(top: number) {
    this.layOut();
    this.place = top;
    this.bound();
  }
  getBoundingClientRect = (): { top: number } => ({ top: 100 });
  readonly node = { getBoundingClientRect: () => ({ top: 100 + this.above - this.scrollTop, bottom: 0 }) };
  // What is laid out with the next frame, or when somebody reads a size.
  grow(by: number): void {
    this.height = Math.max(0, this.height + by);
  }
  layOut(): void {
    this.laidOut = this.height;
    this.bound();
  }
  get end(): number {
    return this.scrollHeight - this.clientHeight;
  }
  private bound(): void {
    const most = Math.max(0, this.laidOut - this.clientHeight);
    const place = Math.min(Math.max(0, this.place), most);
    this.moved ||= place !== this.before;
    this.place = this.before = place;
    if (this.reader !== null) this.reader = Math.min(this.reader, most);
  }
}

// The order of a browser's frame: events of scrolling, work for the frame, layout, then observers of sizes.
class Page {
  readonly box = new FakeBox(3000);
  told = true;
  now = 0;
  private later: (() => void)[] = [];
  readonly following = new Following(
    this.box,
    (atEnd) => (this.told = atEnd),
    (work) => this.later.push(work),
    () => this.now,
  );
  private seen: unknown = "";
  constructor() {
    this.following.toEnd();
    this.frame();
  }
  frame(work: () => void = () => undefined): void {
    const { moved } = this.box;
    this.box.moved = false;
    if (moved) this.following.look();
    work();
    for (const each of this.later.splice(0)) each();
    this.box.layOut();
    const sizes = `${this.box.scrollHeight} ${this.box.clientHeight}`;
    if (sizes !== this.seen) this.following.keep();
    this.seen = sizes;
  }
}

// Numbers from 0 to 1 that are the same for a seed each time (mulberry32).
function numbers(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

test("in any order of events, the end is followed until a reader goes up, who then stays where they are", () => {
  for (let seed = 1; seed <= 500; seed += 1) run(new Page(), numbers(seed), seed);
});

function run(page: Page, random: () => number, seed: number): void {
  const { box, following } = page;
  const some = (most: number) => Math.floor(random() * most);
  const hiding = numbers(-seed);
  const acts: [string, () => void][] = [
    ["more comes", () => page.frame(() => box.grow(1 + some(900)))],
    ["more comes between frames", () => box.grow(1 + some(900))],
    ["less is drawn than was guessed", () => page.frame(() => box.grow(-some(1500)))],
    ["an answer is drawn anew", () => [box.grow(-600), box.layOut(), page.frame(() => box.grow(600))]],
    [
      "sizes settle in several steps",
      () => {
        page.frame();
        page.now += 1000;
        const less = some(40);
        page.frame(() => [box.grow(-less), box.layOut(), box.grow(random() < 0.5 ? 20 : less)]); // which no observer sees
      },
    ],
    ["the box gets another height", () => page.frame(() => (box.clientHeight = 200 + some(500)))],
    ["the panel is hidden and shown", () => hideAndShow(page, hiding)],
    [
      "a reader goes up",
      () => {
        page.frame(); // what has changed is drawn before somebody moves
        if (box.scrollTop < 50) return;
        if (random() < 0.5) following.hand();
        else page.now += 1000;
        const least = following.atEnd && page.now - following.handled > 500 ? 41 : 2; // so little is not seen without a hand
        box.scrollTop -= least + some(box.scrollTop - least);
        box.reader = box.scrollTop;
        if (random() < 0.5) box.grow(some(300)); // while more comes
        page.frame();
      },
    ],
    [
      "a reader goes to the end",
      () => {
        page.frame();
        if (box.reader !== null && box.scrollTop < box.end - 2) {
          box.scrollTop = Math.max(box.scrollTop + 2, box.end - some(30));
          box.reader = null;
        }
        page.frame();
        page.frame(() => box.grow(1)); // which brings somebody who came near the end to it
      },
    ],
    ["the button to the end", () => [following.toEnd(), (box.reader = null)]],
  ];
  const done: string[] = [];
  for (let step = 0; step < 60; step += 1) {
    const [name, act] = acts[some(acts.length)]!;
    done.push(name);
    act();
    if (random() < 0.3) continue; // what follows comes in the same frame
    page.frame();
    const why = `seed ${seed}: ${done.slice(-6).join(", ")}`;
    assert.equal(following.atEnd, box.reader === null, why);
    assert.equal(page.told, following.atEnd, why);
    assert.equal(box.style.overflowAnchor, following.atEnd ? "none" : "auto", why);
    assert.equal(box.scrollTop, box.reader ?? box.end, why);
  }
}

// A box that is taken out of its page, or in some browsers hidden, has lost its place. Its page may say so before and
// after, and then both can be in one frame; else its size says it.
function hideAndShow(page: Page, random: () => number): void {
  page.frame();
  const { box, following } = page;
  const isTold = random() < 0.5;
  const height = box.clientHeight;
  if (isTold) following.hide([]);
  box.clientHeight = 0;
  if (random() < 0.5) box.scrollTop = 0;
  if (!isTold || random() < 0.5) page.frame(() => following.keep());
  if (random() < 0.5) box.grow(Math.floor(300 * random())); // what was said meanwhile
  box.clientHeight = height;
  if (isTold) following.show();
  page.frame();
}

test("what is held stays where it is while what is above it is drawn, until somebody scrolls", () => {
  for (let seed = 1; seed <= 100; seed += 1) {
    const random = numbers(seed);
    const page = new Page();
    const { box, following } = page;
    box.above = 1200;
    box.grow(3000);
    following.hold(box.node, 40);
    assert.equal(page.told, false);
    for (let step = 0; step < 20; step += 1) {
      page.frame(() => {
        const by = Math.max(-box.above, Math.floor(1200 * random() - 600));
        box.above += by;
        box.grow(by);
      });
      page.frame();
      assert.equal(box.scrollTop, Math.min(box.above + 40, box.end), `seed ${seed}, step ${step}`);
    }
    const { top } = box.node.getBoundingClientRect();
    assert.equal(following.place([box.node])?.node, undefined); // it ends above the box
    box.scrollTop += top > 0 ? 10 : -10;
    const there = box.scrollTop;
    page.frame();
    page.frame(() => box.grow(100));
    assert.equal(box.scrollTop, there);
    // While it is hidden, what is above it may be drawn anew.
    const seen = { getBoundingClientRect: () => ({ ...box.node.getBoundingClientRect(), bottom: 1e6 }) };
    following.hide([seen]);
    const [height, offset] = [box.clientHeight, box.above - there];
    [box.clientHeight, box.scrollTop] = [0, 0];
    assert.equal(following.place([])?.node, seen);
    box.above += 500;
    box.grow(500);
    box.clientHeight = height;
    following.show();
    assert.equal(box.scrollTop, Math.min(box.above - offset, box.end));
  }
});

test("a reader who comes near the end from above is followed again, and one who goes up a little is not", () => {
  const { box, following } = new Page();
  following.hand();
  box.scrollTop -= 10;
  following.look();
  assert.equal(following.atEnd, false);
  box.scrollTop -= 200;
  following.look();
  box.scrollTop += 180;
  following.look();
  assert.equal(following.atEnd, true);
});
