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
# As Vega-Lite's "container", but for an element without a width, in which "container" hangs a browser: one in a hidden
# tab, or in a page where another chart has brought that style sheet. There the room is guessed from the window, until a
# view says that it has changed (static/panel/room.js).
_ROOM = f"containerSize()[0] > {BEGIN + 50} ? containerSize()[0] : clamp(0.5 * windowSize()[0], 280, 800)"  # pixels
_CHANGES = [{"source": "window", "type": event} for event in ("resize", "rsql-room")]
# A live picture takes its colours from the page, and its width: the style sheet that is left out makes its element as
# wide as the picture itself, so that neither would have a width.
_EMBEDDED = {"actions": False, "renderer": "svg", "defaultStyle": False}


def live(drawn: Spec) -> Spec:
    """The chart as a page shows it, which it fits.

    Example:
        >>> live({"width": "container", "mark": "bar"})["autosize"]["type"]
        'fit-x'
    """
    whole = {**drawn, "usermeta": {"embedOptions": _EMBEDDED}}
    if "facet" in drawn.get("encoding", {}):
        whole = _beside_each_other(whole)
    elif drawn.get("width") == "container":
        del whole["width"]
        whole |= {"params": [_followed("width", _ROOM)], "autosize": {"type": "fit-x", "contains": "padding"}}
    return _titled(whole) if isinstance(drawn.get("title", {}).get("text"), list) else whole


# A signal of Vega that is reckoned anew when the room changes.
def _followed(name: str, update: str) -> Spec:
    return {"name": name, "init": update, "on": [{"events": _CHANGES, "update": update}]}


# As many small charts as have room stand beside each other, and share all of it. Vega-Lite gives each a fixed width,
# which is replaced in what it makes: its first signal.
def _beside_each_other(drawn: Spec) -> Spec:
    encoding = drawn["encoding"]
    rows = drawn["data"]["values"]
    around = _labels(encoding.get("y"), rows) + _GAP
    count = len({row[encoding["facet"]["title"]] for row in rows})
    most = f"clamp(floor(({_ROOM}) / {_NEXT_TO + around}), 1, {max(1, count)})"
    columns = f"ceil({count} / ceil({count} / {most}))"  # rows are about equally long
    width = f"max({BEGIN}, ({_ROOM}) / ({columns}) - {around})"
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


# The pixels of an axis with its labels and title.
def _labels(axis: Spec | None, rows: list[dict[str, Any]]) -> int:
    if axis is None:
        return 0
    named = axis["type"] == "nominal"
    longest = max((len(str(row[axis["title"]])) for row in rows), default=0) if named else 5
    return 30 + int(min(220, LETTER * longest))


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
