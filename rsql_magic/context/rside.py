"""R's part of a context: its session, objects, help pages and last error, or why there is none."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rsql_magic.context import r
from rsql_magic.context.frames import describe_frame, singles
from rsql_magic.context.r import GROUP, UNIT, RObject, listed
from rsql_magic.context.ranking import Rank
from rsql_magic.context.reader import Marks, Reader, Summary, place_of
from rsql_magic.context.sources import Detail
from rsql_magic.context.value_names import UNREACHED, looked_at
from rsql_magic.redaction import clean, says_personal, words_in, words_of_code
from rsql_magic.sql import Written, cut, date_form, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from rsql_magic.context.ranking import Candidate
    from rsql_magic.context.reader import Family
    from rsql_magic.context.sources import Fences
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
        started = r.r_running()
        named = named if started else [(package, function) for package, function in named if package]
        try:
            pages = [page for package, function in named[:_PAGES] if (page := r.help_text(function, package))]
            if not started and not r.r_running():
                return cls()
            session = r.survey(_SURVEY)
            text = r.last_error() if is_rs(error) else ""
        except r.NoR as problem:
            return cls(notes=(str(problem),))
        return cls(session.text(), tuple((each.name, each) for each in session.objects), tuple(pages), text)

    def error_text(self, known: AbstractSet[str] | None) -> str:
        """R's own account of the last error; with the names that may be said, without values."""
        return self.error if known is None else error_without_values(self.error, known)

    def looked_at(self, ranked: Sequence[Candidate], fences: Fences, *, values: bool, rows: int = 0) -> list[Candidate]:
        """The candidates with those of R looked at: all that are pointed to, and some of the rest, in one call."""
        # Without `values` models and functions still say what they are; `rows` is how many first rows to bring along.
        # Objects of another R come with what they say.
        unread = (each for each in ranked if type(each.obj) is r.RObject and each.obj.said is None)
        ours = [each for each in unread if each.obj.is_readable and not each.is_secret]
        chosen = [each for each in ours if each.rank <= Rank.MENTIONED]
        rest = [each for each in ours if each.rank > Rank.MENTIONED]
        chosen += rest[:_UNPOINTED] + [each for each in rest[_UNPOINTED:] if looked_at(_RReader(each.obj))]
        if not chosen:
            return list(ranked)
        readers = [(each, _RReader(each.obj)) for each in chosen]
        # Where no value may be said, only the columns that may be named by one are looked at.
        places = [singles(one, Detail(columns=each.columns)) if values else looked_at(one) for each, one in readers]
        try:
            found = r.look_at([each.obj for each in chosen], places, values=values, rows=rows)
        except r.NoR:
            found = [replace(each.obj, is_late=True) for each in chosen]
        seen = {id(each): obj for each, obj in zip(chosen, found, strict=True)}
        return [each.holding(seen[id(each)], fences) if id(each) in seen else each for each in ranked]


def reads_r(question: str) -> bool:
    """Whether R is asked: when it runs, or when the question names a function as R does (``dplyr::filter``).

    A notebook without R pays nothing: R is not started to find out that nothing is in it. R answers on the main thread
    only.

    Example:
        >>> reads_r("Is dplyr::filter() like subset()?")
        True
    """
    return "rpy2" in sys.modules or any(package for package, _ in functions_named(question))


def is_rs(value: Any) -> bool:
    """Whether a value came out of R, such as an error, or is one of R's objects that rpy2 holds."""
    return place_of(type(value))[0] == "rpy2"


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


class _RReader(Reader):
    """A table or vector of R whose columns were looked at in R."""

    def __init__(self, each: RObject) -> None:
        super().__init__(each.label, each.columns, each.types, each.rows, each.description)
        self._columns = {}
        self._labels: tuple[str, ...] = ()
        for line in each.said or ():
            place, *facts = line.split(UNIT)
            if place == "labels":
                self._labels = listed(facts[0])
            if place.isdigit():
                self._columns[int(place) - 1] = facts

    def note(self, place: int) -> tuple[str, str]:
        facts = self._columns.get(place)
        return (facts[8], facts[9]) if facts else ("", "")

    def summary(self, place: int, positions: list[int] | None) -> Summary | None:  # noqa: ARG002 - R chose the rows
        # What R counted; None for a column that was not looked at.
        if (facts := self._columns.get(place)) is None:
            return None
        family: Family = facts[0]  # type: ignore[assignment]
        top = listed(facts[7])
        return Summary(
            family=family,
            size=int(facts[1]),
            missing=int(facts[2]),
            low=_value(facts[3], family),
            high=_value(facts[4], family),
            distinct=int(facts[5]) if facts[5] else None,
            once=int(facts[6]) if facts[6] else 0,
            top=tuple((value, int(count)) for value, count in zip(top[::2], top[1::2], strict=True)),
            form=date_form(listed(facts[14])) if len(facts) > 14 else "",
        )

    def head(self, places: Sequence[int], rows: int) -> list[list[Any]]:
        # The first rows, as far as they were brought along and for the columns that were looked at.
        columns = [listed(self._columns[place][11])[:rows] if place in self._columns else () for place in places]
        # A value of a sample row: text begins with a quote, everything else is shown as R writes it.
        cells = [[text[1:] if text.startswith("'") else Written(text) for text in column] for column in columns]
        shown = [[column[row] if row < len(column) else Written("…") for column in cells] for row in range(rows)]
        return shown[: max(map(len, columns), default=0)]

    def labels(self, rows: int) -> list[str]:
        return list(self._labels[:rows])

    def family(self, place: int) -> Family:
        # What kind of values the column holds, by its class as far as it was not looked at.
        facts = self._columns.get(place)
        return facts[0] if facts else _FAMILIES.get(self.types[place], "other")  # type: ignore[return-value]

    def marks(self, place: int) -> Marks | None:
        facts = self._columns.get(place)
        if facts is None or len(facts) < 14 or facts[0] not in {"bool", "integer", "number"}:
            return None
        rarer = int(facts[13]) if facts[13].isdigit() else None
        return Marks(int(facts[1]), int(facts[12]), facts[13] == "flag", rarer)

    def sorted_key(self, place: int) -> tuple[int, int] | None:
        ends = self._columns[place][10].split(GROUP) if place in self._columns else [""]
        return (int(ends[0]), int(ends[1])) if len(ends) == 2 else None


_FAMILIES: dict[str, Family] = {
    "numeric": "number",
    "double": "number",
    "integer": "integer",
    "logical": "bool",
    "character": "text",
    "factor": "text",
    "ordered": "text",
}


def _value(text: str, family: Family) -> Any:
    if not text:
        return None
    return int(text) if family == "integer" else float(text) if family == "number" else text


_VALUE_SAID = re.compile(r"^(R (?:numeric|integer|logical)) \S+$")


class RSource:
    """Objects of R as a context source."""

    kind = "r"

    def matches(self, obj: Any) -> bool:
        """Whether the object stands for one of R's."""
        return type(obj) is RObject

    def columns(self, obj: RObject) -> Sequence[str]:
        """The names of a table's columns."""
        return obj.columns

    def reader(self, obj: RObject) -> Reader | None:
        """What reads a table or a vector."""
        return _RReader(obj) if obj.rows is not None else None

    def describe(self, obj: RObject, name: str, detail: Detail) -> str:
        """The object's text."""
        if obj.rows is not None:
            return describe_frame(_RReader(obj), name, detail)
        said = clean(obj.said[0], detail.redacted) if obj.said else ""
        if says_personal(name):
            said = _VALUE_SAID.sub(r"\1", said)
        described = f" ({one_line(clean(obj.description, detail.redacted), 200)})" if obj.description else ""
        return cut(f"{name}: {said or obj.label}{described}", detail.budget)
