"""The ledger: durable groups, one entry per attempt, a chain that shows tampering, totals that match."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_entries import entry

from jupyter_server_ext.app.subcommands import verify_ledger
from jupyter_server_ext.config import Secret
from jupyter_server_ext.errors import ConfigError, LedgerUnavailable
from jupyter_server_ext.ledger import ChainHead, Ledger, SpoolFile, SqlLedgerStore, export
from jupyter_server_ext.ledger.files import add_line, line_of
from jupyter_server_ext.ledger.ledger import RowsRefused
from jupyter_server_ext.logs import keep_clean, use_json
from jupyter_server_ext.messages import TokenUsage


def test_attempts_have_entries_of_their_own_and_count_as_one_request(store):
    store.finish([entry(1, attempts=0, status=503, key="k", usage=TokenUsage()), entry(1, attempt=2, attempts=2)])
    (total,) = store.totals(since="")
    assert (total["requests"], total["errors"], total["prompt_tokens"]) == (1, 0, 10)
    assert len(store.read()) == 2


def test_days_are_those_of_the_configured_zone(url):
    store = SqlLedgerStore(url, instance="one", zone="America/New_York")
    store.finish([entry(1, at=1_700_000_000.0), entry(2, at=1_700_040_000.0)])  # 2023-11-14 17:13 and 2023-11-15 04:20
    assert [total["day"] for total in store.totals(since="2023-11-14")] == ["2023-11-14", "2023-11-15"]
    assert len(store.totals(since="2023-11-15")) == 1
    store.close()


def test_the_chain_goes_on_after_a_restart(store, url):
    store.finish([entry(1)])
    again = SqlLedgerStore(url, instance="one")
    again.finish([entry(2)])
    assert again.verify() == []
    again.close()


def test_two_processes_of_one_name_do_not_break_the_chain(url):
    def write(first):
        store = SqlLedgerStore(url, instance="one")
        for number in range(first, first + 20):
            store.finish([entry(number)])
        store.close()

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(write, (0, 100, 200)))
    store = SqlLedgerStore(url, instance="one")
    assert len(store) == 60
    assert store.verify() == []
    store.close()


def test_what_did_not_end_well_can_be_read_alone(store):
    store.finish([entry(1), entry(2, status=429), entry(3, status=0), entry(4, status=302)])
    assert [e.request_id for e in store.read(failed=True, limit=5)] == ["r3", "r2"]


def test_retention_moves_the_start_of_the_chain(store, url):
    store.finish([entry(n) for n in range(20)])
    assert store.expire(1010.0, chunk=3) == 10
    assert len(store.read()) == 10
    assert store.verify() == []
    again = SqlLedgerStore(url, instance="one")
    assert again.expire(9999.0) == 10
    again.finish([entry(50)])
    assert again.verify() == []
    again.close()


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.db", "mysterydb://x", "not a url"])
def test_a_ledger_that_cannot_be_opened_says_so(url):
    with pytest.raises(ConfigError, match=r"Check|Use sqlite"):
        SqlLedgerStore(url, instance="one")


def test_the_password_is_not_in_the_error():
    with pytest.raises(ConfigError) as caught:
        SqlLedgerStore("postgresql://rsql:hunter2@127.0.0.1:1/none", instance="one")
    assert "hunter2" not in str(caught.value)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 8), st.sampled_from("ab"), st.integers(0, 99)), max_size=30))
def test_totals_are_the_sums_of_the_entries(requests):
    store = SqlLedgerStore("sqlite://", instance="one")
    for number, caller, tokens in requests:
        store.finish([entry(number, caller=caller, usage=TokenUsage(tokens, 1))])
    for caller in "ab":
        own = [e for e in store.read() if e.caller == caller]
        sums = store.totals(since="", caller=caller)
        assert sum(t["prompt_tokens"] for t in sums) == sum(e.usage.prompt_tokens for e in own)
        assert sum(t["requests"] for t in sums) == len(own)
    store.close()


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 200, 400, 404, 413, 429, 499, 502, 503]),
            st.sampled_from(["", "hit", "shared", "repeat", "miss"]),
            st.integers(0, 2),
            st.integers(0, 5),
        ),
        max_size=12,
    )
)
def test_the_database_sums_what_counts_as_entries_say_it(cases):
    store = SqlLedgerStore("sqlite://", instance="one")
    ended = [
        entry(n, at=60.0 * n, status=status, cache=cache, attempts=attempts, usage=TokenUsage(tokens, 0), key="k")
        for n, (status, cache, attempts, tokens) in enumerate(cases)
    ]
    store.finish(ended)
    for exact in (0.0, 1e9):
        used = list(store.used(0.0, exact=exact))
        assert [row.at for row in used] == sorted(row.at for row in used)
        assert sum(row.counted for row in used) == sum(e.counts for e in ended)
        assert sum(row.counted_tokens for row in used) == sum(e.usage.total_tokens for e in ended if e.counts)
        assert sum(row.requests for row in used) == len(ended)
    store.close()


def test_what_is_old_is_summed_by_the_minute(store):
    store.finish([entry(n, at=600.0 + n, key="k") for n in range(120)])
    used = list(store.used(0.0, exact=660.0))
    assert [(row.at, row.requests, row.prompt_tokens) for row in used[:2]] == [(659.0, 60, 600), (660.0, 1, 10)]
    assert len(used) == 61
    assert [(row.at, row.requests) for row in store.used(0.0, exact=99_999.0)] == [(719.0, 120)], "by ten minutes"


def test_what_was_used_counts_from_its_end(store):
    """As some providers count an answer then; what a crash left behind is taken to have gone on for a minute."""
    store.begin([entry(3, at=300.0, key="k")])
    store.finish([entry(1, at=100.0, key="k", duration_seconds=150.0), entry(2, at=200.0, key="k", queue_seconds=9.0)])
    store.close_unfinished()
    for exact in (0.0, 1e9):
        assert [row.at for row in store.used(0.0, exact=exact)][-1] == 360.0
    assert [row.at for row in store.used(0.0, exact=0.0)] == [200.0, 250.0, 360.0]


# The group commit


class CountingStore:
    """Counts transactions, and fails as often as it is told."""

    def __init__(self, failures=0):
        self.failures, self.groups, self.begun = failures, [], []

    def begin(self, begun):
        self.begun += begun

    def finish(self, ended, begun=()):
        self.begun += begun
        if self.failures:
            self.failures -= 1
            raise OSError("disk full")
        self.groups.append([e.request_id for e in ended])
        return len(ended)

    def close_unfinished(self):
        return 0

    def close(self):
        self.closed = True


@pytest.mark.asyncio
async def test_many_at_once_share_a_few_commits():
    store = CountingStore()
    ledger = Ledger(store)
    await asyncio.gather(*(ledger.finish(entry(n)) for n in range(200)))
    await ledger.close()
    assert sorted(sum(store.groups, [])) == sorted(f"r{n}" for n in range(200))
    assert len(store.groups) < 10


@pytest.mark.asyncio
async def test_a_failing_disk_loses_nothing_and_refuses_new_work():
    store = CountingStore(failures=2)
    ledger = Ledger(store, retry_seconds=0.01)
    waiting = asyncio.create_task(ledger.finish(entry(1)))
    while ledger.healthy:
        await asyncio.sleep(0)
    with pytest.raises(LedgerUnavailable) as refused:
        ledger.check()
    assert refused.value.status == 503
    await waiting
    assert ledger.healthy
    assert store.groups == [["r1"]]
    await ledger.close()


@pytest.mark.asyncio
async def test_no_connection_outlives_its_ledger(store):
    """Not even that of a question whose asker has gone."""
    begun, end, seen = threading.Event(), threading.Event(), []
    ledger = Ledger(store)
    close = store.close

    def slow(store):
        with store.engine.connect() as db:
            begun.set()
            end.wait(2.0)
            seen.append(db.execute(sa.text("SELECT 1")).scalar())

    store.close = lambda: (seen.append("closed"), close())
    asking = asyncio.create_task(ledger.ask(slow))
    await asyncio.to_thread(begun.wait)
    asking.cancel()
    asyncio.get_running_loop().call_later(0.1, end.set)
    await ledger.close()
    assert seen == [1, "closed"]


@pytest.mark.asyncio
async def test_an_entry_is_written_although_its_request_was_cancelled():
    store = CountingStore()
    ledger = Ledger(store)
    task = asyncio.create_task(ledger.finish(entry(1)))
    await asyncio.sleep(0)
    task.cancel()
    await ledger.close()
    assert store.groups == [["r1"]]


KILLED = """
import asyncio, sys
from jupyter_server_ext.ledger import Ledger
from jupyter_server_ext.messages import Entry
from jupyter_server_ext.ledger.ledger import RowsRefused
from jupyter_server_ext.logs import keep_clean, use_json
from jupyter_server_ext.ledger.sql import SqlLedgerStore

async def main():
    ledger = Ledger(SqlLedgerStore(sys.argv[1], instance="one"))
    print("closed", ledger.left_open, flush=True)
    first = int(sys.argv[2])
    for number in range(first, first + 10_000):
        entry = Entry(f"r{number}", at=float(number), caller="ada", attempts=1)
        ledger.begin(entry)
        await ledger.finish(entry)
        print(number, flush=True)

asyncio.run(main())
"""


def test_kill_minus_nine_loses_no_entry_whose_end_was_seen(programs, url):
    seen, first = [], 0
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", KILLED, url, str(first)], stdout=subprocess.PIPE, text=True)
        lines = iter(process.stdout.readline, "")
        next(lines)
        for line in lines:
            seen.append(int(line))
            if len(seen) % 25 == 0:
                break
        process.kill()
        seen += [int(line) for line in lines if line.endswith("\n")]
        process.stdout.close()
        process.wait()
        first = seen[-1] + 2
    store = SqlLedgerStore(url, instance="one")
    store.close_unfinished()
    written = {e.request_id for e in store.read()}
    assert {f"r{n}" for n in seen} <= written
    assert store.verify() == []
    assert sum(t["requests"] for t in store.totals(since="")) == len(written)
    store.close()


@pytest.fixture
def synced(store):
    """How each commit of the store waits for the disk: 1 as far as its cache, 2 until it is there."""
    levels = []

    def note(db):
        levels.append(db.exec_driver_sql("PRAGMA synchronous").scalar())

    sa.event.listen(store._engine, "commit", note)
    return levels


def test_only_what_somebody_saw_the_end_of_waits_for_the_disk(store, synced):
    store.begin([entry(1)])
    store.finish([entry(1)], [entry(2)])
    store.decide("limits", "{}", "root", 0.0)
    assert synced == [1, 2, 2]


def test_a_start_that_fails_leaves_no_later_end_without_its_wait(store, synced):
    with pytest.raises(RowsRefused):
        store.begin([entry(1, caller=None)])
    store.finish([entry(1)])
    assert synced == [1, 2], "what can be kept of it, and then the end"


@pytest.mark.slow
def test_a_group_larger_than_any_prepared_statement_is_told_from_repeats(store):
    first, more = [entry(n) for n in range(700)], [entry(n) for n in range(1100)]
    assert store.finish(first) == 700
    assert store.finish(more) == 400
    assert store.verify() == []


def modes(folder):
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir() if ".lock" not in path.name}


@pytest.mark.skipif(os.name != "posix", reason="files have no modes")
def test_only_the_owner_may_read_what_is_written(url, tmp_path, caplog):
    before = os.umask(0)  # the most permissive
    store = SqlLedgerStore(url, instance="one")
    store.finish([entry(1)])
    export(store.rows(), tmp_path / "e.csv", "csv")
    export(store.rows(), tmp_path / "e.parquet", "parquet")
    assert {"ledger.db", "ledger.db-wal", "ledger.db-shm"} <= modes(tmp_path).keys()
    os.umask(before)
    assert set(modes(tmp_path).values()) == {0o600}
    assert "others may read" not in caplog.text
    store.close()
    (tmp_path / "ledger.db").chmod(0o644)
    (tmp_path / "a.spool").touch(0o640)
    SqlLedgerStore(url, instance="one").close()
    SpoolFile.open(tmp_path / "a.spool").close()
    assert caplog.text.count("others may read") == 2


NEWEST = "DELETE FROM entries WHERE number > 3"
SUMMED_ANEW = "UPDATE totals SET requests = 3, " + ", ".join(
    f"{name} = {name} * 3 / 5" for name in ("prompt_tokens", "completion_tokens", "cost_nanodollars")
)


@pytest.fixture
def log(monkeypatch):
    """The log of a gateway that runs by itself, in words or as JSON."""

    def kept(form):
        monkeypatch.setenv("RSQL_LOG_FORMAT", form)
        handler = logging.StreamHandler(io.StringIO())
        handler.setFormatter(logging.Formatter("[W 10:00] %(message)s"))
        if form == "json":
            use_json([handler])
        keep_clean([handler], always=True)
        logging.getLogger("tornado.application").addHandler(handler)
        return handler.stream

    return kept


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["file", "log", "json", "gateway"])
async def test_deleted_newest_entries_are_noticed_by_the_anchor(url, tmp_path, monkeypatch, log, how):
    written = log(how)
    anchor, key = tmp_path / "anchor", Secret("a signature's key")
    ledger = Ledger(SqlLedgerStore(url, instance="one"), anchor=str(anchor), anchor_key=key)
    await asyncio.gather(*(ledger.finish(entry(n)) for n in range(5)))
    await ledger.close()
    if how in {"log", "json"}:
        assert "request_id" in written.getvalue()
        anchor.write_text(written.getvalue())
    monkeypatch.setenv("ANCHOR", key.reveal())
    assert verify_ledger(url, anchor, "ANCHOR") == []
    engine = sa.create_engine(url)
    with engine.begin() as db:
        db.execute(sa.text(NEWEST))
        db.execute(sa.text(SUMMED_ANEW))
    engine.dispose()
    assert verify_ledger(url) == [], "the chain alone does not show it"
    if how == "gateway":
        again = Ledger(SqlLedgerStore(url, instance="one"), anchor=str(anchor), anchor_key=key)
        problems, _ = await again.verify()
        await asyncio.gather(*(again.finish(entry(n)) for n in range(10, 15)))
        assert "another entry" in (await again.verify())[0][0], "others have taken the numbers"
        await again.close()
    else:
        problems = verify_ledger(url, anchor, "ANCHOR")
    assert problems == ["one: the newest entries are missing, 4 to 5 at least."]


def test_a_made_up_line_of_an_anchor_is_told_from_signed_ones(store, url, tmp_path, monkeypatch):
    store.finish([entry(n) for n in range(5)])
    anchor = tmp_path / "anchor"
    add_line(anchor, line_of(store.head(), 0.0, "key"))
    add_line(anchor, line_of(ChainHead("one", 3, "f" * 64), 0.0, "other"))
    monkeypatch.setenv("ANCHOR", "key")
    assert verify_ledger(url, anchor, "ANCHOR") == ["line 2 of the anchor is not signed with this key."]
    assert anchor.stat().st_mode & 0o777 == 0o600


def test_retention_is_no_loss_to_an_anchor(store, url, tmp_path):
    store.finish([entry(n) for n in range(5)])
    add_line(tmp_path / "anchor", line_of(store.head(), 0.0))
    store.expire(9999.0)
    assert verify_ledger(url, tmp_path / "anchor") == []
