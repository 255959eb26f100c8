# What an R session says about itself, in R and without converting anything.
#
# Everything is returned as character vectors of records: fields are separated by US (\x1f), lists within a field by
# GS (\x1d). `survey()` is cheap and names everything; `details()` looks at the objects that were chosen. Values that
# are looked at go no further than this process: rsql_magic/context decides what may leave.
#
# How much is looked at follows from the objects alone (CELLS, TEXTS), so that the same session gives the same answer on
# a busy machine. Seconds are a safety limit far above: an object that hangs is interrupted from outside (rstop.py) and
# left out, and the others go on while there is time.

US <- "\x1f"
GS <- "\x1d"
SAMPLE <- 10000L
LABELS <- 1000L
MOST_COLUMNS <- 20000L
# Cells that are looked at to describe objects, and rows whose texts are searched: a few seconds of work each.
CELLS <- 5e6
TEXTS <- 2e7
FEW_TEXTS <- 2e6
# What beginning with a column costs, in rows.
A_COLUMN <- 1000
SECRET <- "(?i)pass|pwd|secret|token|key|\\bpin|cvv|otp"

record <- function(...) paste(plain(c(...)), collapse = US)
listed <- function(x) paste(x, collapse = GS)
plain <- function(x) {
  x <- readable(as.character(x))
  x[is.na(x)] <- ""
  gsub("[\x01-\x08\x0b\x0c\x0e-\x1c\x1e]", " ", x, perl = TRUE)
}
readable <- function(x) {
  wrong <- !is.na(x) & !validUTF8(x)
  if (any(wrong)) x[wrong] <- iconv(x[wrong], "latin1", "UTF-8")
  enc2utf8(x)
}
clean <- function(x) gsub("[\x1d\x1f]", " ", plain(x), perl = TRUE)
or_else <- function(code, otherwise) tryCatch(code, error = function(e) otherwise, interrupt = function(e) otherwise)
now <- function() proc.time()[["elapsed"]]
short <- function(code, most = 300L) {
  text <- paste(deparse(code, width.cutoff = 500L, nlines = 5L), collapse = " ")
  clean(substr(gsub("\\s+", " ", text), 1L, most))
}

# Texts in code may be data: a formula may say I(diagnosis == "…").
without_texts <- function(text) gsub('"(?:[^"\\\\]|\\\\.)*"', '"…"', text, perl = TRUE)
# A long number may be somebody's telephone or account.
is_short <- function(x) length(x) == 1L && (is.logical(x) || isTRUE(abs(x) < 1e7) || is.na(x))

# ---- the session ----

session <- function() {
  base <- c("base", "stats", "graphics", "grDevices", "utils", "datasets", "methods", "Autoloads")
  attached <- setdiff(sub("^package:", "", grep("^package:", search(), value = TRUE)), base)
  versions <- vapply(attached, function(p) or_else(as.character(getNamespaceVersion(p)), ""), "")
  record(
    paste(R.version$major, R.version$minor, sep = "."), R.version$platform, Sys.getlocale("LC_CTYPE"),
    listed(trimws(paste(attached, versions)))
  )
}

libraries <- function() unique(list.files(.libPaths()))

versions <- function(packages) {
  vapply(packages, function(p) or_else(as.character(utils::packageVersion(p)), ""), "", USE.NAMES = FALSE)
}

survey <- function(seconds, most) {
  end <- now() + seconds
  found <- character()
  columns <- 0L
  for (name in utils::head(ls(globalenv()), most)) {
    said <- record(clean(name), "R object that cannot be read", "", "", "", "")
    if (now() < end) said <- or_else(surveyed(name, MOST_COLUMNS - columns), said)
    columns <- columns + (attr(said, "columns", exact = TRUE) %||% 0L)
    found <- c(found, said)
  }
  c(session(), found)
}

`%||%` <- function(x, y) if (is.null(x)) y else x

# Why a name is not looked at, as that would run code of the user's; empty where it is.
unread <- function(name) {
  if (bindingIsActive(as.name(name), globalenv())) return("R active binding, not read")
  if (or_else(is_promise(name), TRUE)) "R promise, not read" else ""
}

# Whether a name stands for code that R has not run yet, as `delayedAssign` and `data` leave it; it is not run.
is_promise <- function(name) {
  # The binding alone, as it is: R's listing of objects follows promises no further. It is taken out again, as it counts
  # as a user of the object, which R would copy when it is changed.
  alone <- new.env(hash = FALSE, parent = emptyenv())
  .Internal(importIntoEnv(alone, name, globalenv(), name))
  listing <- utils::capture.output(.Internal(inspect(alone, 3L, 0L)))
  assign(name, NULL, envir = alone)
  if (!any(grepl("^\\s*@[0-9a-f]+ 05 PROMSXP", listing, useBytes = TRUE))) return(FALSE)
  # It may be kept already. R writes promises as they are, and the environment of one only while it waits. The value of
  # a large one does not fit into the queue, and is not written to its end.
  path <- tempfile("rsql-")
  queue <- fifo(path, "w+b", blocking = FALSE)
  on.exit({
    close(queue)
    unlink(path)
  })
  tryCatch(save(list = name, file = queue, envir = globalenv(), eval.promises = FALSE), error = function(e) NULL)
  waits_in(readBin(queue, "raw", 32768L)) # names have 10,000 bytes at most
}

# Whether the first binding that `save` wrote (R Internals, 1.8) is a promise with an environment.
waits_in <- function(bytes) {
  number <- function(at) sum(as.integer(bytes[at + 0:3]) * 256^(3:0))
  at <- 8L # behind "RDX3\nX\n"
  version <- number(at)
  at <- at + 12L + if (version >= 3) 4L + number(at + 12L) else 0L
  # A pair with its tag, a symbol, and the symbol's text with its length.
  at <- at + 12L
  flags <- number(at + 4L + number(at))
  flags %% 256 == 5 && bitwAnd(flags %/% 1024, 1L) == 1L
}

surveyed <- function(name, left) {
  if (nzchar(why <- unread(name))) return(record(clean(name), why, "", "", "", ""))
  x <- get(name, envir = globalenv())
  if (!is_table(x) || left < length(x)) {
    return(record(clean(name), label(x), if (is_column(x)) length(x) else "", "", kind_of(x), clean(label_of(x))))
  }
  kinds <- vapply(unclass(x), type, "")
  said <- record(clean(name), label(x), nrow_of(x), listed(clean(names(x))), listed(clean(kinds)), clean(label_of(x)))
  structure(said, columns = length(x))
}

is_table <- function(x) is.data.frame(x)
is_column <- function(x) (is.atomic(x) && is.null(dim(x)) && length(x) > 1L) || is.factor(x)
nrow_of <- function(x) abs(.row_names_info(x, 2L))
kind_of <- function(x) if (is_column(x)) type(x) else ""
label_of <- function(x) {
  said <- attr(x, "label", exact = TRUE)
  if (is.character(said) && length(said) == 1L) said else ""
}
unit_of <- function(x) {
  said <- attr(x, "units", exact = TRUE)
  if (is.character(said) && length(said) == 1L) said else ""
}

label <- function(x) {
  if (is.data.frame(x)) {
    kind <- if (inherits(x, "data.table")) "data.table" else if (inherits(x, "tbl_df")) "tibble" else "data.frame"
    groups <- setdiff(names(attr(x, "groups", exact = TRUE)), ".rows")
    paste0("R ", kind, if (length(groups)) paste0(" grouped by ", clean(paste(groups, collapse = " + "))))
  } else if (is_column(x)) {
    paste("R", if (is.factor(x)) "factor" else paste(type(x), "vector"))
  } else {
    paste("R", clean(substr(class(x)[1L], 1L, 60L)))
  }
}

type <- function(x) {
  substr(class(x)[1L], 1L, 60L)
}

# ---- what each object is, exactly ----

# The whole class vector of each object, and of all that it is made of; `code` where it holds what could be run when it
# is used: functions, environments, code that calls more than formulas do.
FORMULAS <- c(
  "~", "+", "-", "*", "/", "^", ":", "(", "%in%", "==", "!=", "<", ">", "<=", ">=", "&", "|", "!", "c", "list", "I", "log",
  "log2", "log10", "log1p", "exp", "sqrt", "abs", "factor", "as.factor", "ordered", "poly", "scale", "offset", "cut",
  "cbind", "as.numeric", "interaction", "lm", "glm", "aov", "nls", "binomial", "gaussian", "poisson", "Gamma"
)
PLAIN_ATTRIBUTES <- c("names", "dim", "dimnames", "row.names", "levels", "class", "tsp", ".internal.selfref", "index")
DEEPEST <- 12L
MOST_PARTS <- 5000L

kinds <- function(most) {
  name_them <- function(name) {
    kind <- if (nzchar(unread(name))) {
      "code"
    } else {
      or_else(exact(get(name, envir = globalenv())), "code")
    }
    record(clean(name), listed(clean(kind)))
  }
  vapply(utils::head(ls(globalenv(), all.names = TRUE), most), name_them, "", USE.NAMES = FALSE)
}

exact <- function(x) {
  if (isS4(x) && !is.function(x)) return(paste(class(x), collapse = "/"))
  found <- character()
  left <- MOST_PARTS
  walk <- function(x, depth) {
    left <<- left - 1L
    if (left < 0L || depth > DEEPEST) return("code")
    found <<- unique(c(found, paste(class(x), collapse = "/")))
    if (inherits(x, "lm") && !inherits(.subset2(x, "terms"), "formula")) return("code")
    if (inherits(x, "family")) return(if (is_own_family(x)) "code" else found)
    parts <- attributes(x)
    parts <- parts[!names(parts) %in% c(PLAIN_ATTRIBUTES, if (inherits(x, c("formula", "terms"))) ".Environment")]
    bad <- if (is.call(x)) {
      !is.symbol(x[[1L]]) || !as.character(x[[1L]]) %in% FORMULAS || is_own(as.character(x[[1L]])) ||
        inherits(x, "formula") && !is.null(environment(x)) && !identical(environment(x), globalenv())
    } else {
      !is.null(x) && !is.atomic(x) && !is.list(x) && !is.symbol(x)
    }
    if (bad) return("code")
    if (is.call(x)) parts <- c(parts, lapply(seq_along(x)[-1L], function(i) x[[i]]))
    if (is.list(x)) parts <- c(parts, unclass(x))
    for (part in parts) if (identical(walk(part, depth + 1L), "code")) return("code")
    found
  }
  walk(x, 0L)
}

# What glm() keeps of its family are functions and code; they are those of stats.
is_own_family <- function(x) {
  known <- c("binomial", "gaussian", "poisson", "Gamma", "inverse.gaussian", "quasibinomial", "quasipoisson")
  if (!x$family %in% known) return(TRUE)
  theirs <- get(x$family, asNamespace("stats"))(x$link)
  !identical(unclass(x), unclass(theirs), ignore.bytecode = TRUE, ignore.environment = TRUE, ignore.srcref = TRUE) ||
    !all(vapply(Filter(is.function, unclass(x)), function(f) identical(topenv(environment(f)), asNamespace("stats")), NA))
}

is_own <- function(name) exists(name, globalenv(), inherits = FALSE)

# Methods that this session made: of S3, wherever it registered them, and of S4.
own_methods <- function() {
  of_place <- function(place) {
    table <- place[[".__S3MethodsTable__."]]
    if (!is.environment(table)) return(character())
    homes <- eapply(table, environment, all.names = TRUE)
    is_package <- function(home) is.null(home) || isNamespace(home) || isNamespace(top <- topenv(home)) || identical(top, baseenv())
    names(homes)[!vapply(homes, is_package, NA)]
  }
  made <- unlist(lapply(c(list(baseenv()), lapply(loadedNamespaces(), asNamespace)), of_place))
  unique(c(made, grep("^\\.__[A-Z]__", ls(globalenv(), all.names = TRUE), value = TRUE)))
}

# ---- objects that were chosen ----

# `places[[i]]` are the columns of object i that are looked at, counted from 1.
details <- function(names, places, seconds, values, rows) {
  left <- CELLS
  affordable <- function(x, at) {
    spent <- cumsum(vapply(at, function(i) cost(if (is_table(x)) .subset2(x, i) else x), 0))
    at <- at[spent <= left]
    left <<- left - max(0, spent[seq_along(at)])
    at
  }
  each <- function(name, at) {
    x <- get(name, envir = globalenv())
    if (is_table(x) || is_column(x)) {
      columns <- vapply(affordable(x, at), function(i) column(if (is_table(x)) .subset2(x, i) else x, i, rows), "")
      paste(c(clean(name), columns, record("labels", listed(labels(x)))), collapse = "\x1e")
    } else {
      paste(clean(name), substr(clean(said(x, values)), 1L, 2000L), sep = "\x1e")
    }
  }
  end <- now() + seconds
  found <- character()
  for (i in seq_along(names)) {
    at <- as.integer(strsplit(places[i], ",", fixed = TRUE)[[1L]])
    if (now() < end) found <- c(found, or_else(each(names[i], at), character()))
  }
  found
}

# What looking at a column costs, in cells; a long one is sampled, and passed through once where it may be a key.
cost <- function(x) A_COLUMN + min(length(x), SAMPLE) + if (is.numeric(x)) length(x) / 100 else 0

# The names of the first rows or values: one that says that its value is a secret keeps the value here.
labels <- function(x) {
  said <- utils::head(if (is_table(x)) attr(x, "row.names", exact = TRUE) else names(x), LABELS)
  if (is.character(said)) clean(substr(said, 1L, 80L)) else character()
}

# One row from each of SAMPLE equal strides, moved within its stride by a multiplicative hash (see frames.py).
sampled <- function(n) {
  if (n <= SAMPLE) return(NULL)
  at <- seq_len(SAMPLE) - 1
  step <- n / SAMPLE
  floor(at * step + (at * 2654435761) %% 4294967296 / 4294967296 * step) + 1
}

column <- function(x, place, rows) {
  n <- length(x)
  at <- sampled(n)
  if (!is.null(dim(x)) || !is.atomic(x)) return(record(place, "other", n, 0, "", "", "", "", "", label_of(x), unit_of(x), "", ""))
  part <- if (is.null(at)) x else x[at]
  gone <- is.na(part)
  if (any(gone)) part <- part[!gone]
  if (is.character(part)) part <- readable(part)
  family <- family_of(x, part)
  ends <- if (length(part)) ends_of(part, family) else c("", "")
  counts <- if (family %in% c("integer", "text") && length(part)) counted(part, family) else list("", "", "")
  key <- family == "integer" && !is.null(at) && identical(is.unsorted(x, strictly = TRUE), FALSE)
  all <- if (key) ends_of(c(x[1L], x[n]), family) else c("", "")
  record(
    place, family, n - if (is.null(at)) 0 else n - SAMPLE, sum(gone), ends, counts[[1L]], counts[[2L]], counts[[3L]],
    clean(label_of(x)), clean(unit_of(x)), if (key) listed(all) else "", if (rows > 0L) listed(first(x, rows)) else "",
    filling(part, family), if (family == "text") listed(clean(dates_in(part))) else ""
  )
}

# Some texts of a column of dates or times: what has digits and is short; of other columns none.
dates_in <- function(part) {
  part <- as.character(part[unique(round(seq(1, length(part), length.out = min(length(part), 200L))))])
  part <- part[nzchar(trimws(part))]
  if (length(part) && mean(grepl("^(?=.*[0-9])[\\w ,./:+-]{4,40}$", part, perl = TRUE)) >= 0.95) part
}

# Figures of a whole column; of classes that bring methods of their own, none.
figures <- function(name, place) {
  x <- .subset2(get(name, envir = globalenv()), place)
  if (!is.null(dim(x)) || !is.atomic(x) || is.logical(x) || (is.object(x) && !is.factor(x))) return(character())
  text <- if (is.factor(x)) levels(x)[unclass(x)] else x
  kept <- text[!is.na(text)]
  counts <- c(length(x), length(unique(kept)), sum(is.na(text)), if (is.character(text)) sum(!nzchar(trimws(kept))) else 0)
  if (!is.numeric(text) || !length(kept)) return(sprintf("%.0f", counts))
  kept <- as.double(kept)
  sprintf("%.17g", c(counts, mean(kept), stats::median(kept), range(kept), sum(kept)))
}

# How many values are not zero, and whether it is a flag; of two fractions how often the rarer was seen (sampling.py).
filling <- function(part, family) {
  if (!family %in% c("bool", "integer", "number")) return(c("", ""))
  part <- as.double(unclass(part))
  found <- unique(utils::head(part, 200L))
  kind <- if (all(found %in% 0:1) && all(part %in% 0:1)) "flag" else ""
  if (!nzchar(kind) && length(found) <= 2L && length(found <- unique(part)) == 2L && !any(found %% 1 == 0)) {
    kind <- min(sum(part == found[1L]), sum(part == found[2L]))
  }
  c(sum(part != 0), kind)
}

# The first values as text; a text begins with a quote, so that it can be told from a number.
first <- function(x, rows) {
  x <- x[seq_len(min(rows, length(x)))]
  text <- clean(if (is.double(x) && !is.object(x)) format(x, digits = 6L, trim = TRUE) else substr(as.character(x), 1L, 1000L))
  ifelse(is.na(x), "NA", if (is.character(x) || is.factor(x)) paste0("'", text) else text)
}

family_of <- function(x, part) {
  if (is.factor(x) || is.character(x)) "text"
  else if (is.logical(x)) "bool"
  else if (inherits(x, c("Date", "POSIXct"))) "time"
  else if (is.object(x) && !inherits(x, c("haven_labelled", "labelled", "units", "AsIs"))) "other"
  else if (is.integer(x)) "integer"
  else if (is.double(x)) if (all(is.finite(part)) && all(part == floor(part)) && all(abs(part) < 2^53)) "integer" else "number"
  else "other"
}

ends_of <- function(part, family) {
  if (family == "time") return(format(range(part), if (inherits(part, "Date")) "%Y-%m-%d" else "%Y-%m-%d %H:%M"))
  part <- unclass(part)
  if (family == "number") part <- part[is.finite(part)]
  if (!family %in% c("integer", "number") || !length(part)) return(c("", ""))
  sprintf(if (family == "integer") "%.0f" else "%.15g", as.double(range(part)))
}

counted <- function(part, family) {
  if (is.factor(part)) {
    n <- tabulate(as.integer(part), nlevels(part))
    kept <- n > 0L
    n <- n[kept]
    found <- levels(part)[kept]
  } else {
    found <- unique(part)
    n <- tabulate(match(part, found), length(found))
  }
  top <- if (family == "text" && length(n) <= 200L) utils::head(order(n, decreasing = TRUE), 31L) else integer()
  shown <- listed(c(rbind(clean(substr(as.character(found[top]), 1L, 1000L)), n[top])))
  list(length(n), sum(n == 1L), shown)
}

# ---- texts that are looked for, because a column may be named by them (value_names.py) ----

# `wanted` is folded. Returns records of the text, the table, the column (of row names, none) and the number of rows.
held <- function(wanted, seconds, work = TEXTS) {
  end <- now() + seconds
  found <- character()
  for (name in ls(globalenv())) {
    if (nzchar(unread(name))) next
    x <- get(name, envir = globalenv())
    if (!is_table(x)) next
    texts <- or_else(texts_in(x), list())
    for (column in names(texts)) {
      work <- work - A_COLUMN - length(texts[[column]])
      if (work < 0 || now() > end) return(c(found, UNREACHED))
      found <- c(found, or_else(counted_of(texts[[column]], name, sub("^[.]", "", column), wanted), character()))
    }
  }
  found
}

# What stands among the findings where not all tables were reached.
UNREACHED <- paste("", "", "", "0", sep = US)

# The columns of text by their names behind a dot, and the names of rows under a dot alone.
texts_in <- function(x) {
  texts <- Filter(function(i) is.character(.subset2(x, i)) || is.factor(.subset2(x, i)), seq_along(x))
  found <- stats::setNames(lapply(texts, function(i) .subset2(x, i)), paste0(rep(".", length(texts)), names(x)[texts]))
  rows <- attr(x, "row.names")
  if (is.character(rows)) c(found, list(. = rows)) else found
}

counted_of <- function(x, table, column, wanted) {
  values <- if (is.factor(x)) levels(x) else unique(x)
  text <- folded(values)
  at <- which(text %in% wanted)
  if (!length(at)) return(character())
  n <- tabulate(if (is.factor(x)) match(as.integer(x), at) else match(x, values[at]), length(at))
  mapply(function(text, n) record(clean(text), clean(table), clean(column), n), text[at], n, USE.NAMES = FALSE)
}

folded <- function(x) gsub("^_+|_+$", "", gsub("[\\W_]+", "_", tolower(readable(as.character(x))), perl = TRUE))

# ---- everything that is no table ----

said <- function(x, values) {
  if (is.function(x)) return(function_said(x, values))
  if (inherits(x, "formula")) return(paste0("R formula ", without_texts(short(x))))
  if (is_model(x)) return(model_said(x, values))
  if (is.environment(x)) return(paste0("R ", clean(class(x)[1L]), if (!is.object(x)) paste0(" of ", length(ls(x)), " objects")))
  if (isS4(x)) return(paste0("R ", clean(class(x)[1L]), " (S4)"))
  if (is.null(x)) return("R NULL")
  if (!is.null(dim(x)) && is.atomic(x)) return(matrix_said(x))
  if (is.list(x)) return(list_said(x, values))
  if (is.atomic(x)) return(scalar_said(x, values))
  paste0("R ", typeof(x))
}

function_said <- function(x, values) {
  wanted <- formals(args(x))
  default <- function(value, name) {
    if (identical(value, quote(expr = ))) return("")
    shown <- is.null(value) || is.logical(value) || (values && is.numeric(value) && is_short(value) && !grepl(SECRET, name, perl = TRUE))
    paste0(" = ", if (shown) short(value, 40L) else "…")
  }
  defaults <- if (length(wanted)) mapply(default, wanted, names(wanted)) else character()
  paste0("R function(", paste0(names(wanted), defaults, collapse = ", "), ")")
}

is_model <- function(x) {
  (is.list(x) && is.object(x) && !is.data.frame(x) && (!is.null(x[["terms"]]) || (!is.null(x[["call"]]) && !is.null(x[["coefficients"]])))) ||
    (isS4(x) && or_else(!is.null(methods::slot(x, "call")) && inherits(stats::formula(x), "formula"), FALSE))
}

model_said <- function(x, values) {
  formula <- or_else(stats::formula(x), NULL)
  names <- if (values) or_else(names(stats::coef(x)), NULL)
  names <- unique(without_texts(names[vapply(names, coefficient_is_common, NA, model = x)]))
  rows <- if (values) or_else(stats::nobs(x), NULL)
  paste0(
    "R ", clean(paste(class(x), collapse = "/")), " model",
    if (!is.null(formula)) paste0("; formula ", without_texts(short(without_flags(formula, x)))),
    if (!is.null(rows)) paste0("; ", format(rows, big.mark = ","), " observations"),
    if (length(names)) paste0("; coefficients ", paste(utils::head(names, 20L), collapse = ", "), if (length(names) > 20L) ", …")
  )
}

# A coefficient's name may hold a category: `diagnosisRare`. It is shown when at least five rows have that category.
coefficient_is_common <- function(name, model) {
  factors <- if (!isS4(model)) model[["xlevels"]]
  frame <- if (!isS4(model)) model[["model"]]
  for (part in strsplit(name, ":", fixed = TRUE)[[1L]]) {
    if (gsub("`", "", part) %in% rare_flags(frame)) return(FALSE)
    for (variable in names(factors)) {
      level <- factors[[variable]][paste0(variable, factors[[variable]]) == part]
      if (length(level) && (is.null(frame) || sum(frame[[variable]] == level, na.rm = TRUE) < 5L)) return(FALSE)
    }
  }
  TRUE
}

rare_flags <- function(frame) names(frame)[vapply(frame, is_rare_flag, NA)]

# A formula without the columns that are named by rare values: `y ~ .` stands for all columns there were.
without_flags <- function(formula, model) {
  rare <- if (!isS4(model)) or_else(rare_flags(model[["model"]]), character())
  if (length(rare)) eval(call("substitute", formula, stats::setNames(rep(list(as.name("\u2026")), length(rare)), rare))) else formula
}

matrix_said <- function(x) {
  names <- if (has_names(x)) colnames(x)[vapply(seq_len(ncol(x)), function(i) !is_rare_flag(x[, i]), NA) & !are_held(colnames(x))]
  paste0(
    "R ", typeof(x), " ", clean(class(x)[1L]), ", ", paste(format(dim(x), big.mark = ",", trim = TRUE), collapse = " × "),
    if (length(names)) paste0("; columns ", clean(paste(names, collapse = ", ")))
  )
}

# Whether a column is named by a value that fewer than five rows have, as in model.matrix().
is_rare_flag <- function(x) (is.numeric(x) || is.logical(x)) && all(x %in% c(0:1, NA)) && sum(x, na.rm = TRUE) < 5

# Which of these names are values of a text column, or row names, of a table in the workspace.
are_held <- function(names, seconds = 10) {
  found <- held(unique(folded(names)), seconds, FEW_TEXTS)
  UNREACHED %in% found | folded(names) %in% sub(paste0(US, ".*"), "", found)
}

# A matrix has names; those of a table, or of an array whose dimensions have names, are values.
has_names <- function(x) {
  length(dim(x)) == 2L && !inherits(x, "table") && is.null(names(dimnames(x))) &&
    length(colnames(x)) > 0L && length(colnames(x)) <= 20L
}

list_said <- function(x, values) {
  kinds <- vapply(unclass(x), function(part) class(part)[1L], "")
  # The keys of a mapping may be data, such as the groups of split(); those of a record are names. See objects.py.
  plain <- ifelse(kinds %in% c("integer", "numeric", "logical"), "number", kinds)
  record <- values && !is.null(names(x)) && length(x) <= 20L && length(setdiff(unique(plain), "NULL")) > 1L && !any(are_held(names(x)))
  paste0(
    "R ", clean(class(x)[1L]), " of ", format(length(x), big.mark = ","), ", depth ", depth(x),
    if (record) paste0(": ", clean(paste(names(x), kinds, collapse = ", ")))
    else if (length(kinds)) paste0(": ", clean(paste(utils::head(unique(kinds), 4L), collapse = " | ")))
  )
}

depth <- function(x, most = 10L) {
  if (!is.list(x) || most == 0L) return(0L)
  deeper <- vapply(utils::head(unclass(x), 50L), depth, 0L, most = most - 1L)
  1L + max(0L, deeper)
}

scalar_said <- function(x, values) {
  if (length(x) == 0L) return(paste0("R ", type(x), ", empty"))
  if (is.character(x)) return(paste0("R character, ", if (is.na(x)) "NA" else paste(nchar(x, "chars", allowNA = TRUE), "characters")))
  paste0("R ", type(x), if (values && (is.numeric(x) || is.logical(x)) && !is.object(x)) {
    if (is_short(x)) paste0(" ", format(x, digits = 6L)) else " of more than seven digits"
  })
}

# ---- errors ----

last_error <- function() {
  calls <- vapply(get0(".Traceback", envir = baseenv(), ifnotfound = list()), function(call) short(call, 200L), "")
  wrapped <- grepl("^\\(function \\(expr, envir|^\\(function \\(x\\)|^eval\\(|^withVisible\\(", calls)
  calls <- calls[cumsum(wrapped) == 0L]
  warnings <- names(get0("last.warning", envir = baseenv(), ifnotfound = NULL))
  c(trimws(geterrmessage()), listed(calls), listed(clean(utils::head(warnings, 5L))))
}

# ---- help ----

help_text <- function(topic, package) {
  page <- or_else(
    if (nzchar(package)) utils::help((topic), package = (package), help_type = "text")
    else utils::help((topic), help_type = "text"),
    NULL
  )
  if (!length(page)) return(character())
  path <- as.character(page)[1L]
  parts <- utils:::.getHelpFile(path)
  tags <- vapply(parts, function(part) attr(part, "Rd_tag") %||% "", "")
  kept <- parts[tags %in% c("\\title", "\\usage", "\\arguments", "\\name")]
  written <- utils::capture.output(tools::Rd2txt(structure(kept, class = "Rd"), fragment = FALSE, options = list(underline_titles = FALSE, width = 100)))
  written <- gsub("_\b", "", written, perl = TRUE)
  c(basename(dirname(dirname(path))), written)
}

# ---- running and checking code ----

parse_error <- function(code) {
  tryCatch({
    parse(text = code, keep.source = FALSE)
    ""
  }, error = function(e) conditionMessage(e))
}

run <- function(code, directory, width, height, resolution) {
  state <- new.env(parent = emptyenv())
  state$warnings <- character()
  state$calls <- list()
  before <- grDevices::dev.list()
  grDevices::png(file.path(directory, "%03d.png"), width = width, height = height, res = resolution)
  device <- grDevices::dev.cur()
  on.exit(if (device %in% grDevices::dev.list()) grDevices::dev.off(device))
  depth <- sys.nframe()
  error <- tryCatch(
    withCallingHandlers(
      {
        for (expression in parse(text = code, keep.source = FALSE)) {
          value <- withVisible(eval(expression, globalenv()))
          if (value$visible) show_value(value$value)
        }
        ""
      },
      warning = function(w) {
        state$warnings <- c(state$warnings, conditionMessage(w))
        invokeRestart("muffleWarning")
      },
      error = function(e) state$calls <- sys.calls()
    ),
    error = error_said,
    interrupt = function(e) "interrupted"
  )
  c(error, listed(clean(state$warnings)), listed(clean(user_calls(state$calls, depth))))
}

error_said <- function(e) {
  call <- if (is.null(conditionCall(e))) "" else short(conditionCall(e), 200L)
  paste0("Error", if (nzchar(call) && !startsWith(call, "eval(expression, globalenv())")) paste0(" in ", call), ": ", conditionMessage(e))
}

show_value <- function(value) if (isS4(value)) methods::show(value) else print(value)

# The calls between our own and the condition system's.
user_calls <- function(calls, depth) {
  text <- vapply(calls, short, "", most = 200L)
  start <- utils::tail(grep("^eval\\(expression, globalenv\\(\\)\\)", text), 1L)
  text <- text[seq_along(text) > (if (length(start)) start else depth)]
  text[!grepl("^(\\.handleSimpleError|h\\(simpleError|stop\\(|doTryCatch|tryCatch)", text)]
}
