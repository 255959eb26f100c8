"""What a dictionary restricts never reaches a provider, whatever query the model writes and however it is asked."""

from __future__ import annotations

import contextlib
import json
import re

import duckdb
import pytest
import restricted_world as world

from rsql_magic.errors import RsqlError

SECRETS = re.compile("|".join(sorted({world.secret(0, number) for number in range(8)})) + "|70000[0-7]")
# Queries that name a secret themselves are the model's own words, and come back to it in its repair.
LEAKS = [
    case.sql
    for case in world.queries("duckdb", 400)
    if case.kind == "leaks" and "guesses" not in case.sql and not SECRETS.search(case.sql)
]
WAYS = {
    "answered": "%%sql_ai con --answer --privacy sample\nWho are the people of Rome?",
    "with drafts": "%%sql_ai con --answer --privacy sample --drafts 2\nWho are the people of Rome?",
    "looked at": "%%sql_ai con --look --answer --privacy sample\nWho are the people of Rome?",
}


@pytest.fixture(autouse=True)
def people(ip, tmp_path):
    """A database with planted secrets, and a dictionary in use that restricts them."""
    file = tmp_path / "dictionary.yaml"
    file.write_text(json.dumps(world.DICTIONARY))
    ip.run(f"%rsql dictionary {file}")
    with duckdb.connect() as connection:
        world.fill(connection.execute, 0)
        connection.execute("DROP TABLE guesses")
        ip.user_ns["con"] = connection
        yield


def sent_of(ip, gateway, line, query):
    """What a provider was sent for a question to which it answers with a query, again and again."""
    gateway.replies = [f"```sql\n{query}\n```"] * 4 + ["That is all."]
    with contextlib.suppress(RsqlError):
        ip.run(line)
    return json.dumps(gateway.requests)


@pytest.mark.slow
def test_no_secret_reaches_the_provider(ip, gateway):
    check_all(ip, gateway, WAYS["answered"], LEAKS[:: len(LEAKS) // 3])


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", WAYS)
def test_no_secret_of_many_queries_reaches_the_provider(ip, gateway, way):
    check_all(ip, gateway, WAYS[way], LEAKS if way == "answered" else LEAKS[::10])


def check_all(ip, gateway, line, queries):
    told = {}
    for query in queries:
        gateway.requests.clear()
        told[query] = SECRETS.findall(sent_of(ip, gateway, line, query))
        assert gateway.requests, "a provider was asked"
    print(f"{len(told)} queries, {sum(map(bool, told.values()))} told a secret")
    assert {query: found for query, found in told.items() if found} == {}


@pytest.mark.slow
def test_a_query_that_touches_none_is_answered(ip, gateway):
    line = WAYS["answered"]
    sent = sent_of(ip, gateway, line, "SELECT city, count(*) AS n FROM people GROUP BY city ORDER BY city")
    assert "Rome" in sent
    gateway.replies = ["```sql\nSELECT name FROM people\n```", "Nobody."]
    with contextlib.suppress(RsqlError):
        assert not SECRETS.search(str(ip.run(line).answer))
