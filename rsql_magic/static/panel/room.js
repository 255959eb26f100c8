// Charts are as wide as the room that they have. Vega-Lite's look at theirs when this event of the window says so
// (`display/charts.py`), as the page tells them of nothing but the window's own width.

const changed = () => requestAnimationFrame(() => window.dispatchEvent(new Event("rsql-room")));
let observer;

// Have a chart follow the width of its element, from when it gets one.
export function followRoom(node) {
  observer ??= new ResizeObserver(changed);
  observer.observe(node);
}
