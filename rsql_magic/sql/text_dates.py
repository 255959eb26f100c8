"""Dates and times that are kept as text: the form in which a column writes them, told from a sample of its texts."""

# pandas' `guess_datetime_format` knows no years of two digits, no clock of twelve hours and no time without a date, and
# takes "2013" for one; dateutil takes nearly everything. So the forms are listed here.

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Texts that are looked at, the fewest that tell a form, and the share of them that may be something else.
_MOST, _FEWEST, _ODD = 200, 5, 0.05
# A longer text is no date.
LONGEST = 56
# What stands behind a form of which some parts have one digit.
_UNPADDED = " (no leading zeros)"

_MONTHS = "january february march april may june july august september october november december"
_DAYS = "monday tuesday wednesday thursday friday saturday sunday"
_PARTS = {
    "%Y": "[12][0-9]{3}",
    "%y": "[0-9]{2}",
    "%m": "(?:1[0-2]|0?[1-9])",
    "%d": "(?:[12][0-9]|3[01]|0?[1-9])",
    "%b": f"(?:{'|'.join(name[:3] for name in _MONTHS.split())})",
    "%B": f"(?:{_MONTHS.replace(' ', '|')})",
    "%a": f"(?:{'|'.join(name[:3] for name in _DAYS.split())})",
    "%A": f"(?:{_DAYS.replace(' ', '|')})",
}
_FORMS = [f"%{a}{mark}%{b}{mark}%{c}" for a, b, c in ("Ymd", "dmY", "mdY", "dmy", "mdy") for mark in "/.-"]
_SHORT = ["%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d/%b/%Y", "%d. %b %Y", "%b %d, %Y", "%b %d %Y", "%b %Y"]
_SHORT += ["%a, %d %b %Y", "%a %d %b %Y", "%a, %b %d, %Y", "%a %b %d %Y"]
_FORMS += [*_SHORT, *(form.replace("%b", "%B").replace("%a", "%A") for form in _SHORT)]
_COMPACT = "(?:19|20)[0-9]{2}(?:1[0-2]|0[1-9])(?:[12][0-9]|3[01]|0[1-9])"
_TIME = re.compile(
    r"( |T|, )?(1[0-9]|2[0-3]|0?[0-9]):[0-5][0-9](:[0-5][0-9])?(\.[0-9]{1,9})?"
    r"(?:( ?)[ap]m)?(?:( ?)(?:z|[+-][0-9]{2}:?[0-9]{2}))?",
    re.IGNORECASE,
)
_AFTERNOON = re.compile(r"1[3-9]|2[0-3]")
_SINGLE = re.compile(r"(?<![0-9])[0-9](?![0-9])")


def _mark(text: str) -> str:
    """What stands behind the first number of a text; of one that begins with a word, a letter."""
    mark = text.lstrip("0123456789")[:1]
    return "a" if mark.isalpha() else mark


@cache
def _days(mark: str) -> list[tuple[str, re.Pattern[str]]]:
    """The forms of a day with that mark; compiled when first needed, which takes a millisecond or two."""
    forms = [form for form in _FORMS if _mark(re.sub("%[aAbB]", "a", re.sub("%[Ymdy]", "1", form))) == mark]
    patterns = {form: re.sub("%[a-zA-Z]", lambda code: _PARTS[code[0]], form.replace(".", r"\.")) for form in forms}
    patterns |= {"": ""} if mark == ":" else {"%Y%m%d": _COMPACT} if mark in {"", " ", "a"} else {}
    return [(form, re.compile(pattern, re.IGNORECASE)) for form, pattern in patterns.items()]


def date_form(texts: Sequence[object]) -> str:
    """The form of a column's texts as ``strftime`` writes it, where all but few are dates or times of one; else "".

    Where nothing tells the day from the month, both forms are given.

    Example:
        >>> date_form(["8/29/2013 14:13", "9/1/2013 8:05", "9/1/2013 9:07", "9/2/2013 9:11", "9/3/2013 7:07"])
        '%m/%d/%Y %H:%M (no leading zeros)'
        >>> date_form(["01/02/2013", "03/04/2013", "05/06/2013", "07/08/2013", "09/10/2013"])
        '%d/%m/%Y or %m/%d/%Y'
        >>> date_form(["1.2.3", "1.3.0", "1.3.1", "1.4.0", "2.0.0"])
        ''
    """
    some = [text.strip() for text in texts[:: len(texts) // _MOST + 1] if isinstance(text, str)]
    some, dates, counts = [text for text in some if text], list[str](), Counter[str]()
    for place, text in enumerate(some, 1):
        if found := forms_of(text):
            dates.append(text)
            counts.update(found)
        elif place - len(dates) > _ODD * len(some):
            return ""
    if len(some) < _FEWEST or (most := max(counts.values())) < (1 - _ODD) * len(some):
        return ""
    forms = [form for form, count in counts.items() if count == most]
    forms = forms[:1] if "%b" in forms[0] else forms  # all of May, which is short and long
    is_version = len(forms) > 1 and "%y" in forms[0]  # 1.12.10
    is_duration = forms[0].startswith("%H") and not any(map(_AFTERNOON.match, dates))  # 3:45
    if is_version or is_duration:
        return ""
    return " or ".join(forms) + (_UNPADDED if any(map(_SINGLE.search, dates)) else "")


def forms_of(text: str) -> list[str]:
    """The forms that a text can be read by, the day before the month.

    Example:
        >>> forms_of("2013-08-29T14:13:00Z"), forms_of("1/2/2013"), forms_of("3/4")
        (['%Y-%m-%dT%H:%M:%S%z'], ['%d/%m/%Y', '%m/%d/%Y'], [])
    """
    if len(text) > LONGEST or (mark := _mark(text)) not in "/.-: a":
        return []
    days = [(form, found) for form, pattern in _days(mark) if (found := pattern.match(text))]
    return [form + time for form, day in days if (time := _time(text[day.end() :], form)) is not None]


def _time(text: str, day: str) -> str | None:
    """The form of what stands behind a day; None where it is no time."""
    if not text:
        return ""
    if not (found := _TIME.fullmatch(text)):
        return None
    gap, hour, seconds, fraction, half, zone = found.groups()
    if (half is not None and not 1 <= int(hour) <= 12) or bool(day) != bool(gap) or not (day or zone is None):
        return None
    second = f"{':%S' if seconds else ''}{'.%f' if fraction else ''}"
    clock = f"%H:%M{second}" if half is None else f"%I:%M{second}{half}%p"
    return f"{gap or ''}{clock}" + ("" if zone is None else f"{zone}%z")
