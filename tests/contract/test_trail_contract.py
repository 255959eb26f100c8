"""The audit trail in SQLite and PostgreSQL: whatever is changed, removed or put in beside a gateway is found."""

from __future__ import annotations

import os

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from ledger_entries import entry

from jupyter_server_ext.app.subcommands import note_restore, reseal_texts, verify_ledger
from jupyter_server_ext.config import Secret
from jupyter_server_ext.ledger import AdminChange, Ledger, PromptVault, SqlLedgerStore, TrailRecord
from jupyter_server_ext.ledger.files import add_line, heads_in, line_of
from jupyter_server_ext.ledger.schema import changes, feedback, totals, trail
from jupyter_server_ext.messages import Rating

TEXTS = {"before": '{"x":1}', "after": '{"x":9}', "name": "other", "kind": "limits", "tenant": "other", "undoes": "c7"}
TEXTS |= {"comment": "forged", "caller": "mallory", "subject": "77", "detail": "{}", "id": "c99", "model": "other"}


@pytest.fixture
def busy(ledger):
    """A ledger in which everything that the trail knows has happened, twice."""
    ledger.finish([entry(1), entry(2, caller="bob"), entry(3, tenant="lab")])
    for number in (1, 2):
        line = AdminChange(f"c{number}", float(number), "root", "tenant", f"lab{number}", "lab", "", '{"weight":2}')
        assert ledger.changes.add([line])
        ledger.notes.rate(Rating(f"r{number}", "ada", number, f"comment {number}", 10.0 + number))
        ledger.trail.note(TrailRecord("read", "root", f"r{number}"), 20.0 + number)
        ledger.trail.note(TrailRecord("export", "root", detail='{"since": ""}'), 30.0 + number)
    assert ledger.verify() == []
    return ledger


def _another(column, value):
    if isinstance(value, str):
        return TEXTS.get(column, "f" * len(value) if value else "forged")
    return not value if isinstance(value, bool) else value + 1000


# What no hash is over: the name of who changed or rated, which is in the trail, and the flag of a blanked record.
UNHASHED = {("changes", "caller"), ("feedback", "caller"), ("feedback", "tenant"), ("trail", "forgotten")}


@pytest.mark.spine(cases=2)
@pytest.mark.parametrize("table", [changes, feedback, trail, totals], ids=str)
def test_every_value_that_is_changed_is_found(busy, table):
    unseen = []
    for column in table.columns:
        if (table.name, column.name) in UNHASHED:
            continue
        with busy.engine.connect() as db:
            row = db.execute(sa.select(table)).mappings().first()
            same = [table.c[key.name] == row[key.name] for key in table.primary_key]
            value = _another(column.name, row[column.name])
            db.execute(sa.update(table).where(*same).values({column.name: value}))
            db.commit()
            if not busy.verify():
                unseen.append(column.name)
            now = dict(row) | {column.name: value}
            where = [table.c[key.name] == now[key.name] for key in table.primary_key]
            db.execute(sa.update(table).where(*where).values({column.name: row[column.name]}))
            db.commit()
        assert busy.verify() == []
    assert unseen == []


@pytest.mark.parametrize("table", [changes, feedback, trail, totals], ids=str)
@pytest.mark.parametrize("end", ["first", "last"])
def test_a_row_that_is_removed_is_found_and_the_last_of_the_trail_by_the_anchor(busy, table, end, tmp_path):
    anchor = tmp_path / "anchor"
    for head in (busy.head(), busy.trail.head()):
        add_line(anchor, line_of(head, 0.0))
    with busy.engine.begin() as db:
        keys = list(table.primary_key)
        order = [key.asc() if end == "first" else key.desc() for key in keys]
        row = db.execute(sa.select(*keys).order_by(*order)).first()
        db.execute(sa.delete(table).where(*(key == value for key, value in zip(keys, row, strict=True))))
    assert busy.verify(heads_in(anchor.read_text()).heads) != []


def test_rows_that_are_put_in_are_found(busy):
    with busy.engine.begin() as db:
        line = {"id": "c9", "at": 9.0, "caller": "mallory", "kind": "tenant", "name": "lab9", "tenant": "lab"}
        db.execute(sa.insert(changes), line | {"before": "", "after": "{}", "undoes": ""})
        rating = {"request_id": "r9", "caller": "mallory", "tenant": "", "rating": 1, "comment": "", "at": 99.0}
        db.execute(sa.insert(feedback), rating)
        spent = db.execute(sa.select(totals)).mappings().first()
        db.execute(sa.insert(totals), dict(spent) | {"caller": "mallory"})
    assert len(busy.verify()) == 3


def test_forgetting_keeps_everything_whole_and_names_nobody(busy):
    assert busy.changes.add([AdminChange("c3", 3.0, "root", "callers", "ada", "", "", '{"usd_per_day":1}')])
    busy.changes.forget("ada")
    busy.changes.forget("root")
    for name in ("ada", "root"):
        busy.forget(name, 5000.0)
    assert busy.verify() == []
    with busy.engine.connect() as db:
        for table in (changes, feedback, trail, totals):
            assert not {"ada", "root"} & set(map(str, {value for row in db.execute(sa.select(table)) for value in row}))
    assert any("forgotten" in note for note in busy.unverifiable())


def test_a_rating_that_its_owner_took_back_is_no_loss(busy):
    busy.notes.rate(Rating("r1", "ada", 5, "better", 50.0))
    busy.notes.delete_all(60.0, "ada")
    assert busy.verify() == []


def test_retention_leaves_sums_that_cannot_be_compared_and_says_so(busy):
    busy.finish([entry(90_000), entry(180_000)])
    busy.expire(90_000.0)
    assert busy.verify() == []
    assert any("Retention" in note for note in busy.unverifiable())
    with busy.engine.begin() as db:
        newest = sa.select(sa.func.max(totals.c.day)).scalar_subquery()
        db.execute(sa.update(totals).where(totals.c.day == newest).values(cost_nanodollars=7))
    assert busy.verify() != []


def test_two_gateways_have_trails_of_their_own(busy):
    other = SqlLedgerStore(busy.engine.url.render_as_string(hide_password=False), instance="two")
    other.trail.note(TrailRecord("read", "root", "r2"))
    assert [row["number"] for row in other.trail.read(limit=1)] == [1]
    assert other.verify() == []
    other.close()


@pytest.mark.parametrize("key", ["", "a key"])
def test_a_restored_backup_verifies_once_it_is_said(tmp_path, monkeypatch, capsys, key):
    """The ledger goes back by two entries; the anchor misses them until somebody says that a backup was put in."""
    monkeypatch.setenv("ANCHOR", key)
    variable = "ANCHOR" if key else ""
    path, anchor = tmp_path / "ledger.db", tmp_path / "anchor"
    url = f"sqlite:///{path}"
    store = SqlLedgerStore(url, instance="one")
    store.finish([entry(n) for n in range(3)])
    store.close()
    backup = path.read_bytes()
    store = SqlLedgerStore(url, instance="one")
    store.finish([entry(n) for n in range(3, 5)])
    for head in (store.head(), store.trail.head()):
        add_line(anchor, line_of(head, 0.0, key))
    store.close()

    path.write_bytes(backup)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    assert verify_ledger(url, anchor, variable) == ["one: the newest entries are missing, 4 to 5 at least."]
    assert note_restore(url, anchor, variable) == []
    assert verify_ledger(url, anchor, variable) == []
    assert "entries 4 to 5 were lost by it" in capsys.readouterr().out

    store = SqlLedgerStore(url, instance="one")
    store.finish([entry(n) for n in range(10, 14)])
    add_line(anchor, line_of(store.head(), 0.0, key))
    store.close()
    assert verify_ledger(url, anchor, variable) == []
    if key:
        void = line_of(heads_in(anchor.read_text()).heads[0], 0.0, "another key", restored=True)
        add_line(anchor, void)
        assert "not signed" in verify_ledger(url, anchor, variable)[0]


def test_a_ledger_that_is_not_whole_cannot_be_said_to_be_restored(busy, tmp_path):
    anchor = tmp_path / "anchor"
    add_line(anchor, line_of(busy.head(), 0.0))
    with busy.engine.begin() as db:
        db.execute(sa.update(feedback).values(comment="forged"))
    before = anchor.read_text()
    assert note_restore(busy.engine.url.render_as_string(hide_password=False), anchor) != []
    assert anchor.read_text() == before


@pytest.mark.asyncio
async def test_the_gateway_says_what_it_cannot_know_without_an_anchor(busy, tmp_path):
    ledger = Ledger(busy)
    problems, notes = await ledger.verify()
    assert problems == []
    assert "Without an anchor" in notes[0]
    ledger = Ledger(busy, anchor=str(tmp_path / "anchor"))
    await ledger.write_head()
    assert await ledger.verify() == ([], [])


def _toml(tmp_path, *keys):
    file = tmp_path / "rsql.toml"
    file.write_text(f"[storage]\nprompt_keys = {[key.reveal() for key in keys]}\n")
    os.chmod(file, 0o600)  # noqa: PTH101
    return str(file)


def test_texts_are_encrypted_anew_and_what_needs_an_old_key_is_named(ledger, tmp_path, capsys):
    new, old, lost = (Secret(Fernet.generate_key().decode()) for _ in range(3))
    sealed = [PromptVault([key]).seal(b"words") for key in (new, old, lost)]
    ledger.finish([entry(n, prompt=text, answer=text) for n, text in enumerate(sealed)])
    ledger.decide("webhook w1", PromptVault([old]).seal(b"secret").decode(), "root", 1.0)
    url = ledger.engine.url.render_as_string(hide_password=False)

    problems = reseal_texts(url, _toml(tmp_path, new, old))
    assert problems == ["prompts and answers: 2 need a key that is not among 'prompt_keys'."]
    assert "prompts and answers: 2 encrypted anew" in capsys.readouterr().out
    alone = PromptVault([new])
    opened = {
        one.request_id: tuple(None if text is None else alone.open(text) for text in (one.prompt, one.answer))
        for one in ledger.read()
    }
    assert opened == {"r0": (b"words",) * 2, "r1": (b"words",) * 2, "r2": (None, None)}
    assert alone.open(ledger.decided("webhook w1").encode()) == b"secret"
    assert ledger.verify() == []

    reseal_texts(url, _toml(tmp_path, new, lost))
    assert reseal_texts(url, _toml(tmp_path, new)) == []
