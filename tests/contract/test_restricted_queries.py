"""What a dictionary restricts does not come out of a query on any engine: neither as a value nor by influence."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import restricted_world as world
import sqlalchemy as sa

from rsql_magic.databases import open_engine
from rsql_magic.errors import QueryRejected
from rsql_magic.knowledge import Dictionary
from rsql_magic.sql import check, ddl, findings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rsql_magic.sql import Catalog

ENGINES = ("duckdb", "sqlite", "postgresql", "mariadb")
PLANTED = re.compile("|".join(sorted({world.secret(w, n) for w in (0, 1) for n in range(8)})) + "|70[0-9]{4}")


Run = Callable[[str], "list[tuple[Any, ...]]"]


@contextlib.contextmanager
def opened(name: str, number: int, request: pytest.FixtureRequest, path: Any) -> Iterator[tuple[Any, Run]]:
    """A connection to one of the two worlds, and what runs a query there: its driver, which starts no threads."""
    if name == "duckdb":
        with duckdb.connect() as connection:
            world.fill(connection.execute, number)
            yield connection, lambda sql: connection.execute(sql).fetchall()
        return
    url = f"sqlite:///{path / f'world{number}.db'}"
    if name != "sqlite":
        base = request.getfixturevalue(name).url
        admin = f"{base}/postgres".replace("postgresql://", "postgresql+psycopg://") if name == "postgresql" else base
        made = sa.create_engine(admin, isolation_level="AUTOCOMMIT")
        with made.connect() as server:
            server.exec_driver_sql(f"DROP DATABASE IF EXISTS world{number}")
            server.exec_driver_sql(f"CREATE DATABASE world{number}")
        made.dispose()
        url = sa.make_url(admin).set(database=f"world{number}").render_as_string(hide_password=False)
    made = sa.create_engine(url)
    with made.begin() as session:
        world.fill(lambda sql: session.exec_driver_sql(sql.replace("%", "%%") if name != "sqlite" else sql), number)
    with made.connect() as session:

        def run(sql: str) -> list[tuple[Any, ...]]:
            with session.begin():
                doubled = sql if name == "sqlite" else sql.replace("%", "%%")
                return [tuple(row) for row in session.exec_driver_sql(doubled)]

        yield made, run
    made.dispose()


def outcome(catalog: Catalog, runs: list[Run], case: world.Case) -> str:
    """What becomes of a query: ``refused``, ``invalid``, ``same`` in both worlds, ``differs``, or ``secret``."""
    try:
        statement = check(case.sql, catalog.dialect, catalog)
    except QueryRejected:
        return "invalid"
    if any(breach.is_final for breach in findings(statement, catalog.dialect, catalog).breaches):
        return "refused"
    try:
        given = [Counter(tuple(map(str, row)) for row in run(statement)) for run in runs]
    except (duckdb.Error, sa.exc.DBAPIError):
        return "invalid"
    if "guesses" not in case.sql and PLANTED.search(str(given)):
        return "secret"
    return "same" if given[0] == given[1] else "differs"


def counted(
    name: str, many: int, request: pytest.FixtureRequest, path: Any
) -> tuple[Counter[tuple[str, str]], list[str]]:
    """The outcomes of queries by kind, and those that are wrong."""
    found, wrong = Counter[tuple[str, str]](), []
    with contextlib.ExitStack() as stack:
        worlds = [stack.enter_context(opened(name, number, request, path)) for number in (0, 1)]
        with open_engine(worlds[0][0]) as engine:
            engine.dictionary = Dictionary.of(world.DICTIONARY, "dictionary.yaml")
            for level in ("stats", "sample"):
                told = " ".join(ddl(table, level) for table in engine.catalog(level) if table.name != "guesses")
                wrong += [f"prompt at {level}: {one}" for one in PLANTED.findall(told)]
            catalog = engine.catalog()
        for case in world.queries(name, many):
            became = outcome(catalog, [run for _, run in worlds], case)
            found[case.kind, became] += 1
            differs = case.kind != "counts" and became == "differs"
            if became == "secret" or differs or (case.kind != "leaks" and became == "refused"):
                wrong.append(f"{case.kind} {became}: {case.sql}")
    return found, wrong


@pytest.mark.spine
@pytest.mark.parametrize("name", ENGINES)
def test_no_query_tells_a_restricted_column(name, request, tmp_path):
    found, wrong = counted(name, 40, request, tmp_path)
    assert wrong == []
    assert found["apart", "same"] > 25
    assert found["leaks", "refused"] > 40


@pytest.mark.sweep
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ENGINES)
def test_no_query_of_many_tells_a_restricted_column(name, request, tmp_path):
    found, wrong = counted(name, 750, request, tmp_path)
    print(name, dict(found))
    apart = sum(number for (kind, _), number in found.items() if kind != "leaks")
    assert [one for one in wrong if "refused:" not in one] == []
    assert sum("refused:" in one for one in wrong) <= 0.01 * apart
