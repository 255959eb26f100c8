// The page: who looks, the way between sections, light and dark. A section is a module with `show(view, way)`.

import { ask, byCommand, hasSession, hasToken, part, useToken } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { useZone } from "./format.js";
import { button, card, field, head, trouble } from "./parts.js";

const THEME = hasSession() ? "jupyterhub-bs-theme" : "rsql-theme"; // as in theme.js
const OWN = { name: "own", title: "My use" };

const view = document.getElementById("view");
const side = document.getElementById("side");
const top = document.getElementById("top");
let me = null;
let leave = null; // ends what the section shown has begun

async function start() {
  try {
    me = await ask("me");
  } catch (error) {
    return askForToken(error);
  }
  useZone(me.zone);
  drawFrame();
  window.addEventListener("hashchange", go);
  return go();
}

function sections() {
  return part === "admin" ? [...me.sections, OWN] : [OWN];
}

function drawFrame() {
  const hub = byCommand() ? null : me.hub; // whose pages are elsewhere then
  const admin = me.scopes.some((scope) => scope === "admin" || scope === "instructor");
  const base = document.querySelector('meta[name="rsql-base"]').content;
  const logo = hub
    ? h("a", { href: hub.home, class: "brand" }, h("img", { src: hub.logo, alt: "JupyterHub", height: "28" }))
    : h("span", { class: "brand" }, h("img", { src: new URL("icon.svg", import.meta.url).href, alt: "", width: "22", height: "22" }), "rsql");
  const links = [
    hub && h("a", { href: hub.home }, "Home"), hub && h("a", { href: hub.token }, "Token"), hub?.admin && h("a", { href: hub.admin }, "Admin"),
    admin && !byCommand() && (part === "admin" ? h("a", { href: base }, "My use") : h("a", { href: `${base}admin` }, "Console")),
  ];
  const theme = h("button", { class: "plain", title: "Light or dark", "aria-label": "Light or dark", on: { click: nextTheme } }, icon("theme"));
  const out = hub ? h("a", { href: hub.logout, class: "button small" }, "Logout")
    : hasToken() && h("button", { class: "small", on: { click: () => { useToken(""); location.reload(); } } }, "Forget token");
  fill(top, logo, h("div", { class: "top-links" }, links), h("span", { class: "live", id: "live", role: "status" }), theme,
    h("span", { class: "who", title: me.tenant ? `of ${me.tenant}` : "" }, me.caller), out);
  document.body.classList.toggle("solo", sections().length === 1);
  fill(side, h("ul", {}, sections().map((one) => h("li", {}, h("a", { href: `#/${one.name}`, "data-name": one.name }, icon(one.name), h("span", {}, one.title))))));
}

/** The way that an address shows: #/people/user/ada?tab=keys. */
function way() {
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map((one) => { try { return decodeURIComponent(one); } catch { return one; } });
  return { name: parts[0] || sections()[0].name, parts: parts.slice(1), query: new URLSearchParams(search || ""), me };
}

async function go(changed) {
  const to = way();
  const found = sections().find((one) => one.name === to.name) || sections()[0];
  leave?.abort();
  const here = (leave = new AbortController());
  for (const link of side.querySelectorAll("a")) {
    if (link.dataset.name === found.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  side.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  document.title = `${found.title} · rsql gateway`;
  const room = h("div", { class: "section", "aria-busy": "true" });
  try {
    const section = await import(`./sections/${found.name}.js`);
    if (here.signal.aborted) return;
    fill(view, room);
    window.scrollTo(0, 0);
    await section.show(room, { ...to, signal: here.signal, live });
    room.removeAttribute("aria-busy");
    if (changed && document.activeElement === document.body) view.focus({ preventScroll: true }); // what had the focus is gone
  } catch (error) {
    if (here.signal.aborted || error.name === "AbortError") return;
    const again = error.status === 401 && button("Log in again", () => location.reload(), "primary");
    fill(view, head(found.title, "", again), trouble(error));
  }
}

/** Say whether what is shown is live. */
function live(word) {
  const node = document.getElementById("live");
  if (!node || node.dataset.word === word) return;
  node.dataset.word = word;
  fill(node, word && h("span", { class: `dot ${word}` }), word === "live" ? "Live" : word === "lost" ? "Connecting …" : "");
}

// Light and dark ------------------------------------------------------------------------------------------------------

function nextTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem(THEME, root.dataset.theme);
  document.dispatchEvent(new Event("rsql-theme"));
}

// Without a session ---------------------------------------------------------------------------------------------------

function askForToken(error) {
  document.body.classList.add("alone");
  const wrong = hasToken() && [401, 403].includes(error.status);
  if (error.status && ![401, 403].includes(error.status)) return fill(view, card("The gateway does not answer", trouble(error)));
  if (hasSession()) return fill(view, card("You cannot come in", trouble(error)));
  useToken("");
  const form = h("form", { class: "stack" },
    wrong ? trouble(error) : h("p", { class: "quiet" }, "Enter the token of this gateway, or an API key made for you. It is kept until you close this tab."),
    field({ name: "token", label: "Token", kind: "secret", required: true }), h("button", { class: "primary" }, "Continue"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    useToken(form.elements.token.value.trim());
    location.reload();
  });
  fill(view, card(part === "admin" ? "rsql console" : "rsql gateway", form));
  return form.elements.token.focus();
}

start();
