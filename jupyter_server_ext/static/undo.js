// Taking back what was changed just now.

import { changeMade, quoted, send } from "./api.js";
import { tell } from "./parts.js";

/** Takes back what was changed just now; null where nothing was. */
export function undoOf(draw) {
  const id = changeMade();
  return id ? async () => {
    await send(`admin/api/changes/${quoted(id)}/undo`);
    tell("Taken back.");
    await draw();
  } : null;
}
