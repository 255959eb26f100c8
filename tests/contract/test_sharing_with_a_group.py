"""An instructor's notebook, the students' and strangers', by way of a real gateway that answers by fixed rules."""

from __future__ import annotations

from contextlib import contextmanager

import duckdb
import pytest
from several_machines import gateway_of_groups
from shells import new_shell

from rsql_magic.assistant import Assistant
from rsql_magic.errors import GatewayError
from rsql_magic.notebook import load

pytestmark = pytest.mark.usefixtures("programs")

SHOP = """\
tables:
  orders:
    metrics:
      turnover: {expression: SUM(amount), where: [status <> 3], description: without cancelled orders}
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The address of a gateway with two groups."""
    with gateway_of_groups(tmp_path_factory.mktemp("gateway")) as url:
        yield url


@pytest.fixture
def notebook(url, tmp_path, monkeypatch):
    """Gives notebooks, each in a folder of its own and with the database ``con``."""

    @contextmanager
    def start(caller):
        folder = tmp_path / caller
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        environ = {"RSQL_GATEWAY_URL": url, "RSQL_GATEWAY_TOKEN": f"{caller}-token", "XDG_CONFIG_HOME": str(folder)}
        assistant = Assistant(environ=environ)
        with new_shell() as shell, duckdb.connect() as con:
            load(shell, assistant)
            con.execute("CREATE TABLE orders (amount DOUBLE, status INTEGER); INSERT INTO orders VALUES (5, 1), (7, 3)")
            shell.user_ns["con"] = con
            yield shell
            assistant.close()

    return start


def test_what_an_instructor_shares_answers_the_groups_questions_and_no_others(notebook, tmp_path, capsys):
    question = "%%sql_ai con\nWhat is the turnover?"
    with notebook("tia") as teacher:
        (tmp_path / "tia" / "shop.yaml").write_text(SHOP, encoding="utf-8")
        teacher.run("%rsql dictionary share shop.yaml")
        assert "Shared shop.yaml with stats." in capsys.readouterr().out
        found = teacher.run(question)
        assert found.df.iloc[0, 0] == 5.0
        teacher.run("%rsql verify --group")
    with notebook("ada") as student:
        answered = student.run(question)
        assert answered.df.iloc[0, 0] == 5.0
        assert "stats: shop.yaml, line 4" in str(answered.notes) + str(answered.footnotes) + capsys.readouterr().out
        student.run("%rsql dictionary")
        assert "stats: shop.yaml" in capsys.readouterr().out
        with pytest.raises(GatewayError, match="documents:write"):
            student.run("%rsql verify --group")
    with notebook("eve") as stranger:
        stranger.run("%rsql dictionary")
        assert "shop.yaml" not in capsys.readouterr().out
