"""Settings that an R session holds: the value beside a secret's name leaves at no level, whatever carries the two."""

from __future__ import annotations

import json
import random

import pytest
from secret_notations import NAMES, PLAIN, SECRET, leaked, notations

from rsql_magic.context import gather
from rsql_magic.context import r as rside

LEVELS = ("names", "stats", "sample")
NOTATIONS = notations()
CARRIERS = {
    "a named vector": 'c(`{name}` = "{value}")',
    "a longer named vector": 'c(host = "db1", `{name}` = "{value}", port = "5432")',
    "a list": 'list(host = "db1", `{name}` = "{value}")',
    "a list in a list": 'list(db = list(host = "db1", `{name}` = "{value}"))',
    "a pairlist": 'pairlist(host = "db1", `{name}` = "{value}")',
    "a frame of names and values": 'data.frame(name = c("host", "{name}"), value = c("db1", "{value}"))',
    "factors": 'data.frame(key = c("host", "{name}"), value = c("db1", "{value}"), stringsAsFactors = TRUE)',
    "a longer frame": 'data.frame(id = 1:40, variable = c("{name}", rep("host", 39)), '
    'val = c("{value}", rep("db1", 39)))',
    "a wide frame": 'data.frame(host = "db1", `{name}` = "{value}", check.names = FALSE)',
    "row names": 'data.frame(value = c("db1", "{value}"), row.names = c("host", "{name}"))',
    "a matrix": 'matrix(c("host", "{name}", "db1", "{value}"), 2, dimnames = list(NULL, c("name", "value")))',
    "a matrix with named rows": 'matrix(c("db1", "{value}"), 2, dimnames = list(c("host", "{name}"), "value"))',
    "an environment": 'list2env(list(`{name}` = "{value}"))',
    "an attribute": 'structure(1:3, `{name}` = "{value}")',
    "a text": '"{name}={value}"',
    "texts": 'c("host=db1", "{name}={value}")',
    "a factor": 'factor(c("{name}={value}", "host=db1"))',
    "a label": 'data.frame(n = structure(1:3, label = "{name}={value}"))',
    "a function": 'function(x, `{name}` = "{value}") x',
    "a formula": 'y ~ x + f(`{name}` = "{value}")',
    "a call": 'quote(connect(`{name}` = "{value}"))',
    "a model": 'list(model = lm(n ~ 1, data.frame(n = 1:3)), `{name}` = "{value}")',
}


@pytest.fixture
def r(real_r):
    """Evaluate R code in an empty workspace."""
    import rpy2.rinterface as ri

    rside.survey()
    return ri.evalr


def assert_kept(level):
    text = gather("what is in odd?", {}, names=("odd",), level=level).text
    assert "odd" in text
    assert not leaked(text), text


def values():
    return [(SECRET, name) for name in NAMES] + [(PLAIN, name) for name in ("password", "DB_PASSWORD", "api_key")]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("carrier", CARRIERS)
def test_the_value_beside_a_secrets_name_stays(r, carrier, level):
    for value, name in random.Random(f"{carrier} {level}").sample(values(), 3):
        r(f"odd <- {CARRIERS[carrier].format(name=name, value=value)}")
        assert_kept(level)


@pytest.mark.sweep
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("carrier", CARRIERS)
def test_it_stays_by_any_name(r, carrier, level):
    for value, name in values():
        r(f"odd <- {CARRIERS[carrier].format(name=name, value=value)}")
        assert_kept(level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("how", random.Random(8).sample(sorted(NOTATIONS), 8))
def test_no_text_carries_it_out(r, how, level):
    text = json.dumps(NOTATIONS[how])
    for carrier in ("{0}", "c('x', {0})", "list(note = {0})", "data.frame(note = rep({0}, 6), n = 1:6)", "factor({0})"):
        r(f"odd <- {carrier.format(text)}")
        assert_kept(level)
