// A cell that asks, tried before it runs: in a process that can change nothing, where the system has one.

import { button, make } from "./dom.js";

// The button beside the yes, and what came of a trial below it; `ask` has the kernel try the cell.
export function tryFirst({ title, cannot_try: reason = "" }, ask) {
  const found = make("div", { className: "rsql-trial", role: "status" });
  const doubt = make("span", { className: "rsql-small", textContent: reason });
  const start = async () => {
    start.button.disabled = true;
    found.replaceChildren(make("p", { className: "rsql-small", textContent: "Trying it …" }));
    const told = await ask();
    start.button.disabled = false;
    found.replaceChildren(...(told?.trial ? outcome(told.trial) : [])); // else it was said why
  };
  start.button = button(
    `Try ${title.toLowerCase()} first, where it can change nothing`,
    "eye",
    start,
    { text: "Try it first", disabled: Boolean(reason) },
  );
  return make("div", {}, make("div", { className: "rsql-row" }, start.button, reason && doubt), found);
}

function outcome({ output, result, error, wanted, missing, how }) {
  const text = (content, label) =>
    content && make("pre", { textContent: content, tabIndex: 0, role: "group", "aria-label": label });
  const list = (heading, lines) =>
    lines.length > 0 && [
      make("p", { textContent: heading }),
      make("ul", {}, ...lines.map((line) => make("li", { textContent: line }))),
    ];
  return [
    make("p", { className: "rsql-small", textContent: `Tried with ${how}; nothing was changed.` }),
    ...(list("Outside of its memory, it", wanted) || [
      make("p", { textContent: "It was not seen to do anything outside of its memory." }),
    ]),
    ...(list("It was not given", missing) || []),
    error.length > 0 && make("p", { className: "rsql-note", textContent: `It failed: ${error.join(": ")}` }),
    text(output, "what it printed"),
    text(result, "its result"),
  ].filter(Boolean);
}
