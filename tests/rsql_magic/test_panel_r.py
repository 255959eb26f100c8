"""The panel beside a real R, which answers on the main thread only: what is previewed, sent and checked."""

from __future__ import annotations

import random

import pytest
from offline_replies import Offline, is_answered
from panel_talk import Loop, Talk, in_thread

from rsql_magic.context import r
from rsql_magic.panel.answer_task import MainThread

pytestmark = pytest.mark.usefixtures("real_r")

BUSY = "a cell is running: what only its thread can read, such as R's objects, is left out"


@pytest.fixture
def talk(real_r, ip, assistant):
    r.run_r("cars2 <- data.frame(speed = 1:40, dist = 2:41)")
    talk = Talk(ip, assistant)
    talk.loop = Loop()
    talk.panel.main_thread = MainThread(talk.loop)
    yield talk
    talk.panel.close()


def free(talk, what, **arguments):
    """A request of a view, with a main thread that is free; as in JupyterLab it comes in another one."""
    _, done = in_thread(lambda: talk.do(what, **arguments))
    talk.loop.run_until(lambda: done)
    return done[0]


def asked(talk, text, **more):
    told = free(talk, "ask", thread=talk.thread, text=text, **more)
    talk.loop.run_until(lambda: talk.exchanges()[-1]["state"] != "running")
    return talk.ended(told["exchange"]["id"])


@pytest.mark.parametrize("text", ["Is @r:cars2 linear?", "Fit speed in cars2", "How does stats::lm work?", "/fix"])
def test_what_a_preview_shows_of_r_is_what_is_sent(talk, gateway, text):
    r.run_r("stop('no such petal')")
    shown = free(talk, "preview", thread=talk.thread, text=text)
    gateway.replies = ["Words."]
    asked(talk, text, seen=shown["seen"])
    assert gateway.requests[-1]["messages"] == shown["messages"]
    told = shown["messages"][-1]["content"]
    seen = {"/fix": "no such petal", "How does stats::lm work?": 'kind="help"'}.get(text, "R data.frame, 40 rows")
    assert seen in told
    # Without the preview the same is sent: both are built in one way.
    talk.panel.threads.find(talk.thread).clear()
    gateway.replies = ["Words."]
    asked(talk, text)
    assert gateway.requests[-1]["messages"] == shown["messages"]


def test_while_a_cell_runs_r_is_left_out_and_both_say_so(talk, gateway):
    _, done = in_thread(lambda: talk.do("preview", thread=talk.thread, text="Fit speed in cars2"))
    in_thread_ended(done)
    assert done[0]["notes"] == [BUSY]
    gateway.replies = ["Words."]
    told = talk.do("ask", thread=talk.thread, text="Fit speed in cars2", seen=done[0]["seen"])
    ended = talk.ended(told["exchange"]["id"])
    assert gateway.requests[-1]["messages"] == done[0]["messages"]
    assert "cars2: R data.frame" not in str(done[0]["messages"])
    assert BUSY in ended["footer"]


def in_thread_ended(done):
    Loop().run_until(lambda: done)


def test_while_a_cell_runs_what_is_asked_for_by_name_waits(talk, gateway):
    _, done = in_thread(lambda: talk.do("preview", thread=talk.thread, text="Fit @r:cars2"))
    in_thread_ended(done)
    assert done[0]["error"]["message"] == "A cell is running; what this names can be read after it."
    _, done = in_thread(lambda: talk.do("chips", thread=talk.thread, text="Fit @r:cars2"))
    in_thread_ended(done)
    assert [(chip["text"], chip["kind"]) for chip in done[0]["chips"]] == [("@r:cars2", "waiting")]
    gateway.replies = ["Words."]
    assert "cars2: R data.frame" in (asked(talk, "Fit @r:cars2") and gateway.sent)


def test_objects_that_rpy2_holds_are_not_read_in_another_thread(talk, gateway, ip):
    class Held:
        def __repr__(self):
            raise AssertionError("R was touched off the main thread")

    Held.__module__ = "rpy2.robjects.vectors"
    ip.user_ns["held"] = Held()
    gateway.replies = ["Words."]
    told = talk.do("ask", thread=talk.thread, text="What is held?")
    assert talk.ended(told["exchange"]["id"])["state"] == "done"
    assert 'name="held"' not in gateway.sent


def test_an_object_of_r_that_is_gone_is_red_and_not_sent(talk, gateway):
    told = free(talk, "chips", thread=talk.thread, text="Fit @r:cars3")
    assert told["chips"][0]["missing"] == "@r:cars3 names nothing here. Did you mean @r:cars2?"
    assert asked(talk, "Fit @r:cars3")["error"]["message"] == "@r:cars3 names nothing here."
    assert gateway.requests == []


def test_code_of_r_that_does_not_parse_goes_back_once(talk, gateway):
    gateway.replies = ["```r\nmean(x\n```", "```r\nmean(x)\n```"]
    told = asked(talk, "The mean?")
    assert "mean(x)" in told["answer"]
    assert (told["problems"], told["notes"]) == ((), ())
    assert "The r block 1 does not parse" in gateway.sent
    gateway.replies = ["```r\ncars2$sped\n```"] * 2
    assert "has no column 'sped'" in asked(talk, "Speeds?")["problems"][0]
    gateway.replies = ["```python\nx = (\n```", "```sql\nSELECT FROM WHERE\n```\n\n```python\nx = (\n```"]
    assert [problem[:20] for problem in asked(talk, "Both?")["problems"]] == [
        "The sql block 1 does",
        "The python block 2 d",
    ]


def test_code_of_r_is_checked_later_while_a_cell_runs(talk, gateway):
    gateway.replies = ["```r\nmean(x\n```", "```r\nmean(x)\n```"]
    for problems in (1, 0):
        told = talk.do("ask", thread=talk.thread, text="The mean?")
        ended = talk.ended(told["exchange"]["id"])
        assert (ended["notes"], ended["problems"]) == (("R code not checked yet: a cell is running",), ())
        talk.loop.run()
        now = talk.exchanges()[-1]
        assert (now["notes"], len(now["problems"])) == (("R code checked",), problems)
        assert talk.views.told[-2]["exchange"] == now
    assert len(gateway.requests) == 2


def test_an_answer_says_what_it_was_drawn_from(talk, gateway):
    gateway.replies = ["By `lm` on cars2."]
    told = asked(talk, "How does stats::lm fit cars2?")
    assert told["sources"] == ("cars2", "?stats::lm")
    assert "from `cars2`, `?stats::lm`" in talk.panel.markdown


COLUMNS = ("1:6", "c(0.5, NA, 1:4)", "rep(c('a', 'b'), 3)", "factor(rep(c('u', 'v'), 3))", "rep(c(TRUE, NA), 3)", "NA")
SPECIAL = ("as.Date('2024-01-01') + 1:6", "I(as.list(1:6))", "1i * 1:6", "rep('', 6)")
NAMES = ("speed", "body.mass", "sex", "year", "id", "a b", "count", "mean", "of", "in", "region", "T", "data", "1x")
TABLES = ("cars2", "my.df", "df", "sales", "T2", "odd name", ".hidden", "c2", "mean")


@pytest.mark.parametrize("seed", range(6))
def test_each_question_about_tables_of_r_is_one_that_the_offline_model_answers(talk, gateway, seed):
    dice = random.Random(seed)
    r.run_r("rm(list = ls()); fit <- lm(dist ~ speed, cars); n <- 3; f <- function(x) x")
    for name in dice.sample(TABLES, dice.randint(1, 3)):
        columns = [f"`{each}` = {dice.choice(COLUMNS + SPECIAL)}" for each in dice.sample(NAMES, dice.randint(1, 5))]
        made = r.run_r(f"`{name}` <- data.frame({', '.join(columns)}, n6 = 1:6, check.names = FALSE)")
        assert not made.error
    gateway.paths["stats"] = {"offline_models": ["offline", "default"]}
    gateway.replies = Offline(gateway)
    offered = free(talk, "starters")["questions"]
    told = {question: asked(talk, question) for question in offered}
    wrong = {
        question: one["answer"] or one["error"] for question, one in told.items() if not is_answered(question, one)
    }
    assert wrong == {}


def test_tables_of_r_are_offered_while_its_thread_is_free(talk):
    assert "Describe @r:cars2. Which columns have missing values?" in free(talk, "starters")["questions"]
    _, done = in_thread(lambda: talk.do("starters"))
    in_thread_ended(done)
    assert not any("@r:" in question for question in done[0]["questions"])
