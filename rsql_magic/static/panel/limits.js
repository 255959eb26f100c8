// What is left of the limit that is nearest.

const SIZES = [
  ["minute", "min"],
  ["hour", "h"],
  ["day", "day"],
];

// `{ text, share }` of the gateway's limits, or null where none is set.
export function nearest(limits) {
  const all = SIZES.map(([name, short]) => ({ short, ...limits?.[name] })).filter(
    ({ limit, remaining }) => limit > 0 && limit < 2 ** 31 - 1 && remaining >= 0,
  );
  const least = all.sort((a, b) => a.remaining / a.limit - b.remaining / b.limit)[0];
  if (!least) return null;
  const { limit, remaining, short } = least;
  return {
    text: `${remaining.toLocaleString("en")} of ${limit.toLocaleString("en")} left / ${short}`,
    share: remaining / limit,
  };
}
