"""R, base and tidyverse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..columns import nearest
from ..r_code import r_name
from .trouble import Advice, Explanations, Trouble

if TYPE_CHECKING:
    import re

R = Explanations("r")

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
