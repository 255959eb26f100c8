// Where somebody reads in a conversation that grows: at its end, which is followed; at a place that is held, while what
// is above it is drawn; or where they went themselves, which nothing moves: there the browser's own scroll anchoring
// keeps what is read in its place while answers above are drawn (in Safari, which lacks it, they move).
//
// A scroll event does not tell who scrolled. But after each change of a size the place is set anew in the same frame (by a
// ResizeObserver), so that it is known when the next event comes, and whoever is elsewhere then has gone there: by wheel,
// keys, a search in the page or a screen reader alike. Only a browser whose content has shrunk goes up by itself: to the
// new end, or to some pixels above it while several sizes settle. So little counts as a reader's if a hand has just moved.

import { soon } from "./dom.js";

const NEAR = 40; // pixels from the end that count as being there
const SLACK = 1; // pixels: browsers round places
const HANDS = ["wheel", "touchmove", "keydown", "pointerdown"];
const MOVING = 500; // ms that a scroll may come after what a hand did

export class Following {
  // `box` scrolls; `changed` hears whether its end is followed; `later` does a work after what the next frame draws.
  constructor(box, changed = () => {}, later = soon, clock = () => performance.now()) {
    this.box = box;
    this.changed = changed;
    this.later = later;
    this.clock = clock;
    this.handled = -Infinity; // when a hand moved last
    this.atEnd = true;
    this.held = null; // { node, offset }: the node begins so many pixels above the box
    this.hidden = false; // a box that is hidden, or out of the page, may lose its place, and nobody moves in it
    this.top = 0; // where the box was when it was looked at last
    this.above = 0; // the height of what stands between the head and the box
  }

  // Look at each scroll, and set the place anew with each change of the size of box or content; banners below the head
  // push the box.
  watch(content, head) {
    this.content = content;
    this.head = head;
    for (const name of HANDS) this.box.addEventListener(name, () => this.hand(), { passive: true });
    this.box.addEventListener("scroll", () => this.look(), { passive: true });
    this.sizes = new ResizeObserver(() => this.keep());
    for (const node of [this.box, content]) this.sizes.observe(node);
  }

  close() {
    this.sizes?.disconnect();
  }

  toEnd() {
    this.held = null;
    this.follow(true);
    this.put(this.end);
  }

  hold(node, offset) {
    this.held = { node, offset };
    this.follow(false);
    this.put(this.box.scrollTop + this.away);
  }

  // Remember what is read of these nodes: the box is about to be hidden.
  hide(nodes) {
    const place = this.place(nodes);
    if (place) this.hold(place.node, place.offset);
    this.hidden = true;
  }

  // Be again where somebody read before the box was hidden.
  show() {
    if (!this.box.clientHeight) return; // it will be seen when it has a size
    this.hidden = false;
    this.put(this.top);
    this.keep();
  }

  // Where the first of these nodes that can be seen is; null at the end.
  place(nodes) {
    if (this.hidden) return this.held;
    this.look();
    if (this.atEnd) return null;
    const { top } = this.box.getBoundingClientRect();
    const node = nodes.find((each) => each.getBoundingClientRect().bottom > top);
    return node ? { node, offset: top - node.getBoundingClientRect().top } : null;
  }

  hand() {
    this.handled = this.clock();
  }

  // See whether somebody went somewhere.
  look() {
    if (this.hidden || !this.box.clientHeight) return;
    const { scrollTop: top } = this.box;
    const moved = top - this.top;
    if (Math.abs(moved) < SLACK) return;
    this.top = top;
    const below = this.end - top;
    const little = this.clock() - this.handled < MOVING ? SLACK : NEAR;
    // Who was at the end went up by what they moved: the rest came since, and is no reader's.
    if (moved < 0 && (this.atEnd ? Math.min(-moved, below) : below) < little) {
      this.later(() => this.keep()); // no size has changed if it grows back before it is painted
      return;
    }
    this.held = null;
    this.follow(moved > 0 && (this.atEnd || below < NEAR));
  }

  // Be where somebody reads, after a size has changed. That of a hidden box is none.
  keep() {
    if (!this.box.clientHeight) this.hidden = true;
    if (this.hidden) return this.show();
    this.pushed();
    if (!this.atEnd && !this.held) {
      this.top = this.box.scrollTop; // moved by the browser, as what is above has another size
      return;
    }
    this.look();
    if (this.held) this.put(this.box.scrollTop + this.away);
    else if (this.atEnd) this.put(this.end);
  }

  // A banner has come or gone: what is read stays where it is on the screen.
  pushed() {
    if (!this.head) return;
    const above = this.box.getBoundingClientRect().top - this.head.getBoundingClientRect().bottom;
    const by = above - this.above;
    if (Math.abs(by) < SLACK) return;
    this.above = above;
    this.content.style.minHeight = `calc(100% + ${above}px)`; // a short conversation goes up, too
    if (this.held) this.held.offset += by;
    else if (!this.atEnd) this.put(this.box.scrollTop + by);
  }

  put(top) {
    this.box.scrollTop = top;
    this.top = this.box.scrollTop;
  }

  follow(atEnd) {
    this.atEnd = atEnd;
    this.box.style.overflowAnchor = atEnd || this.held ? "none" : "auto";
    this.changed(atEnd);
  }

  get end() {
    return this.box.scrollHeight - this.box.clientHeight;
  }

  // How far what is held is from where it should be.
  get away() {
    const [node, box] = [this.held.node, this.box].map((each) => each.getBoundingClientRect().top);
    return node - box + this.held.offset;
  }
}
