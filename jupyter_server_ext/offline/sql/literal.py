"""SQL that the user wrote: "run: SELECT …" is passed on as it stands, and the kernel side's guard judges it.

A model that is told to run a statement would draft it; refusing it is the guard's work, not a matter of good manners.
"""

from __future__ import annotations

import re

_VERBS = (
    "select|with|from|values|explain|describe|show|pragma|insert|update|delete|merge|create|alter|drop|truncate|"
    "replace|"
    "grant|revoke|attach|detach|copy|export|import|install|load|set|reset|call|vacuum|analyze|begin|commit|rollback|use"
)
_RUN = re.compile(
    rf"^\s*(?:please )?(?:run|execute|exec)(?: (?:this|the following|it))?(?: (?:sql|query|statement))?\s*:?\s*"
    rf"(?P<sql>(?:{_VERBS})\b.*)$",
    re.IGNORECASE | re.DOTALL,
)
_FENCED = re.compile(r"```(?:sql)?\s*\n(?P<sql>.+?)```", re.IGNORECASE | re.DOTALL)
_BARE = re.compile(
    r"^\s*(?P<sql>(?:select\b.+?\bfrom\b|with\s+\w+\s+as\s*\(|insert\s+into\b|delete\s+from\b|update\s+\S+\s+set\b|"
    r"drop\s+(?:table|view|schema|database)\s+\S+\s*;?\s*$|create\s+(?:or\s+replace\s+)?(?:table|view)\b|"
    r"truncate\s+table\b|alter\s+table\b|attach\s+'|copy\s+\S+\s+(?:to|from)\s+')"
    r".*)$",
    re.IGNORECASE | re.DOTALL,
)
_CHANGE = re.compile(
    r"^\s*(?:please |now |can you |could you |then )*(?:delete|remove|drop|erase|wipe|truncate|insert|add a (?:row|"
    r"record|column)|"
    r"update|alter|rename|create (?:a |an |the )?(?:new )?(?:table|view|column|index|database|schema)|overwrite|set "
    r"all)\b",
    re.IGNORECASE,
)


def statement(question: str) -> str:
    """The SQL that a question quotes to be run, else an empty text.

    Example:
        >>> statement("run: DROP TABLE flights")
        'DROP TABLE flights'
    """
    run = _RUN.match(question)
    fenced = _FENCED.search(question)
    if fenced and (run is None or "```" in run["sql"]):
        return fenced["sql"].strip()
    found = run or _BARE.match(question)
    if found is None or not _reads_as_sql(found["sql"]):
        return ""
    return found["sql"].strip().rstrip("`").rstrip()


def _reads_as_sql(text: str) -> bool:
    """Whether sqlglot can read the text: "select the flights from JFK" is a sentence."""
    from sqlglot import ErrorLevel, parse
    from sqlglot.errors import SqlglotError

    try:
        trees = parse(text, error_level=ErrorLevel.RAISE)
    except SqlglotError:
        return text.rstrip().endswith(";")
    words = text.split()
    return any(tree is not None for tree in trees) and not _is_sentence(words)


def _is_sentence(words: list[str]) -> bool:
    lower = [word.lower().strip(",.?") for word in words]
    return bool({"the", "all", "every", "please", "me", "which", "that"} & set(lower)) and "=" not in "".join(words)


def wants_change(question: str) -> bool:
    """Whether a question asks in words to change the data: "delete all flights"."""
    return _CHANGE.match(question) is not None
