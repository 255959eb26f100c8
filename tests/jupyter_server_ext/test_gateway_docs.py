"""docs/gateway.md names every route, setting with its default, option and variable that the code knows."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jupyter_server_ext import errors
from jupyter_server_ext.app.command import GatewayCommand
from jupyter_server_ext.config import PRESETS, SCOPES, Settings, presets_table, settings
from jupyter_server_ext.config.toml_file import read_settings
from jupyter_server_ext.handlers import ROUTES, Metrics
from jupyter_server_ext.identity import scopes_needed
from jupyter_server_ext.pipeline import Gateway

PAGE = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]
TABLES = (
    settings.KeySettings,
    settings.PoolSettings,
    settings.CallerLimits,
    settings.InlineCompletionSettings,
    settings.ApiKeySettings,
    settings.TenantSettings,
    settings.StorageSettings,
    settings.PriceSettings,
    settings.ModelPrice,
    settings.ModelSettings,
    settings.CacheSettings,
    settings.ServerSettings,
    settings.HubSettings,
    settings.VirtualKeySettings,
    settings.DocumentSettings,
    settings.SessionSettings,
    settings.JobSettings,
    settings.NotebookSettings,
    settings.TelemetrySettings,
    settings.WebhookSettings,
)
FIELDS = [(table, field) for table in TABLES for field in dataclasses.fields(table)]


def rows(name: str) -> list[str]:
    """The rows of all tables whose first cell names it."""
    return [line for line in ROWS if f"`{name}`" in line.split(" | ")[0]]


def row(name: str) -> str:
    """The first of them."""
    return next(iter(rows(name)), "")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path or "/")
def test_every_route_is_there_with_its_scope(route):
    for method in ("get", "post", "delete"):
        scopes = scopes_needed(getattr(route.handler, method))
        if scopes is not None and not (route.path.startswith("v1/{") and method == "get"):
            line = row(f"{method.upper()} {route.path}")
            assert line, f"{method.upper()} {route.path} is not in docs/gateway.md"
            assert line.split(" | ")[1].strip() == (
                "any" if len(scopes) == len(SCOPES) else ", ".join(scopes) or "none"
            )


@pytest.mark.parametrize(("table", "field"), FIELDS, ids=[f"{table.__name__}.{field.name}" for table, field in FIELDS])
def test_every_setting_is_there_with_its_default(table, field):
    lines = rows(field.name)

    assert lines, f"{field.name} is not in docs/gateway.md"
    if isinstance(field.default, int | float | str) and field.default not in ("", False, True):
        shown = isinstance(field.default, float) and field.default != 1
        default = f"`{field.default:g}`" if shown else str(field.default)
        assert any(default in line for line in lines)


SECTIONS = {
    name: re.findall(r"^\| `(\w+)` \| `([\d.]+)` \|", text, re.M)
    for heading, text in re.findall(r"^### (.+)\n((?:(?!##).*\n)*)", PAGE, re.M)
    for name in re.findall(r"`\[([a-z_.]+)\]`", heading)
}


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_can_be_written_in_the_file_with_its_defaults(name):
    text = "\n".join([f"[{name}]", *(f"{setting} = {default}" for setting, default in SECTIONS[name])])
    read, whole = read_settings(text, {}), Settings()
    assert read == dataclasses.replace(whole, cache=dataclasses.replace(whole.cache, enabled=name == "cache"))


@pytest.mark.parametrize(
    "name",
    [
        *filter(None, (preset.variable for preset in PRESETS.values())),
        *("RSQL_CONFIG", "RSQL_MODEL", "JUPYTER_TOKEN", "RSQL_SERVER_URL"),
    ],
)
def test_every_variable_is_there(name):
    assert f"`{name}`" in PAGE


def test_every_preset_is_there():
    assert presets_table() in PAGE, "make docs"


@pytest.mark.parametrize(
    "name", [*sorted(GatewayCommand.class_own_traits(config=True)), "gateway_config", "url_prefix"]
)
def test_every_option_is_there(name):
    assert f"`--{name.replace('_', '-')}`" in PAGE


@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_is_there(scope):
    assert f"`{scope}` " in PAGE


CODE = re.compile(r"""\bcode(?:: str)? = "(\w+)"|\bcode="(\w+)"|^    \d{3}: \("(\w+)", """, re.M)
CODES = {
    code
    for path in Path(errors.__file__).parent.rglob("*.py")
    if "offline" not in path.parts
    for code in map("".join, CODE.findall(path.read_text(encoding="utf-8")))
}


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_that_a_caller_may_see_is_there(code):
    assert f"`{code}`" in PAGE


def test_every_figure_for_prometheus_is_there():
    gateway = Gateway(Settings())
    families = text_string_to_metric_families(Metrics(gateway.status).text(detailed=True).decode())

    told = {family.name for family in families if not family.name.endswith("_created")}
    assert told == {name.removesuffix("_total") for name in re.findall(r"`(rsql_\w+)(?:\{[^`]*\})?`", "\n".join(ROWS))}


def test_the_page_names_nothing_that_is_gone():
    known = {field.name for _, field in FIELDS} | {"default_model", "offline", "profile", "rpm", "rpd", "tpm", "tpd"}
    for line in re.findall(r"(?<=\| setting \| default \| \|\n\|---\|---\|---\|\n)((?:\|.*\n)+)", PAGE):
        for cell in line.splitlines():
            names = set(re.findall(r"`(\w+)`", cell.split(" | ")[0]))
            assert names <= known, names - known
