# Columns that R code asks of tables which do not have them, and operators that nothing has, found without running it.
#
# Reads the code as a tree and follows what names hold, as rsql_magic/answers/code_checks does for Python. What is not certain
# is not claimed. The columns of a grouped table carry the names of its groups as an attribute.

# Each piece of `codes` may use what those before it make. Returns records of piece, table, column and the table's columns.
unknown_columns <- function(codes, tables, columns) {
  state <- new.env(parent = emptyenv())
  state$known <- new.env(parent = emptyenv())
  for (i in seq_along(tables)) assign(tables[i], strsplit(columns[i], GS, fixed = TRUE)[[1L]], envir = state$known)
  state$made <- character()
  state$found <- character()
  for (i in seq_along(codes)) {
    state$piece <- i
    code <- or_else(parse(text = codes[i], keep.source = FALSE), expression())
    state$made <- c(state$made, bound_in(code))
    rm(list = intersect(parameters_in(code), ls(state$known, all.names = TRUE)), envir = state$known)
    for (part in code) walk(part, state)
  }
  unique(state$found)
}

# Operators such as %>% that code uses and nothing has; none from where on code attaches something. Records of piece and name.
unknown_operators <- function(codes) {
  found <- made <- character()
  for (i in seq_along(codes)) {
    code <- or_else(parse(text = codes[i], keep.source = FALSE), expression())
    names <- unique(all.names(code))
    if (any(c("library", "require", "attach", "source", "load", "p_load") %in% names)) break
    made <- c(made, bound_in(code))
    used <- setdiff(grep("^%.+%$", names, value = TRUE), made)
    unknown <- used[!vapply(used, exists, NA, envir = globalenv())]
    found <- c(found, if (length(unknown)) paste(i, unknown, sep = US))
  }
  found
}

# Arguments of a call; one that is left out, as in x[, 1], is NULL here, because R refuses to name it.
arguments <- function(x) {
  parts <- as.list(x)[-1L]
  empty <- vapply(seq_along(parts), function(i) identical(parts[[i]], quote(expr = )), NA)
  parts[empty] <- list(NULL)
  parts
}

bound_in <- function(code) {
  if (is.expression(code)) return(unlist(lapply(code, bound_in)))
  if (!is.call(code)) return(character())
  here <- if (called(code) %in% c("<-", "=", "<<-", "for") && is.symbol(code[[2L]])) as.character(code[[2L]])
  c(here, parameters_in(code), unlist(lapply(arguments(code), bound_in)))
}

# What functions and loops bind: what these names hold is not followed.
parameters_in <- function(code) {
  if (is.expression(code)) return(unlist(lapply(code, parameters_in)))
  if (!is.call(code)) return(character())
  name <- called(code)
  here <- if (name == "function") names(code[[2L]]) else if (name == "for") as.character(code[[2L]])
  c(here, unlist(lapply(arguments(code), parameters_in)))
}

called <- function(x) {
  head <- x[[1L]]
  if (is.symbol(head)) as.character(head)
  else if (is.call(head) && as.character(head[[1L]]) %in% c("::", ":::")) as.character(head[[3L]])
  else ""
}
symbol_name <- function(x) if (is.symbol(x)) as.character(x) else ""

# The columns of what an expression gives; NULL when that is not known.
columns_of <- function(x, state) {
  if (is.symbol(x)) return(get0(as.character(x), envir = state$known, inherits = FALSE))
  if (!is.call(x)) return(NULL)
  name <- called(x)
  if (name == "(") return(columns_of(x[[2L]], state))
  if (name == "%>%") return(columns_of(piped(x), state))
  if (length(x) < 2L) return(NULL)
  known <- columns_of(arguments(x)[[1L]], state)
  if (is.null(known)) return(NULL)
  if (name %in% JOINS) return(joined_columns(known, x, state))
  or_else(given_by(name, known, arguments(x)[-1L]), NULL)
}

SAME <- c("filter", "arrange", "ungroup", "head", "tail", "slice", "slice_max", "slice_min", "slice_head", "slice_tail",
          "slice_sample", "distinct", "relocate", "na.omit", "drop_na", "as_tibble", "as.data.frame", "rowwise")
JOINS <- c("left_join", "inner_join", "right_join", "full_join", "merge")

# The columns of what a function gives for a table of these columns.
given_by <- function(name, known, args) {
  named <- names(args) %||% rep("", length(args))
  by <- names_of_choice(args[[".by"]] %||% character())
  if (name %in% c("summarise", "summarize") && length(by)) known <- structure(known, groups = by)
  args <- args[!named %in% c(".by", ".groups")]
  named <- named[!named %in% c(".by", ".groups")]
  made <- setdiff(named, "")
  all_named <- all(nzchar(named))
  if (name %in% SAME) return(like(union(known, made), known))
  switch(name,
    mutate = , transform = if (all_named) like(union(known, made), known),
    add_count = union(known, c(made, "n", texts_of(args[["name"]]))),
    select = like(chosen(known, args, named), known),
    subset = chosen_by_subset(known, args, named),
    rename = if (all_named) renamed(known, args, named),
    transmute = if (all_named) union(groups_of(known), made),
    summarise = , summarize = if (all(nzchar(named)) && !is.null(groups_of(known))) union(groups_of(known), made),
    group_by = grouped(known, args, named),
    count = counted_columns(known, args, named),
    `[` = part_of(known, args),
    NULL
  )
}

groups_of <- function(known) attr(known, "groups", exact = TRUE) %||% character()
like <- function(new, known) if (!is.null(new)) structure(new, groups = attr(known, "groups", exact = TRUE))
symbols_in <- function(args) vapply(args, symbol_name, "")

grouped <- function(known, args, named) {
  plain <- symbols_in(args)
  if (any(!nzchar(plain) & !nzchar(named))) return(structure(as.character(known), groups = NULL))
  keys <- ifelse(nzchar(named), named, plain)
  structure(union(known, named[nzchar(named)]), groups = setdiff(keys, c(".add", ".drop")))
}

counted_columns <- function(known, args, named) {
  own <- !named %in% c("sort", "name", "wt", ".drop")
  keys <- ifelse(nzchar(named[own]), named[own], symbols_in(args[own]))
  name <- args[["name"]]
  if (any(!nzchar(keys)) || !(is.null(name) || is.character(name))) return(NULL)
  c(groups_of(known), keys, name %||% "n")
}

# The columns that select() leaves; NULL where it chooses by a function.
chosen <- function(known, args, named) {
  kept <- character()
  first <- TRUE
  for (i in seq_along(args)) {
    without <- is.call(args[[i]]) && called(args[[i]]) %in% c("-", "!") && length(args[[i]]) == 2L
    names <- names_of_choice(if (without) args[[i]][[2L]] else args[[i]])
    if (is.null(names)) return(NULL)
    if (without) kept <- setdiff(if (first) known else kept, names)
    else kept <- c(kept, if (nzchar(named[i])) named[i] else names)
    first <- FALSE
  }
  union(groups_of(known), kept)
}

chosen_by_subset <- function(known, args, named) {
  select <- if ("select" %in% named) args[["select"]] else if (length(args) > 1L && !nzchar(named[2L])) args[[2L]]
  if (is.null(select)) known else chosen(known, list(select), "")
}

# A symbol, a text or c() of these; NULL for anything else.
names_of_choice <- function(x) {
  if (is.symbol(x)) return(as.character(x))
  if (is.character(x)) return(x)
  if (!is.call(x) || called(x) != "c" || !is.null(names(x))) return(NULL)
  parts <- lapply(arguments(x), names_of_choice)
  if (!any(vapply(parts, is.null, NA))) unlist(parts)
}

renamed <- function(known, args, named) {
  old <- vapply(args, function(x) if (is.character(x)) x else symbol_name(x), "")
  if (all(nzchar(old))) like(union(setdiff(known, old), named), known)
}

# x["a"] and x[rows, c("a", "b")] have these, x[rows, ] has all; x[, "a"] may be no table.
part_of <- function(known, args) {
  args <- args[!names(args) %||% rep("", length(args)) %in% "drop"]
  last <- if (length(args)) args[[length(args)]]
  if (length(args) == 1L) texts_of(last)
  else if (length(args) == 2L) if (is.null(last)) known else if (length(texts_of(last)) > 1L) texts_of(last)
}

# Keys of a join: of the left and of the right table; NULL where they cannot be read.
join_keys <- function(x) {
  by <- x[["by"]]
  if (called(x) == "merge" && !is.null(x[["by.x"]])) return(list(texts_of(x[["by.x"]]), texts_of(x[["by.y"]])))
  right <- if (is.call(by) && called(by) == "c") vapply(arguments(by), function(part) if (is.character(part)) part else "", "") else texts_of(by)
  if (is.null(right) || any(!nzchar(right))) return(NULL)
  left <- names(arguments(if (is.call(by)) by else quote(c()))) %||% rep("", length(right))
  list(ifelse(nzchar(left), left, right), right)
}

joined_columns <- function(known, x, state) {
  args <- arguments(x)
  other <- if (length(args) > 1L) columns_of(args[[2L]], state)
  if (is.null(other) || any(c("suffix", "suffixes") %in% names(x))) return(NULL)
  both <- intersect(known, other)
  like(unique(c(known, other, paste0(both, ".x"), paste0(both, ".y"))), known)
}

# x %>% f(y) as f(x, y); the native pipe is read so by R's parser.
piped <- function(x) {
  right <- x[[3L]]
  if (is.call(right)) as.call(append(as.list(right), list(x[[2L]]), 1L)) else as.call(list(right, x[[2L]]))
}

walk <- function(x, state) {
  if (!is.call(x)) return(invisible())
  name <- called(x)
  if (name == "%>%" && is.call(piped(x))) return(walk(piped(x), state))
  if (name == "function") return(walk(x[[3L]], state))
  if (name %in% c("<-", "=", "<<-") && length(x) == 3L) return(assigned(x, state))
  look(x, name, state)
  for (part in arguments(x)) walk(part, state)
}

assigned <- function(x, state) {
  walk(x[[3L]], state)
  target <- x[[2L]]
  if (is.symbol(target)) {
    given <- columns_of(x[[3L]], state)
    if (is.null(given)) rm(list = intersect(as.character(target), ls(state$known, all.names = TRUE)), envir = state$known)
    else assign(as.character(target), given, envir = state$known)
  } else if (is.call(target)) {
    holder <- changed_by(target)
    known <- if (nzchar(holder)) get0(holder, envir = state$known, inherits = FALSE)
    if (is.null(known)) return(invisible())
    made <- if (is.symbol(target[[2L]])) asked_by(target)
    inner <- if (is.call(target[[2L]])) called(target[[2L]]) else ""
    if (inner %in% c("$", "[[")) return(within_column(target[[2L]], holder, known, state))
    if (called(target) %in% c("$", "[[", "[") && length(made)) assign(holder, union(known, made), envir = state$known)
    else rm(list = holder, envir = state$known)
  }
}

# df$a[1] <- 0 changes a column, or makes it.
within_column <- function(target, holder, known, state) {
  if (is.symbol(target[[2L]])) assign(holder, like(union(known, asked_by(target)), known), envir = state$known)
  else forget(holder, state)
}

# The table that an assignment changes: `df` of names(df)[2].
changed_by <- function(target) {
  while (is.call(target) && length(target) > 1L) target <- target[[2L]]
  symbol_name(target)
}

# The names that $, [[ and [ ask for.
asked_by <- function(x) {
  name <- called(x)
  if (name == "$") return(if (is.symbol(x[[3L]]) || is.character(x[[3L]])) as.character(x[[3L]]))
  args <- arguments(x)
  if (name == "[[" && length(args) == 2L) texts_of(args[[2L]])
  else if (name == "[" && length(args) %in% 2:3) texts_of(args[[length(args)]])
}

texts_of <- function(x) {
  if (is.character(x)) return(x)
  if (is.call(x) && identical(x[[1L]], as.name("c"))) {
    parts <- as.list(x)[-1L]
    if (length(parts) && all(vapply(parts, is.character, NA))) return(unlist(parts))
  }
  NULL
}

MASKING <- c("filter", "mutate", "arrange", "group_by", "summarise", "summarize", "count", "transmute", "slice_max", "slice_min",
             "distinct", "pull", "select", "rename", "relocate", "with", "subset", "transform", "within")

look <- function(x, name, state) {
  if (name %in% c("$", "[[", "[")) {
    known <- columns_of(x[[2L]], state)
    if (name == "[" && by_reference(x)) return(forget(changed_by(x[[2L]]), state))
    if (!is.null(known)) wanted(x[[2L]], known, asked_by(x), state)
  } else if (name %in% JOINS && length(x) > 2L) {
    keys <- or_else(join_keys(x), NULL)
    for (i in seq_along(keys)) {
      known <- columns_of(arguments(x)[[i]], state)
      if (!is.null(known)) wanted(arguments(x)[[i]], known, keys[[i]], state)
    }
  } else if (name %in% MASKING && length(x) > 2L) {
    known <- columns_of(x[[2L]], state)
    if (is.null(known)) return(invisible())
    made <- names(arguments(x)[-1L]) %||% character()
    used <- unlist(lapply(arguments(x)[-1L], free_names))
    wanted(x[[2L]], known, free_here(setdiff(used, made), state), state)
  } else if (name == "ggplot" && length(x) > 2L) {
    known <- columns_of(x[[2L]], state)
    if (!is.null(known) && is.call(x[[3L]])) wanted(x[[2L]], known, free_here(free_names(x[[3L]]), state), state)
  } else {
    args <- arguments(x)
    formulas <- Filter(function(part) is.call(part) && called(part) == "~", args)
    data <- x[["data"]] %||% if (length(args) > 1L && length(formulas) && is.symbol(args[[2L]])) args[[2L]]
    known <- if (!is.null(data)) columns_of(data, state)
    if (!is.null(known)) for (formula in formulas) wanted(data, known, free_here(free_names(formula), state), state)
  }
}

# dt[, new := old] changes the data.table itself.
by_reference <- function(x) any(vapply(arguments(x)[-1L], function(part) is.call(part) && called(part) == ":=", NA))
forget <- function(name, state) rm(list = intersect(name, ls(state$known, all.names = TRUE)), envir = state$known)

# Names that an expression takes from the table or from around it, without those of functions and after $.
free_names <- function(x) {
  if (is.symbol(x)) return(as.character(x))
  if (!is.call(x)) return(character())
  name <- called(x)
  if (name %in% c("function", "::", ":::", "everything", "starts_with", "ends_with", "contains", "matches", "all_of", "any_of",
                  "where", "last_col", "{{", "!!", "cur_data")) return(character())
  if (name %in% c("across", "if_any", "if_all", "pick")) return(if (length(x) > 1L) names_of_choice(x[[2L]]))
  if (name %in% c("$", "[[") && identical(x[[2L]], quote(.data))) return(asked_by(x))
  if (name %in% c("$", "@")) return(free_names(x[[2L]]))
  unlist(lapply(arguments(x), free_names))
}

# Those that nothing else is called: no object of the workspace or of a package, nothing made in the code.
free_here <- function(names, state) {
  names <- setdiff(names, c(state$made, ".", ".x", ".y", ".data", ".env", "T", "F", "NA", "NULL"))
  Filter(function(name) !exists(name, envir = globalenv()), names)
}

wanted <- function(holder, known, names, state) {
  missing <- setdiff(names, c(known, ".groups", ""))
  root <- holder
  while (is.call(root) && length(root) > 1L) root <- root[[2L]]
  for (name in missing) state$found <- c(state$found, record(state$piece, clean(symbol_name(root)), clean(name), listed(clean(known))))
}
