// Elements from values. Text goes in as text only: nothing here, or anywhere else, reads text as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element: h("button", {class: "small", on: {click: act}}, "Pause"). Null and false children are left out. */
export function h(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (name === "value" || name === "checked" || name === "selected") node[name] = value;
    else if (name === "vars") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...solid(children));
  return node;
}

/** Put these in place of what a node holds. */
export function fill(node, ...children) {
  node.replaceChildren(...solid(children));
  return node;
}

function solid(children) {
  return children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false)
    .map((one) => (one instanceof Node ? one : String(one)));
}

/**
 * Show a list that changes without losing focus: a node for each key stays while its item does.
 * `make(item)` returns a node, `update(node, item)` changes it.
 */
export function keyed(parent, items, keyOf, make, update) {
  const known = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let at = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let node = known.get(key);
    if (!node) {
      node = make(item);
      node.dataset.key = key;
    }
    known.delete(key);
    update(node, item);
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
  for (const node of known.values()) node.remove();
}

const PATHS = {
  overview: "M3 12h4l3-8 4 16 3-8h4",
  activity: "M4 20V10m6 10V4m6 16v-7m5 7H3",
  keys: "M15 7a4 4 0 1 1-3.5 5.9L4 20.5V17h3v-3h2.5l1.7-1.7A4 4 0 0 1 15 7zm1.5 2.5h.01",
  people: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zm-6 9c0-3.3 2.7-6 6-6s6 2.7 6 6m1-9.5a3 3 0 0 0 0-5.8M18 14.5c1.9.9 3 2.9 3 5.5",
  webhooks: "M10 13a5 5 0 0 0 7.5.5l3-3a5 5 0 0 0-7-7l-1.7 1.7M14 11a5 5 0 0 0-7.5-.5l-3 3a5 5 0 0 0 7 7l1.7-1.7",
  jobs: "M4 6h16M4 12h16M4 18h10",
  changes: "M3 12a9 9 0 1 0 3-6.7L3 8m0-5v5h5m4-1v5l3.5 2",
  settings: "M4 7h10m4 0h2M4 17h2m4 0h10M16 4v6M8 14v6",
  own: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zm-7.5 9c0-4 3.4-6.5 7.5-6.5s7.5 2.5 7.5 6.5",
  theme: "M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z",
  good: "M4 12.5l5 5L20 6.5",
  bad: "M12 8v5m0 3.5v.01M10.3 3.9L2.5 17.5A2 2 0 0 0 4.2 20.5h15.6a2 2 0 0 0 1.7-3L13.7 3.9a2 2 0 0 0-3.4 0z",
  close: "M6 6l12 12M18 6L6 18",
  back: "M15 5l-7 7 7 7",
};

/** A drawn sign beside words, which say the same. */
export function icon(name, size = 18) {
  const svg = document.createElementNS(SVG, "svg");
  const named = { viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true", class: "icon" };
  for (const [key, value] of Object.entries(named)) svg.setAttribute(key, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A small curve of numbers, without axes; words beside it say what it is. */
export function spark(values, width = 120, height = 28) {
  const svg = document.createElementNS(SVG, "svg");
  const named = { viewBox: `0 0 ${width} ${height}`, class: "spark", "aria-hidden": "true", preserveAspectRatio: "none" };
  for (const [key, value] of Object.entries(named)) svg.setAttribute(key, value);
  const most = Math.max(...values, 1e-9);
  const points = values.map((value, at) => {
    const x = values.length > 1 ? (at / (values.length - 1)) * width : 0;
    return `${x.toFixed(1)},${(height - 2 - (value / most) * (height - 4)).toFixed(1)}`;
  });
  if (points.length > 1) {
    const area = document.createElementNS(SVG, "polygon");
    area.setAttribute("points", `0,${height} ${points.join(" ")} ${width},${height}`);
    const line = document.createElementNS(SVG, "polyline");
    line.setAttribute("points", points.join(" "));
    svg.append(area, line);
  }
  return svg;
}
