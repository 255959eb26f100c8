// What of a text is not what it seems: characters that cannot be seen or turn others around, letters that look like
// others, runs of blanks that push code away. Where code is shown to be agreed to, it is marked.

import { make } from "./dom.js";

const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}\p{Cs}\p{Default_Ignorable_Code_Point}\u2800]/u;
const BLANK = /\p{Zs}/u;
const INDENT = 40; // blanks before a line's code, from where on they are marked
const RUN = 12; // blanks within a line
const EMPTY_LINES = 10;
const IDENTIFIER = /[\p{L}\p{Nl}_][\p{L}\p{M}\p{N}\p{Pc}]*/gu;
// Letters that look like ASCII's, of Latin, Greek, Cyrillic and Armenian; other letters of Greek are at home in formulas.
const ALIKE = new Set(
  "ıɑɡɩɪʟʏʋƨƽǀǃᴀᴄᴇᴊᴋᴍᴏᴘᴛᴜᴠᴡᴢꜰꜱΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϳανογιρτυϲАВЕЅІЈКМНОРСТУХЗҮԌԚԜавгезікмнопрстухѕіјһԁԛԝѵүօսոհցգքլԼՏՍՕ",
);
const OTHERS = /[\p{Script=Cyrillic}\p{Script=Armenian}\p{Script=Cherokee}\p{Script=Coptic}\p{Script=Lisu}\p{Script=Georgian}\p{Script=Deseret}\p{Script=Gothic}\p{Script=Canadian_Aboriginal}]/u;
const ASCII = /[A-Za-z]/;
const LETTER = /\p{L}/u;

const codeOf = (sign) => `U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

// Whether a word has letters that look like others, or is read as another word (Python takes its NFKC form).
function isLikeAnother(word) {
  if (/^[\x00-\x7f]*$/.test(word)) return false;
  if (word.normalize("NFKC") !== word) return true;
  const letters = [...word].filter((sign) => LETTER.test(sign));
  const others = letters.filter((sign) => sign > "\x7f");
  if (ASCII.test(word)) return others.some((sign) => ALIKE.has(sign) || OTHERS.test(sign));
  return others.every((sign) => ALIKE.has(sign));
}

// The marks of one text: `{ at, length, label, kind, stays }`; one that `stays` stands after what it is about.
export function marksOf(text) {
  const marks = [];
  const add = (at, length, label, kind, stays = false) => marks.push({ at, length, label, kind, stays });
  let at = 0;
  for (const sign of text) {
    if (sign === "\t") add(at, 1, "⇥", "tab");
    else if (sign !== "\n" && HIDDEN.test(sign)) add(at, sign.length, codeOf(sign), "hidden");
    else if (sign !== " " && BLANK.test(sign)) add(at, sign.length, codeOf(sign), "hidden");
    at += sign.length;
  }
  for (const { index, 0: run } of text.matchAll(/ +/g)) {
    const starts = index === 0 || text[index - 1] === "\n";
    if (run.length >= (starts ? INDENT : RUN)) add(index, run.length, `␣×${run.length}`, "blanks");
  }
  for (const { index, 0: word } of text.matchAll(IDENTIFIER)) {
    if (!isLikeAnother(word)) continue;
    let place = index;
    for (const sign of word) {
      place += sign.length;
      if (sign > "\x7f" && !HIDDEN.test(sign)) add(place, 0, codeOf(sign), "alike", true);
    }
  }
  return marks.sort((one, other) => one.at - other.at || one.length - other.length);
}

// What to say above a text that has marks, a sentence each.
export function oddities(text) {
  const marks = marksOf(text);
  const labels = (kind) => {
    const all = [...new Set(marks.filter((mark) => mark.kind === kind).map(({ label }) => label))];
    return all.slice(0, 5).join(", ") + (all.length > 5 ? ", …" : "");
  };
  const empty = Math.max(0, ...[...text.matchAll(/\n(?:[^\S\n]*\n)+/g)].map(([run]) => run.split("\n").length - 2));
  return [
    labels("hidden") && `It has characters that cannot be seen, or change how others are shown: ${labels("hidden")}.`,
    labels("alike") && `It has letters that look like others, or are read as others: ${labels("alike")}.`,
    labels("blanks") && "It has long runs of blanks; what stands behind them is code as well.",
    empty >= EMPTY_LINES && `${empty} empty lines stand within it; what stands below them is code as well.`,
  ].filter(Boolean);
}

// A text as texts and marks, for a node. `whole` is the text that it is a part of, from `from` on.
export function withMarks(text, whole = text, from = 0, marks = marksOf(whole)) {
  const parts = [];
  const end = from + text.length;
  let place = from;
  for (const { at, length, label, kind, stays } of marks) {
    const isHere = stays ? at > from && at <= end : at >= place && at < end;
    if (!isHere) continue;
    const stop = Math.min(end, at + length);
    if (at > place) parts.push(whole.slice(place, at));
    const chip = make("span", { className: `rsql-odd rsql-odd-${kind}`, textContent: label, title: label });
    chip.dataset.text = whole.slice(at, stop);
    parts.push(chip);
    place = stop;
  }
  if (place < end) parts.push(whole.slice(place, end));
  return parts;
}

// The text of which a node shows the marks: what is agreed to, sign by sign.
export function textShown(node) {
  if (node.dataset?.text !== undefined) return node.dataset.text;
  return node.childNodes?.length ? [...node.childNodes].map(textShown).join("") : (node.textContent ?? "");
}

// The warnings on a text, as lines for a card.
export const warnings = (text) =>
  oddities(text).map((said) => make("p", { className: "rsql-note rsql-warning", textContent: `⚠ ${said}` }));

// Lines for what is out of view of a node that scrolls; said again when that changes.
export function viewLine(node) {
  const line = make("p", { className: "rsql-small rsql-out-of-view", role: "status", hidden: true });
  const look = () => {
    const left = node.scrollHeight - node.scrollTop - node.clientHeight;
    line.hidden = left < 4;
    line.textContent = "There is more of it below: scroll to see all that is agreed to.";
  };
  node.addEventListener("scroll", look, { passive: true });
  if (typeof ResizeObserver === "function") new ResizeObserver(look).observe(node);
  return line;
}
