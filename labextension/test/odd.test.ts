import assert from "node:assert/strict";
import { test } from "node:test";
import { heldOf, asMade } from "panel/held.js";
import { marksOf, oddities } from "panel/odd.js";

const kinds = (text: string): string[] => [...new Set(marksOf(text).map(({ kind }) => kind))].filter((kind) => kind !== "tab");

test("whatever cannot be seen or turns others around is marked, wherever it stands", () => {
  // Each character of these classes that Unicode has, not the ones that came to mind.
  const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
  let tried = 0;
  for (let code = 0; code < 0x110000; code += 1) {
    if (code >= 0xd800 && code < 0xe000) continue;
    const sign = String.fromCodePoint(code);
    if (!hidden.test(sign) || sign === "\n" || sign === "\t") continue;
    tried += 1;
    const [mark] = marksOf(`x${sign}y`).filter(({ kind }) => kind === "hidden");
    assert.deepEqual([mark?.at, mark?.length], [1, sign.length], code.toString(16));
  }
  assert.ok(tried > 4000);
  assert.deepEqual(marksOf("a\u202eb").map(({ label }) => label), ["U+202E"]);
  assert.match(oddities("x = 1 \u200b# ok").join(), /cannot be seen.*U\+200B/);
});

test("words that are read as other words, or look like them, are marked", () => {
  for (const word of ["ｏｓ", "ﬁle", "ﾊ", "ªb", "оs.remove", "pаndas", "ехес", "οpen", "ѕum", "im\u0440ort", "rеmove", "о", "ꓑaul", "ɡet"])
    assert.deepEqual(kinds(`${word}(1)`), ["alike"], word);
  for (const word of ["größe", "année", "Δt", "σ2", "μ_hat", "продажи", "数据df", "売上", "データ", "العدد", "x", "λ"])
    assert.deepEqual(kinds(`${word} = 1`), [], word);
});

test("runs of blanks that push code away are marked, and ordinary layout is not", () => {
  const far = `x = 1${" ".repeat(200)}; import os`;
  assert.deepEqual(marksOf(far).map(({ label, length }) => [label, length]), [["␣×200", 200]]);
  assert.match(oddities(far).join(), /runs of blanks/);
  assert.deepEqual(kinds(`${" ".repeat(120)}os.remove("a")`), ["blanks"]);
  assert.match(oddities(`x = 1${"\n".repeat(60)}import os`).join(), /59 empty lines/);
  for (const fine of ["if x:\n    return {\n            'a': 1,   # one\n    }\n\n\ndef f():\n\tpass", "SELECT a,    b\nFROM t"])
    assert.deepEqual([kinds(fine), oddities(fine)], [[], []]);
});

test("what is held back of outputs is asked for by its name, and takes its place", () => {
  const outputs = [
    { output_type: "stream", text: "a" },
    { output_type: "display_data", data: { "text/plain": "b" }, metadata: { rsql: { held: "k-1", left_out: ["text/html"] } } },
  ];
  assert.deepEqual(heldOf(outputs as never), { names: ["k-1"], words: ["text/html"] });
  const made = asMade(outputs, { "k-1": { data: { "text/html": "<b>" }, metadata: {} } });
  assert.deepEqual(made, [outputs[0], { output_type: "display_data", data: { "text/html": "<b>" }, metadata: {} }]);
  assert.deepEqual(heldOf(made as never).names, []);
});
