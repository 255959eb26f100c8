import assert from "node:assert/strict";
import { test } from "node:test";
import { nearest } from "panel/limits.js";

const of = (remaining: number | null, limit: number | null) => ({ remaining, limit });

const CASES: [object | null, string | undefined][] = [
  [null, undefined],
  [{}, undefined],
  [{ day: of(null, null), usd_per_day: of(null, null) }, undefined],
  [{ day: of(50, 2 ** 31 - 1) }, undefined],
  [{ minute: of(9, 10), day: of(1200, 2000) }, "1,200 of 2,000 left / day"],
  [{ day: of(90, 100), usd_per_day: of(1, 5) }, "$1.00 of $5.00 left / day"],
  [{ day: of(10, 100), usd_per_day: of(1, 5) }, "10 of 100 left / day"],
  [{ usd_per_day: of(4, 5), usd_per_month: of(2.5, 60) }, "$2.50 of $60.00 left / month"],
  [{ usd_per_month: of(0, 60) }, "$0.00 of $60.00 left / month"],
  [{ usd_per_day: of(0.009, 0.29) }, "$0.00 of $0.29 left / day"],
  [{ usd_per_day: of(1.999, 9.99) }, "$1.99 of $9.99 left / day"],
];

for (const [limits, said] of CASES) {
  test(`of ${JSON.stringify(limits)} the nearest is ${said}`, () => assert.equal(nearest(limits)?.text, said));
}

test("the share is what is left of money, too", () => assert.equal(nearest({ usd_per_day: of(1, 4) })?.share, 0.25));
