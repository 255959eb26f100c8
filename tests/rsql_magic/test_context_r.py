"""What a real R session says, and what it keeps to itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rsql_magic.context import describe, gather
from rsql_magic.context import r as rside

pytestmark = pytest.mark.usefixtures("real_r")


@pytest.fixture
def r(real_r):
    """Evaluate R code in an empty workspace."""
    import rpy2.rinterface as ri

    rside.survey()
    return ri.evalr


def text_of(question="", **options):
    return gather(question, {}, **options).text


def test_the_session_is_named(r):
    session = rside.survey()
    assert session.version.count(".") == 2
    assert f"R {session.version} on {session.platform}; locale" in text_of()
    r("library(splines)")
    assert "attached splines " in rside.survey().text()
    r("detach('package:splines')")


def test_a_large_frame_is_described_in_r(r):
    r("""set.seed(1); d <- data.frame(id = 1:1e6, x = runif(1e6), g = sample(c('u', 'v'), 1e6, TRUE, c(.6, .4)))
         attr(d$x, 'label') <- 'a fraction'; attr(d$x, 'units') <- 'kg'; d$g[5:100000] <- NA""")
    lines = text_of("what is x in d?").splitlines()[1:5]
    assert lines[0] == "d: R data.frame, 1,000,000 rows × 3 columns (≈ from 10,000 rows)"
    assert lines[1] == "- id integer: 1..1000000; unique"
    assert lines[2].startswith("- x numeric: ≈")
    assert lines[2].endswith("; [kg]; a fraction")
    assert lines[3] == "- g character: values: 'u', 'v'; 10% NA"


def test_tables_of_all_kinds(r):
    r("""d <- structure(list(k = 1:6, v = letters[1:6]), class = c('data.table', 'data.frame'), row.names = 1:6)
         t <- structure(list(day = as.Date('2024-01-01') + 0:5, f = factor(rep(c('b', 'a'), c(1, 5)))),
                        class = c('tbl_df', 'tbl', 'data.frame'), row.names = 1:6)
         n <- data.frame(
           when = as.POSIXct('2024-01-01 10:00', 'UTC') + rep(c(0, 3600), 5),
           l = I(as.list(1:10)), e = rep(c(NA, 1), 5))""")
    text = text_of()
    assert "d: R data.table, 6 rows × 2 columns\n- k integer: 1..6; unique\n- v character: unique" in text
    assert (
        "t: R tibble, 6 rows × 2 columns\n- day Date: 2024-01-01..2024-01-06\n- f factor: values: 'a', …; 2 distinct"
        in text
    )
    assert "- when POSIXct: 2024-01-01 10:00..2024-01-01 11:00\n- l AsIs\n- e numeric: 1..1; 1 distinct; 50% NA" in text


def test_other_objects_say_what_they_are(r):
    r("""fit <- lm(dist ~ speed, cars)
         f <- function(x, n = 2, key = 'hidden-default', ...) x
         rec <- list(a = 1, b = 'hidden-text', deeper = list(list(2)))
         people <- list(hidden_ann = 1, hidden_bob = 2)
         s <- 'hidden-text'; num <- 3.5; m <- matrix(1:6, 2, dimnames = list(NULL, c('p', 'q', 'z')))
         v <- rep(c(1.5, 2, NA), 4); fo <- y ~ x; e <- new.env()""")
    text = text_of()
    assert "fit: R lm model; formula dist ~ speed; 50 observations; coefficients (Intercept), speed" in text
    assert "f: R function(x, n = 2, key = …, ...)" in text
    assert "rec: R list of 3, depth 3: a numeric, b character, deeper list" in text
    assert "people: R list of 2, depth 1: numeric" in text
    assert "s: R character, 11 characters" in text
    assert "num: R numeric 3.5" in text
    assert "m: R integer matrix, 2 × 3; columns p, q, z" in text
    assert "v: R numeric vector, 12 rows × 1 column\n- values numeric: 1.5..2; 33% NA" in text
    assert "fo: R formula y ~ x" in text
    assert "hidden" not in text


def test_rare_categories_in_coefficients_stay_here(r):
    r("d <- data.frame(y = 1:23 + 0, g = factor(rep(c('a', 'b', 'rare'), c(10, 10, 3)))); fit <- lm(y ~ g, d)")
    text = text_of()
    assert "coefficients (Intercept), gb" in text
    assert "rare" not in text


def test_level_names_looks_at_no_value(r):
    r("d <- data.frame(g = rep('common', 30)); n <- 42; fit <- lm(dist ~ speed, cars)")
    text = text_of(level="names")
    assert "d: R data.frame, 1 column\n- g character" in text
    assert "fit: R lm model; formula dist ~ speed" in text
    assert "common" not in text
    assert "42" not in text


def test_level_sample_shows_five_filtered_rows(r):
    r("""d <- data.frame(n = 1:9 / 3, t = c('mail ada@example.org', 'NA', NA, rep('x', 6)), email = 'b@example.org',
                         f = factor('u'), day = as.Date('2024-01-01'), l = I(as.list(1:9)))""")
    lines = text_of(level="sample").splitlines()
    start = lines.index("first rows: n, t, email, f, day, l")
    assert lines[start + 1] == "0.333333, 'mail [email]', [withheld], 'u', 2024-01-01, …"
    assert lines[start + 2].startswith("0.666667, 'NA', [withheld]")
    assert lines[start + 3].startswith("1, NA, [withheld]") or lines[start + 3].startswith("1.000000, NA, [withheld]")
    assert not lines[start + 6].startswith("2")
    assert "first rows" not in text_of()


PROMISES = {  # what R is told, and whether the name still waits then
    "delayedAssign('x', stop('was run'))": True,
    "delayedAssign('x', hurt <<- TRUE, eval.env = new.env())": True,
    "delayedAssign('x', letters)": True,
    "delayedAssign('x', 5)": True,
    "delayedAssign('x', data.frame(a = 1:3)); invisible(x)": False,
    "delayedAssign('x', runif(1e6)); invisible(length(x))": False,
    "delayedAssign('x', quote(stop('was run'))); invisible(x)": False,
    "x <- quote(stop('was run'))": False,
    "x <- quote(stop)": False,
    "x <- expression(stop('was run'))": False,
    "x <- function() stop('was run')": False,
    "x <- y ~ z": False,
    "x <- data.frame(a = 1:3)": False,
    "x <- '\\n @1 05 PROMSXP'": False,
    "x <- list(1, list(2))": False,
    "x <- new.env(); delayedAssign('y', stop('was run'), assign.env = x)": False,
}


@pytest.mark.parametrize("name", ["x", "ünter 'x'", "a\nb", "n" * 200])
def test_what_r_has_not_run_yet_is_not_run(r, name):
    quoted = name.replace("\n", "\\n")
    for code, waits in PROMISES.items():
        written = code.replace("'x'", f'"{quoted}"').replace("x <-", f"`{quoted}` <-").replace("(x)", f"(`{quoted}`)")
        r(f"rm(list = ls(all.names = TRUE)); hurt <- FALSE; {written.replace('= x)', f'= `{quoted}`)')}")
        text = gather("", {}).text
        assert ("R promise, not read" in text) is waits, code
        assert r("hurt")[0] is False, code
    r("rm(list = ls(all.names = TRUE))")


def test_secrets_by_name_are_not_read(r):
    r("api_key <- 'a'; makeActiveBinding('watched', function() stop('was read'), globalenv())")
    context = gather("", {})
    assert {piece.name: piece.reason for piece in context.left_out} == {
        "api_key": "its name says that it is a secret; not read"
    }
    assert "watched: R active binding, not read" in context.text


def test_odd_names_and_texts(r):
    r("""`two words` <- data.frame(`a b` = 1:6, check.names = FALSE); e <- data.frame()
         b <- data.frame(x = rep(c('caf\\xe9', 'line\\nbreak'), 6)); zero <- character()""")
    text = text_of()
    assert "two words: R data.frame, 6 rows × 1 column\n- 'a b' integer: 1..6; unique" in text
    assert "e: R data.frame, 0 rows × 0 columns" in text
    assert "zero: R character, empty" in text
    assert "- x character: values: 'café', 'line break'" in text


def test_columns_asked_about_are_in_the_context_of_a_wide_frame(r):
    r("d <- as.data.frame(matrix(0, 6, 400)); names(d) <- paste0(rep(letters, 16)[1:400], 'x', seq_len(400), 'y')")
    assert "- ox15y numeric: 0..0" in text_of("plot ox15y")
    assert "- jx400y" not in text_of("plot ox15y")


def test_what_is_slow_in_r_is_left_out_and_the_rest_is_there(r, monkeypatch):
    monkeypatch.setattr("rsql_magic.context.rside._SURVEY", 3.0)
    r("names.lazy <- function(x) Sys.sleep(60); lazy <- structure(list(1), class = c('lazy', 'data.frame')); x <- 1")
    started = time.monotonic()
    text = text_of()
    assert time.monotonic() - started < 20
    assert "lazy: R object that cannot be read" in text
    r("rm(lazy)")
    assert "x: R numeric 1" in text_of()


def test_help_of_functions_that_the_question_names(r):
    context = gather("how do I use stats::lm, and what is nosuch::thing?", {})
    assert "help stats::lm" in context.sources
    assert "lm(formula, data, subset" in context.text
    assert "Arguments:" in context.text
    assert "help base::subset" in gather("why does subset() drop rows?", {}).sources


def test_the_last_error_of_r_has_its_calls_and_warnings(r):
    from rpy2.rinterface_lib import embedded

    with pytest.raises(embedded.RRuntimeError) as caught:
        r("g <- function(x) { warning('hmm'); stop('bad ', x) }; h <- function(y) g(y); h(2)")
    assert gather("", {}, error=caught.value).pieces[0].text.splitlines() == [
        "Error in g(y) : bad …",
        'in stop("…", x)',
        "in g(y)",
        "in h(2)",
        "warning: hmm",
    ]


@pytest.mark.parametrize("code", ["x <- 1; y", "f <- function(x) {\n x\n}", ""])
def test_code_that_parses(code):
    assert rside.parse_r(code) is None


def test_code_that_does_not_parse_is_told_where():
    assert "2:0: unexpected end of input" in rside.parse_r("x <- (")


def test_running_code_gives_output_plots_and_warnings(r):
    ran = rside.run_r("x <- 1:3\nx\ninvisible(9)\nmessage('said')\nwarning('careful')\nplot(x)\nhist(x)")
    assert ran.output == "[1] 1 2 3\nsaid\n"
    assert ran.warnings == ("careful",)
    assert [plot[:4] for plot in ran.plots] == [b"\x89PNG", b"\x89PNG"]
    assert not ran.error
    assert r("x")[2] == 3


def test_code_that_fails_says_where(r):
    ran = rside.run_r("f <- function(x) g(x)\ng <- function(y) stop('boom ', y)\nprint('before')\nf(1)\nprint('after')")
    assert ran.output == '[1] "before"\n'
    assert ran.error == "Error in g(x): boom 1"
    assert ran.calls == ("f(1)", "g(x)")
    assert rside.run_r("1 +").error.endswith("unexpected end of input\n1: 1 +\n   ^")


@pytest.mark.parametrize("code", ["while (TRUE) 1", "Sys.sleep(60)"])
def test_the_kernels_interrupt_stops_r(r, code):
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    started = time.monotonic()
    timer.start()
    ran = rside.run_r(f"print('before'); {code}")
    assert ran.stopped
    assert ran.output == '[1] "before"\n'
    assert time.monotonic() - started < 20
    assert rside.run_r("1 + 1").output == "[1] 2\n"


def test_other_threads_are_told_to_stay_away(r):
    r("x <- 1")
    notes = []
    thread = threading.Thread(target=lambda: notes.extend(gather("", {"y": 2}).notes))
    thread.start()
    thread.join()
    assert notes == ["R can be asked from the main thread only. Run the cell itself rather than a background task."]


def test_a_busy_r_is_not_waited_for(r):
    from rpy2.rinterface_lib.openrlib import rlock

    with_lock, done = threading.Event(), threading.Event()

    def hold():
        with rlock:
            with_lock.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    with_lock.wait(10)
    context = gather("", {"y": 2})
    done.set()
    thread.join()
    assert context.notes == ("R is busy. Wait until what it runs has ended.",)
    assert "y: int 2" in context.text


def test_a_notebook_without_r_pays_nothing():
    code = (
        "import sys; from rsql_magic.context import gather; c = gather('what is x', {'x': 1});"
        "assert not any(m.startswith('rpy2') for m in sys.modules), 'R was looked for';"
        "assert not c.notes; print(c.text)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "x: int 1" in done.stdout


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (ModuleNotFoundError("No module named 'rpy2'", name="rpy2"), "R cannot be asked: the package rpy2 is not"),
        (
            ImportError("/x/_rinterface_cffi_api.so: undefined symbol: R_getVar"),
            "too new for this R (R_getVar is missing)",
        ),
        (OSError("broken\nmore"), "rpy2 cannot load R: broken."),
    ],
)
def test_an_r_that_cannot_load_is_said_in_plain_words_and_the_rest_works(monkeypatch, problem, said):
    def fail(_module):
        raise problem

    rside.r_problem.cache_clear()
    monkeypatch.setattr(rside, "_rpy2", fail)
    try:
        context = gather("what does dplyr::filter do with y?", {"y": 2})
        assert said in context.notes[0]
        assert "y: int 2" in context.text
        assert rside.r_problem()
        with pytest.raises(rside.NoR):
            rside.parse_r("1")
    finally:
        rside.r_problem.cache_clear()


def test_no_r_on_the_machine(monkeypatch):
    monkeypatch.setattr(rside.shutil, "which", lambda _: None)
    assert rside._plainly(ValueError("R_HOME cannot be None")).startswith("R is not installed.")


def test_r_objects_and_python_variables_of_one_name_are_both_told(r):
    r("x <- data.frame(in_r = 1:3)")
    context = gather("x", {"x": [1, 2]})
    assert [piece.kind for piece in context.pieces if piece.name == "x"] == ["object", "r"]


def test_describe_takes_an_r_object_too(r):
    r("x <- data.frame(in_r = 1:3)")
    assert describe(rside.survey().objects[0], "x").startswith("x: R data.frame, 3 rows × 1 column")


@pytest.mark.parametrize(
    ("variables", "said"),
    [({"R_HOME": ""}, "There is no R at R_HOME ('')"), ({}, "R is not installed"), ({"R_HOME": "/no"}, "('/no')")],
)
def test_an_r_that_is_hidden_is_said_and_the_rest_works(variables, said):
    code = (
        "from rsql_magic.context import gather; from rsql_magic.reports import r_session\n"
        "told = gather('what does dplyr::filter do?', {'y': 2})\n"
        "print(told.notes, 'y: int 2' in told.text, r_session())"
    )
    environ = {"PATH": str(Path(sys.executable).parent), "HOME": "/", **variables}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.count(said) == 2
    assert "True" in done.stdout
    assert "well=False" in done.stdout


def test_an_r_that_is_busy_is_said_and_the_rest_works(r):
    from rpy2.rinterface_lib import openrlib

    busy, done = threading.Event(), threading.Event()

    def hold():
        with openrlib.rlock:
            busy.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    busy.wait(10)
    try:
        context = gather("", {"y": 2})
    finally:
        done.set()
        thread.join()
    assert context.notes == ("R is busy. Wait until what it runs has ended.",)
    assert "y: int 2" in context.text


TABLES = {"sales": ["region", "amount", "unit price"], "stores": ["id", "city"]}


@pytest.mark.parametrize(
    "code",
    [
        "sales$regoin",
        "sales[['regoin']]",
        "sales[, 'regoin']",
        "sales[c('region', 'regoin')]",
        "sales[sales$regoin == 'N', ]",
        "mean(sales$regoin, na.rm = TRUE)",
        "sales |> filter(regoin == 'N')",
        "sales %>% group_by(region) %>% summarise(total = sum(regoin))",
        "dplyr::mutate(sales, double = regoin * 2)",
        "sales |> arrange(desc(regoin)) |> head(3)",
        "few <- sales |> filter(amount > 3)\nfew$regoin",
        "lm(amount ~ factor(regoin) + log(amount), data = sales)",
        "aggregate(amount ~ regoin, data = sales, FUN = mean)",
        "ggplot(sales, aes(x = regoin, y = amount)) + geom_col()",
        "with(sales, tapply(amount, regoin, mean))",
        "subset(sales, regoin == 'N')",
        "for (i in 1:3) print(sales$regoin)",
        "f <- function(n) sales$regoin[n]",
        "select(sales, region, regoin)",
    ],
)
def test_a_column_that_is_not_there_is_found_in_r_code(r, code):
    assert [found[1:3] for found in rside.unknown_columns([code], TABLES)] == [
        ("few" if "few$" in code else "sales", "regoin")
    ]


@pytest.mark.parametrize(
    "code",
    [
        "sales$new <- 1\nsales$new",
        "sales[['new']] <- 1\nsum(sales$new)",
        "sales[, 'new'] <- 2\nsales$new",
        "sales <- sales |> mutate(new = amount * 2)\nsales$new",
        "sales |> mutate(new = amount * 2, more = new + 1) |> filter(more > 3) |> arrange(new)",
        "sales |> group_by(region) |> summarise(total = sum(amount), .groups = 'drop') |> arrange(desc(total))",
        "threshold <- 3\nsales |> filter(amount > threshold)",
        "sales |> filter(amount > pi, TRUE)",
        "sales |> left_join(stores, by = c('region' = 'id')) |> filter(city == 'x')",
        "names(sales) <- c('a', 'b', 'c')\nsales$a",
        "sales <- read.csv('x.csv')\nsales$anything",
        "f <- function(sales) sales$anything",
        "other$anything",
        "sales |> mutate(across(everything(), as.character))",
        "sales |> select(where(is.numeric), starts_with('a'))",
        "sales |> rename(new = amount) |> filter(new > 1)",
        "lm(amount ~ ., data = sales)",
        "fit <- lm(amount ~ region, data = sales)\nfit$coefficients",
        "sales |> count(region) |> filter(n > 1)",
        "sales$`unit price`",
        "sales |> pivot_longer(c(amount)) |> filter(name == 'x')",
        "sales[1:3, ]; sales[[1]]; sales[['region']][1]",
        "x <- (",
        "sales[order(sales$amount), ]",
        "sapply(sales, function(column) column$x)",
    ],
)
def test_nothing_else_is_claimed_of_r_code(r, code):
    assert rside.unknown_columns([code], TABLES) == []


def test_what_one_block_of_r_makes_the_next_may_use(r):
    assert rside.unknown_columns(["sales$new <- 1", "sales$new; sales$old"], TABLES) == [
        (1, "sales", "old", ["region", "amount", "unit price", "new"])
    ]


NAMED_BY_VALUES = """
    people <- paste0(rep(LETTERS[1:10], 10), rep(letters[1:10], each = 10), "Person")
    visits <- data.frame(
      patient = people[1 + (0:599) %% 100],
      diagnosis = factor(c(rep("flu", 400), rep("cold", 196), rep("kuru-disease", 4))),
      weight = (1:600) * 0.25
    )
    spread <- model.matrix(~ diagnosis - 1, visits)
    spread_frame <- as.data.frame(spread)
    spread_people <- as.data.frame(model.matrix(~ patient - 1, visits))
    counted <- as.data.frame.matrix(table(visits$patient, visits$diagnosis))
    on_its_side <- as.data.frame(t(counted))
    side_matrix <- t(as.matrix(counted))[, 1:4]
    long <- aggregate(weight ~ patient + diagnosis, visits, mean)
    wide <- reshape(long, idvar = "patient", timevar = "diagnosis", direction = "wide")
    fitted <- lm(weight ~ ., data = cbind(spread_frame, weight = visits$weight))
    record <- list("kuru-disease" = 1, flu = "many")
    named <- setNames(1:3, levels(visits$diagnosis))
"""


@pytest.mark.parametrize("level", ["names", "stats"])
@pytest.mark.parametrize("is_there", [True, False])
def test_names_made_of_rare_values_stay_in_r(r, level, is_there):
    r(NAMED_BY_VALUES)
    every = [each.name for each in rside.survey().objects]
    if not is_there:
        r("record <- NULL; side_matrix <- NULL; rm(visits, long, people)")
        every = [name for name in every if name not in {"visits", "long", "people"}]
    text = gather("", {}, names=every, level=level, budget=20_000).text
    assert "kuru" not in text
    assert "Person" not in text
    assert "spread_people: R data.frame" in text


def test_frequent_ones_are_said_and_those_that_were_typed(r):
    r(NAMED_BY_VALUES)
    assert "diagnosisflu numeric: 0..1" in gather("spread_frame?", {}).text
    assert "kuru-disease" in gather("Is `diagnosiskuru-disease` of spread_frame rare?", {}).text


def test_names_that_python_holds_are_not_said_of_r(r):
    r('wide <- data.frame(a = 1:2); names(wide) <- "Grete.Hermann"')
    import pandas as pd

    people = pd.DataFrame({"patient": ["Grete Hermann", "Emmy Noether"]})
    assert "Grete" not in gather("", {"people": people}).text


def test_what_stop_says_comes_without_values(r):
    r("check <- function(who) stop('no patient ', who, call. = FALSE)")
    with pytest.raises(Exception, match="Grete") as failed:
        r("check('Grete Hermann')")
    text = gather("", {}, error=failed.value).text
    assert "no patient" in text
    assert "Grete" not in text


def test_how_much_r_looks_at_follows_from_the_objects_alone(r):
    """A table beyond the bound is described as far as the bound goes, the same on a busy machine and an idle one."""
    r("set.seed(1); wide <- as.data.frame(matrix(round(runif(4e6), 3), 2000, 2000))")
    r("long <- data.frame(n = seq_len(3e6))")
    r("texts <- data.frame(who = rep(c('Ann Person', letters), 1e5))")

    def told():
        text = gather("columns of wide and long?", {}, budget=200_000).text
        return text, rside._ask("details", ["wide"], [",".join(map(str, range(1, 2001)))], 1e9, True, 0)

    idle = told()
    assert "long: R data.frame, 3,000,000 rows × 1 column (≈ from 10,000 rows)\n- n integer: " in idle[0]
    assert 1500 < idle[1][0].count("\x1e") < 2000  # the bound was reached
    load = [subprocess.Popen([sys.executable, "-c", "while True: sum(range(100000))"]) for _ in range(3)]
    try:
        assert told() == idle
    finally:
        for process in load:
            process.kill()
            process.wait()


def test_texts_are_searched_as_far_as_the_work_goes(r):
    r("visits <- data.frame(who = c('Ann Person', 'Bob Person'), n = 1:2); zoo <- data.frame(who = 'Cid Person')")
    found = rside._ask("held", ["ann_person", "cid_person"], 1e9, 1500.0)
    assert [line.split("\x1f")[0] for line in found] == ["ann_person", ""]


def test_what_only_time_cut_is_said(r, monkeypatch):
    r("x <- data.frame(a = 1:3)")
    ask = rside._ask
    monkeypatch.setattr(rside, "_ask", lambda name, *args, **how: [] if name == "details" else ask(name, *args, **how))
    assert "no time was left to read x" in gather("what is in x?", {}).notes


def test_tables_that_there_was_no_time_for_are_said_to_be_unreached(r):
    r("visits <- data.frame(who = c('Ann Person', 'Bob Person'))")
    (found,) = rside.held(["Ann Person"])["ann_person"]
    assert (found.frame, found.column, found.count) == ("visits", "who", 1)
    assert rside._ask("held", ["ann_person"], -1.0, seconds=5) == ["\x1f\x1f\x1f0"]


def test_each_object_is_told_by_all_of_its_classes_and_parts(r):
    r("""rm(list = ls(all.names = TRUE))
         df <- data.frame(a = 1:2, f = factor(c('x', 'y'))); l <- list(1, list('a'))
         m <- lm(mpg ~ log(wt), mtcars); g <- glm(am ~ wt, binomial, mtcars)
         odd <- structure(list(), class = c('data.frame', 'odd')); inner <- df; inner$b <- structure(1:2, class = 'odd')
         held <- list(system); of_env <- list(globalenv()); formula <- y ~ system('a'); late <- structure(1, b = sum)
         model <- lm(mpg ~ wt, mtcars); model$call <- quote(system('a'))
         written <- m; written$terms <- 'mpg ~ wt'; model2 <- model; model2$terms[[3]] <- quote(f(wt))
         fam <- g; fam$family$initialize <- expression(system('a')); fam2 <- g; fam2$family$linkinv <- system
         away <- local(y ~ log(x)); asked <- as.call(list(system, 'a')); own <- function() 1; .hidden <- 1""")
    kinds = rside.r_state(())[2]
    assert kinds["df"] == "data.frame integer factor"
    assert kinds["l"] == "list numeric character"
    assert (kinds["m"].split()[0], kinds["g"].split()[0], kinds[".hidden"]) == ("lm", "glm/lm", "numeric")
    assert (kinds["odd"], kinds["inner"]) == ("data.frame/odd", "data.frame integer factor odd")
    code = {"written", "fam", "fam2", "held", "of_env", "formula", "late", "model", "model2", "away", "asked"}
    assert {name for name, kind in kinds.items() if kind == "code"} == code
    assert "own" not in kinds
    r("log <- 1")
    assert rside.r_state(())[2]["m"] == "code"
    r("rm(list = ls(all.names = TRUE))")


def test_methods_that_the_session_made_are_told_wherever_they_stand(r):
    assert rside.r_names()[1] == frozenset()
    r("local(registerS3method('print', 'odd', function(x, ...) 1)); setMethod('show', 'numeric', function(object) 1)")
    assert rside.r_names()[1] == {"print.odd", ".__T__show:methods"}
    r("removeMethod('show', 'numeric'); rm(print.odd, envir = baseenv()[['.__S3MethodsTable__.']])")
