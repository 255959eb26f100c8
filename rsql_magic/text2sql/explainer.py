"""What the model says in words of a query, and of the rows that it gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rsql_magic import prompts
from rsql_magic.errors import QueryFailed
from rsql_magic.redaction import redact
from rsql_magic.sql import fence

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.gateway import Reply
    from rsql_magic.text2sql.prompt import SchemaPrompt
    from rsql_magic.text2sql.results import QueryRunner, SQLResult

_ROWS_TOLD = 20


@dataclass(frozen=True)
class Explainer:
    """Asks the model about one result."""

    prompt: SchemaPrompt  # the question and its tables
    runner: QueryRunner  # knows the plans of queries
    send: Callable[..., Reply]  # sends messages; ``described`` has them as values
    told: Callable[[str], str]  # a query as the model may be told of it
    is_foreign: bool  # whether the query is for another database than the one that is there

    def explain(self, result: SQLResult) -> None:
        """Add the plan, and an explanation of the query."""
        options, dialect = self.prompt.options, self.prompt.dialect
        result.plan = self._planned(result)
        sql = self.told(result.sql)
        values = {"task": "explain", "question": options.question, "sql": sql, "dialect": dialect}
        context = self.prompt.context()
        text = prompts.render("explain", context=context, sql=sql, dialect=dialect, question=options.question)
        result.says = self._words(text, values)

    def _planned(self, result: SQLResult) -> str:
        """The plan; of a query for another database that cannot be run here, nothing, with a note."""
        try:
            plan = self.runner.plan(result.sql)
        except QueryFailed as error:
            if self.prompt.options.run or not self.is_foreign:
                raise
            result.notes = (*result.notes, f"No plan: {error.message}")
            return ""
        expected = f"about {plan.rows:,} rows expected" if plan.rows is not None else ""
        return "\n".join(part for part in (plan.text, expected) if part)

    def answer(self, result: SQLResult) -> None:
        """Add the answer in words, from the first rows of the result."""
        question, rows = self.prompt.options.question, redact(result.frame.head(_ROWS_TOLD).to_csv(index=False))[0]
        context = fence("result", "first rows", rows)
        text = prompts.render(
            "answer", context=context, sql=self.told(result.sql), count=result.count, question=question
        )
        values = {"task": "result", "question": question, "rows": rows, "returned": result.count}
        result.answer = self._words(text, values)

    def _words(self, question: str, values: dict[str, str]) -> str:
        messages = [{"role": "system", "content": prompts.load("ask")}, {"role": "user", "content": question}]
        return self.send(messages, described=lambda: values).text.strip()
