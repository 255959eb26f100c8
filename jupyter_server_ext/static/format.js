// Numbers, money and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (value) => (value === null || value === undefined ? "–" : whole.format(value));
export const short = (value) => (value === null || value === undefined ? "–" : value < 10_000 ? whole.format(value) : compact.format(value));
export const percent = (part, digits = 0) => (part === null || part === undefined ? "–" : `${(100 * part).toFixed(digits)} %`);

/** US dollars: cents, and more digits where there are less than one. */
export function money(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "$0";
  if (value >= 1000) return `$${whole.format(value)}`;
  return `$${value.toFixed(value >= 0.1 ? 2 : value >= 0.001 ? 4 : 6)}`;
}

/** The same beside an axis: no more digits than are needed. */
export const moneyAxis = (value) => (value >= 1000 ? `$${compact.format(value)}` : `$${Number(value.toPrecision(2))}`);

/** A length of time. */
export function seconds(value) {
  if (value === null || value === undefined || value === Infinity) return "–";
  if (value < 0.0095) return value === 0 ? "0 s" : "<10 ms";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 100) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  return value < 172_800 ? `${Math.round(value / 3600)} h` : `${Math.round(value / 86_400)} d`;
}

/** How long something took, with three digits: a figure to compare, which `seconds` would round by a fifth. */
export function took(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 5400) return seconds(value);
  return value < 1 ? `${Number((value * 1000).toPrecision(3))} ms` : `${Number(value.toPrecision(3))} s`;
}

/** The length of a limit's window: "a minute", "a day", "at once". */
export function per(value) {
  const named = { 0: "at once", 1: "a second", 60: "a minute", 3600: "an hour", 86400: "a day" };
  return named[value] || `in ${seconds(value)}`;
}

export const bytes = (value) => (value >= 1e9 ? `${(value / 1e9).toFixed(1)} GB` : value >= 1e6 ? `${(value / 1e6).toFixed(1)} MB` : `${Math.ceil(value / 1e3)} kB`);

// All times are those of the gateway's zone, whose midnight begins a day of its sums and budgets.
let zone = "UTC";
let clock, short_date, dated, dayed, exact, iso;

/** Write times in a zone from now on, such as Europe/Berlin. */
export function useZone(name) {
  zone = name;
  const format = (options, locale = "en-GB") => new Intl.DateTimeFormat(locale, { timeZone: zone, ...options });
  clock = format({ hour: "2-digit", minute: "2-digit" });
  short_date = format({ day: "numeric", month: "short" });
  dated = format({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  dayed = format({ day: "numeric", month: "short", year: "numeric" });
  exact = format({ dateStyle: "short", timeStyle: "medium" });
  iso = format({ year: "numeric", month: "2-digit", day: "2-digit" }, "en-CA");
}
useZone("UTC");

export const zoneName = () => zone;
export const dateOf = (unix) => short_date.format(unix * 1000);
export const clockOf = (unix) => clock.format(unix * 1000);
export const dateAndClock = (unix) => dated.format(unix * 1000);

/** The day of a Unix time, such as 2026-11-21. */
export const isoDay = (unix = Date.now() / 1000) => iso.format(unix * 1000);

/** When something was: the time for today, the date before. Takes Unix time. */
export function when(unix) {
  if (!unix) return "–";
  return isoDay(unix) === isoDay() ? clockOf(unix) : dateAndClock(unix);
}

/** When exactly, with seconds. */
export const exactly = (unix) => (unix ? exact.format(unix * 1000) : "–");

/** A day such as 2026-11-21, or the day of a time with its zone. */
export const day = (text) => (text ? (text.length === 10 ? `${Number(text.slice(8))} ${MONTHS[text.slice(5, 7) - 1]} ${text.slice(0, 4)}` : dayed.format(new Date(text))) : "–");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sept", "Oct", "Nov", "Dec"];

/** How long ago. */
export function ago(unix, now = Date.now() / 1000) {
  if (!unix) return "never";
  const passed = Math.max(0, now - unix);
  return passed < 45 ? "just now" : `${seconds(Math.max(60, passed))} ago`;
}

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export const UNITS = { requests: "requests", tokens: "tokens", input_tokens: "tokens read", output_tokens: "tokens written", concurrent: "at once" };

/** A limit in words: "30 requests a minute". */
export function limitWords(limit) {
  if (limit.unit === "concurrent") return "requests at once";
  return `${UNITS[limit.unit] || limit.unit} ${per(limit.seconds)}`;
}

export const LIMITS = {
  requests_per_minute: "Requests a minute",
  requests_per_hour: "Requests an hour",
  requests_per_day: "Requests a day",
  tokens_per_minute: "Tokens a minute",
  tokens_per_day: "Tokens a day",
  concurrency: "Requests at once",
  usd_per_day: "Dollars a day",
  usd_per_month: "Dollars a month",
};

export const OUTCOMES = {
  success: "answered", failure: "failed", timeout: "timed out", refused: "refused", cancelled: "cancelled",
};

export const TASKS = { ask: "%%ask", sql_ai: "%%sql_ai", repair: "repair", study: "study", batch: "batch", chat: "chat", inline_completion: "completion while typing", other: "other" };
