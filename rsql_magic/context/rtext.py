"""R's words, read without R: which functions a question names, and what an error says beside values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rsql_magic.redaction import words_in, words_of_code

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

_NAMED = re.compile(r"(?<![\w.:])([A-Za-z][\w.]*):::?([A-Za-z.][\w.]*)")
_CALLED = re.compile(r"(?<![\w.:])([A-Za-z.][\w.]*)\(")


def functions_named(question: str) -> list[tuple[str, str]]:
    """The functions that a question names, as (package, function): ``dplyr::filter``; ``lm()`` has an empty package.

    Example:
        >>> functions_named("Is dplyr::filter() like subset(x)?")
        [('dplyr', 'filter'), ('', 'subset')]
    """
    named = [(match[1], match[2]) for match in _NAMED.finditer(question)]
    called = [("", match[1]) for match in _CALLED.finditer(_NAMED.sub(" ", question))]
    return list(dict.fromkeys([*named, *called]))


_STOPPED = re.compile(r"(?m)^in (?:base::)?(?:stop|warning|abort|rlang::abort|cli_abort|cli::cli_abort)\(.*$")


def error_without_values(text: str, known: AbstractSet[str]) -> str:
    r"""What `last_error` said, where the user's own ``stop()`` put the message together without the values in it.

    Example:
        >>> error_without_values('Error in f(x) : no patient Ann\nin f(x)\nin stop("no patient ", name)', set())
        'Error in f(x) : no patient …\nin f(x)\nin stop("no patient ", name)'
    """
    stops = _STOPPED.findall(text)
    message, end, calls = text.partition("\nin ")
    if not stops:
        return text
    call, colon, said = message.partition(" : ")
    if not colon:
        call, said = "", message
    return call + colon + words_of_code(said, {"Error", *words_in("\n".join(stops)), *known}) + end + calls
