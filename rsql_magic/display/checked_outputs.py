"""Outputs of code that nobody vouches for, as front ends may show them: text, pictures, tables and charts as data."""

# The representations that are shown are a list, and each goes through a check of its own; what is not on it, or does
# not pass, is named in words. An SVG is shown as a picture, in which browsers run nothing and load nothing.

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from rsql_magic.display.checked_charts import checked_plotly, checked_vega_lite, spec_of_page
from rsql_magic.display.checked_html import checked_html
from rsql_magic.display.markdown import safe_markdown
from rsql_magic.display.tex import tamed
from rsql_magic.plain_text import without_addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_BEGINS = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
}
_VEGA_LITE = re.compile(r"application/vnd\.vegalite\.v\d+(?:\.\d+)*\+json")
VEGA_LITE_5 = "application/vnd.vegalite.v5+json"
_PLOTLY = "application/vnd.plotly.v1+json"
_LARGEST_SVG = 2_000_000  # characters


@dataclass(frozen=True)
class CheckedOutput:
    """An output as it may be shown.

    Attributes:
        data: Its representations by their type.
        metadata: Sizes of pictures; nothing else is taken over.
        left_out: What is not shown of it, in words.
    """

    data: dict[str, Any]
    metadata: dict[str, Any]
    left_out: tuple[str, ...]


def checked_output(data: Mapping[str, Any], metadata: Mapping[str, Any]) -> CheckedOutput:
    r"""The representations of an output that only show something.

    Args:
        data: Representations by their type, as a display message has them.
        metadata: As the message has it.

    Example:
        >>> checked_output({"text/plain": "<J>", "application/javascript": "alert(1)"}, {}).data
        {'text/plain': '<J>\n[not shown: application/javascript]'}
    """
    shown, lost = dict[str, Any](), list[str]()
    for kind, value in data.items():
        name = "the chart" if _VEGA_LITE.fullmatch(str(kind)) or kind == _PLOTLY else str(kind)[:80]
        made, whole = _made(str(kind), _text(value))
        shown |= made
        if not made:
            lost.append(name)
        elif not whole:
            lost.append(f"parts of {name}")
    if VEGA_LITE_5 in shown:  # a chart's page of scripts is its picture in other words
        lost = [each for each in lost if not each.endswith("text/html")]
    plain = str(shown.get("text/plain", ""))
    gone = [each for each in lost if not each.startswith("parts")]
    if gone and not any(kind != "text/plain" for kind in shown):
        plain = "\n".join(filter(None, [plain, f"[not shown: {', '.join(gone)}]"]))
    return CheckedOutput({**shown, "text/plain": plain}, _sizes(shown, metadata), tuple(dict.fromkeys(lost)))


# The representations that take the place of one, and whether they are all of it.
def _made(kind: str, value: Any) -> tuple[dict[str, Any], bool]:
    if _VEGA_LITE.fullmatch(kind):
        spec, whole = checked_vega_lite(value)
        return ({VEGA_LITE_5: spec} if spec else {}), whole
    if kind == _PLOTLY:
        figure = checked_plotly(value)
        return ({_PLOTLY: figure} if figure else {}), True
    check = _CHECKS.get(kind)
    return check(kind, value) if check is not None and isinstance(value, str) else ({}, False)


# Notebooks may hold a text as its lines.
def _text(value: Any) -> Any:
    return "".join(value) if isinstance(value, list) and all(isinstance(each, str) for each in value) else value


def _plain(kind: str, value: str) -> tuple[dict[str, Any], bool]:
    return {kind: without_addresses(value)}, True


def _picture(kind: str, value: str) -> tuple[dict[str, Any], bool]:
    try:
        found = b64decode("".join(value.split()), validate=True)
    except (Error, ValueError):
        return {}, False
    return ({kind: b64encode(found).decode("ascii")}, True) if found.startswith(_BEGINS[kind]) else ({}, False)


def _svg(_: str, value: str) -> tuple[dict[str, Any], bool]:
    if len(value) > _LARGEST_SVG or "<svg" not in value:
        return {}, False
    source = b64encode(value.encode("utf-8", "replace")).decode("ascii")
    return {"text/html": f'<img src="data:image/svg+xml;base64,{source}" alt="{escape("a picture")}">'}, True


def _markdown(kind: str, value: str) -> tuple[dict[str, Any], bool]:
    safe = safe_markdown(value)
    acts = re.search(r"!\[|<[A-Za-z/!?]|\]\(|\]\[|\]:|://|\\[A-Za-z]", value)
    return {kind: safe}, acts is None


def _latex(kind: str, value: str) -> tuple[dict[str, Any], bool]:
    inside = value.strip().removeprefix("$").removeprefix("$").removesuffix("$").removesuffix("$")
    formula = tamed(inside.removeprefix(r"\displaystyle"))
    return ({kind: f"$${formula}$$"}, True) if formula else ({}, False)


def _html(kind: str, value: str) -> tuple[dict[str, Any], bool]:
    if spec := spec_of_page(value):
        drawn, whole = checked_vega_lite(spec)
        if drawn:
            return {VEGA_LITE_5: drawn}, whole
    html, left_out = checked_html(value)
    return ({kind: html} if html else {}), not left_out


_CHECKS: Mapping[str, Callable[[str, str], tuple[dict[str, Any], bool]]] = {
    "text/plain": _plain,
    "text/markdown": _markdown,
    "text/latex": _latex,
    "text/html": _html,
    "image/svg+xml": _svg,
    **dict.fromkeys(_BEGINS, _picture),
}


def _sizes(shown: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    sizes = dict[str, Any]()
    for kind in _BEGINS.keys() & shown.keys():
        told = metadata.get(kind)
        found = {
            name: told[name]
            for name in ("width", "height")
            if isinstance(told, dict) and type(told.get(name)) in {int, float} and 0 < told[name] < 100_000
        }
        sizes |= {kind: found} if found else {}
    return sizes
