"""Lists that are declared once in Python: the docs are made of them, and JavaScript has none of its own."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from jupyter_server_ext.handlers import ROUTES
from jupyter_server_ext.handlers.console_sections import SECTIONS
from jupyter_server_ext.handlers.openapi import openapi
from jupyter_server_ext.handlers.routes import ROUTE_GROUPS
from jupyter_server_ext.pipeline import FILE_KINDS
from jupyter_server_ext.webhooks import EVENTS
from rsql_magic.knowledge.documents.formats import _READERS, KINDS
from rsql_magic.panel.kept.artifacts import KINDS as OF_FILES
from rsql_magic.panel.messages import COMMANDS
from rsql_magic.tools.ours import OURS

ROOT = Path(__file__).parent.parent
STATIC = ROOT / "jupyter_server_ext" / "static"
SCRIPTS = [
    path
    for folder in (STATIC, ROOT / "rsql_magic" / "static" / "panel", ROOT / "labextension" / "src")
    for path in sorted(folder.rglob("*"))
    if path.suffix in {".js", ".ts"} and "vendor" not in path.parts
]
TABLES = {"events": "webhooks", "sections": "console", "groups": "gateway", "commands": "panel", "api": "api"}


def page(name):
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made():
    return runpy.run_path(str(ROOT / "scripts" / "docs.py"))


@pytest.mark.parametrize("table", TABLES)
def test_the_table_of_the_docs_is_that_of_the_list(table, made):
    assert made[f"{table}_table"]() in page(TABLES[table]), "run: make docs"


def test_instructors_see_what_the_page_says():
    [said] = re.findall(r"An instructor sees (.+), of the own course only", page("console"))
    listed = [one.title for one in SECTIONS if one.teaches and not one.needs]
    assert said == f"{', '.join(listed[:-1])} and {listed[-1]}"


@pytest.mark.parametrize("tool", OURS, ids=lambda tool: tool.name)
def test_the_docs_have_each_tool_with_its_parameters_and_level(tool):
    call = rf"\| `{tool.name}\({', '.join(tool.parameters)}\)` \|.*\| `{tool.level}` \|"
    assert re.search(call, page("magics"))


@pytest.mark.parametrize("suffix", KINDS)
def test_the_docs_have_each_format(suffix):
    assert f"`{suffix}`" in page("documents").casefold()
    assert KINDS[suffix] in {*_READERS, "pdf"}


def test_kernel_and_gateway_have_the_same_kinds_of_files():
    assert tuple(OF_FILES) == FILE_KINDS
    assert f"`kind` one of {', '.join(f'`{kind}`' for kind in FILE_KINDS)};" in page("gateway")


def test_the_schema_has_what_is_declared():
    document = openapi(ROUTES)
    bodies = {
        path: methods["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
        for path, methods in document["paths"].items()
        if path in {"/admin/api/webhooks", "/sessions/{id}/artifacts"}
    }
    assert bodies["/admin/api/webhooks"]["events"]["items"]["enum"] == [*EVENTS]
    assert bodies["/sessions/{id}/artifacts"]["kind"]["enum"] == [*FILE_KINDS]
    assert [tag["name"] for tag in document["tags"]] == [*ROUTE_GROUPS]
    tagged = {tag for methods in document["paths"].values() for one in methods.values() for tag in one["tags"][1:]}
    assert tagged == {*ROUTE_GROUPS}


def test_each_route_is_in_a_group():
    assert {route.group for route in ROUTES} == {*ROUTE_GROUPS}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_a_section_of_the_console_has_its_module_and_icon(section):
    assert "export async function show(" in (STATIC / "sections" / f"{section.name}.js").read_text(encoding="utf-8")
    assert re.search(rf'^  {section.name}: "', (STATIC / "dom.js").read_text(encoding="utf-8"), re.MULTILINE)


OWN = {
    "events": list(EVENTS),
    "commands": [f"/{name}" for name in COMMANDS],
    "labels of files": ["chart (Vega-Lite)", "study set"],
    "tools": [tool.purpose for tool in OURS if isinstance(tool.purpose, str)],
}


@pytest.mark.parametrize("what", OWN)
def test_javascript_has_no_such_list_of_its_own(what):
    text = {path.name: path.read_text(encoding="utf-8") for path in SCRIPTS}
    assert len(text) > 30
    copies = {(name, word) for name, code in text.items() for word in OWN[what] if f'"{word}"' in code}
    assert {name for name, _ in copies if sum(one == name for one, _ in copies) > 2} == set(), copies


def test_javascript_compares_with_kinds_that_there_are():
    """Names of events, commands and kinds of files that a script means by their text."""
    for path in SCRIPTS:
        code = path.read_text(encoding="utf-8")
        assert {*re.findall(r"\bfile\.kind === \"(\w+)\"", code)} <= {*OF_FILES}, path.name
        assert {*re.findall(r'"/([a-z]+)"', code)} <= {*COMMANDS}, path.name
        assert {*re.findall(r'"((?:key|request|limit|budget|job|storage)\.[a-z]+)"', code)} <= {*EVENTS}, path.name
