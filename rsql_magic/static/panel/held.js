// Outputs of the assistant's cells that the kernel shows without what could act in this page, and the person's way to
// have them as the cells made them.

import { button, make } from "./dom.js";

// The names of what is held back of outputs, and what it is in words.
export function heldOf(outputs) {
  const told = outputs.map(({ metadata }) => metadata?.rsql).filter((each) => typeof each?.held === "string");
  const words = [...new Set(told.flatMap(({ left_out: left }) => left ?? []))].map((word) => String(word).slice(0, 80));
  return { names: told.map(({ held }) => held), words };
}

// Outputs with what the kernel gave for the names of those held back.
export const asMade = (outputs, made) =>
  outputs.map((output) => {
    const original = made[output.metadata?.rsql?.held];
    return original ? { ...output, data: original.data, metadata: original.metadata } : output;
  });

// A line that says what is not shown, with the button; `show` is called for a person's own click only.
export function heldLine({ words }, show) {
  const what = words.length ? ` (${words.slice(0, 4).join(", ")}${words.length > 4 ? ", …" : ""})` : "";
  const made = button(
    "Show as the cell made it: its scripts, pictures and links then act in this page as you",
    "",
    (event) => event.isTrusted && show(),
    { text: "Show as the cell made it" },
  );
  return make(
    "div",
    { className: "rsql-row rsql-held", role: "note" },
    make("span", { className: "rsql-small", textContent: `Shown without what could act in this page${what}.` }),
    made,
  );
}
