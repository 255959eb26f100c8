// Virtual API keys: listed, made, revoked; of oneself and of anybody.

import { ask, quoted, send } from "./api.js";
import { h } from "./dom.js";
import { day, LIMITS } from "./format.js";
import { limitsInWords } from "./limits.js";
import { button, confirmed, dialog, table, tell } from "./parts.js";

/** Virtual keys, each with a way to revoke it by `path`. */
export function apiKeysTable(keys, again, owner = false, path = "admin/api/api-keys") {
  return table([
    { title: "Name", cell: (row) => row.name },
    owner && { title: "Whose", cell: (row) => h("a", { href: `#/people/user/${quoted(row.owner)}` }, row.owner) },
    { title: "Id", cell: (row) => h("code", {}, row.id) },
    { title: "May", cell: (row) => row.scopes.join(", ") },
    { title: "Limits of its own", cell: (row) => limitsInWords(row.limits) || h("span", { class: "quiet" }, "none") },
    { title: "Until", class: "tight", cell: (row) => day(row.expires) },
    { title: "", class: "end", cell: (row) => button("Revoke", () => confirmed(`Revoke ${row.name}?`, "Programs that use it are refused from now on. This cannot be undone.", "Revoke", async () => {
      await send(`${path}/${quoted(row.id)}`, undefined, "DELETE");
      tell(`${row.name} is revoked.`);
      await again();
    }), "small danger") },
  ].filter(Boolean), keys, { empty: "None. A virtual key stands for a person, for scripts and other programs.", caption: "Virtual keys" });
}

const KEY_FIELDS = [
  { name: "name", label: "Name", required: true, hint: "What it is for." }, { name: "days", label: "Days", kind: "number", placeholder: "90" },
  { name: "requests_per_day", label: LIMITS.requests_per_day, kind: "number", placeholder: "no limit of its own" }, { name: "usd_per_day", label: LIMITS.usd_per_day, kind: "number", placeholder: "no limit of its own" },
  { name: "usd_per_month", label: LIMITS.usd_per_month, kind: "number", placeholder: "no limit of its own" },
];

/** Make a virtual key: for `owner` at the console, for oneself by `path`. Its text is shown once. */
export async function newApiKey(again, owner = "", tenant = "", path = "admin/api/api-keys") {
  const own = path === "keys";
  const { grantable, usual } = await ask(path);
  const scopes = Object.entries(grantable).map(([scope, hint]) => ({ name: `may ${scope}`, label: scope, hint, kind: "truth", value: usual.includes(scope) }));
  const whose = own || owner ? [] : [{ name: "owner", label: "Whose", required: true }, { name: "tenant", label: "Course", hint: "Whose rules hold for it. May stay empty." }];
  return dialog("New virtual key", {
    words: own ? "It stands for you: what it uses counts as yours, within limits of its own." : `It stands for ${owner || "its owner"}: what it uses counts as theirs.`,
    fields: [...whose, ...KEY_FIELDS, ...scopes],
    send: "Make it",
    act: async ({ name, days, requests_per_day, usd_per_day, usd_per_month, ...named }) => {
      const limits = Object.fromEntries(Object.entries({ requests_per_day, usd_per_day, usd_per_month }).filter(([, value]) => value !== null));
      const about = own ? {} : { owner: owner || named.owner, ...((owner ? tenant : named.tenant) ? { tenant: owner ? tenant : named.tenant } : {}) };
      const may = Object.keys(grantable).filter((scope) => named[`may ${scope}`]);
      if (!may.length) throw new Error("Say what the key may do: tick at least one of the scopes.");
      const made = await send(path, { name, limits, scopes: may, ...(days === null ? {} : { days }), ...about });
      await again();
      dialog("The new key", { words: `${made.name}, until ${day(made.expires)}. It is shown this once: copy it now.`, content: h("code", { class: "secret" }, made.key) });
    },
  });
}
