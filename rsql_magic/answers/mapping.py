"""``map``: a question about each row of a frame becomes columns of it."""

from __future__ import annotations

import secrets
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rsql_magic.answers.row_frames import RowFrame
from rsql_magic.answers.row_jobs import MANY, ask_by_job, takes_jobs
from rsql_magic.answers.row_types import columns_of
from rsql_magic.answers.rows import DifferentRows, KnownRows, Progress, RowAsker, RowPrices, RowQuestion, counts_of
from rsql_magic.display import CellOutput, plain_markdown
from rsql_magic.errors import BadInput
from rsql_magic.gateway import Usage, filtered, hashes_of
from rsql_magic.plain_text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rsql_magic.display import Screen
    from rsql_magic.gateway import GatewayLocator, Patience
    from rsql_magic.sql import Privacy

ERRORS = "error"
"""The column that says why values are missing."""
_MOST_AT_ONCE = 64


@dataclass(frozen=True)
class MapOptions:
    """How rows are asked about."""

    model: str | None = None
    privacy: Privacy = "stats"
    budget: float | None = None  # US dollars
    rows_per_request: int | None = None  # None for as many as pays
    concurrency: int = 8  # requests at a time
    fresh: bool = False  # whether what is known from before is asked again
    by_job: bool | None = None  # None for a job where there are many requests and no budget

    def __post_init__(self) -> None:
        if self.budget is not None and not self.budget > 0:
            raise BadInput(f"A budget of {self.budget!r} allows nothing.", hint="budget=0.50 is half a dollar.")
        if self.rows_per_request is not None and not 1 <= self.rows_per_request <= 100:
            raise BadInput("rows_per_request is 1 to 100.", hint="Leave it out to have it chosen.")
        if not 1 <= self.concurrency <= _MOST_AT_ONCE:
            raise BadInput(f"concurrency is 1 to {_MOST_AT_ONCE}.", hint="The gateway's own limits hold too.")


@dataclass
class RowMap:
    """One frame on its way through a model."""

    locator: GatewayLocator
    screen: Screen
    folder: Path | None  # where answers are kept; None for nowhere
    is_restricted: Callable[[str], bool]  # whether a dictionary says that values of a column are not shown
    draw: Callable[[int, int, str], None]  # a bar
    record: Mapping[str, Any] = field(default_factory=dict, init=False)  # where the answers of the last came from
    _waits: str = field(default="", init=False)  # what it said last that it waits for

    def of(self, frame: Any, text: str, returns: Mapping[str, Any], options: MapOptions) -> Any:
        """The frame with a column for each of ``returns`` and one that says why values are missing.

        How many rows failed or were not asked about stands in ``record`` and is shown at the end.
        """
        told, question, rows = self._asked(frame, text, returns, options)
        patience = self.locator.terms.patience.of_another()
        asker = self._asker(question, rows, options, patience)
        self._announce(asker, len(told))
        with patience.telling(asker.progress.wait_for), closing(asker.known):
            if options.by_job is not False and self._fits_a_job(asker, options, patience):
                ask_by_job(asker, lambda: self.locator.gateway, patience, options.budget)
                self.locator.terms.note_cost(asker.progress.cost_usd)
            asker.ask()
        if self._waits:
            self.screen.waiting("waited, and went on")
        self._sum_up(asker)
        outcomes = [asker.outcomes[place] for place in rows.places]
        added = {each.name: (each.kind, [one.values.get(each.name) for one in outcomes]) for each in question.columns}
        return told.with_columns({**added, ERRORS: ("str", [one.problem or None for one in outcomes])})

    def preview(self, frame: Any, text: str, returns: Mapping[str, Any], options: MapOptions) -> str:
        """The first request that would be sent, as it would leave; no model is asked."""
        _, question, rows = self._asked(frame, text, returns, options)
        asker = self._asker(question, rows, options, self.locator.terms.patience.of_another())
        self._announce(asker, len(rows.places))
        batches = asker.batches()
        messages, _ = filtered(asker.messages(batches[0] if batches else []))
        return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in messages)

    def _asked(
        self, frame: Any, text: str, returns: Mapping[str, Any], options: MapOptions
    ) -> tuple[RowFrame, RowQuestion, DifferentRows]:
        told, columns = RowFrame.of(frame), columns_of(returns)
        for name in (*(each.name for each in columns), ERRORS):
            if name in told.names:
                hint = "Drop it, or give the new one another name."
                raise BadInput(f"The frame has a column {name} already.", hint=hint)
        question = RowQuestion(text, columns, options.model)
        names = question.names_within(told.names)
        self._refuse_what_may_not_leave(names, options.privacy)
        return told, question, DifferentRows.of({name: told.values(name) for name in names})

    def _refuse_what_may_not_leave(self, names: list[str], level: Privacy) -> None:
        if restricted := next(filter(self.is_restricted, names), None):
            raise BadInput(f"The dictionary restricts {restricted}: its values may not be shown.", hint="Leave it out.")
        self.locator.learn_policy()
        if level != "sample":
            said = ", ".join(names)
            hint = 'Allow it with --privacy sample (privacy="sample" in Python).'
            raise BadInput(f"The values of {said} would be sent to the model, and the level is {level}.", hint=hint)
        if (most := self.locator.most(level)) != "sample":
            hint = "Ask the administrator, or a model of your own."
            raise BadInput(f"The gateway's policy lets no rows leave; its level is {most}.", hint=hint)

    def _asker(self, question: RowQuestion, rows: DifferentRows, options: MapOptions, patience: Patience) -> RowAsker:
        # A recording holds requests: they must not depend on what this machine knows.
        keeps = self.locator.replay is None and not options.fresh
        price = self.locator.terms.prices(question.model) if self.locator.replay is None else None
        asker = RowAsker(
            question,
            rows,
            lambda messages, **more: self.locator.waiting_client(patience).stream(messages, **more),
            KnownRows(self.folder / "rows.db" if self.folder and keeps else None),
            together=options.rows_per_request,
            at_once=options.concurrency,
            budget=options.budget,
            prices=RowPrices(*price) if price else None,
            run=secrets.token_hex(8) if options.fresh and self.locator.replay is None else "",
        )
        patience.pause = asker.pause
        asker.tell = self._show
        return asker

    def _show(self, progress: Progress) -> None:
        """Show how far it is; where nobody watches, what is waited for."""
        self.draw(progress.done, progress.rows, progress.said)
        if self.locator.patience is not None and progress.waiting not in {"", self._waits}:
            self._waits = progress.waiting
            self.screen.waiting(self._waits)

    def _fits_a_job(self, asker: RowAsker, options: MapOptions, patience: Patience) -> bool:
        """Whether a job of the gateway asks: it keeps no budget of several runs, and is recorded nowhere."""
        if options.by_job is None and (options.budget is not None or len(asker.batches()) < MANY):
            return False
        may = self.locator.replay is None and self.locator.terms.budget is None
        if may and patience.until_answered(lambda: takes_jobs(self.locator.gateway)):
            return bool(asker.open)
        if options.by_job:
            hint = "Leave by_job out: rows are asked about from here."
            raise BadInput("The gateway takes no jobs, or a recording or a budget of rsql run is in use.", hint=hint)
        return False

    def _announce(self, asker: RowAsker, rows: int) -> None:
        requests, tokens, cost = asker.estimate()
        known = f", {asker.progress.known:,} of them known from before" if asker.progress.known else ""
        dollars = "free" if cost == 0 else f"about ${cost:.4f}" if cost else "a price that the gateway does not tell"
        takes = f": {dollars}, {counted(requests, 'request')}, {tokens:,} tokens" if requests else ""
        self.screen.say(f"{counted(asker.progress.rows, 'different row')} of {rows:,}{known}{takes}.")
        if requests:
            self.screen.say(f"The values of {', '.join(asker.rows.names)} are sent to the model.")

    def _sum_up(self, asker: RowAsker) -> None:
        self.record = _record(asker)
        progress = asker.progress
        cost = f"${progress.cost_usd:.4f}, " if progress.cost_usd is not None else ""
        tokens = progress.prompt_tokens + progress.completion_tokens
        said = [f"Done: {cost}{counted(progress.requests, 'request')}, {tokens:,} tokens."]
        if untold := sum(bool(one.problem) for one in asker.outcomes.values() if one.state == "answered"):
            verb = "lacks" if untold == 1 else "lack"
            said.append(f"{counted(untold, 'different row')} {verb} a value: the column {ERRORS} says why.")
        said += problems_of(self.record)
        if asker.redacted:
            said.append(f"{asker.redacted:,} secrets or identifiers of persons were replaced before sending.")
        text = "\n".join(said)
        self.screen.show(CellOutput("\n\n".join(map(plain_markdown, said)), text, metadata={"rsql": self.record}))


def _record(asker: RowAsker) -> dict[str, Any]:
    """Where answers about rows came from, as an output keeps it."""
    progress, model = asker.progress, asker.progress.model or asker.question.model or ""
    # Hashes of all rows, however they were asked about and whatever was known: the same call has the same ones.
    told = asker.question.messages(asker.rows.names, [], [])
    prompt, _ = hashes_of([*told, {"role": "user", "content": "".join(asker.keys)}])
    _, context = hashes_of([{"role": "user", "content": f'<data kind="rows">{"".join(asker.keys)}</data>'}])
    usage = Usage(
        progress.prompt_tokens,
        progress.completion_tokens,
        progress.requests,
        model=model,
        request_id=progress.request_id,
        prompt_sha256=prompt,
        context_sha256=context,
        cost_usd=progress.cost_usd,
        cached=not progress.requests,
        replayed=progress.replayed,
        free=not progress.requests,
    )
    return {**usage.record(), "rows": counts_of(asker)}


def problems_of(record: Mapping[str, Any]) -> list[str]:
    """What is wrong with answers about rows, a sentence each; empty where each row that was asked about has one.

    Example:
        >>> problems_of({"rows": {"failed": 1, "unasked": 0}})
        ['1 different row has no answer that can be used: the same call asks about it alone.']
    """
    said: list[str] = []
    rows = record["rows"]
    if failed := rows["failed"]:
        verb, them = ("has", "it") if failed == 1 else ("have", "them")
        what = f"{counted(failed, 'different row')} {verb} no answer that can be used"
        said.append(f"{what}: the same call asks about {them} alone.")
    if unasked := rows["unasked"]:
        verb = "was" if unasked == 1 else "were"
        said.append(f"{counted(unasked, 'different row')} {verb} not asked about: the budget does not reach.")
    return said


def fails(record: Mapping[str, Any]) -> bool:
    """Whether a program should stop: rows failed, or the budget reached none of those that were to be asked about.

    Example:
        >>> fails({"rows": {"different": 9, "known": 0, "answered": 5, "failed": 0, "unasked": 4}})
        False
        >>> fails({"rows": {"different": 9, "known": 5, "answered": 5, "failed": 0, "unasked": 4}})
        True
    """
    rows = record["rows"]
    return bool(rows["failed"] or (rows["unasked"] and rows["answered"] == rows["known"]))
