"""R's part of a context: its session, objects, help pages and last error, or why there is none."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rsql_magic.context import r
from rsql_magic.context.frames import singles
from rsql_magic.context.ranking import Rank
from rsql_magic.context.reader import place_of
from rsql_magic.context.robjects import RReader
from rsql_magic.context.sources import Detail
from rsql_magic.context.value_names import UNREACHED, looked_at
from rsql_magic.redaction import words_in, words_of_code

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from rsql_magic.context.ranking import Candidate
    from rsql_magic.context.value_names import Held

# Seconds that R may take to name its objects, which takes it milliseconds.
_SURVEY = 10.0
# Most objects that are looked at although nothing points to them.
_UNPOINTED = 10
# Most help pages.
_PAGES = 2


@dataclass(frozen=True)
class RSide:
    """What R contributes."""

    session: str = ""  # The line about the session, empty when no R runs.
    objects: tuple[tuple[str, r.RObject], ...] = ()  # R's objects by name.
    pages: tuple[tuple[str, str], ...] = ()  # help pages for functions that the question names
    error: str = ""  # R's own account of the last error, empty when the error is not R's.
    notes: tuple[str, ...] = ()  # why something could not be had, in plain words

    @classmethod
    def of(cls, question: str, error: BaseException | str | None, *, wanted: bool) -> RSide:
        """Ask R, where `reads_r` says so."""
        if not wanted or not reads_r(question):
            return cls()
        named = functions_named(question)
        try:
            return cls._asked(named if r.r_running() else [(p, f) for p, f in named if p], error)
        except r.NoR as problem:
            return cls(notes=(str(problem),))

    @classmethod
    def _asked(cls, named: list[tuple[str, str]], error: BaseException | str | None) -> RSide:
        started = r.r_running()
        pages = [page for package, function in named[:_PAGES] if (page := r.help_text(function, package))]
        if not started and not r.r_running():
            return cls()
        session = r.survey(_SURVEY)
        text = r.last_error() if is_rs(error) else ""
        return cls(session.text(), tuple((each.name, each) for each in session.objects), tuple(pages), text)

    def error_text(self, known: AbstractSet[str] | None) -> str:
        """R's own account of the last error; with the names that may be said, without values."""
        return self.error if known is None else error_without_values(self.error, known)

    def looked_at(self, ranked: Sequence[Candidate], *, values: bool, rows: int = 0) -> list[Candidate]:
        """The candidates with those of R looked at: all that are pointed to, and some of the rest, in one call."""
        # Without `values` models and functions still say what they are; `rows` is how many first rows to bring along.
        ours = [each for each in ranked if _is_unread(each.obj) and not each.is_secret]
        chosen = [each for each in ours if each.rank <= Rank.MENTIONED]
        rest = [each for each in ours if each.rank > Rank.MENTIONED]
        chosen += rest[:_UNPOINTED] + [each for each in rest[_UNPOINTED:] if looked_at(RReader(each.obj))]
        if not chosen:
            return list(ranked)
        places = [_places(each, values=values) for each in chosen]
        try:
            found = r.look_at([each.obj for each in chosen], places, values=values, rows=rows)
        except r.NoR:
            found = [replace(each.obj, is_late=True) for each in chosen]
        seen = {id(each): obj for each, obj in zip(chosen, found, strict=True)}
        return [each.holding(seen[id(each)]) if id(each) in seen else each for each in ranked]


def _places(each: Candidate, *, values: bool) -> list[int]:
    """The columns to look at: where no value may be said, only those that may be named by one."""
    reader = RReader(each.obj)
    return singles(reader, Detail(columns=each.columns)) if values else looked_at(reader)


def reads_r(question: str) -> bool:
    """Whether R is asked: when it runs, or when the question names a function as R does (``dplyr::filter``).

    A notebook without R pays nothing: R is not started to find out that nothing is in it. R answers on the main thread
    only.

    Example:
        >>> reads_r("Is dplyr::filter() like subset()?")
        True
    """
    return r.r_running() or "rpy2" in sys.modules or any(package for package, _ in functions_named(question))


def is_rs(value: Any) -> bool:
    """Whether a value came out of R, such as an error, or is one of R's objects that rpy2 holds."""
    return place_of(type(value))[0] == "rpy2"


def _is_unread(obj: Any) -> bool:
    """Whether an object is one of our R's that was not looked at yet; those of another R come with what they say."""
    return type(obj) is r.RObject and obj.is_readable and obj.said is None


def is_late(obj: Any) -> bool:
    """Whether an object is R's and there was no time to look at it."""
    return type(obj) is r.RObject and obj.is_late


def held(wanted: Sequence[str]) -> dict[str, list[Held]]:
    """Which texts the tables of R hold; none where no R runs, and where it cannot be asked now, that."""
    try:
        return r.held(wanted) if r.r_running() else {}
    except r.NoR:
        return {UNREACHED: []}


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
