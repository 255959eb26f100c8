"""sql_ai() of r/rsql.R over real servers: PostgreSQL and MariaDB, by the drivers that Debian has for R."""

from __future__ import annotations

import pytest
import servers
import sqlalchemy as sa
from e2e.r_session import terminal
from e2e.test_r import gateway  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("real_r")

FILL = """
invisible(DBI::dbWriteTable(
  con, "orders", data.frame(id = 1:4, region = c("N", "S", "N", "W"), amount = c(1, 2, 3, 40)), row.names = FALSE
))
invisible(DBI::dbWriteTable(con, "many", data.frame(n = 1:3000), row.names = FALSE))
"""
CONNECT = 'con <- DBI::dbConnect({driver}, host = "127.0.0.1", port = {port}, user = "admin", password = "{password}"'


def connected(driver, server, database):
    connect = CONNECT.format(driver=driver, port=server.port, password=servers.PASSWORD)
    return f'{connect}, dbname = "{database}")\n'


@pytest.fixture(scope="module", params=["postgresql", pytest.param("mariadb", marks=pytest.mark.sweep)])
def database(request):
    """R that connects to a database of a server."""
    if request.param == "postgresql":
        with servers.postgresql() as server:
            yield connected("RPostgreSQL::PostgreSQL()", server, "postgres")
        return
    with servers.mariadb() as server:
        engine = sa.create_engine(server.url)
        with engine.connect() as db:
            db.execute(sa.text("CREATE DATABASE shop"))
        engine.dispose()
        yield connected("RMySQL::MySQL()", server, "shop")


@pytest.fixture(scope="module")
def r(database, gateway, tmp_path_factory):  # noqa: F811
    """Runs code with ``con``, whose tables are filled; gives what it prints."""
    with terminal(gateway, tmp_path_factory.mktemp("r")) as run:
        run(database + FILL)
        yield lambda code: run(f"{database}{code}\ninvisible(DBI::dbDisconnect(con))")


def test_rows_come_as_a_data_frame(r):
    out = r('x <- sql_ai("What is the average amount by region?", con)\nprint(x[order(x[[1]]), ])')
    assert "AVG(amount)" in out
    assert [line.split()[1:] for line in out.splitlines()[-3:]] == [["N", "2"], ["S", "2"], ["W", "40"]]


def test_whether_there_are_more_rows_is_told(r):
    code = """
    for (most in c(1, 3, 4)) {
      x <- sql_ai("run: SELECT id FROM orders", con, max_rows = most, quiet = TRUE)
      cat(nrow(x), attr(x, "truncated"), "")
    }
    """
    assert r(code) == "1 TRUE 3 TRUE 4 FALSE "


@pytest.mark.spine
def test_what_would_write_is_refused_and_the_connection_stays_as_it_was(r):
    code = """
    said <- tryCatch(sql_ai("run: DELETE FROM orders", con), error = conditionMessage)
    before <- nrow(DBI::dbReadTable(con, "orders"))
    invisible(DBI::dbExecute(con, "INSERT INTO orders (id, region, amount) VALUES (5, 'E', 1)"))
    invisible(DBI::dbExecute(con, "DELETE FROM orders WHERE id = 5"))
    cat(said, before, nrow(DBI::dbReadTable(con, "orders")))
    """
    out = r(code)
    assert "DELETE changes rows" in out
    assert out.endswith("4 4")


def test_beyond_the_guard_the_transaction_only_reads(r):
    """What the guard cannot see, such as a function of the database's own that writes, does not either."""
    code = """
    read_only <- environment(sql_ai)$read_only
    dialect <- environment(sql_ai)$dialect_of(con)
    said <- tryCatch(
      read_only(con, dialect, 5, DBI::dbExecute(con, "DELETE FROM orders")),
      error = conditionMessage, warning = conditionMessage
    )
    cat(said, nrow(DBI::dbReadTable(con, "orders")))
    """
    out = r(code)
    assert "read" in out.lower().replace("-", " ")
    assert out.endswith(" 4")


def test_a_query_that_takes_too_long_is_ended(r):
    code = """
    began <- proc.time()[["elapsed"]]
    slow <- "run: SELECT count(*) FROM many a JOIN many b ON a.n <> b.n JOIN many c ON b.n <> c.n"
    said <- tryCatch(sql_ai(slow, con, timeout = 1, retries = 0, quiet = TRUE), error = conditionMessage)
    cat(proc.time()[["elapsed"]] - began < 60, nrow(DBI::dbReadTable(con, "orders")), said)
    """
    out = r(code)
    assert out.startswith("TRUE 4 ")
