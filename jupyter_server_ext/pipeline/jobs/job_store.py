"""Jobs and their lines in the ledger's database: taken by one gateway at a time, settled once."""

# A line is leased to one gateway (``leases.py``), which renews its leases while it lives. Before it gives a line to a
# provider it writes that down, and what that may cost. Where the leases end, others take the lines that were not given
# away; those that were may have been paid for, so they are taken only when their gateway is known to be gone: it says
# so at its end, its next life does, or it has been silent for ``_GONE_SECONDS``. What came of a line is kept only by
# who has its last lease, so it stands once in the results, whoever answers late.
#
# The lines of a file become rows piece by piece, as they are needed: a job of 100,000 lines begins at once.

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import sqlalchemy as sa

from jupyter_server_ext.ledger import (
    NO_LEASE,
    RowLease,
    database_time,
    is_free,
    job_file_pieces,
    job_files,
    job_lines,
    jobs,
    lease_rows,
    renew_leases,
)
from jupyter_server_ext.pipeline.jobs.file_store import begin_to_write, delete_some, read_piece
from jupyter_server_ext.pipeline.jobs.values import (
    ACTIVE,
    LINES_OF,
    STATE_AFTER,
    BatchJob,
    JobLine,
    LineOutcome,
    StoredFile,
    custom_id_of,
    digest_of,
    lines_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jupyter_server_ext.ledger import DatabaseClock, LedgerPage
    from jupyter_server_ext.pipeline.jobs.file_store import TextSeal

_AT_ONCE = 500  # rows of one statement
_REPEAT = "repeat "  # before the number of a line whose ``custom_id`` an earlier one has
_KEPT_JOBS = 30 * 86_400.0  # seconds for which a job is listed after its end
_GONE_SECONDS = 900.0  # after the end of its leases, from which on a gateway that is silent is taken for gone


class JobRound(NamedTuple):
    """What one round of work brought."""

    lines: list[JobLine]  # those that were taken
    active: list[BatchJob]  # all jobs that have lines to settle, the oldest first
    ended: list[BatchJob]  # jobs that have none any more, and of which nobody was told yet
    now: float  # Unix time by the database's clock
    lost: list[str] = []  # ids of lines that were taken, and which a gateway that is gone may have asked  # noqa: RUF012


HoldResult = Literal["held", "later", "exceeded", "taken over"]
"""Whether a job's budget reaches for a line: now, perhaps when others have ended, or not; or that another has it."""


class SqlJobs:
    """Jobs of callers. Each method is a transaction, and blocks."""

    def __init__(self, engine: sa.Engine, seal: TextSeal, now: DatabaseClock = database_time) -> None:
        self._engine = engine
        self._seal = seal
        self._now = now  # Unix time; no gateway's own is used, as they differ

    # As people see them

    def add(self, job: BatchJob, most: int) -> BatchJob | None:
        """Keep a new job, which begins now, unless its caller has as many under way as it may."""
        own = (jobs.c.caller == job.caller, jobs.c.state.in_(ACTIVE))
        with self._engine.begin() as db:
            begin_to_write(db)
            if int(db.execute(sa.select(sa.func.count()).select_from(jobs).where(*own)).scalar() or 0) >= most:
                return None
            now = self._now(db)
            job = replace(job, made=now, expires=now + job.expires - job.made)
            db.execute(jobs.insert(), asdict(job))
        return job

    def find(self, job: str, caller: str | None) -> BatchJob | None:
        """A job of a caller, or of any when None."""
        query = sa.select(jobs).where(jobs.c.id == job)
        with self._engine.connect() as db:
            row = db.execute(query if caller is None else query.where(jobs.c.caller == caller)).mappings().first()
        return BatchJob(**row) if row is not None else None

    def page(
        self, page: LedgerPage, *, caller: str | None = None, tenant: str | None = None, state: str = ""
    ) -> list[BatchJob]:
        """Jobs, the newest first, of a caller, a tenant, or all; and one more where there are more."""
        query = sa.select(jobs)
        for column, value in ((jobs.c.caller, caller), (jobs.c.tenant, tenant), (jobs.c.state, state or None)):
            query = query if value is None else query.where(column == value)
        with self._engine.connect() as db:
            return [BatchJob(**row) for row in db.execute(page.of(query, jobs.c.made, jobs.c.id)).mappings()]

    def stop(self, job: str, reason: str) -> BatchJob | None:
        """Take no more lines of a job; those that were not answered fail for this reason."""
        state = "cancelling" if reason == "batch_cancelled" else "finalizing"
        with self._engine.begin() as db:
            begin_to_write(db)
            now = self._now(db)
            values = {"state": state, "stopping": now, "stopped_for": reason, "waits_for": ""}
            own = [jobs.c.id == job, jobs.c.state == "in_progress"]
            if reason == "batch_expired":
                own.append(jobs.c.expires <= now)
            if db.execute(sa.update(jobs).where(*own).values(values)).rowcount:
                later = (job_lines.c.job == job, job_lines.c.state == "waiting", job_lines.c.due > now)
                db.execute(sa.update(job_lines).where(*later).values(due=now))
        return self.find(job, None)

    def again(self, job: BatchJob, seconds: float) -> bool:
        """Have the failed lines of a job that has ended asked again; False where it goes on, or its file is gone."""
        own = (jobs.c.id == job.id, jobs.c.state.not_in(ACTIVE))
        failed = (job_lines.c.job == job.id, job_lines.c.state == "failed")
        with self._engine.begin() as db:
            begin_to_write(db)
            now = self._now(db)
            anew: dict[str, Any] = {"state": "in_progress", "expires": now + seconds, "failed": 0, "told": False}
            anew |= {"ended": None, "stopping": None, "stopped_for": ""}
            lines = {"state": "waiting", "attempts": 0, "due": now, "size": 0, "result": None}
            there = sa.select(job_files.c.id).where(job_files.c.id == job.input, job_files.c.state == "ready")
            if db.execute(there).first() is None or not db.execute(sa.update(jobs).where(*own).values(anew)).rowcount:
                return False
            db.execute(sa.update(job_lines).where(*failed).values(lines))
            parts = [job.part_id(part) for part in LINES_OF]
            db.execute(sa.delete(job_files).where(job_files.c.id.in_(parts)))
        return True

    def note(self, job: str, progress: str) -> None:
        """Keep how far the notebooks of a job are."""
        with self._engine.begin() as db:
            db.execute(sa.update(jobs).where(jobs.c.id == job).values(progress=progress))

    def mark_told(self, ended: Iterable[str]) -> None:
        """Note that webhooks know of these ends."""
        with self._engine.begin() as db:
            db.execute(sa.update(jobs).where(jobs.c.id.in_([*ended])).values(told=True))

    def of(self, caller: str) -> list[str]:
        """The ids of all jobs of a caller."""
        with self._engine.connect() as db:
            return list(db.execute(sa.select(jobs.c.id).where(jobs.c.caller == caller)).scalars())

    def old(self, now: float) -> list[str]:
        """Jobs that ended long ago and whose results are gone."""
        kept = sa.select(job_files.c.job).where(job_files.c.job == jobs.c.id).exists()
        with self._engine.connect() as db:
            return list(db.execute(sa.select(jobs.c.id).where(jobs.c.ended <= now - _KEPT_JOBS, ~kept)).scalars())

    def remove(self, job: str) -> bool:
        """Remove a job and some of its lines; whether more of these are there."""
        with self._engine.begin() as db:
            begin_to_write(db)
            db.execute(sa.delete(jobs).where(jobs.c.id == job))
            return delete_some(db, job_lines, job_lines.c.job == job)

    # The work

    def active(self) -> JobRound:
        """What there is to do; nothing is taken."""
        with self._engine.connect() as db:
            return JobRound([], *_jobs_of_interest(db), self._now(db))

    def work(
        self,
        lease: RowLease,  # of the lines that are taken
        outcomes: Sequence[LineOutcome],  # what came of lines that it had taken
        wants: Mapping[str, int],  # how many lines it would take of which job
        *,
        waits: Mapping[str, str],  # why nothing is asked of which job
        kept_seconds: float,  # for which results are kept, unless the job says
    ) -> JobRound:
        """Settle lines, take others, and end jobs that have none left: all of it, or nothing."""
        lines: list[JobLine] = []
        lost: list[str] = []
        with self._engine.begin() as db:
            begin_to_write(db)
            now = self._now(db)
            concerned = {outcome.line.job.id for outcome in outcomes} | wants.keys()
            # In one order, so that gateways never wait for each other in a ring.
            db.execute(sa.select(jobs.c.id).where(jobs.c.id.in_(concerned)).order_by(jobs.c.id).with_for_update()).all()
            self._settle(db, outcomes, now)
            for job, most in wants.items():
                taken, asked = self._take(db, job, most, lease, now)
                lines, lost = lines + taken, lost + asked
            for job, words in waits.items():
                db.execute(sa.update(jobs).where(jobs.c.id == job, jobs.c.waits_for != words).values(waits_for=words))
            for job in concerned - {line.job.id for line in lines}:
                self._end(db, job, now, kept_seconds)
            return JobRound(lines, *_jobs_of_interest(db), now, lost)

    def renew(self, lease: RowLease) -> None:
        """Keep for longer the lines that were taken."""
        with self._engine.begin() as db:
            renew_leases(db, job_lines, lease, self._now(db))

    def release(self, before: str) -> None:
        """Give back lines of owners whose names begin like this, who are no more."""
        mine = sa.and_(job_lines.c.lease != "", job_lines.c.lease.startswith(before, autoescape=True))
        with self._engine.begin() as db:
            db.execute(sa.update(job_lines).where(mine).values(NO_LEASE))

    def hold(self, line: JobLine, amount: int, *, asks: bool = False) -> HoldResult:
        """Hold what a line that was taken may cost, in place of what was held for it; ``asks`` before it is sent.

        From then on it may have been paid for, whatever becomes of this gateway.
        """
        with self._engine.begin() as db:
            begin_to_write(db)
            query = sa.select(jobs.c.budget_nanodollars, jobs.c.cost_nanodollars, jobs.c.held_nanodollars)
            found = db.execute(query.where(jobs.c.id == line.job.id).with_for_update()).first()
            columns = job_lines.c.held_nanodollars, job_lines.c.asked, job_lines.c.lost
            own = db.execute(sa.select(*columns).where(*_still(line)).with_for_update()).first()
            if found is None or own is None:
                return "taken over"
            others = int(found[2]) - int(own[0])
            if found[0] is not None and int(found[1]) + others + amount > int(found[0]):
                return "later" if others > 0 else "exceeded"
            more: dict[str, Any] = {"held_nanodollars": others + amount}
            if asks and own[2] and not own[1]:
                more["asked_twice"] = jobs.c.asked_twice + 1
            db.execute(sa.update(jobs).where(jobs.c.id == line.job.id).values(more))
            held = {"held_nanodollars": amount} | ({"asked": True} if asks else {})
            db.execute(sa.update(job_lines).where(*_still(line)).values(held))
            return "held"

    def _settle(self, db: sa.Connection, outcomes: Sequence[LineOutcome], now: float) -> None:
        sums: dict[str, Counter[str]] = defaultdict(Counter)
        for one in outcomes:
            columns = job_lines.c.held_nanodollars, job_lines.c.asked
            own = db.execute(sa.select(*columns).where(*_still(one.line)).with_for_update()).first()
            if own is None:  # another has it
                continue
            values = _SETTLED | {"state": one.state, "attempts": one.attempts, "due": now + one.pause}
            values["lost"] = one.is_cut and own[1]
            if one.state != "waiting":
                values |= {"size": len(one.result), "result": self._seal.close(one.result)}
                sums[one.line.job.id].update({one.state: 1})
            db.execute(sa.update(job_lines).where(*_still(one.line)).values(values))
            used = Counter({name: getattr(one, name) for name in _USED})
            used.update(held_nanodollars=-int(own[0]))
            sums[one.line.job.id].update(used)
        for job, more in sums.items():
            added = {name: jobs.c[name] + amount for name, amount in more.items()}
            db.execute(sa.update(jobs).where(jobs.c.id == job).values(added))

    def _take(
        self, db: sa.Connection, job: str, most: int, lease: RowLease, now: float
    ) -> tuple[list[JobLine], list[str]]:
        """Lines of a job that are free, and the ids of those that a gateway that is gone may have asked."""
        row = db.execute(sa.select(jobs).where(jobs.c.id == job)).mappings().first()
        if row is None or row["state"] not in ACTIVE:
            return [], []
        found = BatchJob(**row)
        waiting = (job_lines.c.job == job, job_lines.c.state == "waiting", job_lines.c.due <= now)
        gone = sa.or_(sa.not_(job_lines.c.asked), is_free(job_lines, now - _GONE_SECONDS))
        free = (*waiting, is_free(job_lines, now), gone)
        query = sa.select(job_lines).where(*free).order_by(job_lines.c.number).limit(most)
        rows = db.execute(query).mappings().all()
        while len(rows) < most and found.piece < found.pieces:
            found = self._read_next(db, found)
            rows = db.execute(query).mappings().all()
        if not rows:
            return [], []
        numbers = job_lines.c.number.in_([row["number"] for row in rows])
        lease_rows(db, sa.and_(job_lines.c.job == job, numbers), job_lines, lease, now)
        found = self._lose(db, found, [dict(row) for row in rows if row["held_nanodollars"] or row["asked"]])
        texts = {number: read_piece(db, self._seal, found.input, number) for number in {row["piece"] for row in rows}}
        lines = [_line(found, dict(row), texts[row["piece"]]) for row in rows]
        return lines, [line.id for line, row in zip(lines, rows, strict=True) if row["asked"]]

    @staticmethod
    def _lose(db: sa.Connection, job: BatchJob, rows: Sequence[Mapping[str, Any]]) -> BatchJob:
        """Give up what earlier gateways held: for lines that were sent it is taken as paid, and for others as free."""
        if not rows:
            return job
        asked = [row for row in rows if row["asked"]]
        held, paid = (sum(int(row["held_nanodollars"]) for row in some) for some in (rows, asked))
        job = replace(job, held_nanodollars=job.held_nanodollars - held, cost_nanodollars=job.cost_nanodollars + paid)
        sums = {"held_nanodollars": job.held_nanodollars, "cost_nanodollars": job.cost_nanodollars}
        db.execute(sa.update(jobs).where(jobs.c.id == job.id).values(sums))
        for some, is_lost in ((asked, True), ([row for row in rows if not row["asked"]], False)):
            numbers = job_lines.c.number.in_([row["number"] for row in some])
            values = {"held_nanodollars": 0, "asked": False} | ({"lost": True} if is_lost else {})
            db.execute(sa.update(job_lines).where(job_lines.c.job == job.id, numbers).values(values))
        return job

    def _read_next(self, db: sa.Connection, job: BatchJob) -> BatchJob:
        """Know the lines of the next piece of a job's file."""
        text = read_piece(db, self._seal, job.input, job.piece)
        rows: list[dict[str, Any]] = []
        seen = set[str]()
        # Lines that cannot be read have a number all the same, and fail by it.
        sent_lines = lines_of(text) if text is not None else [(0, b"")] * self._count(db, job)
        for at, sent in sent_lines:
            number = job.read + len(rows) + 1
            custom_id = custom_id_of(sent)
            digest = None if custom_id is None else digest_of(custom_id)
            if digest in seen:
                digest = f"{_REPEAT}{number}"
            elif digest is not None:
                seen.add(digest)
            place = {"job": job.id, "number": number, "piece": job.piece, "start": at, "length": len(sent)}
            rows.append(place | {"digest": digest} | _NEW)
        known = self._known(db, job.id, list(seen))
        for row in rows:
            if row["digest"] in known:
                row["digest"] = f"{_REPEAT}{row['number']}"
        if rows:
            db.execute(job_lines.insert(), rows)
        job = replace(job, piece=job.piece + 1, read=job.read + len(rows))
        db.execute(sa.update(jobs).where(jobs.c.id == job.id).values(piece=job.piece, read=job.read))
        return job

    @staticmethod
    def _count(db: sa.Connection, job: BatchJob) -> int:
        own = (job_file_pieces.c.file == job.input, job_file_pieces.c.number == job.piece)
        return int(db.execute(sa.select(job_file_pieces.c.lines).where(*own)).scalar() or 0)

    @staticmethod
    def _known(db: sa.Connection, job: str, digests: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for start in range(0, len(digests), _AT_ONCE):
            some = job_lines.c.digest.in_(digests[start : start + _AT_ONCE])
            found.update(db.execute(sa.select(job_lines.c.digest).where(job_lines.c.job == job, some)).scalars())
        return found

    @staticmethod
    def _end(db: sa.Connection, job: str, now: float, kept_seconds: float) -> None:
        """End a job whose lines are all settled, with the files of its results."""
        row = db.execute(sa.select(jobs).where(jobs.c.id == job)).mappings().first()
        if row is None or row["state"] not in ACTIVE or row["piece"] < row["pieces"]:
            return
        if row["done"] + row["failed"] < row["total"]:
            return
        found = BatchJob(**row)
        state = STATE_AFTER.get(found.stopped_for, "expired")
        ended = {"state": state, "ended": now, "waits_for": ""}
        db.execute(sa.update(jobs).where(jobs.c.id == job).values(ended))
        sums = sa.select(job_lines.c.state, sa.func.sum(job_lines.c.size)).where(job_lines.c.job == job)
        sizes = {name: int(size) for name, size in db.execute(sums.group_by(job_lines.c.state)).all()}
        expires = now + (kept_seconds if found.kept_seconds is None else found.kept_seconds)
        for part, lines in LINES_OF.items():
            if count := getattr(found, lines):
                name, size = f"{job}_{part}.jsonl", sizes.get(lines, 0)
                whose = (found.part_id(part), found.caller, found.tenant, name)
                file = StoredFile(*whose, "batch_output", "ready", size, count, 0, now, expires, job)
                db.execute(job_files.insert(), asdict(file))


_USED = ("prompt_tokens", "completion_tokens", "cost_nanodollars")
_SETTLED: dict[str, Any] = NO_LEASE | {"held_nanodollars": 0, "asked": False, "lost": False}
_NEW = {"state": "waiting", "attempts": 0, "due": 0.0, "lease": "", "leased": 0.0, "size": 0, "result": None}


def _line(job: BatchJob, row: Mapping[str, Any], piece: bytes | None) -> JobLine:
    text = None if piece is None else piece[row["start"] : row["start"] + row["length"]]
    is_repeat = (row["digest"] or "").startswith(_REPEAT)
    return JobLine(job, row["number"], text, row["attempts"], is_repeat, row["fence"] + 1)


def _still(line: JobLine) -> tuple[sa.ColumnElement[bool], ...]:
    """The row of a line while its last lease is the one that the line was taken with, and it is not settled."""
    own = (job_lines.c.job == line.job.id, job_lines.c.number == line.number, job_lines.c.fence == line.fence)
    return (*own, job_lines.c.lease != "", job_lines.c.state == "waiting")


def _jobs_of_interest(db: sa.Connection) -> tuple[list[BatchJob], list[BatchJob]]:
    rows = db.execute(sa.select(jobs).where(jobs.c.state.in_(ACTIVE)).order_by(jobs.c.made, jobs.c.id)).mappings()
    active = [BatchJob(**row) for row in rows]
    untold = sa.select(jobs).where(jobs.c.told.is_(False), jobs.c.state.not_in(ACTIVE))
    return active, [BatchJob(**row) for row in db.execute(untold).mappings()]
