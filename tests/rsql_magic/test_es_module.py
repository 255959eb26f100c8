"""The panel's JavaScript as the one module that a cell gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rsql_magic.panel import widget
from rsql_magic.panel.es_module import joined

FOLDER = Path(widget.__file__).parents[1] / "static" / "panel"
A = 'import { b } from "./b.js";\n\nexport const a = b;\n'


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a.js": A, "b.js": "export const b = 1;\nconst a = 2;\n"}, "^a stands at the top of b.js and of a.js"),
        ({"a.js": A, "b.js": "const b = 1;\n"}, "^a.js imports b, which b.js does not export"),
        ({"a.js": A, "b.js": 'import { a } from "./a.js";\n\nexport const b = a;\n'}, "circle: a.js → b.js → a.js"),
        ({"a.js": "const a = 1;\nexport { a };\n"}, "a.js has a line that cannot be joined: export { a };"),
        ({"a.js": 'import { b as c } from "./b.js";\n', "b.js": "export const b = 1;\n"}, "imports b as c, which"),
        ({"a.js": "export * from './b.js';\n"}, "cannot be joined"),
        ({"a.js": 'import "./b.js";\n'}, "cannot be joined"),
    ],
)
def test_what_would_be_another_program_when_joined_is_refused(files, reason):
    with pytest.raises(ValueError, match=re.escape(reason) if "^" not in reason else reason):
        joined("a.js", files.__getitem__)


def test_each_module_stands_once_and_after_what_it_needs():
    files = {
        "p/a.js": 'import {\n  b,\n  c,\n} from "./b.js";\nimport * as lib from "../vendor/lib.js";\n\nb(c, lib);\n',
        "p/b.js": 'import lib from "../vendor/lib.js";\n\nexport async function b() {}\nexport let c = lib;\n',
        "vendor/lib.js": "module.exports = 1;",
    }
    text = joined("p/a.js", files.__getitem__)
    assert [text.count(part) for part in ("module.exports = 1;", "async function b", "import", "export ")] == [
        1,
        1,
        0,
        0,
    ]
    assert text.index("const lib") < text.index("function b") < text.index("b(c, lib)")


def test_a_cell_gets_each_module_that_the_panel_imports():
    text = widget.module()
    for name in ("view", "composer", "exchange", "prose", "safe", "wire", "notebook", "requests", "limits"):
        source = (FOLDER / f"{name}.js").read_text()
        first = re.search(r"^(?:export )?((?:class|function|const) \w+)", source, re.MULTILINE)
        assert len(re.findall(rf"^{first[1]}\b", text, re.MULTILINE)) == 1, name
    assert len(re.findall(r"^export ", text, re.MULTILINE)) == 1
