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

/** The length of a limit's window: "a minute", "a day", "at once". */
export function per(value) {
  const named = { 0: "at once", 1: "a second", 60: "a minute", 3600: "an hour", 86400: "a day" };
  return named[value] || `in ${seconds(value)}`;
}

export const bytes = (value) => (value >= 1e9 ? `${(value / 1e9).toFixed(1)} GB` : value >= 1e6 ? `${(value / 1e6).toFixed(1)} MB` : `${Math.ceil(value / 1e3)} kB`);

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const dated = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const dayed = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** When something was: the time for today, the date before. Takes Unix time. */
export function when(unix) {
  if (!unix) return "–";
  const date = new Date(unix * 1000);
  return date.toDateString() === new Date().toDateString() ? clock.format(date) : dated.format(date);
}

export const day = (text) => (text ? dayed.format(new Date(text)) : "–");

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
