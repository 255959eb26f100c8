// The panel in a cell: what anywidget calls with the widget's model and the element to draw into.

import { View } from "./view.js";

export default { render };

function render({ model, el }) {
  const view = new View(model, el);
  return () => view.close();
}
