// Asking the gateway: with the token that a person gave, with the hub's session, or by `rsql console`, which has the token.

const meta = (name) => document.querySelector(`meta[name="rsql-${name}"]`)?.content || "";
const KEPT = "rsql-token";

export const base = meta("base");
export const part = meta("part");
const session = meta("session");
let secret = ""; // of `rsql console`; in this page's memory and nowhere else

/** Take the code that `rsql console` put behind the address, once, for the secret that it answers to. */
async function takeCode() {
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1];
  if (!code) return;
  history.replaceState(null, "", location.pathname);
  const reply = await fetch(`${base}console-code`, { method: "POST", headers: { "X-RSQL-Code": code }, redirect: "error" });
  secret = reply.ok ? (await reply.json()).secret : "";
}

await takeCode();

/** A refusal: the gateway's own sentence, which says what to do next. */
export class Refused extends Error {
  constructor(status, error) {
    super(error?.message || `The gateway answered ${status}.`);
    this.status = status;
    this.code = error?.code || "";
    this.requestId = error?.request_id || "";
  }
}

/** Remember a token for as long as this tab is open; an empty one is forgotten. */
export function useToken(token) {
  if (token) sessionStorage.setItem(KEPT, token);
  else sessionStorage.removeItem(KEPT);
}

export const hasSession = () => Boolean(session);
export const byCommand = () => Boolean(secret);
export const hasToken = () => Boolean(sessionStorage.getItem(KEPT));

function headers(more) {
  const token = sessionStorage.getItem(KEPT);
  const known = { Accept: "application/json", ...more };
  if (secret) known["X-RSQL-Page"] = secret;
  else if (session) known["X-RSQL-Page"] = "1";
  else if (token) known.Authorization = `Bearer ${token}`;
  else {
    const jupyter = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie); // of a Jupyter Server that this gateway is a part of
    if (jupyter) known["X-XSRFToken"] = decodeURIComponent(jupyter[1]);
  }
  return known;
}

async function refusal(reply) {
  const told = await reply.json().catch(() => ({}));
  return new Refused(reply.status, told.error);
}

let change = "";

/** The id of the change that the last request has made, by which it is taken back; empty for none. */
export const changeMade = () => change;

/** Ask a route: `await ask("admin/api/users", {query: {limit: 10}})`. Raises Refused. */
export async function ask(path, { method = "GET", query = {}, body, signal, as = "json" } = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = given.length ? `?${new URLSearchParams(given)}` : "";
  const more = body === undefined ? {} : { "Content-Type": "application/json" };
  let reply;
  try {
    reply = await fetch(base + path + search, {
      method, signal, headers: headers(more), redirect: "error", cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { message: "The gateway cannot be reached. Is it running, and are you online?" });
  }
  if (!reply.ok) throw await refusal(reply);
  if (method !== "GET") change = reply.headers.get("X-RSQL-Change") || "";
  return reply[as]();
}

export const send = (path, body = {}, method = "POST") => ask(path, { method, body });

/**
 * Listen to a route's events until the signal is aborted. `take(value)` gets each; `state(word)` is told "live" or
 * "lost". It connects again by itself, ever more rarely.
 */
export async function listen(path, { take, state, signal }) {
  let wait = 1000;
  while (!signal.aborted) {
    try {
      const reply = await fetch(base + path, { headers: headers({ Accept: "text/event-stream" }), signal, cache: "no-store" });
      if (!reply.ok) throw await refusal(reply);
      const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        text += value;
        const events = text.split("\n\n");
        text = events.pop();
        for (const event of events) {
          const data = event.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
          if (!data.length || event.startsWith("event: error")) continue;
          state("live");
          wait = 1000;
          take(JSON.parse(data.join("\n")));
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && [401, 403].includes(error.status)) {
        state("lost", error);
        return;
      }
    }
    if (signal.aborted) return;
    state("lost");
    await new Promise((done) => setTimeout(done, wait));
    wait = Math.min(wait * 2, 30_000);
  }
}

/** A part of an address: names of people and groups may hold anything. */
export const quoted = encodeURIComponent;
