"""How a chart fits the page that shows it: its width, its small charts beside each other, the lines of its title."""

# A chart is kept as plain Vega-Lite. What looks at a page is added for those who show it (`live`).

from __future__ import annotations

import textwrap
from typing import Any

from rsql_magic.display.chart_spec import BEGIN, LETTER, Spec

LINE, SMALL_LINE = 44, 52  # characters of a line of the title, and of what is said below it
# The same in a narrow sidebar, and where there is room for more; and the pixels from which on each way is chosen.
_LINES = ((22, 28), (LINE, SMALL_LINE), (66, 78), (2 * LINE, 2 * SMALL_LINE))
_FROM = (330, 540, 720)
_NEXT_TO = 180  # pixels that a small chart has at least if there are others beside it
_GAP = 20  # between small charts
_TICKS = 30  # pixels of an axis beside its labels: ticks and title
# As Vega-Lite's "container", but for an element without a width, in which "container" hangs a browser: one in a hidden
# tab, while a theme changes, or in a page where another chart has brought that style sheet. There a new chart guesses
# its room from the window, and one that is drawn stays as wide as it is, until a view says that the room has changed
# (static/panel/room.js).
_HAS_ROOM = f"containerSize()[0] > {BEGIN + 50}"
_ROOM = f"{_HAS_ROOM} ? containerSize()[0] : clamp(0.5 * windowSize()[0], 280, 800)"  # pixels
_CHANGES = [{"source": "window", "type": event} for event in ("resize", "rsql-room")]
# A live picture takes its colours from the page, and its width: the style sheet that is left out makes its element as
# wide as the picture itself, so that neither would have a width.
# Nothing leads out of the page (`actions` has a link to an editor), and expressions are interpreted by Vega rather than
# made to functions (`ast`), so that they reach nothing but what Vega gives them.
_EMBEDDED = {"actions": False, "ast": True, "renderer": "svg", "defaultStyle": False}
_AROUND = {"left": 0, "top": 5, "right": 0, "bottom": 5}  # pixels: its edges are those of the text above


def live(drawn: Spec) -> Spec:
    """The chart as a page shows it, which it fits.

    Example:
        >>> live({"width": "container", "mark": "bar"})["autosize"]["type"]
        'fit-x'
    """
    whole = {**drawn, "usermeta": {"embedOptions": _EMBEDDED}, "padding": _AROUND}
    if "facet" in drawn.get("encoding", {}):
        whole = _beside_each_other(whole)
    elif drawn.get("width") == "container":
        del whole["width"]
        whole |= {"params": [_followed("width", _ROOM)], "autosize": {"type": "fit-x", "contains": "padding"}}
    return _titled(whole) if isinstance(drawn.get("title", {}).get("text"), list) else whole


# A signal of Vega that is reckoned anew when the room changes.
def _followed(name: str, reckoned: str) -> Spec:
    again = f"{_HAS_ROOM} ? {reckoned} : {name}"
    return {"name": name, "init": reckoned, "on": [{"events": _CHANGES, "update": again}]}


# As many small charts as have room stand beside each other, and share all of it. Vega-Lite gives each a fixed width,
# which is replaced in what it makes: its first signal.
def _beside_each_other(drawn: Spec) -> Spec:
    encoding = drawn["encoding"]
    rows = drawn["data"]["values"]
    around = _labels(drawn) + _GAP
    count = len({row[encoding["facet"]["field"]] for row in rows})
    most = f"clamp(floor(({_ROOM}) / {_NEXT_TO + around}), 1, {max(1, count)})"
    columns = f"ceil({count} / ceil({count} / {most}))"  # rows are about equally long
    width = f"max({BEGIN}, (({_ROOM}) + {_GAP}) / ({columns}) - {around})"
    patch = [
        {"op": "replace", "path": "/signals/0", "value": _followed("child_width", width)},
        {"op": "add", "path": "/layout/columns", "value": {"signal": "beside"}},
    ]
    return {
        **drawn,
        "params": [_followed("beside", columns)],
        "autosize": {"type": "pad", "resize": True},
        "usermeta": {"embedOptions": {**_EMBEDDED, "patch": patch}},
    }


# The pixels of the upright axis with its labels and title.
def _labels(drawn: Spec) -> int:
    if (axis := drawn["encoding"].get("y")) is None:
        return 0
    name = axis.get("field", "")
    if axis["type"] == "nominal":
        longest = max((len(str(row[name])) for row in drawn["data"]["values"]), default=0)
    else:
        longest = _digits(drawn, name)
    return _TICKS + int(min(220, LETTER * longest))


# The letters of the longest number at an axis, which goes a little further than the data. Bars stand on each other.
def _digits(drawn: Spec, name: str) -> int:
    on_each_other = drawn["mark"]["type"] in {"bar", "area"}
    sizes: dict[Any, float] = {}
    below = False
    for number, row in enumerate(drawn["data"]["values"]):
        size = row.get(name, 1)  # rows are counted where there is no measure
        if not isinstance(size, int | float):
            continue
        at = (row.get(drawn["encoding"].get(key, {}).get("field")) for key in ("x", "facet"))
        place: tuple[Any, ...] = tuple(at) if on_each_other else (number,)
        sizes[place] = sizes.get(place, 0) + abs(size)
        below |= size < 0
    most = 1.2 * max(sizes.values(), default=0)
    return below + len(f"{most:,.0f}" if most >= 10 else "0.00")


# All ways to break the title are there, and the room chooses.
def _titled(drawn: Spec) -> Spec:
    words = {part: " ".join(lines) for part in ("text", "subtitle") if (lines := drawn["title"].get(part))}
    titles = [
        {part: textwrap.wrap(text, widths[part == "subtitle"]) for part, text in words.items()} for widths in _LINES
    ]
    chosen = {part: {"expr": f"titles[title_lines].{part}"} for part in words}
    lines = _followed("title_lines", " + ".join(f"(({_ROOM}) < {least} ? 0 : 1)" for least in _FROM))
    params = [*drawn.get("params", []), {"name": "titles", "value": titles}, lines]
    return {**drawn, "params": params, "title": {**drawn["title"], **chosen}}
