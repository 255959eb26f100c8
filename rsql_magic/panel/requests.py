"""What a view may ask of a panel: each public method is a request, named as the view names it.

A view is a page in a browser, so that what it sends is looked at here. A method that may take time is in ``SLOW`` and
runs in a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rsql_magic.display import safe_markdown
from rsql_magic.errors import BadInput, RsqlError
from rsql_magic.panel import exporting, mentions, slash, typesetting

if TYPE_CHECKING:
    from rsql_magic.panel.chat_panel import ChatPanel

SLOW = frozenset({"chips", "preview", "complete", "run", "usage", "models", "rate", "save", "quota"})
"""Requests that wait for the gateway, the main thread or a frame."""

_MOST_PIECES = 200
_LONGEST_MESSAGE = 400_000


class Requests:
    """The requests of the views of one panel.

    Args:
        panel: The panel.
    """

    def __init__(self, panel: ChatPanel) -> None:
        self._panel = panel

    # Conversations.

    def hello(self, *, thread: str = "") -> dict[str, Any]:
        """Everything a new view needs."""
        panel = self._panel
        shown = panel.threads.find(thread or panel.threads.current)
        panel.threads.current = shown.id
        return {
            "threads": panel.threads.heads(),
            "thread": shown.id,
            "exchanges": [exchange.as_dict() for exchange in shown.exchanges],
            "commands": [
                {"label": f"/{name}", "kind": takes, "detail": does} for name, (takes, does) in slash.COMMANDS.items()
            ],
            "model": panel.assistant.settings.resolve(None) or "",
            "keep": panel.keep,
            "widget": panel.view_id,
        }

    def others(self, *, thread: str) -> dict[str, Any]:
        """What was said in the other conversations, for a view to remember until the kernel is gone."""
        return {"threads": self._panel.threads.said(but=thread)}

    def new(self) -> dict[str, Any]:
        """A new conversation."""
        return self.hello(thread=self._panel.threads.new().id)

    def rename(self, *, thread: str, title: str) -> None:
        """Give a conversation a name; one that another has already gets a number."""
        self._panel.threads.rename(self._panel.threads.find(thread), title)

    def delete(self, *, thread: str) -> dict[str, Any]:
        """Forget a conversation; the notebook's own is emptied."""
        self._panel.delete(self._panel.threads.find(thread))
        return self.hello()

    def export(self, *, thread: str, form: str = "markdown") -> dict[str, Any]:
        """A conversation as Markdown, or as cells."""
        shown = self._panel.threads.find(thread)
        if form == "cells":
            return {"cells": self._panel.as_cells(shown)}
        return {"markdown": safe_markdown(shown.markdown), "name": exporting.file_name(shown)}

    def keep(self, *, on: bool) -> None:
        """Whether the conversation goes into the notebook's file."""
        self._panel.keep = bool(on)

    # Questions.

    def ask(self, *, thread: str, text: str, model: str = "", replaces: str = "", seen: str = "") -> dict[str, Any]:
        """Send a message; ``replaces`` names an exchange that goes, with all after it, ``seen`` a preview of it."""
        if len(text) > _LONGEST_MESSAGE:
            raise BadInput(
                f"The message has {len(text):,} characters.", hint="Put the data into a variable and name that."
            )
        return self._panel.send(self._panel.threads.find(thread), text, model=model, replaces=replaces, seen=seen)

    def stop(self, *, thread: str) -> None:
        """Stop the answer."""
        self._panel.stop(self._panel.threads.find(thread))

    def chips(self, *, thread: str, text: str) -> dict[str, Any]:
        """The mentions of a message, each with what it adds, and the tokens of it all."""
        return self._panel.chips(self._panel.threads.find(thread), text)

    def preview(self, *, thread: str, text: str, model: str = "", replaces: str = "") -> dict[str, Any]:
        """Exactly what would be sent; ``seen`` is the name by which ``ask`` sends it as it is."""
        return self._panel.preview(self._panel.threads.find(thread), text, model=model, replaces=replaces)

    def complete(self, *, prefix: str) -> dict[str, Any]:
        """What an ``@`` can stand for."""
        panel = self._panel
        return {"items": mentions.completions(prefix, panel.snapshot(), panel.catalog(), panel.r_names())}

    # Answers.

    def run(self, *, code: str, language: str = "", connection: str = "") -> dict[str, Any]:
        """Run a block of code, as the user said; SQL on the connection it was written for."""
        return {"outputs": self._panel.run(code, language, connection)}

    def cell(self, *, code: str, language: str = "", connection: str = "") -> dict[str, Any]:
        """A block of code as a cell, after one that loads its magic where that is not known yet."""
        return {"cells": self._panel.as_cell(code, language, connection)}

    def rate(self, *, thread: str, exchange: str, rating: str, comment: str = "") -> dict[str, Any]:
        """Tell the gateway what the user thinks of an answer; a query that is good is kept as verified."""
        kept = self._panel.rate(self._exchange(thread, exchange), rating, comment)
        return {"kept": kept}

    def save(self, *, thread: str, exchange: str, name: str) -> dict[str, Any]:
        """Keep a SQL answer's rows under another name too."""
        return {"variable": self._panel.save(self._exchange(thread, exchange), name)}

    def chart(self, *, thread: str, exchange: str, png: bool = False) -> dict[str, Any]:
        """The chart of a SQL answer: as Vega-Lite, or as a picture where a view cannot draw."""
        from rsql_magic.display import charts

        drawing = self._exchange(thread, exchange).drawing
        if drawing is None:
            return {}
        return {"image": charts.bundle(drawing).get("image/png", "")} if png else {"spec": drawing}

    def formulas(self, *, tex: list[list[Any]]) -> dict[str, Any]:
        """Formulas as MathML, in their order; pairs of TeX and whether it is a block."""
        return {"mathml": [typesetting.mathml(str(text), block=bool(block)) for text, block in tex[:_MOST_PIECES]]}

    def colours(self, *, blocks: list[list[str]]) -> dict[str, Any]:
        """Blocks of code in colours, in their order; pairs of code and language."""
        return {"pieces": [typesetting.coloured(str(code), str(name)) for code, name in blocks[:_MOST_PIECES]]}

    # The gateway.

    def models(self) -> dict[str, Any]:
        """The models there are."""
        settings = self._panel.assistant.settings
        return {"models": [*settings.aliases, *self._panel.assistant.locator.gateway.models()]}

    def quota(self) -> dict[str, Any]:
        """What is left of the caller's limits, for the meter."""
        return self._panel.quota()

    def restore(self, *, threads: list[dict[str, Any]]) -> dict[str, Any]:
        """Take over a conversation that a view still has from a kernel that is gone."""
        self._panel.threads.restore(threads)
        return self.hello()

    def _exchange(self, thread: str, exchange: str) -> Any:
        return self._panel.threads.find(thread).exchange(exchange)


def answer(requests: Requests, message: dict[str, Any]) -> dict[str, Any]:
    """Carry out a request and give back the reply, errors included.

    Args:
        requests: Who answers.
        message: ``{"do": NAME, "n": ID, …arguments}``.

    Returns:
        ``{"n": ID, …}``, with ``error`` where it failed.
    """
    arguments = {name: value for name, value in message.items() if name not in {"do", "n"}}
    try:
        reply = getattr(requests, str(message["do"]))(**arguments) or {}
    except RsqlError as error:
        reply = {"error": {"message": error.message, "hint": error.hint, "kind": type(error).__name__}}
    except TypeError as error:
        reply = {"error": {"message": f"The panel did not understand its view ({error}).", "hint": "Reload the page."}}
    return {**reply, "n": message.get("n")}


def known(name: Any) -> bool:
    """Whether there is such a request."""
    return isinstance(name, str) and not name.startswith("_") and callable(getattr(Requests, name, None))
