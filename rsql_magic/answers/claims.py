"""Numbers that an answer states of the data in words, checked against the data: "the mean of x is 4.2", is it?"""

# A false alarm is worse than a miss. A sentence counts where all of it is understood, where the question speaks of
# whole columns and frames, and where nothing before it in the answer narrows what it is about.

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from rsql_magic.context import Fences, fold, measured, measured_in_r
from rsql_magic.errors import RsqlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rsql_magic.context import Context, Measured
    from rsql_magic.databases import MainThreadExecutor

# Seconds that one frame may take.
_EACH = 2.0
_LONGEST = 1_000  # characters of a sentence that is read

# How answers call figures, and how a note does.
_KINDS = {
    "mean": (r"(?:arithmetic )?mean|average|avg\.?|on average", "mean of"),
    "median": (r"median", "median of"),
    "min": (r"minimum|min\.?|smallest|lowest", "minimum of"),
    "max": (r"maximum|max\.?|largest|highest|greatest", "maximum of"),
    "sum": (r"(?:total )?sum|total", "sum of"),
    "missing": (r"(?:missing|null|na)(?: (?:values?|entries))?|nas|nulls", "number of missing values in"),
    "share": (r"(?:share|percentage|proportion) of missing (?:values|entries)", "share of missing values in"),
    "distinct": (r"(?:distinct|unique|different) values", "number of distinct values of"),
    "rows": (r"rows|observations|records|row count", "number of rows of"),
    "columns": (r"columns|variables|features|column count", "number of columns of"),
}
_COUNTS = frozenset({"rows", "columns", "distinct", "missing"})
_COUNT_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
_ABOUT = r"about|approximately|approx\.?|roughly|around|nearly|almost|close to|circa|~|≈"
_UNITS = (
    r"seconds?|minutes?|hours?|days?|weeks?|months?|years?|mm|cm|m|km|miles?|g|kg|grams?|tons?|degrees|°c|dollars?"
    r"|euros?|pounds?|usd|eur|points?|units?"
)
_NUMBER = (
    rf"(?:(?P<about>{_ABOUT})\s*)?(?:exactly )?(?P<sign>[-−–]?)[$€£]?"
    r"(?P<digits>\d{1,18}(?:[.,'’]\d{1,18}|[ \u00a0\u202f]\d{3}(?!\d)){0,6})(?!\d)"
    rf"(?: ?(?P<scale>{'|'.join(_SCALES)}))?(?: ?(?P<percent>%|percent)| ?(?P<unit>{_UNITS}))?(?!\w)"
)
_ENGLISH = re.compile(r"(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?")
_ALL = r"(?:(?:the|this|your) )?(?:entire |whole )?(?:data ?frame|data ?set|data|table|frame)"
_SKIPPED = frozenset({"the", "a", "an", "column", "variable", "field", "feature", "value", "values", "both"})

# A sentence is read as symbols: a Column, a Frame, what a figure is called (A), a Number; other words as they are.
_IS = r"(?:is|are|was|were|equals|=|:|amounts to|stands at|of|at)"
_WHAT = r"(?:C(?: (?:in|of|from) F)?|(?:F )?F(?: is (?:pandas |polars |r )?F)?)"
_ITEM = rf"(?:A (?:{_IS} )?N|N A)"
_CLAUSES = [
    re.compile(rf"(?:{clause})(?= |$)")
    for clause in (
        rf"A and A (?:of|for) {_WHAT} (?:is|are|was|were) N and N",
        rf"A (?:, )?(?:(?:of|for|in) )?{_WHAT} {_IS} N",
        rf"(?:there (?:is|are|were) )?N A (?:and|by|x|×) N A (?:in|of|for) {_WHAT}",
        rf"{_WHAT} (?:is|are|was|were) N A",
        rf"(?:{_WHAT} )?(?:has|have|had|with|contains?|holds?|shows?|comprises|includes|consists of|:|,) {_ITEM}",
        rf"(?:there (?:is|are|were) )?N A (?:are |is )?(?:in|of|for) {_WHAT}",
        rf"(?:{_WHAT} )?(?:is |are )?(?:rang(?:es?|ing|ed)|var(?:ies|y)|spans?|lies?) (?:from|between) N (?:to|and) N",
        rf"N (?:of|in) {_WHAT} (?:is|are|was|were) A",
        _ITEM,
    )
]
_LEAD = re.compile(
    r"(?:(?:so|overall|here|thus|also|finally|in (?:short|total|summary)|in addition|moreover|note that"
    r"|(?:we|you) (?:can )?see that|F shows? that|according to F|in F)(?: ,)? )*"
)
_AND = re.compile(r" (?:, )?(?:; )?(?:(?:and|while|with|but|by|of|x|×) )?")
_SO = re.compile(r"(?: ,)? (?:so|indicating|suggesting|meaning|which (?:suggests|indicates|means|shows))\b[^ACFN]*$")

# Words of a question, or of a line that leads to others, that narrow nothing.
_NEUTRAL = re.compile(
    r"what|whats|is|are|was|were|an|of|in|on|and|or|to|me|my|i|you|we|it|its|this|that|these|those|do|does|did|how"
    r"|many|much|which|has|have|there|can|could|please|tell|give|show|find|compute|calculate|list|name|summarize"
    r"|summarise|summary|describe|explain|interpret|report|say|about|some|any|all|every|key|main|basic|general"
    r"|quick|short|brief|overview|statistics|statistic|stats|statistical|facts|figures|numbers|set|row|range"
    r"|ranges|distribution|distributed|size|shape|big|large|high|low|long|small|look|looks|like|between|from|with"
    r"|words|sentence|sentences|typical|missing|unique|distinct|different|count|counts|quality|complete|info"
    r"|information|details|hold|holds|contain|contains|here|structure|answer|following|results|result|s"
)
_NARROWS = re.compile(
    r"(?<!\w)(?:only|among|amongst|consider\w*|restrict\w*|filter\w*|subsets?|where|whose|who|suppos\w*|assum\w*"
    r"|imagin\w*|if|e\.g|example|hypothe\w*|group\w*|each|per|after|before|remov\w*|dropp?\w*|exclud\w*|without|first"
    r"|last|top|sampl\w*|train\w*|test\w*|scal\w*|normali[sz]\w*|standardi[sz]\w*|log|transform\w*|imput\w*|clean\w*"
    r"|outliers?|for|when|within|would|could|should|might|may|once|instead|not|another|other|these|those)(?!\w)"
    r"|^(?:in|on|at|by|with|during|since|from|under)\b"
)


@dataclass(frozen=True)
class Checked:
    """How many numbers were compared with the data, and a sentence for each that is wrong."""

    count: int = 0
    wrong: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """The quiet line where all are right."""
        right = self.count and not self.wrong
        return f"{self.count} number{'' if self.count == 1 else 's'} checked" if right else ""


@dataclass(frozen=True)
class Stated:
    """A number as it is written, with what it may mean and the size of its last digit."""

    text: str
    readings: tuple[tuple[float, float], ...]
    is_about: bool = False
    is_percent: bool = False
    has_unit: bool = False

    @classmethod
    def of(cls, match: re.Match[str]) -> Stated:
        """A number that was found; points and commas are read as in English and as in German."""
        text = re.sub(r"[ \u00a0\u202f'’]", "", match["digits"] or str(_COUNT_WORDS.index(match[0].lower())))
        forms = filter(_ENGLISH.fullmatch, dict.fromkeys([text, text.translate({ord("."): ",", ord(","): "."})]))
        numbers = [(form.replace(",", ""), len(form.partition(".")[2])) for form in forms]
        scale, sign = _SCALES.get((match["scale"] or "").lower(), 1.0), -1 if match["sign"] else 1
        readings = tuple((sign * float(number) * scale, scale / 10**places) for number, places in numbers)
        said = match[0].strip() if match["digits"] else text
        return cls(said, readings, *(match[name] is not None for name in ("about", "percent", "unit")))

    def agrees(self, figures: Sequence[float], *, counts: bool) -> bool | None:
        """Whether it states one of the figures, which may be ``counts``; None where rounding or units may tell."""
        scales = (1, 100) if self.is_percent else (1,)
        pairs = [(figure * scale, *each) for figure in figures for scale in scales for each in self.readings]
        found = {self._judged(*pair, counts=counts) for pair in pairs}
        return True if True in found else None if None in found or self.has_unit or not found else False

    # 1,200 may be a rounded 1,234, and 4.2 a cut 4.27; nobody knows.
    def _judged(self, figure: float, value: float, digit: float, *, counts: bool) -> bool | None:
        slack = 1e-9 * max(abs(figure), abs(value)) + 1e-12
        off, fair = abs(figure - value) - slack, 0.1 * abs(figure) if self.is_about else 0.0
        if off <= max(digit / 2, fair):
            return True
        zeros = len(f"{value:.0f}") - len(f"{value:.0f}".rstrip("0")) if digit == 1 else 0
        return None if off <= max(0 if counts else digit, 2 * fair, 10**zeros / 2 if zeros > 1 else 0) else False


Column = tuple[str, str]  # a frame and its column


@dataclass(frozen=True)
class _Claim:
    kind: str
    columns: tuple[Column, ...]  # those that it may mean; none where it is about a frame
    frame: str  # the frame that it names, or empty
    stated: Stated


@dataclass(frozen=True)
class _Sentence:
    symbols: tuple[tuple[str, Any], ...]

    @cached_property
    def text(self) -> str:
        return " ".join(symbol for symbol, _ in self.symbols)

    def of(self, symbol: str, start: int = 0, end: int | None = None) -> list[Any]:
        """What the symbols of one kind stand for, from one place of the text to another."""
        last = None if end is None else self.text[:end].count(" ") + 1
        return [value for each, value in self.symbols[self.text[:start].count(" ") : last] if each == symbol]

    @property
    def may_narrow(self) -> bool:
        """Whether a word of it may speak of a part of the data."""
        return any(each[0].isalnum() and each not in "ACF" and not _NEUTRAL.fullmatch(each) for each, _ in self.symbols)


@dataclass(frozen=True)
class _SentenceReader:
    """How sentences about these frames are read."""

    frames: Mapping[str, Measured]
    said: str  # all that is read, folded

    # What each name that is said may be, in a form without signs and capitals: columns, or a frame.
    @cached_property
    def _names(self) -> dict[str, tuple[Column, ...]]:
        found: dict[str, tuple[Column, ...]] = {}
        for name, frame in self.frames.items():
            for column in ("", *frame.columns):
                if (key := fold(column or name)) and key in self.said:
                    found[key] = (*found.get(key, ()), (name, column))
        return {key: meant for key, meant in found.items() if len(meant) == 1 or all(column for _, column in meant)}

    @cached_property
    def _token(self) -> re.Pattern[str]:
        names = (re.escape(name).replace("_", r"[\W_]") for name in sorted(self._names, key=len, reverse=True))
        spelled, owners = "|".join(names) or "(?!)", "|".join(map(re.escape, self.frames))
        kinds = "|".join(f"(?P<{kind}>{words})" for kind, (words, _) in _KINDS.items())
        return re.compile(
            rf"`?(?<!\w)(?P<owner>{owners})(?:\$|\.|\[+[\"'])(?P<owned>{spelled})(?:[\"']\]+)?`?(?![\w(])"
            rf"|(?P<quote>[`\"'])(?P<quoted>{spelled})(?P=quote)|(?<![\w.])(?P<bare>{spelled})(?!\w|\.\w)"
            rf"|(?P<all>{_ALL})(?!\w)|(?<![\w.])(?:{kinds})(?!\w)|(?<![\w.]){_NUMBER}|(?P<word>[\w'-]+)|\S",
            re.IGNORECASE,
        )

    def sentence(self, text: str) -> _Sentence:
        """A sentence as symbols."""
        symbols = map(self._symbol, self._token.finditer(re.sub(r"\b(?:total )?number of\b", "", text, flags=re.I)))
        return _Sentence(tuple(each for each in symbols if each[0] not in _SKIPPED))

    def _symbol(self, match: re.Match[str]) -> tuple[str, Any]:
        name, word = match["owned"] or match["quoted"] or match["bare"], match[0].lower()
        key = fold(name or word)
        if match["bare"] and (_NEUTRAL.fullmatch(key) or key in _SKIPPED.union(_COUNT_WORDS) or key.isdigit()):
            return word, None
        if name:
            meant = tuple(pair for pair in self._names.get(key, ()) if match["owner"] in {None, pair[0]})
            return ("?", None) if not meant else ("C", meant) if meant[0][1] else ("F", meant[0][0])
        if match["all"]:
            return "F", ""
        if match["digits"] or word in _COUNT_WORDS:
            return "N", Stated.of(match)
        return ("A", match.lastgroup) if match.lastgroup in _KINDS and key not in self._names else (word, None)

    def claims(self, sentence: _Sentence) -> list[_Claim]:
        """What a sentence claims; nothing where any of it is not understood."""
        text, found = sentence.text, list[_Claim]()
        lead = _LEAD.match(text)
        at = lead.end() if lead else 0
        frame = next(iter(sentence.of("F", 0, at - 1)), "") if at else ""
        columns: tuple[Column, ...] | None = None
        while clause := next(filter(None, (each.match(text, at) for each in _CLAUSES)), None):
            inside = partial(sentence.of, start=clause.start(), end=clause.end())
            if inside("C") or inside("F"):
                columns, frame = next(iter(inside("C")), ()), next(filter(None, inside("F")), frame)
            if columns is None:
                break
            kinds = inside("A") or ["min", "max"]
            found += [_Claim(kind, columns, frame, stated) for kind, stated in zip(kinds, inside("N"), strict=False)]
            at = clause.end()
            if at == len(text) or _SO.match(text, at):
                return found
            joined = _AND.match(text, at)
            at = joined.end() if joined else at
        return []

    def meant(self, claim: _Claim, asked: set[str]) -> Column | None:
        """The one column, or frame, that a claim can be about; ``asked`` are the frames that the question names."""
        if claim.columns:
            pairs = [pair for pair in claim.columns if claim.frame in {"", pair[0]}]
            pairs = pairs if len(pairs) == 1 else [pair for pair in pairs if pair[0] in asked]
        else:
            pairs = [(frame, "") for frame in {claim.frame} - {""} or asked or set(self.frames)]
        return pairs[0] if len(pairs) == 1 else None


def check_claims(
    answer: str,
    question: str,
    context: Context,
    namespace: Mapping[str, Any],
    executor: MainThreadExecutor | None = None,
) -> Checked:
    """Compare the numbers that an answer states of frames which the model was told of with these frames."""
    # A word of the question that may mean a part of the data, such as a city, leaves all unchecked. `executor` asks R,
    # which knows one thread.
    lines = list(_prose(answer))
    fences = Fences(_EACH)
    frames: dict[str, Measured] = {}
    told = [(piece.kind, piece.name) for piece in context.pieces if piece.shown]
    of_python, of_r = ([name for kind, name in told if kind == room] for room in ("frame", "r"))
    frames |= fences.ask("", lambda: measured(of_python, namespace), frames) | _of_r(of_r, executor)
    if not frames:
        return Checked()
    reading = _SentenceReader(frames, fold(" ".join([question, *lines])))
    if (asked := reading.sentence(question)).of("N") or asked.may_narrow:
        return Checked()
    named = {*asked.of("F"), *(pairs[0][0] for pairs in asked.of("C") if len(pairs) == 1)} - {""}
    return _compared(_claimed(lines, reading), reading, named, fences)


def _of_r(names: list[str], executor: MainThreadExecutor | None) -> dict[str, Measured]:
    executed: MainThreadExecutor = executor or (lambda work: work())
    try:
        found: dict[str, Measured] = executed(lambda: measured_in_r(names)) if names else {}
    except (TimeoutError, RsqlError):
        return {}
    return found


def _prose(answer: str) -> Iterator[str]:
    """The sentences of an answer, without marks of Markdown, up to its first block of code, which may change data."""
    for line in re.split(r"^\s*(?:```|~~~)", answer, maxsplit=1, flags=re.M)[0].splitlines():
        bare = re.sub(r"^\s*(?:[-*+•]|\d+[.)])\s+|\*+|^\s*_|_\s*$", "", line).strip()
        if bare.startswith("#"):
            yield f"{bare.lstrip('# ')}:"
        elif not bare.startswith(("|", ">")):
            # A full stop behind these ends no sentence.
            ends = r"(?<=[.!?;])(?<!approx\.)(?<!avg\.)(?<!min\.)(?<!max\.)\s+"
            yield from (sentence for sentence in re.split(ends, bare) if len(sentence) <= _LONGEST)


def _claimed(lines: Sequence[str], reading: _SentenceReader) -> list[_Claim]:
    """The claims up to where the answer begins to speak of a part of the data."""
    found: list[_Claim] = []
    for line in lines:
        sentence = reading.sentence(re.sub(r"\(rounded[^)]*\)|[.!;]$", "", line))
        claims = [] if line.endswith("?") else reading.claims(sentence)
        if not claims and (_NARROWS.search(line.lower()) or (line.endswith(":") and sentence.may_narrow)):
            break
        found += claims
    return found


def _compared(claims: Sequence[_Claim], reading: _SentenceReader, asked: set[str], fences: Fences) -> Checked:
    count, wrong = 0, dict[str, None]()
    for claim in claims:
        kind = "share" if claim.stated.is_percent and claim.kind == "missing" else claim.kind
        column = reading.meant(claim, asked)
        if column is None or (claim.stated.is_percent != (kind == "share") and kind in _COUNTS | {"share"}):
            continue
        work = partial(reading.frames[column[0]].figures, kind, column[1])
        figures = fences.ask(column[0], work, tuple[float, ...]())
        agrees = claim.stated.agrees(figures, counts=kind in _COUNTS)
        count += agrees is not None
        if agrees is False:
            wrong[_sentence(kind, column, figures[0], claim.stated)] = None
    return Checked(count, tuple(wrong))


def _sentence(kind: str, column: Column, figure: float, stated: Stated) -> str:
    """What is wrong, and the figure: with as many digits as were stated, and two more where those would round it."""
    places = max(0, round(-math.log10(stated.readings[0][1])))
    what = f"the {_KINDS[kind][1]} `{column[1] or column[0]}`"
    right = f"{_shown(figure, places)}{'%' if stated.is_percent else ''}"
    return f"Checked against `{column[0]}`: {what} is {right}, not {stated.text}."


def _shown(figure: float, places: int) -> str:
    """A figure with so many decimals, or up to two more where it has them: half of one is not none, and not one.

    Example:
        >>> _shown(1.5, 0), _shown(68.75, 0), _shown(32.2042, 1), _shown(1234.0, 0), _shown(0.125, 2)
        ('1.5', '68.75', '32.204', '1,234', '0.125')
    """
    if not math.isfinite(figure):
        return str(float(figure))
    exact = Decimal(repr(float(figure)))
    finer = exact.quantize(Decimal(1).scaleb(-places - 2), ROUND_HALF_UP)
    text = f"{finer:,f}"
    whole, _, decimals = text.partition(".")
    kept = decimals[:places] + decimals[places:].rstrip("0")
    return f"{whole}.{kept}" if kept else whole
