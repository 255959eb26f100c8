"""Jobs and their lines in the ledger's database: taken by one gateway at a time, settled once."""

# A line is leased to one gateway, which renews its leases while it lives. Where it dies, the leases end and another
# takes the lines; the same one gives them back at its next start. What came of a line is kept only by who has its lease
# and while it waits, so it stands once in the results, whoever answers late.
#
# The lines of a file become rows piece by piece, as they are needed: a job of 100,000 lines begins at once.

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from jupyter_server_ext.ledger import job_file_pieces, job_files, job_lines, jobs
from jupyter_server_ext.pipeline.jobs.file_store import begin_to_write, delete_some, read_piece
from jupyter_server_ext.pipeline.jobs.values import (
    ACTIVE,
    LINES_OF,
    STATE_AFTER,
    BatchJob,
    JobLine,
    LineLease,
    LineOutcome,
    StoredFile,
    custom_id_of,
    digest_of,
    lines_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jupyter_server_ext.ledger import LedgerPage
    from jupyter_server_ext.pipeline.jobs.file_store import TextSeal

_AT_ONCE = 500  # rows of one statement
_REPEAT = "repeat "  # before the number of a line whose ``custom_id`` an earlier one has
_KEPT_JOBS = 30 * 86_400.0  # seconds for which a job is listed after its end


class JobRound(NamedTuple):
    """What one round of work brought."""

    lines: list[JobLine]  # those that were taken
    active: list[BatchJob]  # all jobs that have lines to settle, the oldest first
    ended: list[BatchJob]  # jobs that have none any more, and of which nobody was told yet


class SqlJobs:
    """Jobs of callers. Each method is a transaction, and blocks."""

    def __init__(self, engine: sa.Engine, seal: TextSeal) -> None:
        self._engine = engine
        self._seal = seal

    # As people see them

    def add(self, job: BatchJob, most: int) -> bool:
        """Keep a new job, unless its caller has as many under way as it may."""
        own = (jobs.c.caller == job.caller, jobs.c.state.in_(ACTIVE))
        with self._engine.begin() as db:
            begin_to_write(db)
            if int(db.execute(sa.select(sa.func.count()).select_from(jobs).where(*own)).scalar() or 0) >= most:
                return False
            db.execute(jobs.insert(), asdict(job))
        return True

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

    def stop(self, job: str, reason: str, now: float) -> BatchJob | None:
        """Take no more lines of a job; those that were not answered fail for this reason."""
        state = "cancelling" if reason == "batch_cancelled" else "finalizing"
        values = {"state": state, "stopping": now, "stopped_for": reason, "waits_for": ""}
        with self._engine.begin() as db:
            begin_to_write(db)
            own = (jobs.c.id == job, jobs.c.state == "in_progress")
            db.execute(sa.update(jobs).where(*own).values(values))
            later = (job_lines.c.job == job, job_lines.c.state == "waiting", job_lines.c.due > now)
            db.execute(sa.update(job_lines).where(*later).values(due=now))
        return self.find(job, None)

    def again(self, job: BatchJob, now: float, seconds: float) -> bool:
        """Have the failed lines of a job that has ended asked again; False where it goes on, or its file is gone."""
        own = (jobs.c.id == job.id, jobs.c.state.not_in(ACTIVE))
        anew: dict[str, Any] = {"state": "in_progress", "expires": now + seconds, "failed": 0, "told": False}
        anew |= {"ended": None, "stopping": None, "stopped_for": ""}
        failed = (job_lines.c.job == job.id, job_lines.c.state == "failed")
        lines = {"state": "waiting", "attempts": 0, "due": now, "size": 0, "result": None}
        with self._engine.begin() as db:
            begin_to_write(db)
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
            return JobRound([], *_jobs_of_interest(db))

    def work(
        self,
        lease: LineLease,  # of the lines that are taken
        outcomes: Sequence[LineOutcome],  # what came of lines that it had taken
        wants: Mapping[str, int],  # how many lines it would take of which job
        *,
        waits: Mapping[str, str],  # why nothing is asked of which job
        kept_seconds: float,  # for which results are kept, unless the job says
    ) -> JobRound:
        """Settle lines, take others, and end jobs that have none left: all of it, or nothing."""
        lines: list[JobLine] = []
        with self._engine.begin() as db:
            begin_to_write(db)
            concerned = {outcome.line.job.id for outcome in outcomes} | wants.keys()
            # In one order, so that gateways never wait for each other in a ring.
            db.execute(sa.select(jobs.c.id).where(jobs.c.id.in_(concerned)).order_by(jobs.c.id).with_for_update()).all()
            self._settle(db, lease.owner, outcomes)
            for job, most in wants.items():
                lines += self._take(db, job, most, lease)
            for job, words in waits.items():
                db.execute(sa.update(jobs).where(jobs.c.id == job, jobs.c.waits_for != words).values(waits_for=words))
            for job in concerned - {line.job.id for line in lines}:
                self._end(db, job, lease.now, kept_seconds)
            return JobRound(lines, *_jobs_of_interest(db))

    def renew(self, owner: str, until: float) -> None:
        """Keep the lines that were taken until a later time."""
        with self._engine.begin() as db:
            db.execute(sa.update(job_lines).where(job_lines.c.lease == owner).values(leased=until))

    def release(self, before: str) -> None:
        """Give back lines of owners whose names begin like this, who are no more."""
        mine = sa.and_(job_lines.c.lease != "", job_lines.c.lease.startswith(before, autoescape=True))
        with self._engine.begin() as db:
            db.execute(sa.update(job_lines).where(mine).values(lease="", leased=0.0))

    def hold(self, owner: str, line: JobLine, most: int) -> tuple[bool, bool]:
        """Hold what a line that was taken may cost; whether the job's budget reaches, and whether it may later on.

        What an earlier life of a gateway held for it was paid for all that is known.
        """
        own = (job_lines.c.job == line.job.id, job_lines.c.number == line.number, job_lines.c.lease == owner)
        with self._engine.begin() as db:
            begin_to_write(db)
            query = sa.select(jobs.c.budget_nanodollars, jobs.c.cost_nanodollars, jobs.c.held_nanodollars)
            found = db.execute(query.where(jobs.c.id == line.job.id).with_for_update()).first()
            lost = db.execute(sa.select(job_lines.c.held_nanodollars).where(*own)).scalar()
            if found is None or lost is None:
                return False, True  # another has it
            budget, spent, held = int(found[0] or 0), int(found[1]) + lost, int(found[2]) - lost
            reaches = spent + held + most <= budget
            amount = most if reaches else 0
            db.execute(
                sa.update(jobs)
                .where(jobs.c.id == line.job.id)
                .values(cost_nanodollars=spent, held_nanodollars=held + amount)
            )
            db.execute(sa.update(job_lines).where(*own).values(held_nanodollars=amount))
            return reaches, held > 0

    def _settle(self, db: sa.Connection, owner: str, outcomes: Sequence[LineOutcome]) -> None:
        sums: dict[str, Counter[str]] = defaultdict(Counter)
        for one in outcomes:
            mine = (
                job_lines.c.job == one.line.job.id,
                job_lines.c.number == one.line.number,
                job_lines.c.lease == owner,
                job_lines.c.state == "waiting",
            )
            lost = 0 if one.line.job.budget_nanodollars is None else self._lost(db, one, mine)
            values: dict[str, Any] = {
                "state": one.state,
                "held_nanodollars": 0,
                "attempts": one.attempts,
                "due": one.due,
                "lease": "",
                "leased": 0.0,
            }
            if one.state != "waiting":
                values |= {"size": len(one.result), "result": self._seal.close(one.result)}
            if db.execute(sa.update(job_lines).where(*mine).values(values)).rowcount:
                used = Counter({name: getattr(one, name) for name in _USED})
                used.update(cost_nanodollars=lost, held_nanodollars=-one.held_nanodollars - lost)
                sums[one.line.job.id].update({one.state: 1} if one.state != "waiting" else {})
                sums[one.line.job.id].update(used)
        for job, more in sums.items():
            added = {name: jobs.c[name] + amount for name, amount in more.items()}
            db.execute(sa.update(jobs).where(jobs.c.id == job).values(added))

    @staticmethod
    def _lost(db: sa.Connection, outcome: LineOutcome, mine: Sequence[sa.ColumnElement[bool]]) -> int:
        """What an earlier life of a gateway held for a line, and nobody knows whether it was paid."""
        held = db.execute(sa.select(job_lines.c.held_nanodollars).where(*mine)).scalar()
        return max(0, int(held or 0) - outcome.held_nanodollars)

    def _take(self, db: sa.Connection, job: str, most: int, lease: LineLease) -> list[JobLine]:
        row = db.execute(sa.select(jobs).where(jobs.c.id == job)).mappings().first()
        if row is None or row["state"] not in ACTIVE:
            return []
        found = BatchJob(**row)
        free = (job_lines.c.job == job, job_lines.c.state == "waiting", job_lines.c.due <= lease.now)
        query = (
            sa.select(job_lines).where(*free, job_lines.c.leased <= lease.now).order_by(job_lines.c.number).limit(most)
        )
        rows = db.execute(query).mappings().all()
        while len(rows) < most and found.piece < found.pieces:
            found = self._read_next(db, found)
            rows = db.execute(query).mappings().all()
        if not rows:
            return []
        numbers = job_lines.c.number.in_([row["number"] for row in rows])
        db.execute(
            sa.update(job_lines).where(job_lines.c.job == job, numbers).values(lease=lease.owner, leased=lease.until)
        )
        texts = {number: read_piece(db, self._seal, found.input, number) for number in {row["piece"] for row in rows}}
        return [_line(found, dict(row), texts[row["piece"]]) for row in rows]

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
_NEW = {"state": "waiting", "attempts": 0, "due": 0.0, "lease": "", "leased": 0.0, "size": 0, "result": None}


def _line(job: BatchJob, row: Mapping[str, Any], piece: bytes | None) -> JobLine:
    text = None if piece is None else piece[row["start"] : row["start"] + row["length"]]
    return JobLine(job, row["number"], text, row["attempts"], (row["digest"] or "").startswith(_REPEAT))


def _jobs_of_interest(db: sa.Connection) -> tuple[list[BatchJob], list[BatchJob]]:
    rows = db.execute(sa.select(jobs).where(jobs.c.state.in_(ACTIVE)).order_by(jobs.c.made, jobs.c.id)).mappings()
    active = [BatchJob(**row) for row in rows]
    untold = sa.select(jobs).where(jobs.c.told.is_(False), jobs.c.state.not_in(ACTIVE))
    return active, [BatchJob(**row) for row in db.execute(untold).mappings()]
