"""What administrators look at, folded from entries, in SQLite and in PostgreSQL."""

from __future__ import annotations

import random
import threading
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from ledger_entries import entry, older_ledger

from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.ledger import OUTCOMES, LedgerPage, LogFilter, SqlLedgerStore, figures
from jupyter_server_ext.ledger.schema import open_engine
from jupyter_server_ext.messages import Rating, TokenUsage, outcome_of

NOW = 1_700_000_000.0
HOUR = 3_600.0


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    return request.getfixturevalue("empty_database")()


@pytest.fixture
def store(url):
    opened = SqlLedgerStore(url, instance="one")
    yield opened
    opened.close()


def requests(seed, many=300):
    """Requests of ten days, some of them with a failed try before."""
    chance = random.Random(seed)
    for number in range(many):
        known = {
            "at": NOW - chance.uniform(0, 240 * HOUR),
            "caller": chance.choice(["ada", "bob", "eve"]),
            "tenant": chance.choice(["stats101", "art", ""]),
            "model": chance.choice(["llama", "gpt"]),
            "task": chance.choice(["ask", "sql_ai", "repair", "chat"]),
            "status": chance.choice([200, 200, 200, 429, 499, 502, 504, 0]),
            "duration_seconds": chance.uniform(0, 90),
            "first_token_seconds": chance.choice([None, 0.5]),
            "queue_seconds": 0.25,
            "cost_nanodollars": chance.randrange(1000),
            "question": chance.choice(["q1", "q2", "q3", ""]),
            "tables": chance.choice(["flights", "flights,weather", ""]),
            "session": chance.choice(["s1", "s2", ""]),
            "usage": TokenUsage(chance.randrange(50), chance.randrange(50), 1),
            "key": "k",
        }
        if chance.random() < 0.2:
            yield entry(number, **known | {"attempts": 0, "status": 502, "error": "overloaded"})
            yield entry(number, **known | {"attempt": 2, "attempts": 2})
        else:
            yield entry(number, **known)


def by_hand(written):
    sums = {"requests": 0, "retries": 0, "tokens": 0, "cost": 0, "success": 0, "refused": 0}
    for one in written:
        last = one.attempts > 0 or one.status == 0
        sums["requests"] += last
        sums["retries"] += not last
        sums["tokens"] += one.usage.total_tokens
        sums["cost"] += one.cost_nanodollars
        if last and outcome_of(one.status) in sums:
            sums[outcome_of(one.status)] += 1
    return sums


def percentile(written, share):
    """As PostgreSQL's PERCENTILE_CONT has it."""
    took = sorted(one.duration_seconds for one in written if one.outcome == "success" and one.attempts > 0)
    rank = share * (len(took) - 1)
    low, high = took[int(rank)], took[min(int(rank) + 1, len(took) - 1)]
    return low + (high - low) * (rank - int(rank))


def told(row):
    same = {name: row[name] for name in ("requests", "retries", "success", "refused")}
    return same | {"tokens": row["prompt_tokens"] + row["completion_tokens"], "cost": row["cost_nanodollars"]}


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 7, 500])
def test_sums_are_those_of_the_entries_however_they_are_folded(store, at_once):
    written = list(requests(at_once, 60 if at_once == 1 else 300))
    for start in range(0, len(written), 50):
        store.finish(written[start : start + 50])
        store.analytics.fold(at_once=at_once)
    assert told(store.analytics.sums_of_all()) == by_hand(written)
    assert told(store.analytics.sums_of_all("art")) == by_hand(one for one in written if one.tenant == "art")
    for hours in (1, 12, 60, 100, 300):
        grain = 300 if hours <= 12 else 3_600 if hours <= 72 else 86_400
        since = (NOW - hours * HOUR) // grain * grain
        (row,) = store.analytics.sums(NOW, hours)
        within = [one for one in written if one.at >= since]
        assert told(row) == by_hand(within)
        if row["success"]:
            for name, seconds in figures(row["durations"]).items():
                assert seconds == pytest.approx(percentile(within, int(name[1:3]) / 100), rel=0.025)
    by_model = {row["model"]: told(row) for row in store.analytics.sums(NOW, 300, by=["model"])}
    assert by_model == {name: by_hand(one for one in written if one.model == name) for name in ("llama", "gpt")}
    slots = store.analytics.sums_of_slots(NOW, 300, 3_600)
    assert [row["start"] for row in slots] == sorted(row["start"] for row in slots)
    assert sum(row["requests"] for row in slots) == by_hand(written)["requests"]
    assert store.analytics.unfolded("one") == 0
    assert store.analytics.fold() == 0


def test_rankings_count_questions_tables_and_callers(store):
    written = list(requests(3))
    store.finish(written)
    store.analytics.fold(at_once=37)
    asked = [one for one in written if one.attempts > 0 or one.status == 0]
    for kind, names in (
        ("question", lambda one: [one.question]),
        ("table", lambda one: one.tables.split(",")),
        ("caller", lambda one: [one.caller]),
    ):
        for tenant in (None, "art"):
            own = [one for one in asked if tenant in (None, one.tenant)]
            counts = {}
            for one in own:
                for name in filter(None, names(one)):
                    counts[name] = counts.get(name, 0) + 1
            found = store.analytics.ranked(kind, LedgerPage(10), tenant=tenant)
            assert {row["name"]: row["requests"] for row in found} == counts
            assert [row["requests"] for row in found] == sorted(counts.values(), reverse=True)
            assert store.analytics.count_ranked(kind, tenant=tenant).all == len(counts)


def by_hand_of_questions(written, tenant):
    counts = {}
    for one in written:
        if one.question and (one.attempts > 0 or one.status == 0) and tenant in (None, one.tenant):
            requests, cost, last = counts.get(one.question, (0, 0, 0.0))
            counts[one.question] = requests + 1, cost + one.cost_nanodollars, max(last, one.at)
    return counts


@pytest.mark.parametrize("at_once", [3, 40, 2_000])
def test_ranks_of_questions_are_exact_with_those_asked_once_among_them(store, at_once):
    """Questions from often to once, of two tenants and none, folded in any groups and read in any pages."""
    chance, written = random.Random(at_once), []
    for turn in range(4):
        for number in range(60):
            name = f"q{int(chance.expovariate(1 / 25))}"
            tenant, cost = chance.choice(["stats101", "art", ""]), chance.randrange(99)
            written.append(
                entry(100 * turn + number, at=NOW - number, question=name, tenant=tenant, cost_nanodollars=cost)
            )
        store.finish(written[-60:])
        store.analytics.fold(at_once=at_once)
        for tenant in (None, "art"):
            counts, seen, page = by_hand_of_questions(written, tenant), [], LedgerPage(7)
            while True:
                rows = store.analytics.ranked("question", page, tenant=tenant)
                seen += rows[:7]
                if (mark := page.mark(rows, "requests", "name")) is None:
                    break
                page = LedgerPage.after(mark, 7)
            order = [(row["requests"], row["name"]) for row in seen]
            assert order == sorted(order, reverse=True)
            found = {row["name"]: (row["requests"], row["cost_nanodollars"], row["last_at"]) for row in seen}
            assert len(found) == len(seen)
            assert found == counts
            late = sum(last >= NOW - 20 for _, _, last in counts.values())
            assert store.analytics.count_ranked("question", since=NOW - 20, tenant=tenant) == (len(counts), late)
            again = {name for name, (requests, *_) in counts.items() if requests > 1}
            lately = store.analytics.ranked("question", LedgerPage(500), tenant=tenant, by="heat")
            assert {row["name"] for row in lately} == again, "what was asked once is no trend"


def test_what_is_asked_lately_is_hotter_than_what_was_asked_more_often_before(store):
    store.finish([entry(n, at=NOW - 40 * 24 * HOUR, question="old") for n in range(50)])
    store.finish([entry(100 + n, at=NOW - HOUR, question="new") for n in range(5)])
    store.analytics.fold(at_once=9)
    assert [row["name"] for row in store.analytics.ranked("question", LedgerPage(5))] == ["old", "new"]
    assert [row["name"] for row in store.analytics.ranked("question", LedgerPage(5), by="heat")] == ["new", "old"]


def test_conversations_are_listed_named_and_deleted(store):
    written = list(requests(4))
    store.finish([*written, entry(900, at=NOW + 1, session="s9", prompt=b"p", answer=b"a")])
    store.analytics.fold()
    listed = store.notes.conversations(LedgerPage(100))
    own = {(one.caller, one.session) for one in written if one.session} | {("ada", "s9")}
    assert {(row["caller"], row["session"]) for row in listed} == own
    assert listed[0]["session"] == "s9"
    assert store.notes.name_conversation("ada", "s9", "Delays")
    assert not store.notes.name_conversation("bob", "s9", "Not his")
    store.finish([entry(901, at=NOW + 2, session="s9")])
    store.analytics.fold()
    assert store.notes.conversations(LedgerPage(1), caller="ada")[0]["name"] == "Delays"
    assert store.notes.delete_conversations(NOW + 3, "s9") == [("ada", "s9")]
    assert ("ada", "s9") not in {(row["caller"], row["session"]) for row in store.notes.conversations(LedgerPage(100))}
    assert store.notes.deleted_conversations(NOW + 3) == [("ada", "s9", NOW + 3)]
    assert [(one.prompt, one.answer) for one in store.find("r900")] == [(None, None)]
    store.finish([entry(902, at=NOW + 4, session="s9")])
    store.analytics.fold()
    assert store.notes.conversations(LedgerPage(1))[0]["session"] == "s9", "it goes on after it was deleted"
    assert store.verify() == []


def test_pages_bring_every_row_once_while_rows_are_added(store):
    store.finish([entry(n, at=NOW + n // 3, status=500) for n in range(30)])
    seen, mark = [], ""
    while mark is not None:
        page = LedgerPage.after(mark, 4)
        rows = store.analytics.executions(page, failed=True)
        mark = page.mark(rows, "at", "instance", "number")
        seen += [row["request_id"] for row in rows[:4]]
        store.finish([entry(1000 + len(seen), at=NOW + 99, status=500)])
    assert seen == [f"r{n}" for n in reversed(range(30))]
    with pytest.raises(BadRequest):
        store.notes.ratings(LedgerPage.after(LedgerPage(1).mark([{"n": "x"}, {"n": "y"}], "n"), 4))


@pytest.mark.parametrize("seed", range(3))
def test_the_log_is_what_the_filters_want_of_all_requests(store, seed):
    """Against the same filters by hand, page by page."""
    written = list(requests(seed, 150))
    store.finish(written)
    draw = random.Random(seed)
    asked = [one for one in written if one.attempts > 0 or not one.key or one.status == 0]
    for _ in range(25):
        given = {
            "who": draw.choice([None, None, "A", "bo", "_", "d"]),
            "tenant": draw.choice([None, None, "art", ""]),
            "model": draw.choice([None, "gpt"]),
            "task": draw.choice([None, None, "ask"]),
            "outcome": draw.choice([None, None, *OUTCOMES]),
            "since": draw.choice([None, NOW - draw.uniform(0, 240 * HOUR)]),
            "until": draw.choice([None, NOW - draw.uniform(0, 240 * HOUR)]),
            "least_seconds": draw.choice([None, 40.0]),
            "least_nanodollars": draw.choice([None, 500]),
        }
        wanted = {
            one.request_id
            for one in asked
            if (given["who"] is None or given["who"].lower() in one.caller.lower())
            and all(given[name] in (None, getattr(one, name)) for name in ("tenant", "model", "task"))
            and given["outcome"] in (None, one.outcome)
            and (given["since"] is None or one.at >= given["since"])
            and (given["until"] is None or one.at < given["until"])
            and one.duration_seconds >= (given["least_seconds"] or 0)
            and one.cost_nanodollars >= (given["least_nanodollars"] or 0)
        }
        seen, mark = [], ""
        while mark is not None:
            page = LedgerPage.after(mark, 7)
            rows = store.analytics.log(page, LogFilter(**given))
            mark = page.mark(rows, "at", "instance", "number")
            seen += rows[:7]
        assert [row["at"] for row in seen] == sorted((row["at"] for row in seen), reverse=True)
        assert len(seen) == len(wanted)
        assert {row["request_id"] for row in seen} == wanted, given


def test_the_log_is_filtered_by_an_index_alone(tmp_path):
    """Else a rare filter reads all rows, which are as wide as the texts in them."""
    store = SqlLedgerStore(f"sqlite:///{tmp_path / 'ledger.db'}", instance="one")
    said = []
    sa.event.listen(store.engine, "before_cursor_execute", lambda *given: said.append((given[2], given[3])))
    everything = LogFilter("a", "t", "m", "ask", "k", "success", 1.0, 2.0, 0.5, 3)
    for wanted in (
        LogFilter(),
        everything,
        LogFilter(who="a"),
        LogFilter(outcome="failure"),
        LogFilter(least_seconds=9),
    ):
        said.clear()
        store.analytics.log(LedgerPage(5), wanted)
        with store.engine.connect() as db:
            words = "\n".join(row[3] for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {said[0][0]}", said[0][1]))
        assert "COVERING INDEX entries_log" in words, words
        assert "SCAN entries\n" not in words
    store.close()


def test_a_clock_that_goes_back_an_hour_loses_nothing(store):
    store.finish([entry(n, at=NOW + n) for n in range(10)])
    store.analytics.fold()
    store.finish([entry(100 + n, at=NOW - HOUR + n) for n in range(10)])
    store.analytics.fold()
    (row,) = store.analytics.sums(NOW - HOUR + 10, 2)
    assert row["requests"] == 10, "what lies ahead is not of the last two hours"
    (row,) = store.analytics.sums(NOW + 10, 2)
    assert row["requests"] == 20
    rows = store.analytics.executions(LedgerPage(50))
    assert len(rows) == 20
    assert sum(row["requests"] for row in store.totals(since="")) == 20


def test_many_made_up_names_have_one_row(store):
    """Of models that do not exist, and of those beyond five hundred that do."""
    store.finish([entry(n, model=f"m{n}", status=404, error="model_not_found", attempts=0, key="") for n in range(700)])
    store.analytics.fold()
    assert [total["model"] for total in store.totals(since="")] == [""]
    assert [row["model"] for row in store.analytics.sums(1000.0, 24, by=["model"])] == [""]
    store.finish([entry(1000 + n, model=f"m{n}") for n in range(700)])
    store.analytics.fold()
    models = {row["model"]: row["requests"] for row in store.analytics.sums(1000.0, 24, by=["model"])}
    assert len(models) == 501
    assert models["other"] == 201
    assert sum(models.values()) == 1400


@pytest.mark.slow
def test_gateways_that_fold_together_count_everything_once(store, url):
    other = SqlLedgerStore(url, instance="two")
    mine, theirs = list(requests(5, 200)), [entry(10_000 + n, at=NOW) for n in range(200)]
    store.finish(mine)
    other.finish(theirs)
    threads = [threading.Thread(target=one.analytics.fold, kwargs={"at_once": 11}) for one in (store, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.analytics.fold()
    assert told(store.analytics.sums_of_all()) == by_hand([*mine, *theirs])
    other.close()


def test_forgetting_somebody_takes_the_name_out_of_all_of_it(store):
    store.finish(
        [entry(n, question="q", session="s", client_id="c", answer=b"a", error_text="ada fell") for n in range(9)]
    )
    store.analytics.fold()
    store.notes.rate(Rating("r1", "ada", 5, "thanks", 1.0))
    store.finish([entry(20, question="q", session="s")])
    store.forget("ada", 5000.0)
    store.analytics.fold()
    assert store.analytics.ranked("caller", LedgerPage(5)) == []
    assert store.notes.conversations(LedgerPage(5)) == []
    assert store.notes.ratings(LedgerPage(5)) == []
    assert store.analytics.sums_of_all()["requests"] == 10
    texts = {(row["session"], row["client_id"], row["error_text"]) for row in store.rows()}
    assert texts == {("", "", "")}
    assert store.verify() == []


def test_texts_and_sums_end_after_their_time(store):
    store.finish([entry(n, at=NOW - n * 86_400, prompt=b"p", answer=b"a") for n in range(20)])
    store.analytics.fold()
    assert store.drop_texts(NOW - 9.5 * 86_400, chunk=3) == 10
    assert sum(one.prompt is not None for one in store.read()) == 10
    assert sum(one.answer is not None for one in store.read()) == 10
    store.analytics.drop_old(NOW, 0)
    assert store.analytics.sums_of_all()["requests"] == 20
    assert store.analytics.sums(NOW, 12)[0]["requests"] == 1
    store.finish([entry(50, at=NOW, question="once"), *(entry(n, at=NOW, question="twice") for n in (51, 52))])
    store.analytics.fold()
    store.analytics.drop_old(NOW + 300 * 86_400, 0)
    assert store.analytics.count_ranked("question").all == 2
    store.analytics.drop_old(NOW + 400 * 86_400, 0)
    assert store.analytics.ranked("caller", LedgerPage(5)) == []
    assert store.analytics.count_ranked("question").all == 0
    assert store.verify() == []


def test_feedback_is_the_same_for_every_gateway(store, url):
    store.notes.rate(Rating("r1", "ada", 1, "wrong", 1.0, "stats101"))
    store.notes.rate(Rating("r1", "ada", 5, "right after all", 2.0, "stats101"))
    other = SqlLedgerStore(url, instance="two")
    assert other.notes.ratings(LedgerPage(5)) == [Rating("r1", "ada", 5, "right after all", 2.0, "stats101")]
    assert other.notes.ratings(LedgerPage(5), tenant="art") == []
    other.close()


@pytest.mark.parametrize("version", ["0001", "0003", "0007", "0015"])
def test_a_ledger_of_an_older_version_is_taken_over_with_its_entries(url, version):
    old = [entry(n, at=NOW - n * HOUR, status=500 if n % 3 else 200) for n in range(12)]
    older_ledger(url, version, old, "one", ZoneInfo("UTC"))
    store = SqlLedgerStore(url, instance="one")
    assert store.verify() == []
    store.finish([entry(30, at=NOW + 1, cache="hit", saved_nanodollars=5, attempts=0, session="s")])
    store.analytics.fold(at_once=5)
    assert store.analytics.sums_of_all()["requests"] == 13
    assert len(store.analytics.executions(LedgerPage(50), failed=True)) == 8
    assert store.read()[1] == old[0]
    assert store.verify() == []
    with store.engine.begin() as db:
        db.execute(sa.text("UPDATE entries SET session = 'other' WHERE number = 13"))
    assert store.verify() != []
    store.close()


def test_the_migrated_tables_are_those_of_the_code(store):
    """Columns, keys and indexes: what a migration forgets would be missing in old ledgers only."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from jupyter_server_ext.ledger.schema import metadata

    with store.engine.connect() as db:
        found = compare_metadata(MigrationContext.configure(db), metadata)
    of_search = ("words", "document_words")  # each database's own
    assert [one for one in found if not any(name in str(one) for name in of_search)] == []


def test_durations_of_an_older_ledger_are_those_of_its_entries(url):
    """Where entries are deleted by now, the numbers within its six bounds remain."""
    written = [one for one in requests(8, 200) if one.attempts]
    older_ledger(url, "0021", written, "one", ZoneInfo("UTC"))
    engine = open_engine(url)
    deleted = 40  # that had ended well within 2 and 5 seconds, in a day of which others are still there
    with engine.begin() as db:
        table = sa.Table("series", sa.MetaData(), autoload_with=db)
        rows = {}
        for one in written:
            start = int(one.at // 86_400) * 86_400
            row = rows.setdefault((start, one.tenant, one.model, one.task), dict.fromkeys((c.name for c in table.c), 0))
            row |= {"grain": 86_400, "start": start, "tenant": one.tenant, "model": one.model, "task": one.task}
            if one.outcome == "success":
                row["success"] += 1
                for bound in (1, 2, 5, 10, 30, 60):
                    row[f"within_{bound}"] += one.duration_seconds <= bound
        first = next(iter(rows.values()))
        for name in ("success", "within_5", "within_10", "within_30", "within_60"):
            first[name] += deleted
        db.execute(sa.insert(table), list(rows.values()))
        done = sa.Table("folded", sa.MetaData(), autoload_with=db)
        db.execute(sa.insert(done), {"instance": "one", "number": len(written)})
    engine.dispose()
    store = SqlLedgerStore(url, instance="one")
    by_group = {}
    for row in store.analytics.sums(NOW, 300, by=["start", "tenant", "model", "task"]):
        by_group[row["start"], row["tenant"], row["model"], row["task"]] = row["durations"]
    for key, row in rows.items():
        own = [one for one in written if (int(one.at // 86_400) * 86_400, one.tenant, one.model, one.task) == key]
        if row is first:
            assert figures(by_group[key])["p50_seconds"] == pytest.approx(3.5, rel=0.5)
        elif any(one.outcome == "success" for one in own):
            assert figures(by_group[key])["p50_seconds"] == pytest.approx(percentile(own, 0.5), rel=0.025)
        else:
            assert by_group[key] == 0
    store.close()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "America/Havana"])
def test_days_are_those_of_the_zone_when_the_clocks_change_too(tmp_path, zone):
    place = ZoneInfo(zone)
    store = SqlLedgerStore(f"sqlite:///{tmp_path / 'ledger.db'}", instance="one", zone=zone)
    for begin in (datetime(2025, 3, 7, tzinfo=place), datetime(2025, 10, 24, tzinfo=place)):
        hours = [begin.timestamp() + 3_600 * n + 1_000 for n in range(24 * 14)]
        store.finish([entry(int(at), at=at) for at in hours])
        store.analytics.fold()
        now = hours[-1]
        _, starts = store.analytics.slots(now, 24 * 10, 86_400)
        by_day = {row["day"]: row["requests"] for row in store.totals(since="")}
        shown = {row["start"]: row["requests"] for row in store.analytics.sums_of_slots(now, 24 * 10, 86_400)}
        assert list(shown) == starts
        days = {datetime.fromtimestamp(start, place).date().isoformat(): count for start, count in shown.items()}
        assert days == {day: by_day[day] for day in days}
        assert store.analytics.sums_of_today(now)["requests"] == by_day[store.day(now)]
    assert (zone == "Asia/Kathmandu") is ({23, 25}.isdisjoint(by_day.values()))
    store.close()


def test_ranks_of_an_older_ledger_are_added_to(url):
    """There questions that were asked once were ranks like all others."""
    older_ledger(url, "0015", [], "one", ZoneInfo("UTC"))
    engine = open_engine(url)
    with engine.begin() as db:
        for scope, name, requests_ in (("", "a", 1), ("tenant:art", "a", 1), ("", "b", 3), ("tenant:art", "b", 3)):
            row = {"kind": "question", "scope": scope, "name": name, "requests": requests_}
            row |= dict.fromkeys(("failed", "tokens", "cost_nanodollars"), 0) | {"task": "", "tables": ""}
            columns = sa.Table("rankings", sa.MetaData(), autoload_with=db)
            db.execute(sa.insert(columns), row | dict.fromkeys(("first_at", "last_at", "heat"), 1.0))
    engine.dispose()
    store = SqlLedgerStore(url, instance="one")
    store.finish([entry(n, question=name, tenant="art") for n, name in enumerate(["a", "b", "c"])])
    store.analytics.fold()
    for tenant in (None, "art"):
        found = store.analytics.ranked("question", LedgerPage(9), tenant=tenant)
        assert [(row["name"], row["requests"]) for row in found] == [("b", 4), ("a", 2), ("c", 1)]
    store.close()
