import assert from "node:assert/strict";
import { test } from "node:test";
import { lineDiff } from "panel/line_diff.js";

const side = (lines: { sign: string; text: string }[], sign: string) =>
  lines.filter((line) => line.sign !== sign).map(({ text }) => text).join("\n");

// Numbers that are the same in every run.
function* dice(seed: number): Generator<number> {
  for (let x = seed; ; ) {
    x = (x * 1103515245 + 12345) % 2 ** 31;
    yield x / 2 ** 31;
  }
}

function longestCommon(a: string[], b: string[]): number {
  if (!a.length || !b.length) return 0;
  const [head, ...rest] = a;
  const at = b.indexOf(head!);
  return Math.max(longestCommon(rest, b), at < 0 ? 0 : 1 + longestCommon(rest, b.slice(at + 1)));
}

test("both texts can be read from a diff, and it keeps as many lines as can be kept", () => {
  const random = dice(7);
  const next = () => random.next().value as number;
  const text = () => Array.from({ length: Math.floor(next() * 9) }, () => "abcd"[Math.floor(next() * 4)]!).join("\n");
  for (let run = 0; run < 2000; run += 1) {
    const [before, after] = [text(), text()];
    const lines = lineDiff(before, after);
    assert.equal(side(lines, "+"), before);
    assert.equal(side(lines, "-"), after);
    const kept = lines.filter(({ sign }) => sign === " ").length;
    assert.equal(kept, longestCommon(before.split("\n"), after.split("\n")), `${before} → ${after}`);
  }
});

test("a small change of a large cell is a small diff, at once", () => {
  const before = Array.from({ length: 50_000 }, (_, place) => (place % 3 ? `x_${place} = ${place}` : "# next"));
  const after = [...before];
  after.splice(40_000, 2, "changed = 1");
  after.splice(200, 0, "first = 0");
  const begun = process.cpuUsage();
  const lines = lineDiff(before.join("\n"), after.join("\n"));
  const shown = lines.filter(({ sign }) => sign !== " ").map(({ sign, text }) => sign + text);
  assert.deepEqual(shown, ["+first = 0", `-${before[40_000]}`, `-${before[40_001]}`, "+changed = 1"]);
  assert.ok(process.cpuUsage(begun).user < 1e6); // microseconds of a processor
});

test("the words that differ are marked, and make up the line", () => {
  const lines = lineDiff("x = sales['regoin'].sum()", "x = sales['region'].sum()");
  assert.deepEqual(
    lines.map(({ words }) => words?.filter(([, differs]: [string, boolean]) => differs).map(([text]: [string]) => text)),
    [["regoin"], ["region"]],
  );
  for (const { text, words } of lines) assert.equal(words.map(([piece]: [string]) => piece).join(""), text);
});

test("lines that share little are two lines", () => {
  const lines = lineDiff("import pandas as pd", "library(dplyr)");
  assert.deepEqual(lines.map(({ words }) => words), [undefined, undefined]);
});

test("texts too long to compare count as wholly different, at once", () => {
  const many = (word: string) => Array.from({ length: 20_000 }, (_, n) => `${word} ${n}`).join("\n");
  const begun = process.cpuUsage();
  const lines = lineDiff(many("a"), many("b"));
  assert.equal(lines.length, 40_000);
  assert.ok(process.cpuUsage(begun).user < 2e6);
});
