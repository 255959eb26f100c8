"""A question for a defined metric as fixed rules read it, beside what the model writes.

The gateway's ``offline`` model reads a question from its first word to its last, or says that it cannot. Where it reads
one that names a metric, its query is a second opinion that costs nothing: proposed to the model where its own draft
fails or finds other rows, and put in where the model writes no query at all. The model decides, as rules may misread,
and the person is told of both results. A reading that puts months of several years together is none.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from rsql_magic.errors import QueryFailed, QueryRejected, RsqlError
from rsql_magic.gateway import Reply
from rsql_magic.sql import one_line
from rsql_magic.text2sql.drafts import Draft, DraftResult, difference, is_decided, read_draft

if TYPE_CHECKING:
    import pandas as pd

    from rsql_magic.databases import Rows
    from rsql_magic.gateway import StreamOptions
    from rsql_magic.text2sql.drafts import DraftCheck
    from rsql_magic.text2sql.prompt import SchemaPrompt
    from rsql_magic.text2sql.results import QueryRunner

_OTHERWISE = (
    "The query finds other rows than the one below, which is how fixed rules read the question: {how}. "
    "Rules misread often: keep the query as it is where it answers the question."
)


@dataclass(eq=False)
class RuleReading:
    """How fixed rules read one question."""

    _prompt: SchemaPrompt
    _checks: DraftCheck
    _runner: QueryRunner

    @cached_property
    def sql(self) -> str:
        """The query; empty where the question names no metric, they do not understand it, or there are none."""
        from rsql_magic.sql import condition_notes, findings

        prompt, options = self._prompt, self._prompt.options
        model = prompt.entry.chat.rules if prompt.catalog.is_described and not prompt.is_offline else ""
        if not model or not prompt.facts.named:
            return ""
        described = partial(prompt.as_values, anew=True)
        asked: StreamOptions = {"model": model, "timeout": options.silence, "described": described}
        reply = Reply()
        try:
            with closing(prompt.entry.stream(list(prompt.linked.messages), reply, **asked)) as events:
                deque(events, 0)
            sql = self._checks.defined(read_draft(reply).sql)[0]
            statement, problems = self._checks.read(sql)
            told = findings(statement, prompt.dialect, prompt.catalog, options.question).breaches
            native = self._runner.native.of(statement, prompt.catalog)
            number, dialect = self._runner.number, prompt.engine.dialect
            is_folded = condition_notes(native, dialect, prompt.catalog, number, options.question)
        except RsqlError:  # what the model writes is not lost for it
            return ""
        return "" if problems or told or is_folded else sql

    @cached_property
    def result(self) -> DraftResult | None:
        """What the query finds."""
        if not self.sql:
            return None
        try:
            statement, _ = self._checks.read(self.sql)
            return DraftResult(Draft(self.sql), self._runner.run(statement).df)
        except (QueryFailed, QueryRejected):
            return None

    def is_other(self, rows: Rows | None) -> bool:
        """Whether a draft found other rows than the query does."""
        if rows is None or self.result is None:
            return False
        return not is_decided([DraftResult(Draft(""), rows.df), self.result], 2)

    def doubts(self, rows: Rows | None) -> list[str]:
        """What there is to say to a model where a draft found other rows: both results, as its privacy level shows."""
        if rows is None or self.result is None or not self.is_other(rows):
            return []
        ours, theirs = rows.df, self.result.frame
        if self._prompt.options.level == "sample":
            return [_OTHERWISE.format(how=f"{_result(theirs)} there, {_result(ours)} here")]
        more = "as many" if len(ours) == len(theirs) else "more" if len(theirs) > len(ours) else "fewer"
        return [_OTHERWISE.format(how=f"{more} rows there")]

    def note(self, rows: Rows) -> str:
        """What there is to say to the person of the same."""
        if self.result is None or not self.is_other(rows):
            return ""
        return f"Fixed rules read the question otherwise; their query {difference(rows.df, self.result.frame)}."


def _result(frame: pd.DataFrame) -> str:
    """The length of a result, and its first row."""
    count = f"{len(frame):,} row{'s' * (len(frame) != 1)}"
    if frame.empty:
        return count
    return f"{count}, the first ({', '.join(one_line(str(value), 40) for value in frame.iloc[0])})"
