"""Several drafts of one question: when they are asked for, which one wins, and what is said of it."""

from __future__ import annotations

from itertools import product

import pandas as pd
import pytest

from rsql_magic.config import Rsql
from rsql_magic.text2sql.drafts import Draft, DraftResult, difference, is_decided, voted

COUNT = "SELECT count(*) AS n FROM orders"
SHOPS = "SELECT count(DISTINCT shop) AS n FROM orders"
NONE = "SELECT id FROM orders WHERE id < 0"


def sql(query):
    return f"```sql\n{query}\n```"


@pytest.fixture
def by_doubt(monkeypatch):
    """Drafts are compared where the first one leaves doubt, as by default."""
    monkeypatch.setattr(Rsql.drafts, "default_value", 0)


def results(*frames):
    return [DraftResult(Draft(f"SELECT {n}"), pd.DataFrame(frame)) for n, frame in enumerate(frames)]


@pytest.mark.slow
def test_the_result_that_most_drafts_give_is_taken(ip, con, gateway):
    gateway.replies = [sql(SHOPS), sql(COUNT), sql("SELECT count(id) AS orders FROM orders")]
    result = ip.run("%%sql_ai con --drafts 3\nhow many orders?")
    assert (result.sql, result.df.iat[0, 0]) == (COUNT, 3000)
    assert (result.agreed, result.compared, result.alternatives, result.trust) == (2, 3, (SHOPS,), "agreed")
    assert "Drafts differ: 2 of 3 give this result. Another gives 3 where this gives 3000." in result.notes
    assert "another draft, with another result" in result.shown().markdown


@pytest.mark.slow
def test_no_more_drafts_are_asked_for_than_decide(ip, con, gateway):
    gateway.replies = [sql(COUNT), sql(COUNT)]
    result = ip.run("%%sql_ai con --drafts 3\nhow many orders?")
    assert (result.agreed, result.compared) == (2, 2)
    assert "2 of 2 drafts give this result." in result.notes


@pytest.mark.slow
def test_each_draft_is_asked_for_in_another_way(ip, con, gateway):
    gateway.replies = [sql(COUNT), sql(SHOPS), sql(COUNT)]
    ip.run("%%sql_ai con --drafts 3\nhow many orders?")
    first, second, third = gateway.requests
    assert "0..2999" not in first["messages"][-1]["content"]
    assert "0..2999" in second["messages"][-1]["content"]
    assert [request["temperature"] for request in (first, second, third)] == [0, 0, 0.7]
    assert third["messages"] == first["messages"]
    assert third["seed"] != first["seed"]


@pytest.mark.slow
def test_a_draft_that_fails_or_writes_has_no_vote(ip, con, gateway):
    gateway.replies = [sql(COUNT), sql("DROP TABLE orders"), sql("SELECT nothing FROM nowhere")]
    result = ip.run("%%sql_ai con --drafts 3\nhow many orders?")
    assert (result.sql, result.agreed, result.compared, result.alternatives) == (COUNT, 1, 3, ())
    assert result.trust == "differed"


@pytest.mark.slow
@pytest.mark.parametrize(
    "first", [[sql(NONE)], [sql("SELECT town FROM orders"), sql(COUNT)]], ids=["empty", "repaired"]
)
def test_a_first_draft_that_leaves_doubt_is_compared(by_doubt, ip, con, gateway, first):
    gateway.replies = [*first, sql(COUNT), sql(COUNT)]
    assert ip.run("%%sql_ai con\nhow many orders?").compared > 1


@pytest.mark.slow
@pytest.mark.parametrize("last", [COUNT, SHOPS])
def test_nothing_is_said_of_the_agreement_of_drafts_that_had_to_be_corrected(ip, con, gateway, last):
    gateway.replies = [sql("SELECT town FROM orders"), sql(COUNT), sql(last), sql(last)]
    result = ip.run("%%sql_ai con --drafts 3\nhow many orders?")
    assert result.trust == ""
    assert "The first draft had to be corrected: check the SQL." in result.notes
    assert not any("drafts give this result." in note for note in result.notes)
    assert any(note.startswith("Drafts differ") for note in result.notes) is (last == SHOPS)


@pytest.mark.slow
def test_a_first_draft_without_doubt_stands_alone(by_doubt, ip, con, gateway):
    gateway.replies = [sql(COUNT)]
    result = ip.run("%%sql_ai con\nhow many orders?")
    assert (result.agreed, result.compared) == (0, 0)


@pytest.mark.parametrize("drafts", [-1, 6])
def test_a_number_of_drafts_that_makes_no_sense(ip, con, drafts):
    with pytest.raises(Exception, match="--drafts is 0 to 5"):
        ip.run(f"%%sql_ai con --drafts {drafts}\nhow many?")


def test_equal_groups_prefer_rows_to_none_and_then_the_first():
    assert voted(results({"n": []}, {"n": [1]}), 2).winner.sql == "SELECT 1"
    assert voted(results({"n": [None]}, {"n": [1]}), 2).winner.sql == "SELECT 1"
    assert voted(results({"n": [2]}, {"n": [1]}), 2).winner.sql == "SELECT 0"


def test_results_are_equal_whatever_their_order_names_and_last_digits():
    one = {"shop": ["N", "S"], "total": [0.1 + 0.2, 2]}
    other = {"sum": [2.0, 0.3], "name": ["S", "N"]}
    assert len(voted(results(one, other), 2).groups) == 1
    assert len(voted(results(one, {"shop": ["N", "S"], "total": [0.3, 3]}), 2).groups) == 2


def test_the_vote_is_decided_once_no_draft_can_change_it():
    one, two = results({"n": [1]}, {"n": [2]})
    assert not is_decided([one], 3)
    assert not is_decided([one, two], 3)
    assert is_decided([one, one], 3)
    assert is_decided([one, one, two], 4) is False


def test_what_differs_is_said_in_few_rows():
    here = pd.DataFrame({"shop": ["N", "S"], "n": [1, 2]})
    assert difference(here, pd.DataFrame({"shop": ["N", "S", "E", "W", "X"], "n": [1, 2, 3, 4, 5]})) == (
        "adds (E, 3), (W, 4) and 1 more rows"
    )
    assert difference(here, here[["shop"]]) == "has 1 column where this has 2"
    assert difference(here, here[::-1]) == "gives the same rows in another order"
    assert difference(here, here[:0]) == "gives no rows"


# Warnings -------------------------------------------------------------------------------------------------------------


def warned(*pairs):
    return [
        DraftResult(Draft(f"SELECT {n}"), pd.DataFrame(frame), warnings) for n, (frame, warnings) in enumerate(pairs)
    ]


def by_brute_force(drafts):
    """The place of the draft to take, by going through all: fewest warnings, most of the same rows, rows, earliest."""

    def rank(place):
        frame = drafts[place].frame
        same = [one for one in drafts if one.frame.equals(frame)]
        return min(one.warnings for one in same), -len(same), frame.empty, drafts.index(same[0]), drafts[place].warnings

    return min(range(len(drafts)), key=lambda place: (*rank(place), place))


def test_the_draft_with_fewest_warnings_is_taken():
    frames = [{"n": [1]}, {"n": [2]}, {"n": []}]
    for codes in product(product(range(3), range(3)), repeat=3):
        drafts = warned(*((frames[frame], warnings) for frame, warnings in codes))
        assert voted(drafts, 3).winner is drafts[by_brute_force(drafts)], codes


def test_a_group_with_warnings_is_not_decided_as_long_as_drafts_are_left():
    assert not is_decided(warned(({"n": [1]}, 1), ({"n": [1]}, 1)), 3)
    assert is_decided(warned(({"n": [1]}, 0), ({"n": [1]}, 1)), 3)
    assert is_decided(warned(({"n": [1]}, 1), ({"n": [1]}, 1), ({"n": [2]}, 0)), 3)


@pytest.mark.slow
def test_a_correction_that_the_data_have_more_against_is_not_taken(ip, con, gateway):
    con.execute("CREATE TABLE pets AS SELECT i AS id, ['dog', 'cat'][1 + i % 2] AS kind FROM range(40) t(i)")
    doubted, worse = (
        "SELECT count(*) AS n FROM pets WHERE kind = 'dogg'",
        "SELECT id FROM pets WHERE kind IN ('dogg', 'x')",
    )
    gateway.replies = [sql(doubted), sql(worse)]
    assert ip.run("%%sql_ai con --drafts 1\nhow many?").sql == doubted


@pytest.mark.slow
def test_a_correction_that_leaves_a_condition_of_the_question_out_is_not_taken(ip, con, gateway):
    con.execute("CREATE TABLE pets AS SELECT i AS id, ['dog', 'cat'][1 + i % 2] AS kind FROM range(40) t(i)")
    asked = "SELECT count(*) AS n FROM pets WHERE kind = 'unicorn' AND id >= 0"
    gateway.replies = [sql(asked), sql("SELECT count(*) AS n FROM pets")]
    result = ip.run("%%sql_ai con --drafts 1\nhow many pets are a unicorn?")
    assert result.df.n.tolist() == [0]
    assert any("'unicorn'" in note for note in result.notes)
