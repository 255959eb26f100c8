// Limits in words, and how much of each is used.

import { count, LIMITS, money } from "./format.js";
import { use } from "./parts.js";

/** Limits that are set, in words. */
export const limitsInWords = (limits) => Object.entries(limits || {}).filter(([, value]) => value !== null).map(([name, value]) => (name.startsWith("usd") ? `${money(value)} ${LIMITS[name].slice(8)}` : `${count(value)} ${LIMITS[name].toLowerCase()}`)).join(", ");

/** What somebody has used of each limit, with what there is no limit for. */
export function usesOf(told) {
  const rows = [
    ...Object.entries(told.limits).map(([period, one]) => [`Requests this ${period}`, one]),
    ...Object.entries(told.tokens).map(([period, one]) => [`Tokens this ${period}`, one]),
    ["Requests now", told.concurrency],
  ].map(([label, one]) => use(label, one.current, one.limit));
  if (told.cost?.today !== null && told.cost !== undefined) rows.push(use("Money today", told.cost.today, told.cost.limit, money));
  return rows;
}
