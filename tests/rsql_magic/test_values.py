"""The value index: what it finds, what its file is like, and what happens where the file is bad or the disk full."""

from __future__ import annotations

import random
import sqlite3
import stat
import subprocess
import sys
import unicodedata

import numpy as np
import pytest

from rsql_magic.errors import BadInput
from rsql_magic.knowledge import Kept, ValueIndex, ValueStore, fold, folded, forms, phrases_of
from rsql_magic.knowledge.value_store import packed, unpacked


def filled(columns, path=None, segment=40_000):
    """A store with columns' values, given as ``{(table, column): values}``, in segments of so many values."""
    store = ValueStore(path, write=path is not None)
    with store.writing() as is_ours:
        assert is_ours
        entries, finished = [], {}
        for (table, column), values in columns.items():
            number = store.begin(Kept(table, column))
            entries += sorted((number, folded(value), value) for value in values)
            finished[number] = Kept(table, column, values=len(values))
        for start in range(0, len(entries), segment):
            store.add(entries[start : start + segment])
        store.finish(finished)
    return store


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Kaiga-4", "kaiga 4"),
        ("São Paulo", "sao paulo"),
        ("STRASSE", "Straße"),
        ("U.S.A.", "usa"),
        ("e-mail", "E Mail"),
        ("under_construction", "Under construction"),
        ("ﬁne", "FINE"),
        ("２０１３", "2013"),
    ],
)
def test_case_accents_and_signs_do_not_count(one, other):
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("1-23", "12-3"), ("2013-08-01", "20130801"), ("+", "-"), ("a1", "a10")])
def test_numbers_and_texts_of_signs_stay_apart(one, other):
    assert fold(one) != fold(other)


def test_folding_agrees_with_its_definition_on_any_text():
    rng = random.Random(5)
    letters = "aBéÅßİ9 1-_./'ÆøŁ東京ｱ\u0301\u200b"
    for _ in range(3_000):
        text = "".join(rng.choices(letters, k=rng.randrange(1, 12)))
        plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
        assert folded(text).replace(" ", "") in {
            "".join(c for c in plain if c.isalnum()),
            "".join(plain.split()),  # of signs alone
            plain.strip().replace(" ", ""),
        }
        assert folded(folded(text)) == folded(text) or not any(c.isalnum() for c in plain)


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ("Dogs", "dog"),
        ("dog", "Dogs"),
        ("cities", "City"),
        ("boxes", "box"),
        ("people", "person"),
        ("sports cars", "Sports Car"),
        ("Heroes", "hero"),
    ],
)
def test_a_phrase_stands_for_its_other_number(said, stored):
    assert folded(stored) in forms(said)


@pytest.mark.slow
def test_lists_of_numbers_come_back():
    rng = random.Random(2)
    for _ in range(400):
        some = np.array(sorted(rng.sample(range(65_536), rng.choice((1, 3, 500, 20_000)))), np.uint16)
        assert unpacked(packed(some)).tolist() == some.tolist()


def made_up(rng, most=3):
    return " ".join(
        "".join(rng.choices("abcdeilmnorst", k=rng.randrange(3, 9))).title() for _ in range(rng.randrange(1, most))
    )


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Three columns of generated values over several segments, and what they hold."""
    rng = random.Random(7)
    columns = {("t", "a"): {made_up(rng) for _ in range(5_000)}, ("t", "b"): {made_up(rng) for _ in range(300)}}
    columns["s.u", "a"] = {"Kaiga-4", "São Paulo", "dog", "New York", "Dog", "东京"}
    store = filled(columns, tmp_path_factory.mktemp("values") / "many.db", segment=900)
    yield columns, ValueIndex(store)
    store.close()


@pytest.mark.slow
def test_what_is_looked_up_is_what_columns_hold(many):
    columns, index = many
    for (table, column), values in columns.items():
        for value in random.Random(3).sample(sorted(values), min(200, len(values))):
            assert index.holds(value, table, column)
            found = index.same([value.upper()])
            assert {(one.table, one.column, one.value) for one in found if one.same} == {
                (t, c, each) for (t, c), held in columns.items() for each in held if fold(each) == fold(value)
            }
    assert index.same(["no such value at all"]) == []
    assert not index.holds("Kaiga-5", "s.u", "a")


@pytest.mark.slow
def test_what_contains_a_text_is_found(many):
    columns, index = many
    for value in random.Random(4).sample(sorted(columns["t", "a"]), 100):
        part = value[1 : max(5, len(value) - 2)]
        wanted = {(t, c, each) for (t, c), held in columns.items() for each in held if fold(part) in fold(each)}
        found = {(one.table, one.column, one.value) for one in index.containing(part, most=100)}
        assert found == wanted or len(wanted) > 90


@pytest.mark.slow
def test_a_value_with_a_slip_is_near(many):
    columns, index = many
    rng, missed = random.Random(6), []
    for value in rng.sample([one for one in sorted(columns["t", "a"]) if len(one) > 5], 200):
        place = rng.randrange(1, len(value) - 1)
        slip = rng.choice([value[:place] + value[place + 1 :], value[:place] + "x" + value[place:]])
        missed += [slip] if value not in [near for _, near in index.near(slip, "t", "a", 50)] else []
    assert missed == []


def test_the_phrases_of_a_question_find_their_columns(many):
    _, index = many
    found = index.same(phrases_of("Which dogs of new york, or são paulo, saw kaiga 4?"))
    assert {(one.phrase, one.value) for one in found if one.table == "s.u"} == {
        ("dogs", "dog"),
        ("dogs", "Dog"),
        ("new york", "New York"),
        ("são paulo", "São Paulo"),
        ("kaiga 4", "Kaiga-4"),
    }


def test_the_file_is_its_owners_alone(tmp_path):
    place = tmp_path / "rsql" / "values" / "one.db"
    filled({("t", "a"): {"x"}}, place).close()
    for each in place.parent.iterdir():
        assert stat.S_IMODE(each.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700


def test_what_was_not_finished_is_not_there_and_goes_away(tmp_path):
    place = tmp_path / "one.db"
    filled({("t", "a"): {"old"}}, place).close()
    store = ValueStore(place, write=True)
    with store.writing():
        number = store.begin(Kept("t", "a"))
        store.add([(number, "new", "new")])
    index = ValueIndex(store)
    assert [one.value for one in index.same(["old", "new"])] == ["old"]
    with store.writing():
        pass
    store.close()
    with sqlite3.connect(place) as there:
        assert there.execute("SELECT count(*) FROM segment").fetchone() == (1,)
    there.close()


def test_a_column_read_anew_takes_the_place_of_what_it_was(tmp_path):
    place = tmp_path / "one.db"
    store = filled({("t", "a"): {"old"}, ("t", "b"): {"kept"}}, place)
    reader = ValueIndex(ValueStore(place))
    assert reader.same(["old"])
    with store.writing():
        number = store.begin(Kept("t", "a", "mark"))
        store.add([(number, "new", "new")])
        store.finish({number: Kept("t", "a", "mark", values=1)})
    assert [one.value for one in reader.same(["old", "new", "kept"])] == ["new", "kept"]
    store.forget(["t"])
    assert reader.columns == []
    reader.close()
    store.close()


def test_only_one_writes(tmp_path):
    place = tmp_path / "one.db"
    one, other = ValueStore(place, write=True), ValueStore(place, write=True)
    with one.writing() as first, other.writing() as second:
        assert (first, second) == (True, False)
    with other.writing() as later:
        assert later
    one.close()
    other.close()


def test_a_writer_that_is_killed_leaves_the_file_to_others(tmp_path, programs):
    place = tmp_path / "one.db"
    code = (
        "import os, sys; from pathlib import Path; from rsql_magic.knowledge import Kept, ValueStore\n"
        "store = ValueStore(Path(sys.argv[1]), write=True)\n"
        "with store.writing():\n number = store.begin(Kept('t', 'a')); store.add([(number, 'x', 'x')]); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(place)], check=False).returncode == 9
    store = filled({("t", "b"): {"y"}}, place)
    assert [one.value for one in ValueIndex(store).same(["x", "y"])] == ["y"]
    store.close()


@pytest.mark.parametrize("what", [b"", b"no database at all" * 100, "old"])
def test_a_file_of_another_kind_is_made_anew(tmp_path, what):
    place = tmp_path / "one.db"
    if what == "old":
        with sqlite3.connect(place) as there:
            there.execute("CREATE TABLE meta (name, value)")
        there.close()
    else:
        place.write_bytes(what)
    store = filled({("t", "a"): {"x"}}, place)
    assert ValueIndex(store).holds("x", "t", "a")
    store.close()


@pytest.mark.slow
def test_a_full_disk_is_an_error_of_ours_and_takes_back_what_was_begun(tmp_path):
    store = filled({("t", "a"): {"old"}}, tmp_path / "one.db")
    store._db.execute("PRAGMA max_page_count = 12")  # SQLite's own "database or disk is full"
    number = store.begin(Kept("t", "b"))
    rng = random.Random(1)
    values = sorted((number, folded(one), one) for one in {made_up(rng) for _ in range(5_000)})
    with pytest.raises(BadInput, match="full"):
        store.add(values)
    assert ValueIndex(store).holds("old", "t", "a")
    store.close()


def test_values_of_any_letters_come_back():
    odd = {"a\nb", "\t", "ein\u2028Satz", "😀 smile", "\ud800", "'; DROP TABLE t; --", "</data>", "a" * 200, " lead"}
    store = filled({("t", "a"): odd})
    assert set(store.every(1, 100)) == odd
    index = ValueIndex(store)
    assert all(index.holds(value, "t", "a") for value in odd if fold(value))
    store.close()
