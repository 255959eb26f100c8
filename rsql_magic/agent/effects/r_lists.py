"""What is listed of R: its packages' functions, and the words that decide how arguments and names are read."""

# ruff: noqa: SIM905, E501

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

from rsql_magic.agent.effects.r_syntax import RNode

BASE = ("base", "stats", "utils", "graphics", "grDevices", "datasets")
DIALECTS = {
    "SQLiteConnection": "sqlite",
    "duckdb_connection": "duckdb",
    "PqConnection": "postgres",
    "MariaDBConnection": "mysql",
}
# Whole class vectors; a class before or behind these would be asked for its methods first, or after them.
PLAIN_CLASSES = frozenset(
    """
    numeric integer double character logical complex raw factor ordered/factor Date POSIXct/POSIXt POSIXlt/POSIXt
    difftime data.frame tbl_df/tbl/data.frame grouped_df/tbl_df/tbl/data.frame data.table/data.frame matrix/array array
    list table xtabs/table lm glm/lm aov/lm mlm/lm htest pairwise.htest formula terms/formula ts mts/ts/matrix/array NULL
    name call ( AsIs family qr summaryDefault/table omit exclude dist hclust kmeans prcomp density noquote
    tibble data.table matrix POSIXct ordered glm aov
    """.split()
)
# Formal arguments that are called, that are read as code, and that open or reach what is outside.
CALLED = frozenset(
    """
    FUN fn fun .fn .fns .fun func fun.data fun.min fun.max fun.y fun.ymin fun.ymax .p .predicate predicate
    values_fn .funs .vars_predicate .fn .filter distribution transform .transform
    names_transform values_transform transformation postPlotHook formatNum fun.geometry .is_node is_node leaf pre post fun.aggregate na.action distfun hclustfun reorderfun panel diag.panel upper.panel lower.panel
    text.panel objective gradient gr grad hess hessian rotation family labeller .f .if .else id_fn unused_fn
    """.split()
)
CALLED_F = frozenset(
    "Reduce Filter Map Find Position Negate rapply optimize optimise uniroot integrate nlm constrOptim slowly insistently".split()
)
# Generics, and where among their arguments those of a method begin that turn a text into a function (``na.action``).
TEXT_CALLED = {
    **dict.fromkeys("aggregate by reorder pairs update formula as.formula".split(), 2),
    "ks.test": 1,
    "unstack": 1,
    "plot": 5,
    **dict.fromkeys(
        """
        t.test var.test wilcox.test ansari.test mood.test fligner.test bartlett.test kruskal.test friedman.test quade.test
        cor.test barplot model.frame ftable prcomp princomp ppr pacf predict
        """.split(),
        3,
    ),
}
# What is read otherwise than as values, or changes the session: each has a rule of its own (`_special`).
SPECIAL = frozenset(
    "library require requireNamespace dbGetQuery options rm setattr quote expression bquote substitute formula as.formula".split()
)
OPTIONS = frozenset(
    """
    digits scipen width OutDec max.print ts.eps pillar.sigfig pillar.width dplyr.width show.signif.stars
    show.coef.Pvalues show.nls.convergence datatable.verbose datatable.print.nrows datatable.print.topn
    datatable.print.class datatable.print.keys
    """.split()
)
CONTRASTS = frozenset("contr.treatment contr.sum contr.helmert contr.poly contr.SAS".split())
ATTRIBUTES = frozenset("names label units comment dim dimnames gradient hessian".split())
# What gives numbers, or logical values, of whatever it is given.
NUMERIC = frozenset("- * / ^ %% %/% < > <= >= == != ! & && | || %in%".split())
NUMBERS = frozenset(
    """
    mean sum length nrow ncol nchar log log2 log10 log1p exp sqrt abs cumsum cumprod seq_len seq_along which order rank
    as.numeric as.integer as.double as.logical is.na rnorm runif rbinom rpois numeric integer logical
    """.split()
)
# Words of plotmath, which stand only in what is quoted.
DRAWN = frozenset(
    """
    frac over atop hat bar tilde dot ring widehat widetilde underline plain bold italic bolditalic symbol group bgroup
    integral prod sup inf lim phantom displaystyle textstyle scriptstyle
    """.split()
)
# What gives a function that calls only what it is given.
MAKES = frozenset(
    """
    Vectorize Negate safely possibly quietly negate partial compose as_mapper slowly insistently ecdf approxfun splinefun
    stepfun colorRampPalette colorRamp stamp
    """.split()
)
FAMILIES = "binomial gaussian poisson Gamma inverse.gaussian quasi quasibinomial quasipoisson".split()
GIVE_DATA = frozenset(
    """
    c list data.frame tibble data.table ggplot matrix factor rep seq rnorm runif sample lm rainbow as.matrix round sum mean
    """.split()
)
MODELS = frozenset("lm glm aov nls loess update terms manova".split())
# Of stats, what gives plain data; what else it gives, and plots, hold code, or texts that become code when they are used.
DATA_OF_STATS = frozenset(
    """
    setNames na.omit ave aggregate reshape xtabs ts fitted residuals resid coef quantile median cor var sd cutree
    complete.cases reorder relevel model.matrix embed filter approx spline fft weighted.mean IQR mad fivenum predict dist
    cumall na.pass window lag diffinv p.adjust as.ts time start end frequency addmargins ftable
    """.split()
)
DISTRIBUTED = re.compile(
    r"[rdpq](?:norm|unif|binom|pois|exp|gamma|beta|t|f|chisq|geom|hyper|lnorm|logis|nbinom|weibull|cauchy|multinom|signrank"
    r"|wilcox|tukey)\Z"
)
DATA_OF_GGPLOT2 = frozenset("cut_number cut_width cut_interval alpha mean_se resolution".split())
CHANGE_PARTS = frozenset(
    """
    modifyList replace rapply assign_in modify_in list_modify list_assign list_merge modify modify2 modify_at modify_if
    modify_depth modify_tree imodify setattr setnames lmap lmap_if lmap_at map_at map_if
    """.split()
)
# Packages whose functions read names of columns wherever they do not take the table itself.
MASKING = frozenset("dplyr tidyr tidyselect ggplot2 data.table".split())
TABLES = frozenset("data .data df .tbl tbl template".split())
HELPED = {"dplyr": "tidyselect", "tidyr": "tidyselect"}
EXTRACT = frozenset("map map_chr map_dbl map_int map_lgl map_vec map_df map_dfr map_dfc".split())
GLUED = re.compile(r"(?:[^{}]|\{\.?[A-Za-z][\w.]*\})*")
FORMULAS = frozenset({"formula", "formula.", "scope", "extras", "form", "terms1", "terms2"})
FACETS = frozenset({"facets", "rows", "cols"})
REFUSED = frozenset(
    """
    file con filename connection fileEncoding path dir envir env enclos where pos class classes .Class contrasts
    url device .env .envir finalizer handler lib.loc outFile contrasts.arg names_glue .names pipe rho restart
    """.split()
)
# Those that methods have beyond their generics, so that a beginning of the name is enough.
SHORTENED = frozenset(
    """
    FUN fun na.action panel lower.panel upper.panel diag.panel text.panel family method file fileEncoding con env envir
    """.split()
)
READERS = frozenset("read.csv read.csv2 read.table read.delim read_csv read_csv2 read_tsv read_delim".split())
PLAIN_FILE = re.compile(r"[\w. -]+(?:/[\w. -]+)*\.(?:csv|tsv|txt|dat|tab)\Z", re.ASCII)
# Functions of other packages that read names of columns in their arguments.
MASKS = frozenset(
    """
    with within subset transform curve vars lm glm aov manova nls loess xtabs aggregate boxplot t.test dcast melt setorder
    setkey setindex merge model.frame ftable getInitial sortedXyData
    """.split()
)
# What acts, and leaves R itself as it is: of base and utils.
ACT_ELSEWHERE = frozenset(
    """
    writeLines write write.csv write.csv2 write.table saveRDS save dump dput unlink file.remove file.create file.copy
    file.rename file.append dir.create download.file install.packages system system2
    """.split()
)
OPERATORS = frozenset("+ - * / ^ < > <= >= == != ! & && | || : ~ %% %/% %in% %o% %*% %x%".split())
ARITHMETIC = OPERATORS - {"~"}
PIPES = frozenset({"dplyr", "tidyr", "purrr", "magrittr", "stringr", "forcats", "tibble"})
# What takes any names of its own, so that a short one cannot stand for a formal argument of a method.
NAMES_FREELY = frozenset(
    """
    c list data.frame tibble data.table cbind rbind switch setNames labs theme aes vars mutate transmute summarise summarize
    group_by count add_count select rename relocate distinct crossing expand_grid nest . tribble lst transform within patterns
    """.split()
)
REPLACES = frozenset(
    "names colnames rownames row.names levels dim dimnames diag is.na units substr attr comment".split()
)
DATA_HEADS = {RNode("name", each) for each in GIVE_DATA}
GIVE_FUNCTIONS = {RNode("name", each) for each in ("any_vars", "all_vars", "label_bquote", *FAMILIES, *MAKES)}
# Verbs whose first argument is a table, not a name inside of it.
VERBS = frozenset(
    """
    with within subset transform filter mutate transmute summarise summarize arrange select rename relocate group_by
    count add_count tally distinct pull slice_max slice_min top_n rowwise slice pivot_longer pivot_wider separate unite
    drop_na fill nest unnest complete gather spread uncount ggplot dcast melt merge setorder
    """.split()
)


@functools.cache
def listed_package(name: str) -> dict[str, Any] | None:
    """The list of a package: its tested versions, functions with formal arguments, data, and other exports."""
    if not re.fullmatch(r"[A-Za-z][\w.]*", name):
        return None
    place = Path(__file__).parent / "lists" / "r" / f"{name}.json"
    return json.loads(place.read_text("utf-8")) if place.is_file() else None


def listed_packages() -> tuple[str, ...]:
    """The packages whose functions are listed."""
    return tuple(sorted(each.stem for each in (Path(__file__).parent / "lists" / "r").glob("*.json")))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def is_tested(package: str, version: str) -> bool:
    """Whether a package is listed, and its entries were tried with this version."""
    listed = listed_package(package)
    return listed is not None and _numbers(listed["from"]) <= _numbers(version) < _numbers(listed["until"])
