"""Tab completion: options, values, models, connections and objects on the lines of our magics, and names in SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import RsqlError
from rsql_magic.options import ASK, COMMANDS, SQL_AI

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from IPython.core.completer import CompletionContext
    from IPython.core.interactiveshell import InteractiveShell

    from rsql_magic.assistant import Assistant
    from rsql_magic.config import Rsql

_LINE = re.compile(r"^\s*(?:[^\W\d]\w*\s*=\s*)?%{1,2}(ask|sql_ai|rsql)\s(.*)$", re.S)
_IN_CELL = re.compile(r"^\s*%%(sql_ai|sql)\b")
_NAME = "rsql_options"
_OPTIONS = {"ask": ASK, "sql_ai": SQL_AI}


@dataclass
class Completer:
    """What Tab offers in one shell."""

    shell: InteractiveShell
    settings: Rsql
    assistant: Callable[[], Assistant | None]  # None as long as nothing was asked

    def install(self) -> None:
        """Complete the lines of our magics in this shell."""
        from IPython.core.completer import context_matcher

        @context_matcher(identifier=_NAME)  # type: ignore[untyped-decorator]
        def rsql_options(context: CompletionContext) -> Any:
            if _IN_CELL.match(context.full_text) and context.cursor_line > 0:
                return _result(self._schema_words(), context.token, suppress=False)
            found = _LINE.match(context.line_with_cursor[: context.cursor_position])
            words = [] if found is None else list(self._candidates(found[1], found[2], context.token))
            return _result(words, context.token)

        self.shell.Completer.custom_matchers.append(rsql_options)

    def _candidates(self, magic: str, line: str, token: str) -> Iterable[str]:
        before = line[: len(line) - len(token)].split()
        if magic == "rsql":
            return COMMANDS if not before else ()
        options = _OPTIONS[magic]
        if token.startswith("-"):
            flags = (flag for option in options for flag in option.flags)
            return sorted(flag for flag in flags if len(token) < 2 or flag.startswith("--"))
        option = None  # the one whose value is being typed
        for back, word in enumerate(reversed(before), 1):
            if found := next((option for option in options if word in option.flags), None):
                option = found if back == 1 or found.nargs == "+" else None
                break
        if option:
            offers = {"models": self._models, "objects": self._objects, "tables": self._tables}.get(option.offers, list)
            return option.choices or offers()
        return self._connections() if magic == "sql_ai" else ()

    # Models and aliases; the gateway is asked only when it is in use already.
    def _models(self) -> list[str]:
        aliases, assistant = list(self.settings.aliases), self.assistant()
        if assistant is None or assistant.locator.address is None:
            return aliases
        try:
            return [*aliases, *assistant.locator.gateway.models()]
        except RsqlError:
            return aliases

    # Variables of the user.
    def _objects(self) -> list[str]:
        hidden = self.shell.user_ns_hidden
        return [name for name in self.shell.user_ns if not name.startswith("_") and name not in hidden]

    # Variables that hold a connection.
    def _connections(self) -> list[str]:
        from rsql_magic.databases import is_connection

        return [name for name in self._objects() if is_connection(self.shell.user_ns[name])]

    # Tables of the connection in use.
    def _tables(self) -> list[str]:
        assistant = self.assistant()
        engine = assistant.connections.current if assistant else None
        return [table.full_name for table in engine.catalog(self.settings.privacy)] if engine else []

    # Tables and columns of the connection in use, as they are written in SQL.
    def _schema_words(self) -> list[str]:
        assistant = self.assistant()
        tables = list((assistant.catalog_in_use() if assistant else None) or ())
        columns = (column.name for table in tables for column in table.columns)
        return [*(table.full_name for table in tables), *dict.fromkeys(columns)]


def remove(shell: InteractiveShell) -> None:
    """Complete them no more."""
    if shell.Completer is not None:
        matchers = shell.Completer.custom_matchers
        matchers[:] = [matcher for matcher in matchers if getattr(matcher, "matcher_identifier", "") != _NAME]


def _result(words: Iterable[str], token: str, *, suppress: bool = True) -> Any:
    from IPython.core.completer import SimpleCompletion

    begin = token.casefold()
    fitting = [word for word in dict.fromkeys(words) if word.casefold().startswith(begin) and word != token]
    return {
        "completions": [SimpleCompletion(word, type="rsql") for word in fitting],
        "suppress": suppress and bool(fitting),
    }
