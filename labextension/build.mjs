// Build the extension into `dist/`: a federated module as JupyterLab 4 loads them, its settings and its description.
//
// Such a module is a container on `window._JUPYTERLAB`: `init(scope)` is given what packages the page shares, and
// `get(name)` gives a factory of a module. Packages of JupyterLab and Lumino are taken from the page; the rest is here.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const read = (...path) => readFileSync(join(here, ...path), "utf8");
const { name, description, license } = JSON.parse(read("package.json"));
const version = /^version = "([^"]+)"/m.exec(read("..", "pyproject.toml"))[1];

const SHARED = /^@(?:jupyterlab|lumino)\//;
const shared = new Set();
const fromThePage = {
  name: "from-the-page",
  setup: ({ onResolve }) =>
    onResolve({ filter: SHARED }, ({ path }) => {
      shared.add(path);
      return { path, external: true };
    }),
};

const { outputFiles } = await build({
  entryPoints: [join(here, "src", "index.ts")],
  alias: { panel: join(here, "..", "rsql_magic", "static", "panel") },
  loader: { ".css": "text", ".svg": "text" },
  plugins: [fromThePage],
  bundle: true,
  write: false,
  minify: true,
  charset: "utf8",
  legalComments: "eof",
  format: "cjs",
  target: "es2022",
  logLevel: "warning",
});

// A package that the page lacks, such as the launcher in Notebook 7, has no names.
const container = `(() => {
  const shared = ${JSON.stringify([...shared].sort())};
  let scope = {};
  const load = async (name) => {
    const versions = Object.values(scope[name] ?? {});
    const found = versions.find(({ loaded }) => loaded) ?? versions[0];
    return [name, found ? (await found.get())() : {}];
  };
  const factory = async () => {
    const modules = new Map(await Promise.all(shared.map(load)));
    const module = { exports: {} };
    ((require, module, exports) => {
${outputFiles[0].text}
    })((name) => modules.get(name), module, module.exports);
    return () => module.exports;
  };
  const container = { init: (given) => { scope = given; }, get: (name) => {
    if (name !== "./extension") throw new Error(\`There is no module \${name}.\`);
    return factory();
  } };
  (window._JUPYTERLAB ??= {})[${JSON.stringify(name)}] = container;
})();
`;

const digest = createHash("sha256").update(container).digest("hex").slice(0, 16);
const dist = join(here, "dist");
const write = (path, text) => {
  mkdirSync(dirname(join(dist, path)), { recursive: true });
  writeFileSync(join(dist, path), text);
};
const json = (value) => `${JSON.stringify(value, null, 2)}\n`;
rmSync(dist, { recursive: true, force: true });
const load = `static/remoteEntry.${digest}.js`;
write(load, container);
const jupyterlab = { extension: true, schemaDir: "schema", _build: { load, extension: "./extension" } };
write("package.json", json({ name, version, description, license, jupyterlab }));
write(`schemas/${name}/plugin.json`, read("schema", "plugin.json"));
write(`schemas/${name}/package.json.orig`, json({ name, version, description }));
write(
  "install.json",
  json({
    packageManager: "python",
    packageName: "rsql-jupyter",
    uninstallInstructions: "Uninstall the Python package rsql-jupyter: pip uninstall rsql-jupyter",
  }),
);
console.log(`${load}: ${(gzipSync(container, { level: 9 }).length / 1000).toFixed(1)} kB gzipped`);
