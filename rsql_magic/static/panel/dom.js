// Elements, icons, buttons, and what else the panel's pieces are made of.

export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && name !== "list") node[name] = value;
    else if (value !== undefined && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child || child === 0)); // what is not there is left out
  return node;
}

const ICONS = {
  copy: "M5 2h7a1 1 0 0 1 1 1v8M3 5h6a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1H3a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1z",
  insert: "M2 2.5h12M2 5.5h12M8 8.5v6M5.5 12 8 14.5 10.5 12",
  run: "M4.5 2.5v11l9-5.5z",
  edit: "M10.5 2.5l3 3L6 13l-3.5.5L3 10z",
  retry: "M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3",
  up: "M5 7l3-5c1.2 0 1.7.8 1.5 2L9 6h3.5c1 0 1.5.7 1.3 1.6l-1 4.4c-.2.7-.7 1-1.3 1H5zM5 7H2.5v6H5",
  down: "M5 9l3 5c1.2 0 1.7-.8 1.5-2L9 10h3.5c1 0 1.5-.7 1.3-1.6l-1-4.4C12.6 3.3 12.1 3 11.5 3H5zM5 9H2.5V3H5",
  plus: "M8 3v10M3 8h10",
  more: "M3 8h.01M8 8h.01M13 8h.01",
  send: "M8 13V3M4 7l4-4 4 4",
  stop: "M4.5 4.5h7v7h-7z",
  close: "M4 4l8 8M12 4l-8 8",
  eye: "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8zM8 6.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6z",
  attach: "M13.5 7.5 8 13a3.3 3.3 0 0 1-4.7-4.7l6-6a2.2 2.2 0 0 1 3.1 3.1l-6 6a1.1 1.1 0 0 1-1.6-1.6L10 4.8",
  chevron: "M4 6l4 4 4-4",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export function button(label, name, onclick, more = {}) {
  const { text = "", ...attributes } = more;
  return make(
    "button",
    { type: "button", title: label, "aria-label": label, onclick, ...attributes },
    name ? icon(name) : "",
    text,
  );
}

export const tokens = (count) => `${count.toLocaleString("en")} token${count === 1 ? "" : "s"}`;

export async function copy(text, node) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // not a secure page, or forbidden
    const area = make("textarea", { value: text, className: "rsql-hidden" });
    node.after(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  node.classList.add("rsql-done");
  setTimeout(() => node.classList.remove("rsql-done"), 1200);
}

// The next frame; a page in the background has none, and must not fall behind for good.
export function soon(work) {
  const handle = {};
  const once = () => {
    cancelAnimationFrame(handle.frame);
    clearTimeout(handle.timer);
    work();
  };
  handle.frame = requestAnimationFrame(once);
  handle.timer = setTimeout(once, 120);
  return handle;
}

export const span = (seconds) =>
  seconds < 100
    ? `${seconds} s`
    : seconds < 6000
      ? `${Math.round(seconds / 60)} min`
      : `${Math.round(seconds / 3600)} h`;

export function download(name, content, type) {
  const link = make("a", { href: URL.createObjectURL(new Blob([content].flat(), { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// Where a browser finds what a kernel of a hub knows by an address within: a hub's services are below its own address.
export function addressOutside(link, { origin, pathname }) {
  const service = new URL(link);
  const hub = pathname.split("/user/")[0];
  return hub !== pathname && service.pathname.startsWith(`${hub}/services/`) ? origin + service.pathname : link;
}

// What an error of the kernel says, and what to do next.
export const inWords = ({ message, hint }) => [message, hint].filter(Boolean).join(" ");
