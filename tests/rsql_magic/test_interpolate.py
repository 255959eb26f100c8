"""{{name}}, and nothing else."""

from __future__ import annotations

import pytest

from rsql_magic.answers import interpolate
from rsql_magic.errors import BadInput, UnknownName

CELLS = {"In": ["", "x = 1", "x + 1"], "Out": {2: 2}}


@pytest.mark.parametrize(
    ("text", "namespace", "expected"),
    [
        ("{{x}} and {{y}}", {"x": 1, "y": "two"}, "1 and two"),
        ("{'foo': 'bar'} {x} {{ x }} {{{x}}} }}{{", {"x": 1}, "{'foo': 'bar'} {x} {{ x }} {1} }}{{"),
        ("{{note}}", {"note": "{{API_TOKEN}}", "API_TOKEN": "s3cret"}, "{{API_TOKEN}}"),
        ("{{x.y}} {{x()}} {{x+1}} {{x!r}} {{0}}", {"x": 1}, "{{x.y}} {{x()}} {{x+1}} {{x!r}} {{0}}"),
        ("{{In[1]}} gives {{Out[2]}}", CELLS, "x = 1 gives 2"),
        ("{{größe}}", {"größe": 3}, "3"),
        ("{{a}}{{b}}", {"a": "{{", "b": "a}}"}, "{{a}}"),
        ("{{x}}", {"x": None}, "None"),
    ],
)
def test_only_names_are_filled_in_and_only_once(text, namespace, expected):
    assert interpolate(text, namespace) == expected


def test_anything_else_is_described():
    assert interpolate("{{df}}", {"df": [1]}, describe=lambda value, name: f"<{name}: {value}>") == "<df: [1]>"


def test_the_last_error():
    assert interpolate("why {{Err}}?", {}, error="KeyError: 'x'") == "why KeyError: 'x'?"
    with pytest.raises(UnknownName, match="There is no error"):
        interpolate("{{Err}}", {})


def test_a_name_that_is_not_there_is_not_empty_text():
    with pytest.raises(UnknownName, match=r"Did you mean \{\{sales\}\}") as caught:
        interpolate("{{salse}}", {"sales": 1})
    assert "{{ salse }} with spaces" in str(caught.value)
    assert isinstance(caught.value, NameError)


@pytest.mark.parametrize("field", ["{{In[7]}}", "{{Out[1]}}"])
def test_a_cell_that_is_not_there(field):
    with pytest.raises(UnknownName, match=r"there is no (source|result) of a cell"):
        interpolate(field, CELLS)


def test_a_long_value_is_refused_with_its_size():
    with pytest.raises(BadInput, match=r"30 characters; at most 10"):
        interpolate("{{x}}", {"x": "x" * 30}, limit=10)


def test_nothing_of_the_object_is_run():
    class Trap:
        def __str__(self):
            raise AssertionError("called")

        __repr__ = __str__

    assert interpolate("{{t}}", {"t": Trap()}, describe=lambda *_: "a trap") == "a trap"


@pytest.mark.parametrize("name", ["API_TOKEN", "password", "dbPassword"])
def test_a_variable_called_like_a_secret_is_not_read(name):
    with pytest.raises(BadInput, match="called like a secret") as caught:
        interpolate(f"use {{{{{name}}}}}", {name: "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_nothing_of_python_or_ipython_is_suggested():
    with pytest.raises(UnknownName) as caught:
        interpolate("{{opne}}", {"open": open, "exit": print, "ops": __import__("os")})
    assert "Did you mean" not in str(caught.value)
