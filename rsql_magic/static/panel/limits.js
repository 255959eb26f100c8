// What is left of the limit that is nearest.

const count = (number) => number.toLocaleString("en");
// Rounded down, so that no more is shown than there is.
const dollars = (amount) => `$${(Math.floor(amount * 100 + 1e-6) / 100).toFixed(2)}`;

const LIMITS = [
  ["minute", "min", count],
  ["hour", "h", count],
  ["day", "day", count],
  ["usd_per_day", "day", dollars],
  ["usd_per_month", "month", dollars],
];

// `{ text, share }` of the gateway's limits, or null where none is set.
export function nearest(limits) {
  const all = LIMITS.map(([name, short, told]) => ({ short, told, ...limits?.[name] })).filter(
    ({ limit, remaining }) => limit > 0 && limit < 2 ** 31 - 1 && remaining >= 0,
  );
  const least = all.sort((a, b) => a.remaining / a.limit - b.remaining / b.limit)[0];
  if (!least) return null;
  const { limit, remaining, short, told } = least;
  return { text: `${told(remaining)} of ${told(limit)} left / ${short}`, share: remaining / limit };
}
