"""The way a question of ``%%ask`` is answered: by a query, a chart, code or words, as its own words say."""

# Rules on the form of a question, and no model. A question that has none of these forms is answered as it always was,
# and so is one that could mean a frame: a wrong way is worse than none.

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rsql_magic.context import Mentions
from rsql_magic.options import WAYS

if TYPE_CHECKING:
    from collections.abc import Collection

    from rsql_magic.options import Way

# What the model is asked for beside the question.
WANTED: dict[Way | None, str] = {
    "chart": "Answer with one block of code that draws the chart.",
    "code": "Answer with one block of code and nothing else; its last line is an expression whose value is the answer.",
    "words": "Answer in words, with code only where the question asks for it.",
}

_PLEASE = (
    r"(?:please,? |(?:can|could|would|will) you (?:please )?|i(?:'d| would) like to (?:see |have )?|i (?:want|need) )?"
)
_WORDS = re.compile(
    rf"^{_PLEASE}(?:explain|describe|summari[sz]e|interpret|why)\b"
    r"|^what (?:does|do|did) (?:it|this|that|these)?.{0,60}\b(?:means?|shows?|stands? for)\b"
    r"|^what(?:'s| is) the (?:difference between|meaning|point|purpose|idea)\b(?!.*(?:\d|\b(?:number|share) of\b))"
    r"|^what(?:'s| is| are) (?:an? )?(?!(?:the|all|my|our|your|this|that|in) )[\w-]+(?: [\w-]+){0,2}\?*$"
    r"|^(?:when|which|what) \w*\s?(?:\w+ )?(?:should|would) (?:i|we|you|one)\b|^should (?:i|we|one)\b"
    r"|^how (?:does|do) .*\bworks?\?*$"
    r"|^how (?:do|can|should|would) (?:i|we|you|one) (?:interpret|understand|explain|choose|decide|know|tell)\b"
)
_PROGRAM = r"(?:functions?|code|scripts?|quer(?:y|ies)|sql|regex|regular expressions?|loops?|macros?|snippets?)\b"
_CODE = re.compile(
    r"^how (?:(?:do|can|could|would|should|might) (?:i|we|you|one)|to)\b"
    rf"|^{_PLEASE}write(?: me)? (?:\S+ ){{0,3}}{_PROGRAM}"
    rf"|^{_PLEASE}(?:give|show|send)(?: me)? (?:an? |the |some )?(?:(?:r|python|pandas|polars|sql|dplyr) )?{_PROGRAM}"
    rf"|^{_PLEASE}(?:convert|rewrite|refactor|port|translate|simplify|vectori[sz]e) (?:this|that|the|my) (?:\w+ )?"
    rf"(?:cells?\b|{_PROGRAM})"
    r"|^is there an? (?:\w+ )?(?:function|method|package|way)\b|^what(?:'s| is) the (?:\w+ )?way to\b"
)
# A chart is wanted by an order, or by its name at the beginning or the end; "plot" alone may be one of land.
_CHARTS = r"(?:charts?|plots?|graphs?|diagrams?|histograms?|scatter ?plots?|box ?plots?|heat ?maps?)\b"
_CHART = re.compile(
    rf"^{_PLEASE}(?:plot|draw|graph|chart|visuali[sz]e)\b(?!:)"
    rf"|^{_PLEASE}(?:(?:show|make|create|give|add)(?: me)? )?(?:an? )?(?:[\w-]+ ){{0,2}}{_CHARTS}(?: of| for| with|:)"
    rf"|\b(?:as|in) an? (?:[\w-]+ ){{0,2}}{_CHARTS}"
)
_DATA = re.compile(
    rf"^{_PLEASE}(?:how (?:many|much|often|long|old)|(?:what|which|who|whose|when|where)\b|(?:is|are|was|were) there\b"
    r"|(?:did|do|does|has|have)\b|list|show|give|find|get|count|compare|rank|sum|total|average|mean|top|plot|draw|chart"
    r"|visuali[sz]e|make|create|display|return)\b"
)
# A figure that is named without a verb, as in "Mean fare per class" or "For each month, the number of visits".
_FIGURES = (
    r"numbers?|counts?|means?|averages?|medians?|sums?|totals?|shares?|percentages?|percentiles?|proportions?|ratios?"
    r"|rates?|differences?|correlations?|deviations?|variances?|minimums?|maximums?|ranges?|most|least|top"
    r"|(?:high|low|long|short|larg|small|heavi|old|young|new|lat)est"
)
_FIGURE = re.compile(
    r"^(?!.*\b(?:is|are|was|were|seems?|looks?|why)\b)"
    rf"(?:(?:the |a )?(?:[\w-]+,? ){{0,3}}?(?:{_FIGURES})\b|the (?:ids?|names?|dates?) of\b"
    r"|(?:for|in|on|at|of) (?:each|every)\b|.*\b(?:per|(?:for|in|on|of|by) (?:each|every))\b)"
)
# What asks for a change, or is about the tables themselves.
_NO_DATA = re.compile(
    r"\b(?:columns?|tables?|schemas?|index(?:es)?|types? of|should|could|better|improve\w*|delete|update|insert|drop"
    r"|remove|rename|alter|translate)\b"
)
_REST = re.compile(r"^\W*(?:with(?:out)?|per|by|from|who|that|in|whose)\b")


def way_of(question: str, tables: Collection[str] = (), elsewhere: Collection[str] = ()) -> Way | None:
    """The way that a question asks for; None where its words leave that open, also in other languages than English.

    ``tables`` are those of the connection in use, ``elsewhere`` is what belongs to the session: its frames, and those
    of their columns that no table has.

    Example:
        >>> way_of("How many orders are open?", ["orders"]), way_of("How many orders are open?", ["orders"], ["orders"])
        ('query', None)
        >>> way_of("Plot fare by age"), way_of("How do I plot fare?"), way_of("What does fare mean?")
        ('chart', 'code', 'words')
    """
    text = _folded(question)
    if "```" in question or "{{" in question:
        return None
    if _WORDS.search(text):
        return "words"
    if _CODE.search(text):
        return "code"
    if tables and _is_about(question, text, tables, elsewhere):
        return "query"
    return "chart" if _CHART.search(text) else None


def wanted(way: Way | None, question: str, *, of_frames: bool) -> str:
    """The sentence on the form of an answer; where a question asks for data of frames, it is code that is wanted.

    A small model that explains its code writes it from memory of other programs, and reads the frames from files.

    Example:
        >>> wanted("chart", "Sales by month", of_frames=True)
        'Answer with one block of code that draws the chart.'
        >>> wanted(None, "How many rides are there?", of_frames=False), wanted(None, "Why is that?", of_frames=True)
        ('', '')
    """
    text = _folded(question)
    others = (_WORDS, _CODE, _CHART, _NO_DATA)
    is_data = (_DATA.match(text) or _FIGURE.match(text)) and not any(each.search(text) for each in others)
    return WANTED.get("code" if is_data and of_frames and way is None else way, "")


def _folded(question: str) -> str:
    return " ".join(question.casefold().replace("’", "'").split())


# Whether a question asks for data of tables, and of nothing else.
def _is_about(question: str, text: str, tables: Collection[str], elsewhere: Collection[str]) -> bool:
    asked = Mentions(question)
    named = [name.casefold() for table in tables for name in (table, table.removesuffix("s")) if asked.mentions(name)]
    begins = any(_REST.match(text.removeprefix(name)) for name in named if text.startswith(name))
    wants = begins or _DATA.match(text) or _CHART.search(text)
    return bool(named and wants) and not _NO_DATA.search(text) and not asked.mentioned(elsewhere)


def way_said(way: Way, name: str, *, slash: bool = False) -> str:
    """The line below an answer whose way the user did not choose; ``name`` is the connection in use.

    With ``slash`` another way is chosen by a slash command, as in the panel, and not by an option.

    Example:
        >>> way_said("query", "shop")
        'answered by a query on shop (--as words, code or chart chooses another way)'
        >>> way_said("chart", "", slash=True)
        'asked for a chart (/words, /code or /sql chooses another way)'
    """
    spelled = [("/" * slash) + ("sql" if slash and each == "query" else each) for each in WAYS if each != way]
    asked = f"answered by a query on {name}" if way == "query" else f"asked for {'a ' * (way == 'chart')}{way}"
    return f"{asked} ({'' if slash else '--as '}{', '.join(spelled[:-1])} or {spelled[-1]} chooses another way)"
