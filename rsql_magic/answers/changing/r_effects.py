"""What R code would do beyond computing, read off its tokens."""

# R can be read without running R: texts, comments and names are enough, as every name counts where it is mentioned, not
# only where it is called (``sapply(files, unlink)``). A name that is written as a text counts too where something calls
# texts (``do.call("unlink", …)``).

# ruff: noqa: SIM905 - lists of words read better as text

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rsql_magic.answers.changing.effects import Effect, sql_effects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rsql_magic.answers.changing.effects import Kind, SessionNames

_TOKEN = re.compile(
    r"""(?xs)
    (?P<raw>[rR](?P<quote>["'])(?P<dashes>-*)(?:\((?P<p>.*?)\)(?P=dashes)(?P=quote)|\[(?P<b>.*?)\](?P=dashes)(?P=quote)
      |\{(?P<c>.*?)\}(?P=dashes)(?P=quote)))
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<comment>\#[^\n]*)
    | (?P<tick>`(?:[^`\\]|\\.)*`)
    | (?P<name>(?:[^\W\d_]|\.(?!\d))[\w.]*)
    | (?P<number>\d[\w.]*)
    | (?P<sign>::+|<<-|.)
    """
)
_ESCAPES = re.compile(
    r"\\(?:x([0-9a-fA-F]{1,2})|u\{?([0-9a-fA-F]{1,4})\}?|U\{?([0-9a-fA-F]{1,8})\}?|([0-7]{1,3})|(.))", re.S
)
_DOES: dict[str, Kind] = {
    **dict.fromkeys(
        "system system2 shell shell.exec pipe fifo Rscript processx callr sys parallel mcparallel makeCluster".split(),
        "shell",
    ),
    **dict.fromkeys(
        """
        install.packages update.packages remove.packages download.packages install_github install_cran
        install_version install_local install_bitbucket install_gitlab install_url install_git pak pkg_install
        p_load biocLite BiocManager remotes devtools renv py_install conda_install virtualenv_install
        """.split(),
        "install",
    ),
    **dict.fromkeys(
        """
        download.file url socketConnection serverSocket browseURL curl curl_download curl_fetch_memory GET POST PUT
        DELETE PATCH HEAD getURL request req_perform httr httr2 RCurl rvest read_html url.show nsl make.socket
        read.socket write.socket available.packages contrib.url open.connection gs4_auth drive_auth tidycensus
        quantmod getSymbols crul webfakes websocket plumber shiny runApp googlesheets4 googledrive aws.s3 paws
        openai ellmer
        """.split(),
        "network",
    ),
    **dict.fromkeys(
        """
        file gzfile bzfile xzfile unz sink dput dump cat_to writeLines writeChar writeBin write unlink file.remove
        file.create file.copy file.rename file.append file.symlink file.link dir.create Sys.chmod Sys.umask
        Sys.setFileTime saveRDS save save.image savehistory serialize_to ggsave pdf png jpeg tiff bmp svg postscript
        cairo_pdf xfig win.metafile write.csv write.csv2 write.table write.dcf write.ftable fwrite write_csv
        write_csv2 write_tsv write_delim write_rds write_lines write_file write_excel_csv write_xlsx write.xlsx
        write_parquet write_feather write_csv_arrow write_dataset write_dta write_sav write_sas write_xpt st_write
        write_sf writeOGR writeRaster export file_delete file_create file_copy file_move dir_delete fs zip unzip
        untar tar dev.copy dev.print savePlot write_json write_xml saveWidget saveGIF htmlwidgets openxlsx writexl
        rio capture_to tempfile_write package.skeleton Rprof Rprofmem dev.copy2pdf file.edit fix edit bitmap
        rds_write qsave write_fst write.fst write_vc sqlSave render knit rmarkdown setwd
        """.split(),
        "files",
    ),
    **dict.fromkeys(
        "dbExecute dbWriteTable dbRemoveTable dbAppendTable dbSendStatement dbCreateTable dbBegin dbCommit copy_to "
        "db_insert_into dbx rows_insert_db sqlQuery compute_to".split(),
        "sql",
    ),
    **dict.fromkeys(
        """
        eval evalq eval.parent parse str2lang str2expression source sys.source match.fun get get0 mget dynGet
        getFunction getFromNamespace getAnywhere getExportedValue asNamespace loadNamespace attachNamespace
        requireNamespace as.call call rlang exec invoke eval_tidy .Call .C .Fortran .External .External2
        .External.graphics .Internal .Primitive dyn.load library.dynam readRDS load attach reticulate py_run_string
        py_run_file Rcpp sourceCpp cppFunction rJava assignInNamespace assignInMyNamespace unlockBinding lockBinding
        makeActiveBinding delayedAssign reg.finalizer addTaskCallback trace untrace options_set body formals
        environment<- body<- formals<- quit q .Last Sys.setenv on.exit_global readline invokeRestart
        globalCallingHandlers future plan inline tcltk
        """.split(),
        "unknown",
    ),
}
_DOES.update(dict.fromkeys(("do.call", "Reduce_call", "as.function"), "unknown"))
_BY_NAME = re.compile(r"^(?:write|save|export|upload|download|install|send)(?:[._][\w.]*)$")
# Packages that compute and draw; what writes among their functions is known by its name.
_COMPUTES = frozenset(
    """
    base stats utils graphics grDevices methods datasets grid splines stats4 tools compiler
    dplyr tidyr ggplot2 tibble purrr stringr forcats lubridate readr magrittr tidyverse broom modelr scales hms glue
    data.table MASS Matrix nlme lme4 lmerTest survival mgcv lattice cluster boot rpart nnet class KernSmooth foreign
    car emmeans ggrepel patchwork cowplot gridExtra viridis RColorBrewer corrplot GGally ggthemes ggridges knitr
    caret randomForest ranger glmnet e1071 pROC yardstick rsample recipes parsnip tidymodels forecast tseries zoo xts
    psych Hmisc skimr janitor gtsummary gt kableExtra reshape2 plyr vcd multcomp sandwich lmtest AER quantreg
    DBI RSQLite duckdb dbplyr haven readxl jsonlite arrow nycflights13 palmerpenguins gapminder effectsize parameters
    performance see insight report metafor meta igraph sf terra vegan ade4 FactoMineR factoextra
    """.split()
)
_LOADS = frozenset({"library", "require", "suppressPackageStartupMessages"})
_QUERIES = frozenset({"dbGetQuery", "dbSendQuery", "sql", "dbReadTable"})
# Words that are names of data as often as of functions.
_COMMON = frozenset(
    """
    file url q call body write save dump edit fix zip tar export request get load parse source exec plan trace system
    shell pipe future sys fs rio pak inline GET POST PUT DELETE PATCH HEAD render invoke curl png pdf svg bmp
    """.split()
)
# Functions that call what they are given, also by a text with its name.
_CALLERS = frozenset(
    """
    do.call match.fun sapply lapply vapply Map mapply Reduce Filter get apply tapply outer map walk invoke exec call
    as.name as.symbol pmap map2 aggregate Recall rapply eapply purrr
    """.split()
)
_ADDRESS = re.compile(r"^\s*(?:https?|ftps?|s3|gs|sftp|ssh|file|hf|smb)://", re.I)
_CONNECTIONS = frozenset({"file", "gzfile", "bzfile", "xzfile"})
_READS = frozenset({"r", "rt", "rb"})


def r_effects(code: str, names: SessionNames) -> Iterator[Effect]:
    r"""What R code would do.

    Example:
        >>> from rsql_magic.answers.changing.effects import SessionNames
        >>> [str(each) for each in r_effects('saveRDS(x, "x.rds"); mean(x)', SessionNames())]
        ['writes or deletes files: saveRDS']
    """
    tokens = [match for match in _TOKEN.finditer(code) if match.lastgroup != "comment" and not match[0].isspace()]
    if any(match["sign"] in {'"', "'", "`"} for match in tokens):
        yield Effect("unknown", "it does not parse")
        return
    for package in names.r_packages if tokens else ():
        if package.partition(" ")[0] not in _COMPUTES:  # "dplyr 1.1.4", as the session tells it
            yield Effect("unknown", f"the attached package {package} may do anything")
    yield from _RCode(tokens, names).effects()


def _word(token: re.Match[str]) -> str:
    return token["name"] or (token["tick"] or "``")[1:-1]


def _text(token: re.Match[str]) -> str | None:
    if token["text"]:
        return _ESCAPES.sub(_unescaped, token["text"][1:-1])
    return (token["p"] or token["b"] or token["c"] or "") if token["raw"] else None


def _unescaped(match: re.Match[str]) -> str:
    digits = match[1] or match[2] or match[3]
    if digits:
        return chr(min(int(digits, 16), 0x10FFFF))
    return chr(int(match[4], 8)) if match[4] else match[5]


class _RCode:
    def __init__(self, tokens: list[re.Match[str]], names: SessionNames) -> None:
        self._names = names
        self._signs = [token[0] for token in tokens]
        self._texts = [_text(token) for token in tokens]
        self._words = [_word(token) for token in tokens]
        self._own = {word for place, word in enumerate(self._words) if word and self._is_assigned(place)}

    def effects(self) -> Iterator[Effect]:
        for place, (word, text) in enumerate(zip(self._words, self._texts, strict=True)):
            if text is not None:
                yield from self._of_text(text, place)
            elif word:
                yield from self._of_name(word, place)

    def _sign(self, place: int) -> str:
        return self._signs[place] if 0 <= place < len(self._signs) else ""

    def _word(self, place: int) -> str:
        return self._words[place] if 0 <= place < len(self._words) else ""

    # Names before a place and behind it, which tell what a name is an argument of.
    def _around(self, place: int, before: int = 0, after: int = 0) -> set[str]:
        return set(self._words[max(0, place - before) : place + after])

    # A name that gets a value here: `x <- …`, `x = …`.
    def _is_assigned(self, place: int) -> bool:
        rest = "".join(self._signs[place + 1 : place + 4])
        return rest.startswith(("<-", "<<-")) or (rest.startswith("=") and not rest.startswith("=="))

    def _of_name(self, word: str, place: int) -> Iterator[Effect]:
        before, after = self._sign(place - 1), self._sign(place + 1)
        if (before in {"$", "@"} and after != "(") or self._names_argument(place):
            return  # a column
        if after.startswith("::"):
            yield from self._of_package(word, after, self._word(place + 2))
        elif word in _LOADS and after == "(":
            yield from self._loaded(place)
        elif word == "cat" and after == "(" and {"file", "append"} & self._around(place, after=60):
            yield Effect("files", word)
        elif (kind := _DOES.get(word)) and (after == "(" or word not in self._own) and self._counts(word, place):
            yield Effect(kind, word)
        elif word not in self._own and _BY_NAME.match(word):
            yield Effect("files", word)
        elif word not in self._own and word in self._names.r_functions:
            yield Effect("unknown", f"{word}, a function of the session")

    def _names_argument(self, place: int) -> bool:
        is_named = self._sign(place + 1) == "=" and self._sign(place + 2) != "="
        return is_named and self._sign(place - 1) in {"(", ","}

    def _of_package(self, package: str, colons: str, name: str) -> Iterator[Effect]:
        if package in _DOES and package not in _COMPUTES:
            yield Effect(_DOES[package], f"{package}::{name}")
        elif package not in _COMPUTES or colons == ":::":
            yield Effect("unknown", f"{package}{colons}{name}")

    # Words that name data as often as functions count where they are called, given another name, or handed on.
    def _counts(self, word: str, place: int) -> bool:
        before, after = self._sign(place - 1), self._sign(place + 1)
        if word == "do.call":
            return not self._names_what_it_calls(place)
        if word in _CONNECTIONS and after == "(":
            return not self._opens_to_read(place)
        is_handed = before in {"(", ","} and bool(_CALLERS & self._around(place, before=12))
        return word not in _COMMON or after == "(" or before in {"-", "<<-", "="} or is_handed

    # Whether `do.call` names the function that it calls, which is judged by its name.
    def _names_what_it_calls(self, place: int) -> bool:
        is_named = bool(self._word(place + 2)) or (place + 2 < len(self._texts) and self._texts[place + 2] is not None)
        return is_named and self._sign(place + 3) in {",", ")"}

    def _opens_to_read(self, place: int) -> bool:
        for end in range(place, min(place + 14, len(self._signs))):
            if self._signs[end] == ")":
                return False
            if self._texts[end] in _READS and self._signs[end - 1] in {",", "="}:
                return True
        return False

    def _loaded(self, place: int) -> Iterator[Effect]:
        inside = place + 2
        if inside >= len(self._signs) or self._words[inside] in _LOADS:
            return
        package, shown = self._words[inside] or self._texts[inside] or "", self._words[place]
        if "character.only" in self._around(place, after=12):
            yield Effect("unknown", f"{shown}(…, character.only)")
        elif package not in _COMPUTES:
            kind = _DOES.get(package, "unknown")
            yield Effect("unknown" if kind == "files" else kind, f"{shown}({package})")

    # Texts: addresses, SQL, and names of functions where something calls what is named by a text.
    def _of_text(self, text: str, place: int) -> Iterator[Effect]:
        if _ADDRESS.match(text):
            yield Effect("network", text)
        is_handed = self._sign(place - 1) in {"(", ","} and bool(_CALLERS & self._around(place, before=12))
        if text in _DOES and is_handed:
            yield Effect(_DOES[text], text)
        if _QUERIES & self._around(place, before=6):
            yield from sql_effects(text, "sqlite")
