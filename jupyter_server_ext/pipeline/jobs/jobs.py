"""Jobs as people make, see, cancel and repeat them."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec

from jupyter_server_ext.errors import BadRequest, LimitExceeded
from jupyter_server_ext.identity import require
from jupyter_server_ext.pipeline.jobs.files import PURPOSE
from jupyter_server_ext.pipeline.jobs.values import ENDPOINTS, NOTEBOOKS, BatchJob, NoSuchJob
from jupyter_server_ext.pipeline.money import NANODOLLARS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_server_ext.config import JobSettings
    from jupyter_server_ext.ledger import LedgerPage, PromptVault, SqlLedgerStore
    from jupyter_server_ext.messages import Caller
    from jupyter_server_ext.pipeline.jobs.files import Files
    from jupyter_server_ext.pipeline.jobs.job_store import SqlJobs

T = TypeVar("T")

_WINDOW = re.compile(r"([1-9][0-9]{0,3})([hd])")
_SECONDS = {"h": 3600.0, "d": 86_400.0}
_MOST_METADATA, _LONGEST_NAME, _LONGEST_VALUE = 16, 64, 512  # as OpenAI has it
_A_DAY = 86_400.0
_DOLLARS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?")


@dataclass(eq=False, repr=False)
class Jobs:
    """Makes, lists, cancels and repeats jobs, for a caller each time, or for those who see a tenant's."""

    files: Files  # whose database they are in, too
    settings: JobSettings
    _: KW_ONLY
    changed: Callable[[], None] = lambda: None  # called when there may be more to do
    clock: Callable[[], float] = time.time  # Unix time
    # Raises an error where a caller may not hand over notebooks.
    refuse_notebooks: Callable[[Caller], None] = lambda _: None

    async def make(
        self,
        caller: Caller,
        file: str,
        endpoint: str,
        *,
        window: str = "24h",  # for which it may take, such as ``24h`` or ``7d``
        metadata: Mapping[str, str] | None = None,  # ``budget_usd`` in it is the most that the job may cost
        kept_seconds: float | None = None,  # for which its results are kept; as long as the settings say when None
    ) -> BatchJob:
        """Make a job of a file.

        Raises:
            BadRequest: A field is wrong, or the file has too many lines.
            NotPermitted: The caller lacks the scope of what the lines ask.
            NoSuchFile: The caller has no such file.
            LimitExceeded: The caller has too many jobs under way.
            LedgerUnavailable: It cannot be kept.
        """
        if endpoint not in ENDPOINTS:
            raise BadRequest(f"'endpoint' must be one of: {', '.join(ENDPOINTS)}.", param="endpoint")
        require(caller, ENDPOINTS[endpoint])
        if endpoint == NOTEBOOKS:
            self.refuse_notebooks(caller)
        sent = await self.files.one(caller, file)
        if sent.purpose != PURPOSE:
            raise BadRequest("This file holds results. Send one with the purpose batch.", param="input_file_id")
        if endpoint == NOTEBOOKS and sent.lines != 1:
            words = "A file that hands over notebooks has one line, a call of rsql run. Make a job of each."
            raise BadRequest(words, param="input_file_id")
        if sent.lines > self.settings.lines:
            words = f"The file has {sent.lines:,} lines. A job may have {self.settings.lines:,}; split the file."
            raise BadRequest(words, param="input_file_id")
        seconds = self.seconds_of(window)
        if kept_seconds is not None and not 0 < kept_seconds <= self.settings.days * _A_DAY:
            words = f"'output_expires_after.seconds' must be at most {self.settings.days * _A_DAY:.0f}."
            raise BadRequest(words, param="output_expires_after")
        told, now = _checked(metadata), self.clock()
        job = BatchJob(
            f"batch_{secrets.token_hex(12)}",
            caller.name,
            caller.tenant,
            caller.key,
            endpoint,
            file,
            window,
            "in_progress",
            made=now,
            expires=now + seconds,
            pieces=sent.pieces,
            total=sent.lines,
            metadata=msgspec.json.encode(told).decode(),
            kept_seconds=kept_seconds,
            budget_nanodollars=_budget(told),
        )
        made = await self.write(lambda jobs: jobs.add(job, self.settings.per_caller))
        if made is None:
            words = (
                f"You have {self.settings.per_caller} jobs under way, which is the most. Wait for one, or cancel it."
            )
            raise LimitExceeded(words, code="too_many_jobs", retry_after=60.0)
        self.changed()
        return made

    async def one(self, caller: Caller, job: str) -> BatchJob:
        """A job of a caller.

        Raises:
            NoSuchJob: There is none of this id.
        """
        return await self._found(job, caller.name)

    async def page(
        self, page: LedgerPage, *, caller: str | None = None, tenant: str | None = None, state: str = ""
    ) -> list[BatchJob]:
        """Jobs, the newest first, of a caller, a tenant, or all; and one more where there are more."""
        return await self.ask(lambda jobs: jobs.page(page, caller=caller, tenant=tenant, state=state))

    async def seen(self, job: str, tenant: str | None) -> BatchJob:
        """A job of a tenant, or of any when None.

        Raises:
            NoSuchJob: There is none of this id.
        """
        found = await self._found(job, None)
        if tenant not in (None, found.tenant):
            raise NoSuchJob("There is no such job. GET admin/api/jobs lists them.", param="id")
        return found

    async def cancel(self, job: BatchJob) -> BatchJob:
        """Take no more lines of a job; those under way are still answered. One that has ended stays as it is.

        Raises:
            LedgerUnavailable: That cannot be kept.
        """
        stopped = await self.write(lambda jobs: jobs.stop(job.id, "batch_cancelled"))
        self.changed()
        return stopped or job

    async def again(self, job: BatchJob) -> BatchJob:
        """Have the failed lines of a job that has ended asked again, for as long as it had at first.

        Raises:
            BadRequest: It has not ended, nothing of it failed, or its file is gone.
        """
        if job.is_active or not job.failed:
            words = "has not ended yet" if job.is_active else "has no failed lines"
            raise BadRequest(f"The job {words}, so there is nothing to ask again.", code="nothing_failed", status=409)
        seconds = self.seconds_of(job.completion_window)
        if not await self.write(lambda jobs: jobs.again(job, seconds)):
            raise BadRequest("The job's file is gone. Send it again, for a new job.", code="file_gone", status=409)
        self.changed()
        return await self._found(job.id, None)

    async def forget(self, caller: str) -> None:
        """Remove all jobs and files of a caller."""
        if self.files.ledger.keeps:
            for job in await self.ask(lambda jobs: jobs.of(caller)):
                await self._remove(job)
            await self.files.forget(caller)

    async def tidy(self) -> None:
        """Remove what has expired."""
        await self.files.tidy()
        now = self.clock()
        for job in await self.ask(lambda jobs: jobs.old(now)):
            await self._remove(job)

    async def ask(self, what: Callable[[SqlJobs], T]) -> T:
        """Ask the database.

        Raises:
            LedgerUnavailable: There is none (404), or it does not answer (503).
        """
        return await self.files.ledger.ask(lambda store: what(_of(store, self.files.vault)))

    async def write(self, what: Callable[[SqlJobs], T]) -> T:
        """Change the database, beside the writing of entries."""
        return await self.files.ledger.write(lambda store: what(_of(store, self.files.vault)))

    async def _remove(self, job: str) -> None:
        while await self.write(lambda jobs: jobs.remove(job)):
            pass

    async def _found(self, job: str, caller: str | None) -> BatchJob:
        found = await self.ask(lambda jobs: jobs.find(job, caller))
        if found is None:
            raise NoSuchJob("There is no such job. GET v1/batches lists yours.", param="batch_id")
        return found

    def seconds_of(self, window: str) -> float:
        """The seconds that a job may take, by its ``completion_window``.

        Raises:
            BadRequest: It is none, or too long.
        """
        found = _WINDOW.fullmatch(window)
        seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
        if not 0 < seconds <= self.settings.days * _A_DAY:
            words = f"'completion_window' must be like 24h or 7d, and at most {self.settings.days:g}d."
            raise BadRequest(words, param="completion_window")
        return seconds


def _budget(metadata: Mapping[str, str]) -> int | None:
    given = metadata.get("budget_usd")
    if given is None:
        return None
    if not _DOLLARS.fullmatch(given) or not (amount := round(float(given) * NANODOLLARS)):
        raise BadRequest("'metadata.budget_usd' must be US dollars as a text, such as \"2.50\".", param="metadata")
    return amount


def _checked(metadata: Mapping[str, str] | None) -> Mapping[str, str]:
    given = {} if metadata is None else metadata
    if (
        not isinstance(given, dict)
        or len(given) > _MOST_METADATA
        or not all(isinstance(text, str) for text in given.values())
        or any(len(name) > _LONGEST_NAME or len(text) > _LONGEST_VALUE for name, text in given.items())
    ):
        words = f"'metadata' may have {_MOST_METADATA} texts of {_LONGEST_VALUE} characters each."
        raise BadRequest(words, param="metadata")
    return given


def _of(store: SqlLedgerStore, vault: PromptVault | None) -> SqlJobs:
    from jupyter_server_ext.pipeline.jobs.file_store import TextSeal
    from jupyter_server_ext.pipeline.jobs.job_store import SqlJobs

    return SqlJobs(store.engine, TextSeal(vault), store.now)
