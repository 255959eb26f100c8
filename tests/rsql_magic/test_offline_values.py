"""What the offline model is sent beside a prompt: as values what the prompt says, nothing more, and to nobody else."""

from __future__ import annotations

import re
import sqlite3

import pandas as pd
import pytest

from jupyter_server_ext.offline.request import read
from rsql_magic.answers import NotebookSnapshot
from rsql_magic.errors import RsqlError
from rsql_magic.sql import Catalog, Column, ForeignKey, Profile, Table, as_stated_in_ddl, ddl
from rsql_magic.sql.facts import share

LEVELS = ("names", "stats", "sample")
FORM = {"dialect", "task", "language", "sheet", "kind"}
ANNOUNCED = {"offline_models": ["offline", "default"]}
SNAPSHOT = NotebookSnapshot(
    {
        "sales": pd.DataFrame(
            {
                "shop 'A'": [1.5, None] * 50,
                'say "hi"': ["O'Brien", "x; y"] * 50,
                "when\nmade": pd.date_range("2024-01-01", periods=100),
                "mail": ["ada@example.org"] * 100,
                "db_password": ["hunter2"] * 100,
                **{f"metric_{n}": range(100) for n in range(8)},
                "id": range(100),
                7: [True, False] * 50,
            }
        ),
        "shops": pd.DataFrame({"id": range(12), "sales_id": range(12), "city": ["Oslo", "Lima"] * 6}),
        "api_key": "sk-abcdefghijklmnop1234",
        "rate": 0.25,
        "scale": lambda x, by=2: x * by,
    },
    cells=["sales = load('ada@example.org')", "sales['nosuch']"],
    error=KeyError("nosuch"),
)


@pytest.fixture
def announced(gateway):
    gateway.paths["stats"] = ANNOUNCED
    return gateway


@pytest.fixture
def shop():
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        """
        CREATE TABLE "order lines" (id INTEGER PRIMARY KEY, "the ""unit"" price" REAL, state TEXT, note TEXT);
        CREATE TABLE parts (id INTEGER PRIMARY KEY, line INTEGER REFERENCES "order lines" (id), made DATE);
        """
    )
    lines = [(n, n / 3, ("O'Brien", "paid; sent")[n % 2], f"ada{n}@example.org") for n in range(60)]
    connection.executemany('INSERT INTO "order lines" VALUES (?, ?, ?, ?)', lines)
    connection.executemany("INSERT INTO parts VALUES (?, ?, '2024-01-01')", [(n, n) for n in range(60)])
    yield connection
    connection.close()


def leaves(value):
    """The texts and numbers of a member that are not words of its form."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name not in FORM:
                yield from leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each)
    else:
        yield value


def plain(text):
    """A text without quotes and blanks, as names and values are quoted in one way and told in another."""
    return re.sub(r"""['"`\[\]\\\s]+""", "", text)


def assert_told(requests, tasks):
    """Each request has a member of the form that is read, and no text of it is missing in the prompt."""
    assert [request["rsql"]["task"] for request in requests] == tasks
    for request in requests:
        read(request["rsql"])
        prompt = plain("\n".join(message["content"] for message in request["messages"]))
        texts = [leaf for leaf in leaves(request["rsql"]) if isinstance(leaf, str)]
        # What is invisible in a name stands in it as code writes it.
        assert [text for text in texts if plain(text) not in prompt and plain(repr(text)) not in prompt] == []
        assert "[withheld]" not in texts
        assert_figures_told(request["rsql"], prompt)


def assert_figures_told(member, prompt):
    """The prompt states each count and share."""
    for table in [*member.get("tables", ()), *member.get("objects", ())]:
        rows = table.get("rows")
        assert rows is None or f"{rows:,}row" in prompt
        for profile in [column["profile"] for column in table.get("columns", ()) if column.get("profile")]:
            distinct, nulls = profile.get("distinct"), profile.get("nulls")
            assert distinct is None or f"{distinct:,}distinct" in prompt or (distinct == rows and "unique" in prompt)
            assert nulls is None or share(nulls) in prompt


@pytest.mark.parametrize("level", LEVELS)
def test_a_question_about_the_session_tells_no_more_than_its_prompt(announced, assistant, level):
    announced.replies = ["It is.", "```python\nx = (\n```", "Better."]
    for text in ("mean of shop per id in sales, for ada@example.org", "Is scale right?"):
        question = assistant.question(text, SNAPSHOT, names=["sales", "shops", "rate", "scale"], privacy=level)
        assistant.ask(question, SNAPSHOT)
    asked, other, repair = announced.requests
    assert_told([asked, other, repair], ["ask"] * 3)
    found = str([request["rsql"] for request in announced.requests])
    assert not re.search(r"hunter2|ada@|sk-abc", found)
    assert repair["rsql"]["problems"]
    frames = {each["name"]: each for each in asked["rsql"]["objects"]}
    assert frames["sales"].get("rows") == (None if level == "names" else 100)
    assert {"many": 8}.items() <= next(c for c in frames["sales"]["columns"] if c["name"].startswith("metric")).items()
    assert any(column.get("profile") for column in frames["sales"]["columns"]) == (level != "names")


@pytest.mark.parametrize("level", LEVELS)
def test_the_last_error_is_told_as_the_prompt_tells_it(announced, assistant, level):
    announced.replies = ["No such column."]
    question = assistant.question("Explain the last error.", SNAPSHOT, privacy=level, about_error=True)
    assistant.ask(question, SNAPSHOT)
    assert_told(announced.requests, ["ask"])
    assert "KeyError" in announced.requests[0]["rsql"]["error"]


@pytest.mark.parametrize("level", LEVELS)
def test_a_question_of_a_database_tells_no_more_than_its_prompt(announced, assistant, shop, level):
    announced.replies = [
        '```sql\nSELECT nosuch FROM "order lines" JOIN parts ON nothing = nought\n```',
        '```sql\nSELECT state, COUNT(*) AS n FROM "order lines" GROUP BY state\n```',
        "It counts.",
        *(["There are 30."] if level == "sample" else []),
        "```sql\nSELECT COUNT(*) AS n FROM parts\n```",
    ]
    wish = assistant.query_options(explain=True, answer=level == "sample", level=level)
    assistant.sql_ai("How many order lines has ada@example.org per state?", shop, options=wish)
    assistant.sql_ai("only for parts made today", shop, options=assistant.query_options(level=level))
    tasks = ["sql", "repair", "explain", *(["result"] if level == "sample" else []), "sql"]
    assert_told(announced.requests, tasks)
    first, repair, *_, last = (request["rsql"] for request in announced.requests)
    assert [table["name"] for table in first["tables"]] == ["order lines", "parts"]
    assert any(column.get("profile") for table in first["tables"] for column in table["columns"]) == (level != "names")
    assert (repair["sql"], bool(repair["problems"])) == (
        'SELECT nosuch FROM "order lines" JOIN parts ON nothing = nought',
        True,
    )
    assert last["today"]
    assert last["history"][0]["answer"].startswith("```sql")
    assert "ada@" not in str([request["rsql"] for request in announced.requests])


@pytest.mark.parametrize("level", LEVELS)
def test_study_material_is_asked_for_with_what_its_prompt_tells(announced, assistant, level):
    announced.replies = ["I cannot.", "I cannot."]
    with pytest.raises(RsqlError):
        assistant.study(assistant.question("sales", SNAPSHOT, privacy=level), SNAPSHOT, "quiz", count=3)
    assert_told(announced.requests, ["study", "study"])
    assert announced.requests[0]["rsql"]["count"] == 3


@pytest.mark.parametrize(
    ("stats", "model"),
    [({}, None), ({"offline_models": []}, None), ({"offline_models": ["offline"]}, "llama"), (None, None)],
)
def test_only_where_the_gateway_announces_it_values_are_sent(gateway, assistant, shop, stats, model):
    if stats is not None:  # else another kind of endpoint
        gateway.paths["stats"] = stats
    gateway.replies = ["It is.", "```sql\nSELECT COUNT(*) AS n FROM parts\n```"]
    assistant.ask(assistant.question("What is sales?", SNAPSHOT, model=model), SNAPSHOT)
    assistant.sql_ai("How many parts?", shop, options=assistant.query_options(model=model))
    assert len(gateway.requests) == 2
    assert not any("rsql" in request for request in gateway.requests)


def test_another_gateway_must_announce_it_anew(announced, assistant, client):
    announced.replies = ["It is.", "It is."]
    assistant.ask(assistant.question("What is sales?", SNAPSHOT), SNAPSHOT)
    assert client.offline_models == {"offline", "default"}
    announced.paths["stats"] = {}
    assistant.locator._policy_known = False
    assistant.ask(assistant.question("What is sales?", SNAPSHOT), SNAPSHOT)
    assert ["rsql" in request for request in announced.requests] == [True, False]


TABLE = Table(
    "lines",
    (
        Column("id", "INTEGER", profile=Profile("1", "90", distinct=90)),
        Column("state", "ENUM('paid', 'new')", profile=Profile(distinct=2, values=("paid", "new"), complete=True)),
        Column("share", "REAL", unit="km\nh", profile=Profile("≈0.1", "7", distinct=50, nulls=0.0342)),
        Column("note", "TEXT", False, "of ada@example.org " * 30, profile=Profile(distinct=80, nulls=0.9999)),
        Column("rare", "TEXT", profile=Profile(values=tuple(f"{n}" * 60 for n in range(20)), nulls=0.00001)),
    ),
    rows=90,
    primary_key=("id",),
    foreign_keys=(ForeignKey(("note",), "main.notes", ("id",), inferred=True),),
    description="a\nb" * 200,
)


@pytest.mark.parametrize("level", LEVELS)
def test_a_table_as_it_is_stated_has_the_same_text_and_no_figure_beyond_it(level):
    stated = as_stated_in_ddl(TABLE, level)
    assert ddl(stated, "sample") == ddl(TABLE, level)
    assert as_stated_in_ddl(stated, "sample") == stated
    shares = {column.profile.nulls for column in stated.columns if column.profile and column.profile.nulls}
    assert shares == (set() if level == "names" else {0.03, 0.99, 0.001})
    assert {c.name: c.profile.distinct for c in stated.columns if c.profile} == (
        {} if level == "names" else {"id": None, "state": None, "share": None, "note": 80, "rare": None}
    )


def test_the_default_schema_and_what_cannot_be_read_are_not_told(announced, assistant, shop):
    announced.replies = ["```sql\nSELECT COUNT(*) AS n FROM parts\n```"]
    assistant.sql_ai("How many parts?", shop)
    request = read(announced.requests[0]["rsql"])
    assert request.catalog == Catalog(request.tables, "sqlite")
    assert {table.schema for table in request.tables} == {""}
