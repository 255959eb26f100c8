// Why the panel cannot talk to a notebook's kernel, and what a user can do.

import type { Kernel } from "@jupyterlab/services";

export type Kind = "no-notebook" | "no-kernel" | "language" | "missing" | "old" | "failed";

export class Trouble extends Error {
  constructor(
    readonly kind: Kind,
    message: string,
    readonly hint = "",
  ) {
    super(message);
  }
}

export const PACKAGE = "rsql-jupyter";

export const noNotebook = () =>
  new Trouble("no-notebook", "No notebook is open.", "Open one: the chat is about what it holds.");

export const noKernel = () =>
  new Trouble("no-kernel", "This notebook has no kernel.", "Choose a Python kernel for it.");

export function otherLanguage(language: string): Trouble {
  const said = `The kernel of this notebook speaks ${language}, and the chat lives in Python kernels.`;
  const hint =
    language === "R"
      ? "A Python kernel runs R in %%R cells, and the chat knows what R holds there."
      : "Choose a Python kernel to use it.";
  return new Trouble("language", said, hint);
}

export async function missing(kernel: Kernel): Promise<Trouble> {
  const name = (await kernel.spec)?.display_name ?? kernel.name;
  return new Trouble(
    "missing",
    `The package ${PACKAGE} is not installed in the kernel “${name}”.`,
    `It can be installed into this kernel now; or run %pip install ${PACKAGE} in a cell.`,
  );
}

export const old = () =>
  new Trouble(
    "old",
    `The ${PACKAGE} of this kernel is older than this sidebar.`,
    `It can be upgraded now; or run %pip install --upgrade ${PACKAGE} in a cell. Restart the kernel after that.`,
  );
