"""R, base and tidyverse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..columns import nearest
from ..r_code import r_name
from .trouble import Advice, Explanations, Trouble

if TYPE_CHECKING:
    import re

R = Explanations()

_FUNCTIONS = {
    "dplyr": "%>% mutate filter select arrange summarise summarize group_by left_join inner_join full_join "
    "right_join anti_join semi_join n n_distinct case_when bind_rows bind_cols rename transmute distinct slice pull "
    "count tally across if_else coalesce slice_head glimpse",
    "ggplot2": "ggplot aes geom_point geom_line geom_col geom_bar geom_histogram geom_boxplot geom_smooth "
    "facet_wrap facet_grid labs theme theme_minimal ggsave scale_x_log10 ggtitle",
    "tidyr": "pivot_longer pivot_wider drop_na replace_na separate unite gather spread nest unnest crossing",
    "readr": "read_csv read_tsv read_delim write_csv parse_number parse_date",
    "readxl": "read_excel read_xlsx read_xls",
    "stringr": "str_detect str_replace str_replace_all str_extract str_split str_sub str_trim str_to_lower "
    "str_to_upper str_length str_c",
    "lubridate": "ymd mdy dmy ymd_hms year month day hour wday floor_date interval today now",
    "purrr": "map map_dbl map_chr map_df map2 pmap walk reduce keep discard",
    "tibble": "tibble tribble as_tibble rownames_to_column",
    "forcats": "fct_reorder fct_relevel fct_lump fct_infreq fct_recode",
    "data.table": "fread fwrite data.table setDT as.data.table setkey dcast melt",
    "janitor": "clean_names tabyl",
    "broom": "tidy glance augment",
    "reshape2": "acast",
    "magrittr": "%<>% %$%",
    "here": "here",
    "DBI": "dbConnect dbGetQuery dbListTables dbReadTable dbWriteTable dbDisconnect",
    "duckdb": "duckdb",
    "caret": "train trainControl createDataPartition confusionMatrix",
    "lme4": "lmer glmer",
    "MASS": "stepAIC lda qda",
    "survival": "Surv survfit coxph",
    "jsonlite": "fromJSON toJSON",
    "arrow": "read_parquet write_parquet open_dataset",
    "patchwork": "plot_annotation plot_layout",
    "car": "vif Anova leveneTest",
    "psych": "describe describeBy alpha",
    "zoo": "rollmean na.locf as.yearmon",
}  # fmt: skip
PACKAGES = {function: package for package, functions in reversed(_FUNCTIONS.items()) for function in functions.split()}
"""The package that a function comes from."""


@R.on(r"object '(?P<name>[^']+)' not found")
def not_found(trouble: Trouble, match: re.Match[str]) -> Advice:
    """A variable or column R cannot find."""
    name = match["name"]
    holders = [frame for frame in trouble.notebook.frames if frame.is_r and frame.get(name)]
    if holders:
        frame = holders[0].name
        return Advice(
            f"`{name}` is not a variable of its own: it is a column of `{frame}`.",
            f"Say where it is, as `{frame}${r_name(name)}`, with `data = {frame}`, or with `with({frame}, …)`.",
            trouble.corrected(name, f"{frame}${r_name(name)}"),
            "r",
        )
    known = [item.name for item in trouble.notebook.objects if item.is_r]
    assigned = [other for other in trouble.names if other not in known]
    found = nearest(name, [*known, *assigned], least=0.6)
    what = f"R has no object `{name}`."
    if found:
        return Advice(what, f"Did you mean `{found}`?", trouble.corrected(name, found), "r")
    columns = [column.name for frame in trouble.notebook.frames if frame.is_r for column in frame.columns]
    column = nearest(name, columns, least=0.6)
    if column:
        return Advice(what, f"The nearest column is `{column}`.", trouble.corrected(name, column), "r")
    python = next((item for item in trouble.notebook.objects if not item.is_r and item.name == name), None)
    if python is not None:
        return Advice(what, f"`{name}` is a variable of Python. Hand it to R with `%%R -i {name}`.")
    return Advice(
        what,
        "Run the line that creates it first, and check the spelling: R distinguishes capitals. `ls()` lists what "
        "there is.",
    )


@R.on(r"could not find function [\"“'](?P<name>[^\"”']+)[\"”']")
def no_function(_trouble: Trouble, match: re.Match[str]) -> Advice:
    """A function whose package is not attached."""
    name = match["name"]
    if name in PACKAGES:
        package = PACKAGES[name]
        return Advice(
            f"`{name}` is a function of the package {package}, which is not attached.",
            f'Attach it first; `install.packages("{package}")` installs it where it is missing.',
            f"library({package})",
            "r",
        )
    found = nearest(name, PACKAGES, least=0.85)
    hint = f" Did you mean `{found}` ({PACKAGES[found]})?" if found else ""
    return Advice(
        f"R knows no function `{name}`.{hint}",
        "Check the spelling, and attach the package it comes from with `library(…)`; `??name` searches the "
        "installed ones.",
    )


@R.on(
    r"undefined columns selected",
    r"(?:Column|column) [`'‘](?P<name>[^`'’]+)[`'’] (?:is not found|not found|doesn't exist)",
    r"Can't (?:subset|select|rename|extract) columns? that do(?:n't|es not|esn't) exist.*?[`‘](?P<name2>[^`’]+)[`’]",
    r"[Mm]ust group by variables found in .*?[`‘](?P<name3>[^`’]+)[`’]",
)
def columns(trouble: Trouble, match: re.Match[str]) -> Advice:
    """A column that the frame lacks."""
    name = next((value for value in match.groupdict().values() if value), "")
    frames = [frame for frame in trouble.notebook.frames if frame.is_r]
    known = [column.name for frame in frames for column in frame.columns]
    found = nearest(name, known) if name else None
    what = (
        f"There is no column `{name}` in the data."
        if name
        else "A column was selected that the data frame does not have."
    )
    shown = (
        f" There are {', '.join(f'`{column}`' for column in known[:12])}." if known else " `names(data)` lists them."
    )
    if found is None:
        return Advice(what, f"Check the spelling.{shown}", "", "r")
    fixed = trouble.corrected(name, found) or trouble.corrected(name, found, quoted=True)
    return Advice(what, f"The nearest one is `{found}`.{shown}", fixed, "r")


R.say(
    r"there is no package called [‘'\"](?P<name>[\w.]+)[’'\"]",
    "The package {name} is not installed.",
    "Install it once, then attach it:",
    'install.packages("{name}")\nlibrary({name})',
    "r",
)
R.say(
    r"non-numeric argument to (?P<what>binary operator|mathematical function)",
    "A calculation was done with something that is no number, such as text or a factor.",
    "Look at `str(x)`; convert text with `as.numeric(x)`, a factor with `as.numeric(as.character(x))`.",
)
R.say(
    r"subscript out of bounds",
    "An index points past the end, or names an element that is not there.",
    "Compare it with `dim(x)`, `length(x)` and `names(x)`; R counts from 1.",
)
R.say(
    r"argument \"(?P<name>\w+)\" is missing, with no default",
    "The argument `{name}` was not given.",
    "Give it by name; `args(f)` or `?f` shows what the function needs.",
)
R.say(
    r"unused arguments? \((?P<names>.+)\)",
    "The function has no argument for `{names}`.",
    "Check its spelling with `args(f)`; another package may have masked the function, then write `package::function`.",
)
R.say(
    r"\$ operator is invalid for atomic vectors",
    "`$` was used on a plain vector; it only works on lists and data frames.",
    'Use `x["name"]` on a named vector, and look at `str(x)`.',
)
R.say(
    r"non-conformable (?:arguments|arrays)",
    "The matrices have dimensions that do not fit each other.",
    "Compare `dim(a)` and `dim(b)`: for `a %*% b` the columns of `a` must be as many as the rows of `b`; `t()` "
    "transposes.",
)
R.say(
    r"replacement has (?P<n>\d+) rows?, data has (?P<m>\d+)",
    "The new column has {n} values, the data frame {m} rows.",
    "Give one value per row. A filter on one side only is the usual cause; `ave(x, g)` gives a group's value for "
    "each row.",
)
R.say(
    r"arguments imply differing number of rows: (?P<sizes>[\d, ]+)",
    "The columns have different lengths ({sizes}).",
    "Make them equally long before building the data frame.",
)
R.say(
    r"missing value where TRUE/FALSE needed",
    "A condition is NA: `if` needs TRUE or FALSE.",
    "Test for it first, as in `if (!is.na(x) && x > 0)`, or use `isTRUE(…)`.",
)
R.say(
    r"argument is of length zero",
    "A condition has no value at all: the object is NULL or empty.",
    "Check that it exists: a misspelt column gives NULL (`d$nmae`). `length(x) > 0` tests it.",
)
R.say(
    r"the condition has length > 1",
    "`if` needs one TRUE or FALSE and got a whole vector.",
    "Use `ifelse(test, yes, no)` for vectors, or `any(…)` / `all(…)` for one answer.",
)
R.say(
    r"unexpected (?P<what>symbol|'[^']+'|string constant|numeric constant|end of input|input|SPECIAL|assignment|"
    r"INCOMPLETE_STRING)",
    "R cannot read the code: unexpected {what}.",
    "Look just before the marked place: a missing comma, operator, quote or bracket is the usual cause; at the end "
    "of input a bracket is still open.",
)
R.say(
    r"cannot open (?:file|the connection)(?:.*'(?P<path>[^']+)')?",
    "R cannot open the file {path}.",
    "Check the path: relative paths start at `getwd()`, and `list.files()` shows what is there.",
)
R.say(
    r"NAs introduced by coercion",
    "Some texts are no numbers, so they became NA.",
    "Look at them before converting: `unique(x[is.na(suppressWarnings(as.numeric(x)))])`.",
)
R.say(
    r"longer object length is not a multiple of shorter object length",
    "Two vectors of different length were combined; R repeated the shorter one, and it did not fit.",
    "Make them equally long: `length(a)`, `length(b)`.",
)
R.say(
    r"invalid factor level, NA generated",
    "A value was put into a factor that is not one of its levels.",
    "Turn it into text first (`x <- as.character(x)`), or add the level.",
)
R.say(
    r"contrasts can be applied only to factors with 2 or more levels",
    "A predictor has only one value in the rows that the model uses.",
    "Drop that predictor; `sapply(d, function(x) length(unique(na.omit(x))))` shows which one it is. Missing values "
    "elsewhere may have removed the other rows.",
)
R.say(
    r"[‘'](?P<sign>[^’']+)[’'] not meaningful for (?:ordered )?factors",
    "`{sign}` was applied to a factor, which is a category and no number.",
    "Convert it: `as.numeric(as.character(f))` for numbers that were read as factor.",
)
R.say(
    r"argument is not numeric or logical: returning NA",
    "The mean was asked of something that is not numeric: text, a factor, or NULL because the column's name is "
    "misspelt.",
    "Look at `str(x)`; convert with `as.numeric(as.character(x))`.",
)
R.say(
    r"object of type 'closure' is not subsettable",
    "A function was indexed like data: the name stands for a function (`df`, `data`, `c`, `mean`), and no data of "
    "that name exists.",
    "Run the line that creates the data, or call the function with `( )`.",
)
R.say(
    r"attempt to apply non-function",
    "Something that is no function was called with `( )`.",
    "Write the operator that is missing, such as `*` in `2 * (x + 1)`, and check for a variable that hides a function.",
)
R.say(
    r"more columns than column names|line (?P<line>\d+) did not have (?P<n>\d+) elements|duplicate 'row\.names' are "
    r"not allowed",
    "The file's lines do not have as many fields as its header.",
    'Name the separator (`sep = ";"`), and use `read.csv(…, row.names = NULL, fill = TRUE)`.',
)
R.say(
    r"variable lengths differ \(found for '(?P<name>[^']+)'\)",
    "In the model's formula, `{name}` has another length than the outcome.",
    "Take all variables from one data frame: `lm(y ~ x, data = d)` without `d$` in the formula.",
)
R.say(
    r"[Jj]oin columns (?:in [`‘]?[xy][`’]? )?must be present|[`‘]by[`’] (?:required|must be supplied)|by.*must "
    r"specify a uniquely valid column",
    "The column to join by is missing in one of the two tables.",
    'Name the key on both sides: `merge(x, y, by.x = …, by.y = …)`, or `left_join(x, y, by = c("a" = "b"))`.',
)
R.say(
    r"cannot allocate vector of size (?P<size>[\d.]+ \w+)",
    "R has not enough memory for {size} more.",
    "Remove what is not needed (`rm(x); gc()`), read fewer columns, or query the data with DuckDB or arrow.",
)
R.say(
    r"(?:system is (?:computationally|exactly) singular|singular matrix)",
    "The matrix has no inverse: some predictors determine others.",
    "Drop predictors that are sums or copies of others; `cor(x)` and `alias(fit)` show them.",
)
R.say(
    r"invalid 'type' \((?P<type>\w+)\) of argument",
    "The function needs numbers and got {type}.",
    "Convert first: `as.numeric(x)`; a list needs `unlist(x)`.",
)
R.say(
    r"(?:no applicable method for '(?P<method>[^']+)' applied to an object of class \"?(?P<class>[^\"]+)\"?)",
    "`{method}` does not work on an object of class {class}.",
    "Look at `class(x)`; convert it (often `as.data.frame(x)`), or use a function for that class.",
)
R.say(
    r"character string is not in a standard unambiguous format",
    "R cannot tell how the date is written.",
    "Say the format:",
    'as.Date("31/12/2020", format = "%d/%m/%Y")',
    "r",
)
R.say(
    r"promise already under evaluation",
    "A function's argument refers to itself.",
    "Rename the argument or the variable: `function(x = x)` cannot work.",
)
R.say(
    r"stack usage|infinite recursion|evaluation nested too deeply",
    "A function calls itself without end.",
    "Check the condition that should end the recursion.",
)
