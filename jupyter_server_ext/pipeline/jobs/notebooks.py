"""Notebooks that callers hand over: run by another program, a *runner*, with a key of its own."""

# The gateway runs no code of notebooks. It starts the program that its administrator names (``[notebooks]``), without
# a shell and without its own environment, and speaks with it over standard input and output, a JSON object a line:
#
#   to the runner     {"call": …, "gateway": URL, "token": …, "seconds": …, "budget_usd": …, "recorded": "lines"}
#                     then nothing more; the end of standard input means: stop.
#   from the runner   {"progress": …} and {"recorded": "lines"}, as they come; {"result": …} at last.
#
# So the runner may be another user, a container or another machine: nothing but these two pipes joins them, and a
# gateway that is killed leaves no run behind. What was recorded is a file of the caller, with which the next attempt
# goes on without buying an answer twice.

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager, suppress
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec
from tornado.log import app_log

from jupyter_server_ext.config import ASKING, CallerLimits, held
from jupyter_server_ext.errors import BadRequest, LedgerUnavailable, NotPermitted, RsqlGatewayError
from jupyter_server_ext.pipeline.jobs.values import STOPS, LineOutcome, StoredFile, body_of, ran, unasked
from jupyter_server_ext.pipeline.money import NANODOLLARS

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Callable

    from jupyter_server_ext.config import NotebookSettings
    from jupyter_server_ext.identity import VirtualKeys
    from jupyter_server_ext.messages import Caller
    from jupyter_server_ext.pipeline.jobs.jobs import Jobs
    from jupyter_server_ext.pipeline.jobs.values import BatchJob, JobLine, LineState

# What a runner gets of the gateway's environment: where programs, kernels and libraries are. Never a key or a token.
_USUAL = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|LD_LIBRARY_PATH|R_HOME|R_LIBS(_USER|_SITE)?"
    r"|CONDA_PREFIX|VIRTUAL_ENV|JUPYTER_PATH|JUPYTER_DATA_DIR"
    r"|SYSTEMROOT|PATHEXT|USERPROFILE|APPDATA|LOCALAPPDATA|TEMP|TMP"
)
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}")  # a name that no program takes for an option or a path
_PLACEHOLDER = re.compile(r"\{(user|group|job)\}")
_LAST_SECONDS = 12.0  # that a run has to stop and to hand in what it has …
_KILL_SECONDS = 3.0  # … and after SIGTERM
_LOOK_SECONDS = 0.05  # between two looks whether a runner has ended
_NOTE_SECONDS = 1.0  # between two notes of how far a run is
_LONGEST_ERROR = 4096  # bytes of standard error that are looked at
_A_DAY = 86_400.0
_MOST_RUNS, _LONGEST_TEXT = 1000, 300  # in what a runner says of itself
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class RunProgress(msgspec.Struct, frozen=True):
    """How far one notebook of a call is, as the runner says."""

    name: str
    state: str
    done: int = 0
    cells: int = 0
    waits: str = ""


class CallProgress(msgspec.Struct, frozen=True):
    """How far a call is, and what it has cost as far as its kernels know."""

    runs: list[RunProgress]
    cost_usd: float = 0.0


class _Said(msgspec.Struct, frozen=True):
    progress: CallProgress | None = None
    recorded: str = ""
    result: msgspec.Raw = msgspec.Raw()  # empty for none


class _Result(msgspec.Struct, frozen=True):
    succeeded: bool
    message: str = ""


_said, _result = msgspec.json.Decoder(_Said), msgspec.json.Decoder(_Result)


class NoRunner(RsqlGatewayError):
    """This gateway runs no notebooks."""

    status, code, type = 501, "no_runner", "invalid_request_error"


class RunnerFailed(RsqlGatewayError):
    """A runner ended without a result."""

    status, code = 502, "runner_failed"


@dataclass(frozen=True)
class OwnServer:
    """A person's own Jupyter Server: who reaches its kernels may run code there anyway, as the same user."""

    person: str  # the name of its caller
    runner: tuple[str, ...] = (sys.executable, "-P", "-m", "rsql_magic.cli", "run", "--handed-over")


class _Attempt(NamedTuple):
    job: BatchJob
    order: bytes  # what the runner is told
    recording: str  # the file that what it records is added to
    seconds: float  # that it has
    spent: int  # nano-dollars that attempts before it spent, of a gateway that was killed


@dataclass(eq=False, repr=False)
class NotebookRuns:
    """Has notebooks run by runners, a process for each call."""

    settings: NotebookSettings
    jobs: Jobs
    keys: VirtualKeys
    own: OwnServer | None = None  # where there is a runner without the settings
    _: KW_ONLY
    address: str = ""  # the gateway's, for kernels of this machine; known once it listens
    clock: Callable[[], float] = time.time  # Unix time
    _stops: dict[str, asyncio.Event] = field(default_factory=dict)  # of calls under way, by job

    def refuse(self, caller: Caller) -> None:
        """Let only those hand over notebooks who may, where they can be run.

        Raises:
            NoRunner: Nobody has said who would run them.
            NotPermitted: The caller is not the person whose server this is, or no account of the system.
        """
        if not self._command:
            raise NoRunner(
                "This gateway runs no notebooks: it keeps the providers' keys, and no code of others beside them. "
                "Leave --on-gateway out, in a terminal of your server; or your administrator sets 'runner' in "
                "[notebooks] of the rsql.toml."
            )
        if not self.settings.runner and self.own is not None and caller.name != self.own.person:
            raise NotPermitted("Only the person whose server this is may run notebooks here.", code="not_permitted")
        if self.settings.runner and (not _ACCOUNT.fullmatch(caller.name) or caller.name == "root"):
            raise NotPermitted("No notebooks are run for an account of your name.", code="not_permitted")

    def stop(self, job: str) -> None:
        """Have the run of a job stop, and hand in what it has."""
        if job in self._stops:
            self._stops[job].set()

    async def run(self, line: JobLine, caller: Caller, left: float) -> LineOutcome:
        """Run the notebooks of a line to their end, for as many seconds as their job has left, and say what came of it.

        Raises:
            RsqlGatewayError: Nothing was run, or the runner failed; with what that has cost.
        """
        self.refuse(caller)
        job, result, failure = line.job, None, None
        attempt = await self._begin(line, caller, left)
        # Where this is cancelled, as the gateway ends, the next attempt settles what was spent.
        stop = self._stops[job.id] = asyncio.Event()
        try:
            result = await self._result(attempt, stop)
        except RsqlGatewayError as error:
            failure = error
        finally:
            del self._stops[job.id]
        cost = attempt.spent + await self._end_keys(job)
        if failure is not None:
            failure.cost_nanodollars = cost
            raise failure
        return LineOutcome(line, *await self._told(line, result), attempts=line.attempts, cost_nanodollars=cost)

    async def _told(self, line: JobLine, result: bytes | None) -> tuple[LineState, bytes]:
        found = await self.jobs.ask(lambda jobs: jobs.find(line.job.id, None))
        reason = found.stopped_for if found is not None else "batch_cancelled"
        if result is None:
            reason = reason or "batch_cancelled"
            return "failed", unasked(line, reason, STOPS[reason])
        told = _result.decode(result)
        if told.succeeded:
            return "done", ran(line, result)
        message = STOPS.get(reason) or _plain(told.message) or "A notebook failed."
        return "failed", ran(line, result, reason or "notebook_failed", message)

    # Before and after a run

    async def _begin(self, line: JobLine, caller: Caller, left: float) -> _Attempt:
        """A key of the run's own, what was recorded before, and what the runner is told."""
        job = line.job
        try:
            call = msgspec.json.decode(body_of(line))
            seconds = float(call.get("seconds") or 0.0)
        except (msgspec.DecodeError, AttributeError, TypeError, ValueError):
            raise BadRequest("The line's 'body' is no call of rsql run.", code="invalid_json_line") from None
        window = self.jobs.seconds_of(job.completion_window)  # begun anew where failed lines are asked again
        left -= max(0.0, window - seconds) if seconds > 0 else 0.0
        if left <= 0:
            raise BadRequest(STOPS["batch_expired"], code="batch_expired")
        spent = await self._end_keys(job)
        budget = None if job.budget_nanodollars is None else job.budget_nanodollars - job.cost_nanodollars - spent
        if budget is not None and budget <= 0:
            over = NotPermitted(STOPS["budget_exceeded"], code="budget_exceeded")
            over.cost_nanodollars = spent
            raise over
        dollars = None if budget is None else budget / NANODOLLARS
        limits, days = CallerLimits(usd_per_month=dollars), left / _A_DAY
        # Kernels ask and read; a notebook must not hand over others, nor what was said elsewhere.
        scopes = (ASKING | {"documents:read"}) & held(caller.scopes)
        name = _key_name(job)
        _, token = await self.keys.make(caller, name, days=days, limits=limits, scopes=scopes, is_counted=False)
        recording = await self._recording(job)
        pieces = [piece async for piece in self.jobs.files.content(recording)]
        told = {
            "call": call,
            "gateway": self.settings.address or self.address,
            "token": token.reveal(),
            "seconds": left,
            "budget_usd": dollars,
            "recorded": b"".join(pieces).decode(errors="replace"),
        }
        return _Attempt(job, msgspec.json.encode(told) + b"\n", recording.id, left, spent)

    async def _recording(self, job: BatchJob) -> StoredFile:
        """The file of what was recorded, which its caller may read, too."""
        expires = job.expires + (job.kept_seconds or self.jobs.settings.days * _A_DAY)
        whose = (job.recording_id, job.caller, job.tenant, f"{job.id}_recording.jsonl")
        file = StoredFile(*whose, "batch_output", "ready", 0, 0, 0, self.clock(), expires)
        return await self.jobs.files.write(lambda files: files.begun(file))

    async def _end_keys(self, job: BatchJob) -> int:
        """Revoke the keys of a job's runs; what was spent by them, in nano-dollars, as the ledger has it."""
        spent, ledger = 0, self.jobs.files.ledger
        for key in [one for one in await self.keys.of(None) if one.name == _key_name(job)]:
            await self.keys.revoke(key.id, None)
            spent += await ledger.ask(lambda store: store.spent_by_key(key.id))  # noqa: B023 - awaited here
        return spent

    # The run

    async def _result(self, attempt: _Attempt, stop: asyncio.Event) -> bytes | None:
        """What the runner hands in; None where it was stopped and had nothing.

        Raises:
            RunnerFailed: It ended without.
            BadRequest: The notebooks show more than they may.
        """
        async with self._process(attempt.job) as process:
            to_runner = _input_of(process)
            to_runner.write(attempt.order)
            errors = asyncio.create_task(_last_words(process), name="rsql-runner-errors")
            reading = asyncio.create_task(self._read(process, attempt), name="rsql-runner")
            stopped = asyncio.create_task(stop.wait(), name="rsql-runner-stop")
            ended = asyncio.create_task(_over(process), name="rsql-runner-end")
            waiting = {reading, stopped, ended}
            try:
                await asyncio.wait(waiting, timeout=attempt.seconds, return_when=asyncio.FIRST_COMPLETED)
                to_runner.close()  # stop, and hand in what there is
                await asyncio.wait({reading}, timeout=_LAST_SECONDS)
                await _end(process)
                result = await reading if reading.done() else None
                if result is None and not stop.is_set():
                    # What it has started may hold its pipes open, such as kernels that outlive it.
                    await asyncio.wait({errors}, timeout=_KILL_SECONDS)
                    raise _failed(process.returncode or 0, await errors if errors.done() else "")
            finally:
                for task in (errors, *waiting):
                    task.cancel()
                await asyncio.gather(errors, *waiting, return_exceptions=True)
        return result

    @asynccontextmanager
    async def _process(self, job: BatchJob) -> AsyncIterator[Process]:
        """A runner's process, which has ended afterwards."""
        of, kept = {"user": job.caller, "group": job.tenant, "job": job.id}, self.settings.environment
        words = [_PLACEHOLDER.sub(lambda found: of[found[1]], word) for word in self._command]
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                limit=int(self.settings.output_mb * 1e6),
                env={name: text for name, text in os.environ.items() if _USUAL.fullmatch(name) or name in kept},
                cwd="/",
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            app_log.error("rsql: the runner of notebooks cannot be started: %s", error)
            why = "The runner of notebooks cannot be started. Its log has the reason: tell the gateway's administrator."
            raise RunnerFailed(why) from None
        try:
            yield process
        finally:
            await asyncio.shield(_end(process))
            # Pipes that another process holds would stay open; asyncio has no public way to close them.
            process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001

    async def _read(self, process: Process, attempt: _Attempt) -> bytes | None:
        """Take in what a runner says, until its result; None where it ends before.

        Raises:
            BadRequest: It says too much.
        """
        recorded, most = 0, self.settings.output_mb * 1e6
        from_runner = cast("StreamReader", process.stdout)
        async with self._noting(attempt.job.id) as note:
            while True:
                try:
                    text = await from_runner.readline()
                except ValueError:  # a line that is longer than the limit
                    raise self._too_much() from None
                if not text.endswith(b"\n"):
                    return None
                try:
                    said = _said.decode(text)
                    if result := bytes(said.result):
                        _result.decode(result)
                        return result
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    continue  # something else wrote it
                if lines := said.recorded.encode("utf-8", "replace"):
                    if (recorded := recorded + len(lines)) > most:
                        raise self._too_much()
                    await self.jobs.files.write(lambda files: files.append(attempt.recording, lines))
                if said.progress is not None:
                    note(said.progress)

    @asynccontextmanager
    async def _noting(self, job: str) -> AsyncIterator[Callable[[CallProgress], None]]:
        """What keeps how far a run is: the first news at once, later ones every second, the last at the end."""
        latest, is_new = "", asyncio.Event()

        def note(progress: CallProgress) -> None:
            nonlocal latest
            latest = _bounded(progress)
            is_new.set()

        async def keep() -> None:
            is_new.clear()
            text = latest
            with suppress(LedgerUnavailable):  # the run goes on, and later news have all of these
                await self.jobs.write(lambda jobs: jobs.note(job, text))

        async def keep_on() -> None:
            while await is_new.wait():
                await keep()
                await asyncio.sleep(_NOTE_SECONDS)

        keeping = asyncio.create_task(keep_on(), name="rsql-runner-progress")
        try:
            yield note
            if is_new.is_set():
                await keep()
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    def _too_much(self) -> BadRequest:
        words = f"What the notebooks show is larger than {self.settings.output_mb:g} MB. Show less in them."
        return BadRequest(words, code="output_too_large", status=413)

    @property
    def _command(self) -> tuple[str, ...]:
        return self.settings.runner or (self.own.runner if self.own is not None else ())


async def _over(process: Process) -> None:
    """Wait for the end of a process, also where another one holds its pipes, for which ``Process.wait`` waits."""
    while process.returncode is None:  # noqa: ASYNC110 - asyncio sets it and wakes nobody before the pipes close
        await asyncio.sleep(_LOOK_SECONDS)


async def _end(process: Process) -> None:
    """End a runner with its group of processes: asked by the end of its input, then told, then killed."""
    _input_of(process).close()
    for number in ("SIGTERM", "SIGKILL"):
        with suppress(TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS):
                await _over(process)
                return
        with suppress(OSError):  # it is gone, or another user's, whom the end of its input reaches
            _signal(process, number)


def _signal(process: Process, name: str) -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.Signals[name])
    else:  # Windows
        process.kill()


def _input_of(process: Process) -> StreamWriter:
    return cast("StreamWriter", process.stdin)


async def _last_words(process: Process) -> str:
    """The last line of a runner's standard error."""
    errors, kept = cast("StreamReader", process.stderr), b""
    while piece := await errors.read(_LONGEST_ERROR):
        kept = (kept + piece)[-_LONGEST_ERROR:]
    lines = [line for line in kept.decode(errors="replace").splitlines() if line.strip()]
    return _plain(lines[-1]) if lines else ""


def _failed(code: int, words: str) -> RunnerFailed:
    how = f"was killed by signal {-code}" if code < 0 else f"ended with the exit code {code}"
    return RunnerFailed(f"The runner {how}, without a result{f': {words}' if words else '.'}")


def _bounded(progress: CallProgress) -> str:
    """What a runner says of itself, as it is kept."""
    runs = [
        RunProgress(_plain(one.name), _plain(one.state), one.done, one.cells, _plain(one.waits))
        for one in progress.runs[:_MOST_RUNS]
    ]
    return msgspec.json.encode(CallProgress(runs, progress.cost_usd)).decode()


def _plain(text: str) -> str:
    return _CONTROLS.sub(" ", text).strip()[:_LONGEST_TEXT]


def _key_name(job: BatchJob) -> str:
    return f"notebooks {job.id}"
