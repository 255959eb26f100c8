// A kernel made ready for the panel: the magics loaded without a trace in its history, and a comm to the panel opened.

import type { Comm, Kernel } from "@jupyterlab/services";
import { missing, noKernel, old, otherLanguage, PACKAGE, Trouble } from "./trouble";

export const TARGET = "rsql.panel";
// Not by IPython's list of extensions, of which `%load_ext rsql_magic` in a cell would say that it is loaded already.
const LOAD = "__import__('rsql_magic').load_ipython_extension(get_ipython())";
// A kernel that is told that nobody can answer takes what follows for a run without a person.
const QUIET = { silent: true, store_history: false, stop_on_error: false, allow_stdin: true };

// Open a comm to the panel in a kernel, or throw a `Trouble` that says why that cannot be.
export async function connect(kernel: Kernel | null | undefined, closed: () => void): Promise<Comm> {
  if (!kernel) throw noKernel();
  const language = (await kernel.info).language_info.name;
  if (language.toLowerCase() !== "python") throw otherLanguage(language);
  await load(kernel);
  const comm = kernel.createComm(TARGET);
  // Beside the main thread, where kernels can do that: the panel answers while a cell is running.
  if (kernel.supportsSubshells && comm.subshellStarted) await comm.subshellStarted;
  let refused = (_: unknown): void => undefined;
  const refusal = new Promise((resolve) => {
    refused = resolve;
  });
  comm.onClose = () => {
    refused("refused");
    closed();
  };
  // The kernel closes a comm at once whose target it does not know.
  const answer = await Promise.race([comm.open({}).done.then(() => "open"), refusal]);
  if (answer === "refused" || comm.isDisposed) throw old();
  return comm;
}

async function load(kernel: Kernel): Promise<void> {
  const { content } = await kernel.requestExecute({ ...QUIET, code: "", user_expressions: { load: LOAD } }).done;
  const loaded = content.user_expressions?.["load"];
  if (content.status !== "ok" || !loaded)
    throw new Trouble("failed", "The kernel did not answer.", "Restart it, or choose another.");
  if (loaded.status === "ok") return;
  if (loaded.ename === "ModuleNotFoundError" && /rsql_magic/.test(loaded.evalue ?? "")) throw await missing(kernel);
  throw new Trouble("failed", `rsql_magic could not be loaded. ${loaded.ename}: ${loaded.evalue}`, "");
}

// Install the package into the kernel's own Python; what pip says goes to `told`. Throws a `Trouble` where pip fails.
export async function install(kernel: Kernel, told: (text: string) => void): Promise<void> {
  const code = `%pip install --upgrade ${PACKAGE}`;
  const future = kernel.requestExecute({ ...QUIET, silent: false, code, user_expressions: { ended: "_exit_code" } });
  let said = "";
  future.onIOPub = ({ header, content }) => {
    if (header.msg_type === "stream") told((said += String(content["text"])));
  };
  const { content } = await future.done;
  // %pip raises nothing when pip fails; how that ended stands in this name.
  if (content.user_expressions?.["ended"]?.data?.["text/plain"] === "0") return;
  const lines = said.split("\n").filter((line) => line.trim() && !line.startsWith("Note: "));
  const reason = lines.find((line) => line.startsWith("ERROR: ")) ?? lines.at(-1) ?? String(content.evalue ?? "");
  throw new Trouble("missing", `pip could not install ${PACKAGE}. ${reason}`, "Ask whoever looks after this server.");
}
