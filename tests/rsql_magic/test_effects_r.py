"""R cells go without a yes only where every construct is proven, and R code is read as R reads it."""

# ruff: noqa: SIM905, E501

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from rsql_magic.agent.effects.cells import SessionNames, effects_of, left_by
from rsql_magic.agent.effects.r import r_effects
from rsql_magic.agent.effects.r_syntax import UnreadableR, read_r

CASES = Path(__file__).parent / "effect_cases"


def lines(name):
    return [line.replace("\\n", "\n") for line in (CASES / name).read_text("utf-8").splitlines() if line]


HOSTILE, ORDINARY = lines("r_hostile.txt"), lines("r_ordinary.txt")


@pytest.mark.parametrize("cell", HOSTILE)
def test_what_acts_asks(cell):
    assert list(r_effects(cell, SessionNames()))


@pytest.mark.parametrize("cell", ORDINARY)
def test_ordinary_work_goes_without_a_question(cell):
    assert [str(each) for each in r_effects(cell, SessionNames())] == []


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("writeLines('', 'a')", "writes or deletes files: writeLines"),
        ("cat('x', file = 'a')", "writes or deletes files: cat(file = )"),
        ("install.packages('a')", "installs packages: install.packages"),
        ("lapply(fs, system)", "runs programs: system"),
        ("base::system('a')", "runs programs: system"),
        ("download.file('http://a', 'b')", "uses the network: download.file"),
        ("dbExecute(con, 'DROP TABLE t')", "changes a database: dbExecute"),
        ("mine(1)", "does what cannot be told from its code: mine"),
    ],
)
def test_an_effect_is_named_by_its_kind(cell, says):
    assert [str(each) for each in r_effects(cell, SessionNames(r_objects={"fs": "character"}))] == [says]


def test_what_code_seems_to_do_is_said_where_something_else_cannot_be_told():
    found = r_effects("x <- mine()\nif (x) base::system('a')", SessionNames())
    assert [str(each) for each in found] == ["does what cannot be told from its code: mine", "runs programs: system"]


def test_what_a_harmless_cell_before_it_made_is_known():
    names = left_by("%%R\nlibrary(dplyr)\nf <- function(x) x + 1\ny <- f(2)", SessionNames())
    assert effects_of("%%R\nmtcars |> mutate(a = f(y))\nmean(y)", names) == ()
    assert effects_of("%%R\nmean(z)", names)
    for acts in ("writeLines('', 'a')", "base::system('touch a')", "install.packages('a', repos = 'http://a')"):
        assert effects_of(f"%%R\n{acts}", names)
        assert effects_of("%%R\nmean(y) * 7", left_by(f"%%R\n{acts}", names)) == ()
    for acts in ("source('a.R')", "writeLines <- function(x) source(x); writeLines('a.R')", "lapply('a.R', source)"):
        assert effects_of("%%R\nmean(y) * 7", left_by(f"%%R\n{acts}", names))
    assert effects_of("%%R\nmean(y)", left_by("%R -i y\n1", names))


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("mean(x)", SessionNames()),  # not known
        ("mean(x)", SessionNames(r_objects={"x": "odd"})),
        ("mean(x)", SessionNames(r_objects={"x": "data.frame/odd"})),
        ("mean(x)", SessionNames(r_objects={"x": "data.frame numeric odd"})),
        ("mean(x)", SessionNames(r_objects={"x": "code"})),
        ("x[1] <- 2", SessionNames(r_objects={"x": "list/odd"})),
        ("mean(1)", SessionNames(r_functions=frozenset({"mean"}))),
        ("mean(1)", SessionNames(r_functions=frozenset({".__T__show:methods"}))),
        ("mean(1)", SessionNames(r_functions=frozenset({"print.odd"}))),
        ("mean(1)", SessionNames(r_functions=frozenset({"+"}))),
        ("mean(1)", SessionNames(r_packages=("httr 1.4.7",))),
        ("mean(1)", SessionNames(r_packages=("dplyr 99.0",))),
        ("mean(1)", SessionNames(r_version="99.0.0")),
        ("library(dplyr)", SessionNames(r_installed={"dplyr": "0.1"})),
        ("library(dplyr)", SessionNames(r_installed={})),
        ("dplyr::n()", SessionNames(r_installed={})),
    ],
)
def test_what_the_session_makes_uncertain_asks(cell, names):
    assert list(r_effects(cell, names))


def test_sql_is_judged_in_the_dialect_of_a_known_connection():
    names = SessionNames(r_packages=("DBI 1.1.3",), r_objects={"con": "SQLiteConnection", "q": "character"})
    assert not list(r_effects('dbGetQuery(con, "SELECT 1")', names))
    for cell in ('dbGetQuery(con, "DROP TABLE t")', "dbGetQuery(con, q)", 'con <- 1; dbGetQuery(con, "SELECT 1")'):
        assert list(r_effects(cell, names)), cell


GUARDED = [
    'if (requireNamespace("absent", quietly = TRUE)) {}',
    'if (require("absent")) {} else 1',
    "if (require(absent) && mean(1) > 0) {}",
    "if (FALSE || (FALSE)) {}",
]


@pytest.mark.parametrize("around", GUARDED)
def test_what_stands_behind_a_package_that_is_not_there_does_not_run(around):
    cell = around.replace("{}", "{ system('a') }")
    known = SessionNames(r_libraries=frozenset({"base", "stats"}))
    assert not list(r_effects(cell, known))
    assert "FALSE" in cell or list(r_effects(cell, SessionNames()))
    assert list(r_effects(cell.replace("FALSE", "NA").replace("absent", "stats"), known))
    assert "FALSE" in cell or list(r_effects(f"install.packages('absent')\n{cell}", known))
    for acts in ("%%R\nsystem('a')", "!R CMD INSTALL absent", "%%R -i x\n1", "%%bash\nR CMD INSTALL absent"):
        assert "FALSE" in cell or effects_of(f"%%R\n{cell}", left_by(acts, known)), acts
    assert effects_of(f"%%R\n{cell}", left_by("x = 1", known)) == ()


def test_a_package_that_acts_as_it_is_loaded_asks_until_it_is():
    loaded = SessionNames(r_packages=("lubridate 1.9.2",))
    for cell in ("library(lubridate)", "lubridate::ymd('2024-01-01')"):
        assert list(r_effects(cell, SessionNames()))
        assert not list(r_effects(cell, loaded))


@pytest.mark.parametrize(
    ("asks", "is_harmless"),
    [
        ("f <- function(g) g('a')\nf(system)", "heat <- function(c) as.dist(1 - c)\nc(1, 2)"),
        ("f <- function(c) c('a')\nf(system)", "f <- function(c) c + 1\nf(c(1, 2))"),
        ("x <- lm(mpg ~ wt, mtcars)\nx$call <- 'a'", "x <- lm(mpg ~ wt, mtcars)\nx$residuals <- x$residuals * 2"),
        ("rm(x)", "within(mtcars, { a <- mpg; rm(a) })"),
        ("options(pager = 1)", "options(show.signif.stars = FALSE)"),
        ("ks.test(1:3, paste('p', 'norm'))", "ks.test(1:3, c(1, 2, 4))"),
        ("Error <- system\naov(mpg ~ wt + Error('a'), mtcars)", "aov(yield ~ N + Error(block), npk)"),
        ("Sys.timezone()", "ar(lh); arima0(lh, order = c(1, 0, 0))"),
    ],
)
def test_near_each_other(asks, is_harmless):
    assert list(r_effects(asks, SessionNames(r_objects={"x": "numeric"})))
    assert [str(each) for each in r_effects(is_harmless, SessionNames())] == []


# The tree that R makes, written as the same text by both.

DUMP = r"""
dump <- function(x, name = FALSE) {
  if (missing(x)) return("<>")
  if (is.symbol(x)) return(if (nzchar(x)) paste0("n:", as.character(x)) else "<>")
  if (is.character(x)) return(if (name) paste0("n:", x) else "s")
  if (is.pairlist(x) && !is.null(x)) x <- as.list(x) else if (!is.call(x)) return("k")
  if (is.call(x) && identical(x[[1]], quote(`function`)))
    return(paste0("(n:function ", paste(c(parts(as.list(x[[2]])), dump(x[[3]])), collapse = " "), ")"))
  of <- is.call(x) && is.symbol(x[[1]]) && as.character(x[[1]]) %in% c("$", "@", "::", ":::")
  x <- as.list(x)
  paste0("(", paste(parts(x, of), collapse = " "), ")")
}
parts <- function(x, of = FALSE) {
  named <- names(x)
  vapply(seq_along(x), function(i) {
    said <- if (identical(x[[i]], quote(expr = ))) "<>" else dump(x[[i]], of && (i > 2 || grepl("::", as.character(x[[1]]))) && i > 1)
    if (!is.null(named) && nzchar(named[i])) paste0(named[i], "=", said) else said
  }, "")
}
codes <- strsplit(paste(readLines(commandArgs(TRUE)[1], encoding = "UTF-8"), collapse = "\n"), "\x1e", fixed = TRUE)[[1]]
for (code in codes) cat(tryCatch(paste(vapply(as.list(parse(text = code, keep.source = FALSE)), dump, ""),
  collapse = ";"), error = function(e) "<error>"), "\x1e", sep = "")
"""
HEADS = {"parens": "(", "block": "{", "if": "if"}


def written(node):
    if node is None:
        return "<>"
    if node.kind in {"number", "constant"}:
        return "k"
    if node.kind == "text":
        return "s"
    if node.kind == "name":
        return f"n:{node.text}"
    parts = [f"{arg.name}={written(arg.value)}" if arg.name else written(arg.value) for arg in node.parts]
    if node.kind == "call":
        head = node.parts[0].value
        parts[0] = f"n:{head.text}" if head.kind == "text" else parts[0]
    elif node.kind == "for":
        parts = ["n:for", f"n:{node.text}", *parts]
    elif node.kind == "while":
        parts = ["n:while" if len(parts) > 1 else "n:repeat", *parts]
    elif node.kind == "function":
        params = [f"{arg.name}={written(arg.value)}" if arg.name else f"{arg.value.text}=<>" for arg in node.parts[:-1]]
        parts = ["n:function", *params, parts[-1]]
    elif node.kind in {"next", "break"}:
        parts = [f"n:{node.kind}"]
    else:
        parts = [f"n:{HEADS.get(node.kind, node.text)}", *parts]
    return f"({' '.join(parts)})"


def expression(rng, depth=0):
    """R code of one expression, over all operators and constructs."""
    leaf = ["x", "y", "1", "0x1F", "1e5L", "'a'", "TRUE", "`a b`", ".5", 'r"(a)b)"', "NULL", "größe"]
    if depth > 3 or rng.random() < 0.2:
        return rng.choice(leaf)
    a, b, c = (expression(rng, depth + 1) for _ in range(3))
    operators = "+ - * / ^ ** : ~ < > == != & && | || %in% %% <- <<- -> ->> = := |> $ @".split()
    shapes = [f"{a} {rng.choice(operators)} {b}" for _ in range(6)]
    shapes += [f"{sign}{a}" for sign in "-!~+"]
    shapes += [
        f"f({a}, k = {b})",
        f"({a})",
        f"{{{a}\n{b}}}",
        f"{a}[{b}, ]",
        f"{a}[[{b}]]",
        f"x${a}",
        f"function(x, y = {a}) {b}",
    ]
    shapes += [f"\\(x) {a}", f"if ({a}) {b} else {c}", f"if ({a}) {b}\n{c}", f"for (i in {a}) {b}", f"while ({a}) {b}"]
    shapes += [
        f"{a} |> f({b})",
        f"{a} |>\n g(z = _)",
        f"{a}\n+ {b}",
        f"({a}\n+ {b})",
        f"stats::sd({a})",
        f"repeat {a}",
        f"{a}; {b}",
    ]
    return rng.choice(shapes)


@pytest.mark.spine
@pytest.mark.parametrize("count", [100, pytest.param(1500, marks=pytest.mark.sweep)])
def test_r_code_is_read_as_r_reads_it(real_r, tmp_path, count):
    rng = random.Random(33)
    codes = [*HOSTILE, *ORDINARY, *(expression(rng) for _ in range(count))]
    for _ in range(count // 2):  # a character is lost, doubled, or becomes another
        code = rng.choice(codes)
        place = rng.randrange(len(code) + 1)
        codes.append(code[:place] + rng.choice(["", "\n", "=", "(", "'", "`", "-", "_", "\\"]) + code[place + 1 :])
    (tmp_path / "codes").write_text("\x1e".join(codes) + "\x1e", "utf-8")
    (tmp_path / "dump.R").write_text(DUMP, "utf-8")
    ran = subprocess.run(
        ["Rscript", "--vanilla", "dump.R", "codes"],
        cwd=tmp_path, capture_output=True, text=True, check=True, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin:/usr/local/bin"},
    )  # fmt: skip
    told, wrong, compared = ran.stdout.split("\x1e"), [], 0
    for code, by_r in zip(codes, told, strict=False):
        try:
            ours = ";".join(map(written, read_r(code)))
        except UnreadableR:
            continue
        compared += 1
        if by_r not in {ours, "<error>"}:  # what R cannot read does not run
            wrong.append((code, ours, by_r))
    assert not wrong, f"{len(wrong)} of {compared}: {wrong[:5]}"
    assert compared > len(codes) / 4
