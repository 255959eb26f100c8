"""The last error of a session ends when what failed has run well, and not before."""

from __future__ import annotations

import pytest

from rsql_magic.notebook import loaded

DIVIDE = "def half(n):\n    return n / 0\nhalf(3)"


@pytest.fixture(autouse=True)
def _no_error_of_other_tests(monkeypatch):
    for name in ("last_value", "last_exc"):
        monkeypatch.setattr(f"sys.{name}", None, raising=False)


def error(ip):
    return loaded(ip).session.snapshot().error


def run(ip, *cells):
    """Run cells, each a source or an id and a source."""
    for cell in cells:
        name, source = cell if isinstance(cell, tuple) else (None, cell)
        ip.run_cell(source, store_history=True, cell_id=name)


@pytest.mark.slow
@pytest.mark.usefixtures("without_r")
@pytest.mark.parametrize(
    ("cells", "kept"),
    [
        ([("a", "1 / 0")], True),
        ([("a", "1 / 0"), ("b", "1 / 1")], True),  # another cell, however alike
        ([("a", "1 / 0"), ("b", "%rsql help")], True),
        ([("a", "1 / 0"), ("a", "1 / 1")], False),
        ([("a", "1 / 0"), ("a", "print('something else')")], False),
        ([("a", "total"), ("b", "total = 1"), ("a", "total")], False),
        ([("a", "1 / 0"), ("a", "1 / 1"), ("a", "1 / 0")], True),
        ([("a", "e = KeyError(1)\nraise e"), ("a", "pass"), ("b", "raise e")], True),
        ([("a", "x = = 1"), ("b", "y = 1")], True),
        ([("a", "x = = 1"), ("a", "x = 1")], False),
        (["1 / 0", "import math"], True),  # a terminal tells no ids
        (["prices = [1, 2]\nprices[2]", "prices = [1, 2]\nprices[1]"], False),
        ([("a", "prices = [1, 2]\nprices[2]"), "prices = [1, 2]\nprices[1]"], False),  # the panel runs without one
        ([("a", DIVIDE[:-7]), ("b", "half(3)")], True),
        ([("a", DIVIDE[:-7]), ("b", "half(3)"), ("a", DIVIDE[:-7])], True),  # as it was
        ([("a", DIVIDE[:-7]), ("b", "half(3)"), ("c", "half = 3")], True),
        ([("a", DIVIDE[:-7]), ("b", "half(3)"), ("a", DIVIDE[:-7].replace("0", "2"))], False),
        ([("a", "class A:\n    def go(self):\n        1 / 0"), ("b", "A().go()"), ("a", "class A: pass")], True),
        (
            [("a", "class A:\n    def go(self):\n        1 / 0"), ("b", "A().go()"), ("a", "class A:\n  def go(s): 1")],
            False,
        ),
    ],
)
def test_an_error_ends_when_what_failed_runs_well(ip, cells, kept):
    run(ip, *cells)
    assert (error(ip) is not None) is kept


@pytest.mark.usefixtures("without_r")
def test_what_was_mended_is_offered_no_more(ip, assistant):
    from panel_talk import Talk

    talk = Talk(ip, assistant)
    run(ip, ("a", "1 / 0"), ("b", "x = 1"))
    assert "/explain" in talk.do("starters")["questions"]
    run(ip, ("a", "1 / 1"))
    assert "/explain" not in talk.do("starters")["questions"]
    talk.panel.close()


def test_an_error_of_r_ends_as_well_though_r_goes_on_saying_it(real_r, ip):
    run(ip, "%load_ext rpy2.ipython", ("a", "%%R\nstop('no such petal')"))
    assert "no such petal" in str(error(ip))
    run(ip, ("a", "%%R\nx <- 1"))
    assert error(ip) is None
    run(ip, ("a", "%%R\nstop('no such petal')"))
    assert "no such petal" in str(error(ip))
