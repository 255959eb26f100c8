"""Tab completion on the lines of our magics: options, their values, models, connections, objects.

In the cells of ``%%sql_ai`` and ``%%sql`` it offers tables and columns.

It never finds or starts a gateway: models are asked for only when one is in use already.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rsql_magic.notebook.options import Option, options_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from IPython.core.completer import CompletionContext
    from IPython.core.interactiveshell import InteractiveShell

    from rsql_magic.notebook.magics import RsqlMagics

_LINE = re.compile(r"^\s*(?:[^\W\d]\w*\s*=\s*)?%{1,2}(ask|sql_ai|rsql)\s(.*)$", re.S)
_IN_CELL = re.compile(r"^\s*%%(sql_ai|sql)\b")
_NAME = "rsql_options"


def install(shell: InteractiveShell, magics: RsqlMagics) -> None:
    """Complete the lines of our magics in this shell."""
    from IPython.core.completer import context_matcher

    @context_matcher(identifier=_NAME)  # type: ignore[untyped-decorator]
    def rsql_options(context: CompletionContext) -> Any:
        if _IN_CELL.match(context.full_text) and context.cursor_line > 0:
            return _result(magics.word_completions(), context.token, suppress=False)
        found = _LINE.match(context.line_with_cursor[: context.cursor_position])
        words = [] if found is None else list(_candidates(magics, found[1], found[2], context.token))
        return _result(words, context.token)

    shell.Completer.custom_matchers.append(rsql_options)


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


def _candidates(magics: RsqlMagics, name: str, line: str, token: str) -> Iterator[str]:
    before = line[: len(line) - len(token)].split()
    if name == "rsql":
        yield from magics.commands if not before else ()
        return
    options = options_of(getattr(magics, name))
    if token.startswith("-"):
        yield from sorted(
            flag for option in options for flag in option.flags if len(token) < 2 or flag.startswith("--")
        )
        return
    asked = _waiting(before, options)
    if asked is not None:
        yield from _values(magics, asked)
    elif name == "sql_ai":
        yield from magics.connection_names()


def _waiting(before: list[str], options: Sequence[Option]) -> Option | None:
    """The option whose value is being typed."""
    for back, word in enumerate(reversed(before), 1):
        option = next((option for option in options if word in option.flags), None)
        if option is not None:
            return option if back == 1 or option.nargs == "+" else None
    return None


def _values(magics: RsqlMagics, option: Option) -> Iterable[str]:
    flag = option.flags[0]
    if option.choices:
        return option.choices
    sources = {"--model": magics.model_names, "--with": magics.object_names, "--tables": magics.table_names}
    return sources[flag]() if flag in sources else ()
